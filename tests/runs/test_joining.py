"""Rows that take the places of rows that have ended: each writes what it writes alone, and the others never move."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.forward import fixed_step
from core.forward.edits import SteeringSpec
from core.forward.fixed_fit import can_join
from core.forward.fixed_step import FixedRows
from core.forward.kv_cache import drop_columns, keep_rows, put_rows, roomy_cache
from core.forward.rows import packed
from core.jobs import finish
from core.models.loaded import hook_count
from core.runs import generation, lanes
from core.runs.generation import stream_completions
from core.runs.lanes import generate_lanes
from core.text.words import words_of
from core.values import Positions
from tests import tiny_models
from tests.forward.test_fixed_step import QUESTIONS, build, complete, rows, spec_of, words_written
from tests.tiny_models import tiny_loaded

FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gpt_neox"]
anything = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    made = tiny_loaded(tmp_path_factory.mktemp("models"))
    assert can_join(made), "or every row would wait until all have ended"
    return made


@pytest.fixture(autouse=True)
def small_rooms(monkeypatch):
    """So that a short run moves its columns several times."""
    monkeypatch.setattr(fixed_step, "ROOM_STEP", 16)
    monkeypatch.setattr(generation, "WORTH_FIXING", 4)


@pytest.fixture(scope="module")
def vocabulary(loaded):
    return words_written(loaded)


def alone(loaded, specs):
    return [complete(loaded, [spec], fixed=False)[0] for spec in specs]


@anything
@given(
    batch=st.lists(rows, min_size=2, max_size=9), at_once=st.integers(1, 4), fixed=st.booleans(), share=st.floats(0, 1)
)
def test_any_rows_write_what_they_write_alone(batch, at_once, fixed, share, loaded, make_direction, vocabulary):
    """With forks among them, whose steering may have ended before they join."""
    specs = [build(loaded, make_direction, vocabulary, row) for row in batch]
    expected = alone(loaded, specs)
    specs = [
        replace(spec, prefix=tuple(row[: int(share * (len(row) - 1))])) if i % 3 == 2 else spec
        for i, (spec, row) in enumerate(zip(specs, expected, strict=True))
    ]
    assert complete(loaded, specs, at_once=at_once, fixed=fixed) == expected
    assert hook_count(loaded) == 0


def mixed(loaded, make_direction, n, **sampling):
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=4.0)
    return [
        spec_of(
            loaded,
            QUESTIONS[i % 3],
            steering=[edit] * (i % 2),
            **{"temperature": float(i % 4 > 0), "seed": i, "max_new_tokens": 2 + 7 * i % 39, **sampling},
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, fixed, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    assert can_join(loaded)
    specs = mixed(loaded, make_direction, 14)
    assert complete(loaded, specs, at_once=4, fixed=fixed) == alone(loaded, specs)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("family", ["mistral", "qwen2", "gemma2", "gemma3_text"])
def test_windows_that_slide(family, fixed, tmp_path, make_direction, monkeypatch):
    """Of 8 tokens: rows join before the window is full, and long after."""
    make_config = tiny_models._config

    def sliding(*args, **kwargs):
        config = make_config(*args, **kwargs)
        config.sliding_window, config.use_sliding_window = 8, True
        if getattr(config, "layer_types", None):
            config.layer_types = ["sliding_attention", "full_attention", "sliding_attention"]
        return config

    monkeypatch.setattr(tiny_models, "_config", sliding)
    loaded = tiny_loaded(tmp_path, family)
    assert can_join(loaded)
    specs = mixed(loaded, make_direction, 14)
    assert complete(loaded, specs, at_once=4, fixed=fixed) == alone(loaded, specs)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_hundred_rows_and_more_never_run_more_than_at_once_nor_wait_for_the_slowest(fixed, loaded, make_direction):
    specs = mixed(loaded, make_direction, 104, banned=tuple(loaded.eos_ids))
    begun, ended, widths, n_steps = set(), set(), [], 0
    for step in stream_completions(loaded, specs, at_once=16, fixed=fixed):
        n_steps += not {token.row for token in step}.isdisjoint(begun)
        begun |= {token.row for token in step}
        widths.append(len(begun - ended))
        ended |= {token.row for token in step if token.stop_reason}
    assert ended == set(range(104))
    assert max(widths) == 16
    lengths = [spec.sampling.max_new_tokens for spec in specs]
    one_after_another = sum(max(lengths[start : start + 16]) for start in range(0, 104, 16))
    assert sum(lengths) / 16 <= n_steps <= 0.75 * one_after_another


@settings(anything, max_examples=8)
@given(batch=st.lists(rows, min_size=4, max_size=8), fixed=st.booleans(), share=st.floats(0, 1))
def test_a_stream_that_is_stopped_has_said_what_the_whole_one_says(
    batch, fixed, share, loaded, make_direction, vocabulary
):
    specs = [build(loaded, make_direction, vocabulary, row) for row in batch]
    whole = list(stream_completions(loaded, specs, at_once=2, fixed=fixed))
    stream = stream_completions(loaded, specs, at_once=2, fixed=fixed)
    stopped = [next(stream) for _ in range(1 + int(share * (len(whole) - 1)))]
    stream.close()
    assert stopped == whole[: len(stopped)]
    assert hook_count(loaded) == 0
    assert list(stream_completions(loaded, specs, at_once=2, fixed=fixed)) == whole


@pytest.mark.parametrize("fixed", [False, True])
def test_a_row_is_steered_though_a_word_had_ended_the_steering_of_the_row_before_it(fixed, loaded, make_direction):
    """And a fork joins with its steering ended, where its prefix holds the word."""
    direction = make_direction(loaded.d_model)

    def steered(until, seed, n):
        edit = SteeringSpec(direction=direction, layer=1, coefficient=12.0, positions=Positions(until=until))
        sampling = {"temperature": 1.0, "seed": seed, "max_new_tokens": n, "banned": tuple(loaded.eos_ids)}
        return spec_of(loaded, steering=[edit], **sampling)

    (free,) = alone(loaded, [steered((), 4, 40)])
    word = words_of(loaded.tokenizer.decode(free[:8]))[0]
    specs = [steered((word,), 4, n) for n in (10, 14)] + [steered((word,), seed, 40) for seed in range(5, 9)]
    expected = alone(loaded, specs)
    specs.append(replace(steered((word,), 4, 40), prefix=tuple(expected[0])))
    expected += alone(loaded, specs[-1:])
    assert expected[-1] != free
    assert complete(loaded, specs, at_once=2, fixed=fixed) == expected


def states(loaded, ids):
    """The keys and values of a few random tokens, as a batch of rows that stays."""
    cache = roomy_cache(loaded.model.config)
    with torch.inference_mode():
        loaded.model(input_ids=ids, past_key_values=cache, use_cache=True)
    return cache


def test_rows_leave_and_join_without_a_copy_of_the_others(loaded):
    """Rows 0, 2 and 4 stay where they are; row 1 is followed by the last one, row 3 by one that joins."""
    ids = torch.randint(10, 300, (6, 9), generator=torch.Generator().manual_seed(0))
    cache, joining = states(loaded, ids), states(loaded, ids[:1, :4])
    before = [layer.keys.clone() for layer in cache.layers]
    places = [layer.keys.data_ptr() for layer in cache.layers]
    order = packed([0, 2, 3, 4, 5])
    assert order == [0, 5, 2, 3, 4]
    keep_rows(cache, torch.tensor(order))
    put_rows(cache, torch.tensor([3]), joining)
    assert [layer.keys.data_ptr() for layer in cache.layers] == places
    for layer, keys, new in zip(cache.layers, before, joining.layers, strict=True):
        assert torch.equal(layer.keys[[0, 1, 2, 4]], keys[[0, 5, 2, 4]])
        assert torch.equal(layer.keys[3, :, -4:], new.keys[0])
        assert not layer.keys[3, :, :-4].any()
    drop_columns(cache, 3)
    for layer, keys, place in zip(cache.layers, before, places, strict=True):
        assert torch.equal(layer.keys[[0, 1, 2, 4]], keys[[0, 5, 2, 4], :, 3:])
        assert layer.keys.data_ptr() > place
        assert layer.get_seq_length() == 6


def test_a_captured_step_stays_when_rows_join(loaded, make_direction, monkeypatch):
    """All that it reads is where it was; what joined is seen by what the rows write."""
    moved, take_in = [], FixedRows.take_in

    def addresses(fixed):
        tensors = [fixed.pads, fixed.tokens, fixed.draws, fixed.place, fixed.steering.limits, fixed.sampling.heats]
        tensors += [t for layer in fixed.cache.layers for t in (layer.keys, layer.values)]
        tensors += [slot.vectors for slots in fixed.steering.slots.values() for slot in slots]
        return [t.data_ptr() for t in tensors], fixed._again

    def noting(self, places, new):
        before = addresses(self)
        take_in(self, places, new)
        moved.append(before != addresses(self))

    monkeypatch.setattr(FixedRows, "take_in", noting)
    specs = mixed(loaded, make_direction, 14)
    assert complete(loaded, specs, at_once=4, fixed=True) == alone(loaded, specs)
    assert len(moved) >= 4
    assert not any(moved)


def test_what_an_ended_row_left_behind_is_not_read(loaded):
    """Infinite keys and values of a row that has ended, in columns that the row in its place does not see."""
    ids = torch.randint(10, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    cache = states(loaded, ids)
    for layer in cache.layers:
        with torch.inference_mode():
            layer.keys[1], layer.values[1] = torch.inf, torch.inf
    put_rows(cache, torch.tensor([1]), states(loaded, ids[:1, :4]))
    assert all(torch.isfinite(layer.keys).all() and torch.isfinite(layer.values).all() for layer in cache.layers)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_where_a_neighbours_length_turns_the_rotations_rows_wait_for_each_other(kind, loaded, monkeypatch):
    rotary = next(module for module in loaded.model.modules() if hasattr(module, "rope_type"))
    monkeypatch.setattr(rotary, "rope_type", kind)
    assert not can_join(loaded)


def test_rows_that_may_not_join_begin_when_all_have_ended(loaded, make_direction, monkeypatch):
    monkeypatch.setattr(generation, "can_join", lambda _: False)
    specs = mixed(loaded, make_direction, 10)
    assert complete(loaded, specs, at_once=4) == alone(loaded, specs)
    together = [{t.row for t in step} for step in stream_completions(loaded, specs, at_once=4)]
    assert all(len({row // 4 for row in step}) == 1 for step in together)


def test_a_text_longer_than_all_that_runs_joins_once_there_are_as_many_columns(loaded):
    short, long = spec_of(loaded, "Why?", max_new_tokens=60), spec_of(loaded, QUESTIONS[2], max_new_tokens=5)
    specs = [replace(s, sampling=replace(s.sampling, banned=tuple(loaded.eos_ids))) for s in (short, short, long)]
    specs[0] = replace(specs[0], sampling=replace(specs[0].sampling, max_new_tokens=3))
    steps = [{token.row for token in step} for step in stream_completions(loaded, specs, at_once=2)]
    first = next(i for i, step in enumerate(steps) if 2 in step)
    assert len(specs[0].prompt.token_ids) + first >= len(specs[2].prompt.token_ids)
    assert {1, 2} in steps
    assert complete(loaded, specs, at_once=2) == alone(loaded, specs)


def test_parts_are_given_out_in_order_and_a_stop_gives_those_that_were_begun(loaded, make_direction, monkeypatch):
    """They are scored as the same lanes are that run by themselves."""
    monkeypatch.setattr(lanes, "SHOWN_SECONDS", 0.0)
    specs = mixed(loaded, make_direction, 12, banned=tuple(loaded.eos_ids))
    whole = []
    result = finish(generate_lanes([loaded] * 12, specs, at_once=4, on_end=whole.append))
    assert [[g.spec for g in part] for part in whole] == [specs[:4], specs[4:8], specs[8:]]
    assert [g for part in whole for g in part] == list(result)
    chunks = [finish(generate_lanes([loaded] * 4, specs[start : start + 4])) for start in (0, 4, 8)]
    assert [(g.token_ids, g.pieces, g.stop_reason, g.nll) for g in result] == [
        (g.token_ids, g.pieces, g.stop_reason, g.nll) for chunk in chunks for g in chunk
    ]
    stopped = []
    work = generate_lanes([loaded] * 12, specs, at_once=4, on_end=stopped.append)
    while not stopped:
        progress = next(work)
    begun = [bool(g.token_ids) for g in progress.partial]
    work.close()
    assert 4 < sum(begun) < 12
    assert [g.nll for g in stopped[0]] == [g.nll for g in whole[0]]
    assert len(stopped) == 1 + (max(i for i, is_begun in enumerate(begun) if is_begun)) // 4
    assert {g.stop_reason for part in stopped[1:] for g in part} <= {"cancelled", "length"}
