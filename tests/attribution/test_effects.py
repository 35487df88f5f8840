"""Equations of gradients, direct logit attribution, exact interventions and the comparison of two models."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.attribution.direct import additions_of, attribute_logits
from core.attribution.direction_lens import read_layer_directions
from core.attribution.divergence import compare_models
from core.attribution.gradients import attribute_gradients
from core.attribution.interventions import measure_effects
from core.attribution.one_text import attribute_tokens
from core.attribution.readouts import StreamLensSpec
from core.attribution.stream_lens import read_layer
from core.attribution.targets import contrast_of
from core.attribution.values import (
    DivergenceSpec,
    GradientSpec,
    InterventionSpec,
    LayerLensSpec,
    TargetText,
)
from core.errors import BadDirection, BadInput, ModelUnavailable
from core.forward.edits import SteeringSpec
from core.forward.hooks import record_residuals, run_decoder, steer_residuals
from core.forward.steering import compile_steering
from core.forward.unembedding import keyword_ids, logit_lens
from core.models.loaded import encode_text, hook_count
from core.values import Positions
from tests.attribution.test_one_text import spec_for
from tests.linear_models import linear_loaded
from tests.tiny_models import tiny_loaded

FAMILIES = ["llama", "qwen2", "mistral", "gemma", "gpt_neox"]
TEXT = "First we add. Wait, that is wrong. But maybe not."


def target_text(loaded, *, targets=(9, 14), keywords=("wait", "hmm"), text=TEXT):
    reading = encode_text(loaded, "Why?", text)
    return TargetText(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        token_ids=reading.token_ids,
        text_start=reading.text_start,
        keywords=keywords,
        targets=targets,
    )


def last(steps):
    return list(steps)[-1]


def gradients_of(loaded, direction, **kwargs):
    return last(attribute_gradients(loaded, GradientSpec(text=target_text(loaded, **kwargs), direction=direction)))


def effects_of(loaded, direction, *, layer=1, coefficient=0.5, first=0, **kwargs):
    spec = InterventionSpec(
        text=target_text(loaded, **kwargs), direction=direction, layer=layer, coefficient=coefficient, first=first
    )
    return last(measure_effects(loaded, spec))


def model_logits(loaded, token_ids, edit=None):
    ids = torch.tensor([token_ids])
    with torch.inference_mode():
        if edit is None:
            return loaded.model(ids).logits[0]
        steering = compile_steering(loaded, [[edit]], n_prompt=[0])
        steering.positions = torch.arange(len(token_ids))[None]
        with steer_residuals(loaded, steering):
            return loaded.model(ids).logits[0]


def target_value(loaded, text, logits, contrast):
    return float(contrast.of(logits[list(text.targets)]).mean())


def contrast_for(loaded, text):
    logits = model_logits(loaded, text.token_ids)[list(text.targets)]
    return contrast_of(logits, keyword_ids(loaded, text.keywords))


def residuals(loaded, token_ids):
    kept = {}
    run_decoder(loaded, torch.tensor([token_ids]), range(loaded.n_layers), lambda i, h: kept.update({i: h[0].clone()}))
    return kept


def test_the_contrast_is_the_gradient_of_the_log_odds(tmp_path):
    logits = torch.randn(3, 40, dtype=torch.float64).requires_grad_()
    contrast = contrast_of(logits.detach(), [4, 7])
    assert torch.allclose(contrast.weights.sum(-1), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    others = contrast.ids[:, 2:]
    assert not set(others.flatten().tolist()) & {4, 7}
    odds = logits[:, [4, 7]].logsumexp(-1) - logits.gather(-1, others).logsumexp(-1)
    (expected,) = torch.autograd.grad(odds.sum(), logits)
    (got,) = torch.autograd.grad(contrast.of(logits).sum(), logits)
    assert torch.allclose(got, expected, atol=1e-12)


def test_the_contrast_takes_the_five_likeliest_others_and_no_keyword():
    logits = torch.tensor([[4.0, 9.0, 3.0, 8.0, 2.5, 2.0, 1.5, 1.0], [0.0, 1.0, 2.0, -9.0, 3.0, 4.0, 5.0, 6.0]])
    contrast = contrast_of(logits, [1, 3])
    assert contrast.ids.tolist() == [[1, 3, 0, 2, 4, 5, 6], [1, 3, 7, 6, 5, 4, 2]]
    theirs = [[4.0, 3.0, 2.5, 2.0, 1.5], [6.0, 5.0, 4.0, 3.0, 2.0]]
    ours = [[9.0, 8.0], [1.0, -9.0]]
    expected = torch.cat([torch.tensor(ours).softmax(-1), -torch.tensor(theirs).softmax(-1)], -1)
    assert torch.allclose(contrast.weights, expected, atol=1e-7)


@pytest.mark.parametrize("operator", ["steered", "ablated"])
def test_on_a_linear_model_the_gradient_is_the_exact_effect(operator, tmp_path, make_direction):
    loaded = linear_loaded(tmp_path)
    direction = make_direction(loaded.d_model)
    gradients = gradients_of(loaded, direction)
    for layer in range(loaded.n_layers):
        exact = effects_of(loaded, direction, layer=layer)
        stop = max(exact.spec.text.targets) + 1
        estimate = 0.5 * gradients.along[layer] if operator == "steered" else gradients.removal[layer]
        assert np.abs(estimate[:stop]).max() > 1e-3
        assert np.abs(estimate[:stop] - getattr(exact, operator)[:stop]).max() <= 1e-5
        assert np.isnan(getattr(exact, operator)[stop:]).all()
        if operator == "steered":
            assert exact.steered_all == pytest.approx(np.nansum(exact.steered), abs=1e-5)
    assert hook_count(loaded) == 0


def test_gradient_times_activation_is_centred_over_the_text_alone(tmp_path, make_direction):
    """Behind the last block of the linear model, g at a target is W_Uᵀ · contrast / n_targets, elsewhere 0."""
    loaded = linear_loaded(tmp_path)
    gradients = gradients_of(loaded, make_direction(loaded.d_model))
    text = gradients.spec.text
    assert text.text_start > 1
    contrast, targets = contrast_for(loaded, text), list(text.targets)
    hidden = residuals(loaded, text.token_ids)[loaded.n_layers - 1]
    slope = (contrast.weights[..., None] * loaded.unembed.weight.detach()[contrast.ids]).sum(1) / len(targets)
    expected = torch.zeros(len(text.token_ids))
    expected[targets] = (slope * (hidden - hidden[text.text_start :].mean(0))[targets]).sum(-1)
    assert np.allclose(gradients.times_activation[-1], expected.numpy(), atol=1e-5)
    uncentred = (slope * hidden[targets]).sum(-1)
    over_all = (slope * (hidden - hidden.mean(0))[targets]).sum(-1)
    for wrong in (uncentred, over_all):
        assert (wrong - expected[targets]).abs().max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_the_limit_of_a_small_push(family, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    direction = make_direction(loaded.d_model)
    gradients = gradients_of(loaded, direction)
    exact = effects_of(loaded, direction, coefficient=0.01)
    stop = max(exact.spec.text.targets) + 1
    assert np.allclose(gradients.along[1, :stop], exact.steered[:stop] / 0.01, atol=2e-2, rtol=2e-2)
    assert np.all(gradients.along[:, stop:] == 0)
    assert gradients.target == pytest.approx(exact.target, abs=1e-4)


@pytest.mark.parametrize("operator", ["add", "ablate"])
def test_one_row_per_position_is_the_single_run(operator, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model)
    exact = effects_of(loaded, direction, coefficient=3.0)
    text = exact.spec.text
    contrast = contrast_for(loaded, text)
    baseline = target_value(loaded, text, model_logits(loaded, text.token_ids), contrast)
    effects = exact.steered if operator == "add" else exact.ablated
    whole = exact.steered_all if operator == "add" else exact.ablated_all
    for start, stop, got in [(3, 4, effects[3]), (9, 10, effects[9]), (0, 15, whole)]:
        edit = SteeringSpec(
            direction=direction,
            layer=1,
            operator=operator,
            coefficient=3.0,
            positions=Positions(start=start, stop=stop),
        )
        single = target_value(loaded, text, model_logits(loaded, text.token_ids, edit), contrast)
        assert got == pytest.approx(single - baseline, abs=1e-4)


def test_ablation_leaves_no_projection(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model)
    edits = [
        SteeringSpec(direction=direction, layer=1, operator="ablate", positions=Positions(start=i, stop=i + 1))
        for i in range(6)
    ]
    steering = compile_steering(loaded, [[edit] for edit in edits], n_prompt=[0] * 6)
    steering.positions = torch.arange(6)[None]
    kept = {}
    with torch.inference_mode(), steer_residuals(loaded, steering), record_residuals(loaded, [1], kept.__setitem__):
        loaded.decoder(input_ids=torch.tensor([[5, 17, 42, 99, 7, 23]]), use_cache=False)
    projection = kept[1] @ torch.from_numpy(direction.vector)
    assert projection.shape == (6, 6)
    assert projection.diagonal().abs().max() <= 1e-5
    assert (projection - torch.diag(projection.diagonal())).abs().max() > 0.1


def test_only_the_positions_from_the_first_on_are_edited(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    some = effects_of(loaded, make_direction(loaded.d_model), first=8)
    every = effects_of(loaded, make_direction(loaded.d_model))
    assert np.isnan(some.steered[:8]).all()
    assert np.allclose(some.steered[8:15], every.steered[8:15], atol=1e-5)
    assert some.steered_all != pytest.approx(every.steered_all, abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_direct_attributions_add_up_to_the_logit_difference(family, tmp_path):
    loaded = tiny_loaded(tmp_path, family)
    text = target_text(loaded)
    wanted = keyword_ids(loaded, text.keywords)
    found = attribute_logits(loaded, text.token_ids, wanted)
    logits = model_logits(loaded, text.token_ids)
    expected = contrast_of(logits, wanted).of(logits).numpy()
    assert found.shape == (2 * loaded.n_layers + 2, len(text.token_ids))
    assert np.abs(found.sum(0) - expected).max() <= 1e-4
    assert hook_count(loaded) == 0


@pytest.mark.parametrize("family", [*FAMILIES, "gemma2"])
def test_the_parts_of_a_block_are_what_it_adds(family, tmp_path):
    loaded = tiny_loaded(tmp_path, family)
    ids = target_text(loaded).token_ids
    stream, parts = residuals(loaded, ids), {}
    modules = additions_of(loaded)
    with record_residuals(replace(loaded, layers=modules), range(len(modules)), parts.__setitem__):
        run_decoder(loaded, torch.tensor([ids]), [loaded.n_layers - 1], lambda *_: None)
    for layer in range(1, loaded.n_layers):
        added = parts[2 * layer][0] + parts[2 * layer + 1][0]
        assert torch.allclose(stream[layer] - stream[layer - 1], added, atol=1e-5)


def test_where_a_method_cannot_work_it_says_why(tmp_path, make_direction):
    capped = tiny_loaded(tmp_path, "gemma2")
    gradients = gradients_of(capped, make_direction(capped.d_model))
    assert len(gradients.direct) == 0
    assert "soft-capping" in gradients.direct_note
    plain = tiny_loaded(tmp_path)
    with pytest.raises(ModelUnavailable, match="final norm"):
        attribute_logits(replace(plain, final_norm=torch.nn.Tanh()), target_text(plain).token_ids, [3])
    frozen = tiny_loaded(tmp_path, seed=3)
    forward = frozen.model.model.forward

    def cut(**inputs):
        found = forward(**inputs)
        found.last_hidden_state = found.last_hidden_state.detach()
        return found

    frozen.model.model.forward = cut
    with pytest.raises(ModelUnavailable, match="Gradients do not pass"):
        gradients_of(frozen, make_direction(frozen.d_model))


def test_the_graph_of_a_block_is_not_kept(tmp_path, make_direction):
    """What autograd saves in the forward grows by each block's input at most."""
    saved = {}
    for n_layers in (2, 6):
        loaded, total = tiny_loaded(tmp_path, n_layers=n_layers), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, n=total: n.append(t.numel()) or t, lambda t: t):
            gradients_of(loaded, make_direction(loaded.d_model))
        saved[n_layers] = sum(total)
    inputs = len(target_text(loaded).token_ids) * loaded.d_model
    assert saved[6] - saved[2] <= 4 * inputs


