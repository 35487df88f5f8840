"""Fixed steps give the tokens of today's decode: over programs, batches, seeds, endings, forks, limits and families."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.directions.direction import Direction
from core.errors import BadDirection, ModelUnavailable
from core.forward import fixed_step
from core.forward.edits import SteeringSpec
from core.forward.fixed_fit import fits
from core.forward.fixed_step import FixedRows, room_for
from core.models.loaded import encode_prompt, hook_count
from core.runs import generation
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.text.words import words_of
from core.values import Positions, SamplingSpec
from tests import tiny_models
from tests.tiny_models import tiny_loaded

QUESTIONS = ["Why?", "What is 3 plus 4?", "Find two numbers with sum 9 and product 20, please."]
N_NEW = 40


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    made = tiny_loaded(tmp_path_factory.mktemp("models"))
    assert fits(made), "or every run would go on by steps that grow"
    return made


@pytest.fixture(autouse=True)
def small_rooms(monkeypatch):
    """So that a short run grows, and lets rows go, several times."""
    monkeypatch.setattr(fixed_step, "ROOM_STEP", 16)
    monkeypatch.setattr(generation, "WORTH_FIXING", 4)


@pytest.fixture(scope="module")
def vocabulary(loaded):
    return words_written(loaded)


def words_written(loaded):
    """Words that the model writes."""
    specs = [spec_of(loaded, question, max_new_tokens=24) for question in QUESTIONS]
    texts = [loaded.tokenizer.decode(row) for row in complete(loaded, specs, fixed=False)]
    return sorted({word for text in texts for word in words_of(text)}) or ["wait"]


def spec_of(loaded, question=QUESTIONS[1], *, steering=(), prefix=(), **sampling):
    return GenerationSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        prompt=encode_prompt(loaded, question),
        sampling=SamplingSpec(**{"max_new_tokens": N_NEW, **sampling}),
        steering=tuple(steering),
        prefix=tuple(prefix),
    )


def complete(loaded, specs, **options):
    """(token id, stop reason) of every row."""
    rows = [list(spec.prefix) for spec in specs]
    for step in stream_completions(loaded, specs, **options):
        for token in step:
            rows[token.row].append(token.token_id)
    return rows


edits = st.builds(
    dict,
    operator=st.sampled_from(["add", "ablate", "clamp", "amplify"]),
    coefficient=st.floats(-12, 12).map(lambda x: round(x, 2)),
    layer=st.integers(0, 2),
    ramp=st.sampled_from([1, 1, 3, 12]),
    direction=st.integers(0, 3),
    region=st.sampled_from(["all", "prompt", "completion", "thinking"]),
    start=st.integers(0, 8),
    length=st.none() | st.integers(1, 20),
    every=st.integers(1, 3),
    until=st.booleans(),
    word=st.integers(0, 99),
)
rows = st.builds(
    dict,
    program=st.lists(edits, max_size=3),
    question=st.sampled_from(QUESTIONS),
    temperature=st.sampled_from([0.0, 0.8, 1.0]),
    top_p=st.sampled_from([0.9, 1.0]),
    seed=st.integers(0, 5),
    banned=st.sampled_from([(), (7, 30)]),
    max_new_tokens=st.integers(1, N_NEW),
)


def build(loaded, make_direction, vocabulary, row):
    program = [
        SteeringSpec(
            direction=make_direction(loaded.d_model, seed=edit["direction"]),
            layer=edit["layer"],
            operator=edit["operator"],
            coefficient=edit["coefficient"],
            ramp=edit["ramp"],
            positions=Positions(
                region=edit["region"],
                start=edit["start"],
                stop=None if edit["length"] is None else edit["start"] + edit["length"],
                every=edit["every"],
                until=(vocabulary[edit["word"] % len(vocabulary)],) if edit["until"] else (),
            ),
        )
        for edit in row["program"]
    ]
    sampling = {name: row[name] for name in ("temperature", "top_p", "seed", "banned", "max_new_tokens")}
    return spec_of(loaded, row["question"], steering=program, **sampling)


anything = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@anything
@given(batch=st.lists(rows, min_size=1, max_size=6))
def test_any_batch_has_the_tokens_of_steps_that_grow(batch, loaded, make_direction, vocabulary):
    specs = [build(loaded, make_direction, vocabulary, row) for row in batch]
    assert complete(loaded, specs, fixed=True) == complete(loaded, specs, fixed=False)


@anything
@given(row=rows, share=st.floats(0, 1), extra=rows)
def test_a_fork_goes_on_as_the_whole_run_did(row, share, extra, loaded, make_direction, vocabulary):
    spec = build(loaded, make_direction, vocabulary, row)
    whole = complete(loaded, [spec], fixed=False)[0]
    fork = replace(spec, prefix=tuple(whole[: int(share * (len(whole) - 1))]))
    other = build(loaded, make_direction, vocabulary, extra)
    assert complete(loaded, [other, fork], fixed=True)[1] == whole


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gpt_neox"])
def test_every_family_has_the_tokens_of_steps_that_grow(family, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    assert fits(loaded)
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=4.0)
    specs = [spec_of(loaded, q, steering=[edit], temperature=t, seed=3) for q in QUESTIONS for t in (0.0, 1.0)]
    assert complete(loaded, specs, fixed=True) == complete(loaded, specs, fixed=False)
    assert hook_count(loaded) == 0


@pytest.mark.parametrize("family", ["mistral", "qwen2", "gemma2", "gemma3_text"])
def test_windows_that_slide(family, tmp_path, make_direction, monkeypatch):
    """Of 8 tokens, which most of a run lies beyond; in some families only every other layer slides."""
    make_config = tiny_models._config

    def sliding(*args, **kwargs):
        config = make_config(*args, **kwargs)
        config.sliding_window, config.use_sliding_window = 8, True
        if getattr(config, "layer_types", None):
            config.layer_types = ["sliding_attention", "full_attention", "sliding_attention"]
        return config

    monkeypatch.setattr(tiny_models, "_config", sliding)
    loaded = tiny_loaded(tmp_path, family)
    assert fits(loaded)
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=4.0)
    specs = [spec_of(loaded, q, steering=[edit], temperature=1.0, seed=3) for q in QUESTIONS]
    assert complete(loaded, specs, fixed=True) == complete(loaded, specs, fixed=False)


def logits_along(loaded, specs, script, monkeypatch, *, fixed):
    """(steps, rows, d_vocab) where every row goes on with the tokens of the script (steps, rows), whatever it says."""
    seen = []

    def told(logits, sampling, draws):
        seen.append(logits.clone())
        return script[len(seen) - 1]

    with monkeypatch.context() as patch:
        patch.setattr(fixed_step, "choose", told)
        patch.setattr(generation, "choose", told)
        rows = complete(loaded, specs, fixed=fixed)
    assert rows == script.T.tolist()
    return torch.stack(seen)


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral", "gemma2", "gpt_neox"])
def test_in_bf16_a_fixed_step_is_as_near_as_another_batch_is(family, tmp_path, make_direction, monkeypatch):
    """Logits along the same tokens, against those of the same rows alone: what a batch may change in bf16."""
    loaded = tiny_loaded(tmp_path, family, precision="bf16")
    assert fits(loaded)
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=4.0)
    specs = [spec_of(loaded, question, steering=[edit], temperature=1.0, seed=3) for question in QUESTIONS]
    script = torch.randint(10, loaded.d_vocab - 10, (N_NEW, 3), generator=torch.Generator().manual_seed(0))
    grown, steps = (logits_along(loaded, specs, script, monkeypatch, fixed=way) for way in (False, True))
    alone = [
        logits_along(loaded, [spec], script[:, i : i + 1], monkeypatch, fixed=False) for i, spec in enumerate(specs)
    ]
    batched = (grown - torch.cat(alone, 1)).abs()
    spread = grown.abs().max()
    assert (steps[:3] - grown[:3]).abs().max() <= batched.max() + 2**-8 * spread
    assert (steps - grown).abs().max() <= 2 * batched.max() + 2**-7 * spread
    assert (steps - grown).abs().mean() <= 2 * batched.mean() + 2**-10 * spread


def test_a_model_that_keeps_other_states_decodes_as_before_and_says_so(tmp_path, caplog, monkeypatch):
    loaded = tiny_loaded(tmp_path, "qwen2")
    monkeypatch.setattr(loaded.model.config, "layer_types", ["full_attention", "chunked_attention", "full_attention"])
    assert not fits(loaded)
    assert "decodes without fixed steps: it has attention of the kinds chunked_attention, full" in caplog.text
    specs = [spec_of(loaded)]
    monkeypatch.undo()
    assert complete(loaded, specs, fixed=True) == complete(loaded, specs, fixed=False)


def test_many_rows_leave_one_after_another(loaded, make_direction, monkeypatch):
    """Only rows beyond the new end are copied."""
    kept = []
    keep = FixedRows.keep
    monkeypatch.setattr(FixedRows, "keep", lambda self, rows: kept.append(self.n_rows) or keep(self, rows))
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=4.0)
    specs = [
        spec_of(loaded, QUESTIONS[i % 3], steering=[edit] * (i % 2), temperature=1.0, seed=i, max_new_tokens=3 + i % 37)
        for i in range(104)
    ]
    assert complete(loaded, specs, fixed=True) == complete(loaded, specs, fixed=False)
    assert len(kept) >= 2
    assert kept == sorted(kept, reverse=True)


@settings(anything, max_examples=8)
@given(batch=st.lists(rows, min_size=1, max_size=4), share=st.floats(0, 1))
def test_a_stream_that_is_stopped_has_said_what_the_whole_one_says(batch, share, loaded, make_direction, vocabulary):
    """Nothing is left behind, and the next run is right; stopped before and after fixed steps began, rows ended."""
    specs = [build(loaded, make_direction, vocabulary, row) for row in batch]
    whole = list(stream_completions(loaded, specs, fixed=False))
    stream = stream_completions(loaded, specs, fixed=True)
    stopped = [next(stream) for _ in range(1 + int(share * (len(whole) - 1)))]
    stream.close()
    assert stopped == whole[: len(stopped)]
    assert hook_count(loaded) == 0
    assert list(stream_completions(loaded, specs, fixed=True)) == whole


def test_a_word_ends_the_steering_of_a_row_whose_neighbours_have_left(loaded, make_direction, monkeypatch):
    """It is one of two edits, and the last of four rows: their steering has been copied to another batch by then."""
    kept, keep = [], FixedRows.keep
    monkeypatch.setattr(FixedRows, "keep", lambda self, rows: kept.append(self.column) or keep(self, rows))
    direction, neighbours = make_direction(loaded.d_model), [spec_of(loaded, max_new_tokens=6)] * 3

    def steered(until):
        edit = SteeringSpec(direction=direction, layer=1, coefficient=12.0, positions=Positions(until=until))
        return spec_of(loaded, steering=[edit], temperature=1.0, seed=4, banned=tuple(loaded.eos_ids))

    free = complete(loaded, [steered(())], fixed=False)[0]
    early, late = (words_of(loaded.tokenizer.decode(part)) for part in (free[:16], free[16:32]))
    word = next(word for word in late if word not in early)
    specs = [*neighbours, steered((word,))]
    ended = complete(loaded, specs, fixed=True)
    assert len(kept) == 1
    assert ended[-1] != free
    assert ended == complete(loaded, specs, fixed=False)


def written_until(error, loaded, specs, fixed):
    """How many steps of tokens were given out before the error."""
    n = 0
    with pytest.raises(error):
        for n, _ in enumerate(stream_completions(loaded, specs, fixed=fixed), start=1):  # noqa: B007
            pass
    return n


def test_an_overflow_among_fixed_steps_ends_the_run_at_the_same_token(tmp_path):
    """fp16 ends at 65,504, which five edits reach from the 12th new token on; the next block reads zeros for it."""
    loaded = tiny_loaded(tmp_path)
    assert fits(loaded)
    loaded.model.half()
    axis = Direction.from_raw(np.eye(loaded.d_model, dtype=np.float32)[0], name="axis", layer=0)
    late = Positions(region="completion", start=11)
    edit = SteeringSpec(direction=axis, layer=0, coefficient=16_000.0, positions=late)
    handle = loaded.layers[1].register_forward_pre_hook(lambda _m, args: (args[0].nan_to_num(0, 0, 0), *args[1:]))
    try:
        specs = [spec_of(loaded, steering=edits, banned=tuple(loaded.eos_ids)) for edits in ([], [edit] * 5)]
        steps = [written_until(BadDirection, loaded, specs, fixed) for fixed in (True, False)]
    finally:
        handle.remove()
    assert steps == [12, 12]
    assert hook_count(loaded) == 0


def test_logits_that_are_not_finite_among_fixed_steps_end_the_run_at_the_same_token(loaded):
    spec, steps = spec_of(loaded, banned=tuple(loaded.eos_ids)), []
    for fixed in (True, False):
        calls = []
        handle = loaded.model.lm_head.register_forward_hook(
            lambda _m, _i, out, calls=calls: calls.append(1) or (out * torch.nan if len(calls) > 9 else out)
        )
        try:
            steps.append(written_until(ModelUnavailable, loaded, [spec], fixed))
        finally:
            handle.remove()
    assert steps == [9, 9]


def test_a_run_fills_its_context_and_no_column_more(tmp_path):
    loaded = tiny_loaded(tmp_path, context_length=48)
    spec = spec_of(loaded, max_new_tokens=500, banned=tuple(loaded.eos_ids))
    fixed, plain = ([t for step in stream_completions(loaded, [spec], fixed=f) for t in step] for f in (True, False))
    assert fixed == plain
    assert fixed[-1].stop_reason == "context"


@pytest.mark.parametrize("columns", [1, 255, 256, 257, 2047, 2049, 5000, 100_000])
def test_a_room_holds_its_columns_and_a_quarter_more_at_most(columns):
    room = room_for(columns)
    assert columns <= room <= max(columns * 1.25, columns + 256)
