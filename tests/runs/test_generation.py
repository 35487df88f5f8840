"""Equations of the steered decode."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.directions.direction import Direction
from core.errors import BadDirection, BadInput, ModelUnavailable
from core.forward import scoring
from core.forward.edits import SteeringSpec
from core.forward.kv_cache import RoomyLayer
from core.forward.scoring import score_completions
from core.forward.unembedding import unembed
from core.models.loaded import encode_prompt, hook_count
from core.models.packed_attention import packed_attention
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.values import MAX_NEW_TOKENS, Positions, Prompt, SamplingSpec
from tests.tiny_models import tiny_loaded

FAMILIES = ["llama", "qwen2", "mistral", "gemma", "gpt_neox"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return tiny_loaded(tmp_path_factory.mktemp("models"))


def spec_of(loaded, question="What is 3 plus 4?", *, steering=(), **sampling):
    sampling = {"max_new_tokens": 12, **sampling}
    return GenerationSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        prompt=encode_prompt(loaded, question),
        sampling=SamplingSpec(**sampling),
        steering=tuple(steering),
    )


def complete(loaded, specs, **options):
    """The token ids of every row."""
    rows = [[] for _ in specs]
    for step in stream_completions(loaded, specs, **options):
        for token in step:
            rows[token.row].append(token.token_id)
    return rows


def plain_greedy(loaded, spec):
    ids = torch.tensor([spec.prompt.token_ids])
    out = loaded.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=spec.sampling.max_new_tokens, do_sample=False
    )
    return out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_coefficient_zero_is_the_baseline_and_plain_generate(family, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    zero = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=0.0)
    baseline, steered = complete(loaded, [spec_of(loaded)]), complete(loaded, [spec_of(loaded, steering=[zero])])
    assert baseline == steered == [plain_greedy(loaded, spec_of(loaded))]


@pytest.mark.parametrize("operator", ["add", "amplify"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_operator_at_coefficient_zero_is_the_unsteered_run(operator, temperature, loaded, make_direction):
    def run(coefficient):
        edit = SteeringSpec(
            direction=make_direction(loaded.d_model), layer=1, operator=operator, coefficient=coefficient
        )
        return spec_of(loaded, steering=[edit], temperature=temperature, seed=4, max_new_tokens=20)

    (unsteered,) = complete(loaded, [spec_of(loaded, temperature=temperature, seed=4, max_new_tokens=20)])
    assert complete(loaded, [run(0.0)]) == [unsteered]
    zero, large = complete(loaded, [run(0.0), run(40.0)])
    assert zero == unsteered != large


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("region", ["all", "prompt", "completion"])
def test_with_and_without_cache_the_tokens_agree(family, region, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    edit = SteeringSpec(
        direction=make_direction(loaded.d_model), layer=1, coefficient=6.0, positions=Positions(region=region)
    )
    spec = spec_of(loaded, steering=[edit])
    assert complete(loaded, [spec]) == complete(loaded, [spec], use_cache=False)


programs = st.builds(
    dict,
    operator=st.sampled_from(["add", "ablate", "clamp", "amplify"]),
    coefficient=st.floats(-12, 12),
    layer=st.integers(0, 2),
    positions=st.builds(
        Positions,
        region=st.sampled_from(["all", "prompt", "completion"]),
        start=st.integers(0, 3),
        every=st.integers(1, 3),
    ),
    seed=st.integers(0, 5),
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_p=st.sampled_from([0.9, 1.0]),
    question=st.sampled_from(["Why?", "What is 3 plus 4?", "Find two numbers with sum 9 and product 20, please."]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(programs, min_size=2, max_size=4))
def test_a_row_of_a_batch_is_the_single_run(rows, loaded, make_direction):
    specs = [
        spec_of(
            loaded,
            row["question"],
            steering=[
                SteeringSpec(
                    direction=make_direction(loaded.d_model, seed=row["seed"]),
                    layer=row["layer"],
                    operator=row["operator"],
                    coefficient=row["coefficient"],
                    positions=row["positions"],
                )
            ],
            temperature=row["temperature"],
            top_p=row["top_p"],
            seed=row["seed"],
        )
        for row in rows
    ]
    together = complete(loaded, specs)
    assert together == [complete(loaded, [spec])[0] for spec in specs]
    assert together == complete(loaded, specs, use_cache=False)


def test_completion_only_steers_every_completion_position_and_no_prompt_position(loaded, make_direction):
    """Recorded while decoding: the hidden state at each position against a baseline pass over the same tokens."""
    direction = make_direction(loaded.d_model)
    edit = SteeringSpec(direction=direction, layer=1, coefficient=5.0, positions=Positions(region="completion"))
    spec = spec_of(loaded, steering=[edit])
    seen = []
    handle = loaded.layers[2].register_forward_pre_hook(lambda _m, args: seen.append(args[0][0].clone()))
    try:
        tokens = complete(loaded, [spec])[0]
    finally:
        handle.remove()
    decoded = torch.cat(seen)
    n_prompt = len(spec.prompt.token_ids)
    recorded = {}
    handle = loaded.layers[2].register_forward_pre_hook(lambda _m, args: recorded.update(hidden=args[0][0].clone()))
    try:
        with torch.inference_mode():
            loaded.decoder(input_ids=torch.tensor([[*spec.prompt.token_ids, *tokens[:-1]]]), use_cache=False)
    finally:
        handle.remove()
    shift = decoded - recorded["hidden"]
    assert shift[:n_prompt].abs().max() <= 1e-5
    assert (shift[n_prompt:] - 5.0 * torch.from_numpy(direction.vector)).abs().max() <= 1e-4
    assert len(shift) == n_prompt + len(tokens) - 1


def test_same_seed_same_tokens_other_seed_other_tokens(loaded):
    specs = [spec_of(loaded, temperature=1.0, seed=seed, max_new_tokens=20) for seed in (1, 1, 2)]
    first, second, third = complete(loaded, specs)
    assert first == second != third


def test_top_p_keeps_only_the_nucleus(loaded):
    narrow = spec_of(loaded, temperature=1.0, top_p=1e-6, seed=3)
    assert complete(loaded, [narrow]) == complete(loaded, [spec_of(loaded)])


@pytest.mark.parametrize("size", [2, 3])
def test_top_p_draws_from_the_renormalised_nucleus(size, loaded):
    """`top_p` ends a tenth into the last token of the nucleus, so the nucleus weighs clearly more than `top_p`."""
    spec = spec_of(loaded, "Why?")
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([spec.prompt.token_ids])).logits[0, -1].double()
    p, ids = torch.softmax(logits / 0.5, -1).sort(descending=True)
    top_p = float(p[: size - 1].sum() + 0.1 * p[size - 1])
    n = 800
    rows = [spec_of(loaded, "Why?", max_new_tokens=1, temperature=0.5, top_p=top_p, seed=seed) for seed in range(n)]
    drawn = Counter(row[0] for row in complete(loaded, rows))
    assert set(drawn) <= set(ids[:size].tolist())
    for token_id, expected in zip(ids[:size].tolist(), (p[:size] / p[:size].sum()).tolist(), strict=True):
        assert drawn[token_id] / n == pytest.approx(expected, abs=0.05)


def test_banned_tokens_are_never_chosen_and_the_other_rows_do_not_notice(loaded):
    free = spec_of(loaded, temperature=1.0, seed=3, max_new_tokens=20)
    banned = tuple(set(complete(loaded, [free])[0]))
    rows = complete(loaded, [free, spec_of(loaded, temperature=1.0, seed=3, max_new_tokens=20, banned=banned)])
    assert rows[0] == complete(loaded, [free])[0]
    assert not set(rows[1]) & set(banned)


def test_an_abandoned_stream_leaves_no_hook(loaded, make_direction):
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=8.0)
    stream = stream_completions(loaded, [spec_of(loaded, steering=[edit])])
    next(stream)
    assert hook_count(loaded) == 0
    assert complete(loaded, [spec_of(loaded)])[0] == plain_greedy(loaded, spec_of(loaded))
    del stream
    assert hook_count(loaded) == 0


def test_an_overflow_at_an_earlier_steered_layer_ends_the_run(tmp_path):
    """fp16 ends at 65,504: five times 16,000 overflow it, four do not. The next block reads zeros for infinities."""
    loaded = tiny_loaded(tmp_path)
    loaded.model.half()
    axis = Direction.from_raw(np.eye(loaded.d_model, dtype=np.float32)[0], name="axis", layer=0)
    early = SteeringSpec(direction=axis, layer=0, coefficient=16_000.0)
    late = SteeringSpec(direction=axis, layer=2, coefficient=1.0)
    clean = lambda _m, args: (args[0].nan_to_num(0, 0, 0), *args[1:])  # noqa: E731
    handle = loaded.layers[1].register_forward_pre_hook(clean)
    try:
        assert len(complete(loaded, [spec_of(loaded, steering=[early] * 4 + [late], max_new_tokens=2)])[0]) > 0
        with pytest.raises(BadDirection, match="overflowed"):
            complete(loaded, [spec_of(loaded, steering=[early] * 5 + [late], max_new_tokens=2)])
    finally:
        handle.remove()
    assert hook_count(loaded) == 0


def test_rows_of_different_lengths_end_on_their_own(loaded):
    specs = [spec_of(loaded, max_new_tokens=n) for n in (3, 9, 6)]
    assert [len(row) for row in complete(loaded, specs)] == [3, 9, 6]


def test_prompts_that_cannot_be_read_are_refused(loaded):
    too_long = Prompt(question="x", text="x", token_ids=(5,) * loaded.context_length)
    foreign = Prompt(question="x", text="x", token_ids=(5, loaded.d_vocab))
    for prompt, named in ((too_long, f"reads at most {loaded.context_length - 1}"), (foreign, "token id")):
        spec = GenerationSpec(model=loaded.spec, fingerprint="", prompt=prompt, sampling=SamplingSpec())
        with pytest.raises(BadInput, match=named):
            next(stream_completions(loaded, [spec]))


def test_the_score_is_the_mean_negative_log_probability(loaded):
    prompt, completion = (5, 17, 42), (99, 7, 23, 64)
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([[*prompt, *completion]])).logits[0].double().log_softmax(-1)
    naive = -sum(logits[len(prompt) - 1 + i, token].item() for i, token in enumerate(completion)) / len(completion)
    padded = score_completions(loaded, [(prompt, completion), (prompt, (1,)), (prompt, completion * 3), (prompt, ())])
    assert padded[0] == pytest.approx(naive, abs=1e-5)
    assert math.isnan(padded[3])


def test_a_long_completion_is_scored_a_part_at_a_time_and_alike(loaded, monkeypatch):
    prompt, completion = (5, 17, 42), tuple(range(10, 110))
    whole = score_completions(loaded, [(prompt, completion), (prompt, completion[:30])])
    sizes = []

    def noting(model, hidden):
        sizes.append(len(hidden))
        return unembed(model, hidden)

    monkeypatch.setattr(scoring, "unembed", noting)
    monkeypatch.setattr(scoring, "SCORED_AT_ONCE", 30)
    parts = score_completions(loaded, [(prompt, completion), (prompt, completion[:30])])
    assert sizes == [30, 30, 30, 10, 30]
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    assert parts[1] == whole[1]


@pytest.mark.parametrize("asked", [2049, MAX_NEW_TOKENS])
def test_a_completion_may_be_as_long_as_the_context(asked, tmp_path):
    loaded = tiny_loaded(tmp_path, context_length=40)
    spec = spec_of(loaded, max_new_tokens=asked, banned=tuple(loaded.eos_ids))
    (row,) = complete(loaded, [spec])
    assert len(spec.prompt.token_ids) + len(row) == 40


@pytest.mark.parametrize("asked", [0, MAX_NEW_TOKENS + 1])
def test_a_length_that_no_model_here_has_is_refused(asked):
    with pytest.raises(BadInput, match="new tokens were asked for"):
        SamplingSpec(max_new_tokens=asked)


def test_the_cache_is_copied_once_in_a_hundred_tokens():
    layer, new, copies = RoomyLayer(), torch.randn(1, 2, 1, 4), 0
    for n in range(1, 1001):
        before = layer._key_room
        keys, _ = layer.update(new * n, new)
        copies += layer._key_room is not before
        assert keys.shape[-2] == n
    assert copies <= 1 + 1000 // 128
    assert torch.equal(keys[0, :, :, :], torch.cat([new[0] * n for n in range(1, 1001)], dim=1))


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral"])
def test_packed_attention_is_attention_with_repeated_keys(family, tmp_path):
    """One new token over shared keys: softmax(q · kᵀ · scale) · v with each key repeated for its group's heads."""
    model = tiny_loaded(tmp_path, family).model
    assert model.config._attn_implementation == "sdpa_packed"
    query, keys, values = torch.randn(3, 8, 1, 16), torch.randn(3, 2, 40, 16), torch.randn(3, 2, 40, 16)
    found, _ = packed_attention(None, query, keys, values, None, scaling=0.3)
    weights = torch.softmax(query @ keys.repeat_interleave(4, 1).transpose(-1, -2) * 0.3, -1)
    expected = (weights @ values.repeat_interleave(4, 1)).transpose(1, 2)
    assert found.shape == (3, 1, 8, 16)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_batch_never_copies_the_unembedding(loaded):
    """A copy for every row took longer than all other work of the first step of a large vocabulary."""
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu, record_shapes=True) as profile:
        list(stream_completions(loaded, [spec_of(loaded, max_new_tokens=2)] * 3))
    unembedding = list(loaded.unembed.weight.T.shape)
    products = [event.input_shapes for event in profile.events() if event.name in ("aten::mm", "aten::bmm")]
    assert sum(unembedding in shapes for shapes in products) == 2
    assert not any([3, *unembedding] in shapes for shapes in products)