@pytest.mark.parametrize("family", [*FAMILIES, "gemma2", "qwen3"])
def test_running_blocks_again_gives_the_same_gradient(family, tmp_path, make_direction, monkeypatch):
    loaded = tiny_loaded(tmp_path, family)
    direction = make_direction(loaded.d_model)
    found = gradients_of(loaded, direction)
    assert all("forward" not in vars(block) for block in loaded.layers)
    monkeypatch.setattr(
        "core.attribution.gradients.checkpoint",
        lambda run, *a, **k: run(
            *a, **{name: value for name, value in k.items() if name not in ("use_reentrant", "preserve_rng_state")}
        ),
    )
    whole = gradients_of(loaded, direction)
    for name in ("along", "times_activation", "removal", "direct"):
        assert np.allclose(getattr(found, name), getattr(whole, name), atol=2e-6), name
    assert found.target == pytest.approx(whole.target, abs=1e-6)


def test_gradients_reach_activations_in_bf16(tmp_path, make_direction):
    fp32, bf16 = tiny_loaded(tmp_path), tiny_loaded(tmp_path, precision="bf16")
    direction = make_direction(fp32.d_model)
    a, b = (gradients_of(loaded, direction).along[1] for loaded in (fp32, bf16))
    assert np.corrcoef(a, b)[0, 1] > 0.95


