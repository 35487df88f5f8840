"""Equations of the per-token readings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.attribution.direction_lens import read_direction
from core.attribution.one_text import attribute_tokens, read_steered
from core.attribution.readouts import SteeredSpec, StreamLensSpec
from core.attribution.stream_lens import read_layer, read_layers
from core.attribution.values import AttributionSpec, LensSpec
from core.errors import BadDirection, BadInput
from core.forward.edits import SteeringSpec
from core.forward.hooks import run_decoder, steer_residuals
from core.forward.steering import compile_steering
from core.forward.unembedding import keyword_ids, logit_lens
from core.models.loaded import encode_text, hook_count
from tests.tiny_models import tiny_loaded

FAMILIES = ["llama", "qwen2", "mistral", "gemma", "gemma2", "gpt_neox"]


def spec_for(loaded, direction, *, text="First we add. Wait, that is wrong. But maybe not.", coefficient=4.0):
    reading = encode_text(loaded, "Why?", text)
    return AttributionSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        token_ids=reading.token_ids,
        text_start=reading.text_start,
        direction=direction,
        layer=1,
        coefficient=coefficient,
        keywords=("wait", "hmm"),
    )


def attribute(loaded, spec):
    return list(attribute_tokens(loaded, spec))[-1]


def steered(loaded, spec):
    return list(read_steered(loaded, SteeredSpec(reading=spec)))[-1]


def lens_of(loaded, spec, layer):
    return list(read_layer(loaded, loaded, StreamLensSpec.of(spec, layer)))[-1]


def residuals(loaded, spec):
    kept = {}
    run_decoder(
        loaded, torch.tensor([spec.token_ids]), range(loaded.n_layers), lambda layer, h: kept.update({layer: h[0]})
    )
    return kept


@pytest.mark.parametrize("family", FAMILIES)
def test_projection_is_the_dot_product_on_centred_activations(family, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    spec = spec_for(loaded, make_direction(loaded.d_model))
    got = attribute(loaded, spec)
    for layer, hidden in residuals(loaded, spec).items():
        activations = hidden.double().numpy()
        centred = activations - activations[spec.text_start :].mean(0)
        vector = spec.direction.vector.astype(np.float64)
        assert np.allclose(got.projection[layer], centred @ vector, atol=1e-4)
        assert np.allclose(got.cosine[layer], centred @ vector / np.linalg.norm(centred, axis=1), atol=1e-4)
    assert hook_count(loaded) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_lens_of_the_last_layer_is_the_model(family, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    spec = spec_for(loaded, make_direction(loaded.d_model))
    got = attribute(loaded, spec)
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([spec.token_ids])).logits[0]
        lens = logit_lens(loaded, residuals(loaded, spec)[loaded.n_layers - 1])
    assert torch.allclose(lens, logits, atol=1e-4)
    probabilities = logits.double().softmax(-1)
    wanted = keyword_ids(loaded, spec.keywords)
    assert np.allclose(got.p_keyword, probabilities[:, wanted].sum(-1).numpy(), atol=1e-5)
    assert np.allclose(np.exp(lens_of(loaded, spec, loaded.n_layers - 1).lens), got.p_keyword, atol=1e-5)
    assert np.array_equal(got.top_ids[:, 0], logits.argmax(-1).numpy())


def test_coefficient_zero_changes_nothing_and_another_does(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model)
    spec = spec_for(loaded, direction, coefficient=0.0)
    still, plain = steered(loaded, spec), attribute(loaded, spec)
    assert np.allclose(plain.p_keyword, still.p_keyword, atol=1e-7)
    assert np.array_equal(plain.top_ids, still.top_ids)
    assert np.abs(still.kl).max() < 1e-9
    moved = steered(loaded, spec_for(loaded, direction, coefficient=8.0))
    assert moved.kl.min() > -1e-9
    assert moved.kl.max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_steered_row_is_the_steered_model(family, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    spec = spec_for(loaded, make_direction(loaded.d_model), coefficient=8.0)
    ids, found = torch.tensor([spec.token_ids]), steered(loaded, spec)
    edit = SteeringSpec(direction=spec.direction, layer=spec.layer, coefficient=8.0)
    steering = compile_steering(loaded, [[edit]], n_prompt=[0])
    steering.positions = torch.arange(ids.shape[1])[None]
    with torch.inference_mode():
        p = loaded.model(ids).logits[0].double().log_softmax(-1)
        with steer_residuals(loaded, steering):
            q = loaded.model(ids).logits[0].double().log_softmax(-1)
    assert np.allclose(found.kl, (p.exp() * (p - q)).sum(-1).numpy(), atol=1e-5)
    wanted = keyword_ids(loaded, spec.keywords)
    assert np.allclose(found.p_keyword, q.exp()[:, wanted].sum(-1).numpy(), atol=1e-5)
    assert np.allclose(found.top_probs, q.exp().topk(found.top_probs.shape[1]).values.numpy(), atol=1e-5)


def test_the_first_reading_is_one_forward_and_reads_out_no_layer(tmp_path, make_direction):
    """Every call of a block or of W_U is counted: W_U sees each position once."""
    loaded = tiny_loaded(tmp_path)
    calls, read = [], []
    loaded.layers[0].register_forward_hook(lambda *_: calls.append(1))
    loaded.unembed.register_forward_hook(lambda _module, inputs, _output: read.append(inputs[0].shape[-2]))
    spec = spec_for(loaded, make_direction(loaded.d_model))
    found = attribute(loaded, spec)
    assert (len(calls), sum(read)) == (1, len(spec.token_ids))
    assert found.seconds > 0


def test_layers_are_read_out_one_by_one_and_a_stopped_job_goes_on(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    spec = spec_for(loaded, make_direction(loaded.d_model))
    specs = [StreamLensSpec.of(spec, layer) for layer in range(loaded.n_layers)]
    kept, forwards = {}, []
    loaded.layers[0].register_forward_hook(lambda *_: forwards.append(1))

    def work():
        return read_layers(lambda _spec: (loaded, loaded), specs, cached=kept.get, save=kept.__setitem__)

    stopped = work()
    while len(kept) < 2:
        next(stopped)
    stopped.close()
    assert len(forwards) == 1
    shares = [(progress.done, progress.total) for progress in work()]
    assert shares == [(2, 3), (2, 3)]
    assert len(forwards) == 2
    assert list(kept) == specs
    list(work())
    assert len(forwards) == 2
    for layer, lens in enumerate(kept.values()):
        assert np.allclose(lens.lens, lens_of(loaded, spec, layer).lens, atol=1e-6)


def test_a_layer_that_is_not_there_is_refused(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    spec = spec_for(loaded, make_direction(loaded.d_model))
    with pytest.raises(BadInput, match="layers 0 to 2"):
        lens_of(loaded, spec, 3)


def test_keywords_cover_case_and_leading_space(tmp_path):
    loaded = tiny_loaded(tmp_path)
    texts = loaded.vocabulary_texts()
    ids = keyword_ids(loaded, ["wait"])
    assert {i for i, text in enumerate(texts) if text.strip().lower() == "wait"} <= set(ids)
    with pytest.raises(BadInput):
        keyword_ids(loaded, ["  "])


def test_p_keyword_adds_the_first_tokens_of_split_forms(tmp_path, make_direction):
    """ "Hmm" is "Hm", "m" here, and "Wait" is "Wai", "t"; "h" and "w" begin other words."""
    loaded = tiny_loaded(tmp_path)
    spec = spec_for(loaded, make_direction(loaded.d_model), text="First we add.\nHmm, no.\nWait. Hmm.")
    vocabulary = loaded.tokenizer.get_vocab()
    firsts = [vocabulary[token] for token in ("Hm", "ĠHm", "Wai")]
    with torch.inference_mode():
        probabilities = loaded.model(torch.tensor([spec.token_ids])).logits[0].double().softmax(-1)
    assert np.allclose(attribute(loaded, spec).p_keyword, probabilities[:, firsts].sum(-1).numpy(), atol=1e-6)
    forms = loaded.keyword_forms(spec.keywords)
    assert {form.first for form in forms.by_first} == {"Hm", "Wai"}
    assert {form.first for form in forms.left_out} == {"w", "h"}


def test_the_direction_lens_is_equation_2(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model)
    lens = read_direction(
        loaded,
        LensSpec(model=loaded.spec, fingerprint="", direction=direction, words=("wait", "we")),
    )
    logits = loaded.unembed.weight.double().numpy() @ direction.vector.astype(np.float64)
    a = np.array([any(w in text.lower() for w in ("wait", "we")) for text in loaded.vocabulary_texts()], float)
    assert lens.score == pytest.approx(logits @ a / a.sum(), abs=1e-5)
    assert lens.n_items == a.sum() > 0
    assert lens.top[0][1] == pytest.approx(logits.max(), abs=1e-5)
    assert lens.best_rank == int((logits > logits[a == 1].max()).sum()) + 1


def test_what_does_not_fit_is_refused(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    spec = spec_for(loaded, make_direction(loaded.d_model))
    cases = [
        (replace(spec, direction=make_direction(16)), BadDirection, "16"),
        (replace(spec, layer=99), BadInput, "layers 0 to 2"),
        (replace(spec, token_ids=(1, 2, 3), text_start=2), BadInput, "fewer than two"),
        (replace(spec, token_ids=(*spec.token_ids, 10**6)), BadInput, "token id"),
        (replace(spec, token_ids=spec.token_ids * 99), BadInput, "reads at most"),
    ]
    for bad, error, named in cases:
        with pytest.raises(error, match=named):
            list(attribute_tokens(loaded, bad))