@pytest.mark.parametrize("n_prefix", [0, 3])
def test_a_run_that_fills_the_context_stops_there_and_says_so(n_prefix, tmp_path):
    loaded = tiny_loaded(tmp_path, context_length=24)
    prefix = tuple(range(10, 10 + n_prefix))
    spec = replace(spec_of(loaded, max_new_tokens=500, banned=tuple(loaded.eos_ids)), prefix=prefix)
    tokens = [token for step in stream_completions(loaded, [spec]) for token in step]
    assert len(spec.prompt.token_ids) + n_prefix + len(tokens) == 24
    assert [token.stop_reason for token in tokens] == [None] * (len(tokens) - 1) + ["context"]


@pytest.mark.parametrize(("spare", "reason"), [(0, "length"), (1, "context")])
def test_a_limit_that_is_reached_as_the_context_fills_is_what_ends_the_run(spare, reason, tmp_path):
    loaded = tiny_loaded(tmp_path, context_length=24)
    spec = spec_of(loaded, banned=tuple(loaded.eos_ids))
    room = 24 - len(spec.prompt.token_ids)
    spec = replace(spec, sampling=replace(spec.sampling, max_new_tokens=room + spare))
    tokens = [token for step in stream_completions(loaded, [spec]) for token in step]
    assert (len(tokens), tokens[-1].stop_reason) == (room, reason)


def test_logits_that_are_no_numbers_end_the_run_and_the_score(tmp_path):
    loaded = tiny_loaded(tmp_path)
    spec = spec_of(loaded)
    rows = [(spec.prompt.token_ids, (20, 30))]
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[spec.prompt.token_ids[-1]] = float("nan")
    with pytest.raises(ModelUnavailable, match="NaN or infinite values here"):
        complete(loaded, [spec])
    with pytest.raises(ModelUnavailable, match="NaN or infinite values here"):
        score_completions(loaded, rows)