def test_two_models_part_where_their_predictions_do(tmp_path):
    ours, theirs = tiny_loaded(tmp_path), tiny_loaded(tmp_path, seed=5)
    spec = DivergenceSpec(text=target_text(ours), other=target_text(theirs))
    found = last(compare_models(ours, theirs, spec))
    p = model_logits(ours, spec.text.token_ids).double().log_softmax(-1)
    q = model_logits(theirs, spec.text.token_ids).double().log_softmax(-1)
    start = spec.text.text_start
    assert np.allclose(found.kl[start:], (p.exp() * (p - q)).sum(-1)[start:].numpy(), atol=1e-5)
    assert np.isnan(found.kl[:start]).all()
    wanted = keyword_ids(theirs, spec.text.keywords)
    assert np.allclose(found.p_keyword_other[start:], q.exp()[start:, wanted].sum(-1).numpy(), atol=1e-5)
    lens = logit_lens(theirs, residuals(ours, spec.text.token_ids)[1])
    share = lens[:, wanted].logsumexp(-1) - lens.logsumexp(-1)
    read = StreamLensSpec(
        model=ours.spec,
        fingerprint="",
        token_ids=spec.text.token_ids,
        layer=1,
        keywords=spec.text.keywords,
        words=(),
        reader=theirs.spec,
        reader_fingerprint="",
    )
    other = last(read_layer(ours, theirs, read))
    assert np.allclose(other.lens, share.detach().numpy(), atol=1e-4)
    assert np.isnan(other.score).all()
    same = last(compare_models(ours, ours, replace(spec, other=spec.text)))
    assert np.nanmax(np.abs(same.kl)) <= 1e-9
    with pytest.raises(BadInput, match="different tokens"):
        replace(spec, other=replace(spec.other, token_ids=(*spec.other.token_ids[:-1], 9)))


def test_rank_and_equation_2_of_the_stream(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    spec = replace(spec_for(loaded, make_direction(loaded.d_model)), lens_words=("wait", "we"))
    got = last(attribute_tokens(loaded, spec))
    logits = model_logits(loaded, spec.token_ids)
    wanted = keyword_ids(loaded, spec.keywords)
    assert np.array_equal(got.rank_keyword, (logits > logits[:, wanted].amax(-1, keepdim=True)).sum(-1).numpy() + 1)
    a = torch.tensor([any(w in text.lower() for w in ("wait", "we")) for text in loaded.vocabulary_texts()]).float()
    lens = logit_lens(loaded, residuals(loaded, spec.token_ids)[1])
    score = last(read_layer(loaded, loaded, StreamLensSpec.of(spec, 1))).score
    assert np.allclose(score, (lens @ a / a.sum()).detach().numpy(), atol=1e-4)


def test_equation_2_over_the_layers(tmp_path):
    loaded = tiny_loaded(tmp_path)
    vectors = np.random.default_rng(0).standard_normal((loaded.n_layers, loaded.d_model)).astype(np.float32)
    vectors[2] = 0
    spec = LayerLensSpec(model=loaded.spec, fingerprint="", vectors=vectors, words=("wait", "we"))
    found = read_layer_directions(loaded, spec)
    a = np.array([any(w in text.lower() for w in ("wait", "we")) for text in loaded.vocabulary_texts()], float)
    logits = loaded.unembed.weight.detach().double().numpy() @ (vectors[1] / np.linalg.norm(vectors[1]))
    assert found.scores[1] == pytest.approx(logits @ a / a.sum(), abs=1e-5)
    raw = loaded.unembed.weight.detach().double().numpy() @ vectors.astype(float).T
    assert found.of_raw(vectors)[:2] == pytest.approx((a @ raw / a.sum())[:2], rel=1e-4, abs=1e-5)
    assert found.ranks[1] == (logits > logits[a == 1].max()).sum() + 1
    assert np.isnan(found.scores[2])
    assert np.isnan(found.ranks[2])
    with pytest.raises(BadDirection, match="layers of width"):
        read_layer_directions(loaded, replace(spec, vectors=vectors[:1]))


def test_equation_2_is_w_u_alone(tmp_path):
    """What an unembedding adds to every vector belongs to no direction."""
    loaded = tiny_loaded(tmp_path)
    vectors = np.random.default_rng(1).standard_normal((loaded.n_layers, loaded.d_model)).astype(np.float32)
    spec = LayerLensSpec(model=loaded.spec, fingerprint="", vectors=vectors, words=("wait", "we"))
    without = read_layer_directions(loaded, spec)
    shift = torch.linspace(-3, 3, loaded.unembed.weight.shape[0])
    loaded.unembed.bias = torch.nn.Parameter(shift, requires_grad=False)
    found = read_layer_directions(loaded, spec)
    assert found.scores == pytest.approx(without.scores, abs=1e-5)
    assert np.array_equal(found.ranks, without.ranks)


def test_what_does_not_fit_is_refused(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model)
    with pytest.raises(BadInput, match="target positions"):
        target_text(loaded, targets=(10**6,))
    with pytest.raises(BadInput, match="target positions"):
        target_text(loaded, targets=())
    with pytest.raises(BadDirection):
        gradients_of(loaded, make_direction(16))
    with pytest.raises(BadInput, match="layers 0 to 2"):
        effects_of(loaded, direction, layer=9)
    with pytest.raises(BadInput, match="lies after"):
        effects_of(loaded, direction, first=99)
    text = target_text(loaded)
    for bad, named in ((text.token_ids * 99, "reads at most"), ((10**6, *text.token_ids), "token id")):
        with pytest.raises(BadInput, match=named):
            last(attribute_gradients(loaded, GradientSpec(text=replace(text, token_ids=bad), direction=direction)))


@pytest.mark.parametrize("text_start", [-1, 99, 10**6])
def test_a_text_that_begins_outside_its_tokens_is_refused(tmp_path, text_start):
    text = target_text(tiny_loaded(tmp_path))
    with pytest.raises(BadInput, match="begins at token"):
        replace(text, text_start=text_start)
