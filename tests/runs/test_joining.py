"""Rows that take the places of rows that have ended: each writes what it writes alone, and the others never move."""

import os
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.forward import fixed_fit, fixed_step
from core.forward.edits import SteeringSpec
from core.forward.fixed_fit import can_join
from core.forward.fixed_step import FixedRows
from core.models.loaded import hook_count
from core.runs import generation
from core.runs.generation import stream_completions
from core.text.words import words_of
from tests import tiny_models
from tests.forward.test_fixed_step import QUESTIONS, build, complete, rows, spec_of
from tests.tiny_models import tiny_loaded

EXAMPLES = int(os.environ.get("JOINING_EXAMPLES", "20"))
FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gpt_neox"]
anything = settings(
    max_examples=EXAMPLES,
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
    """Words that the model writes."""
    specs = [spec_of(loaded, question, max_new_tokens=24) for question in QUESTIONS]
    texts = [loaded.tokenizer.decode(row) for row in complete(loaded, specs, fixed=False)]
    return sorted({word for text in texts for word in words_of(text)}) or ["wait"]


def alone(loaded, specs):
    return [complete(loaded, [spec], fixed=False)[0] for spec in specs]


@anything
@given(batch=st.lists(rows, min_size=2, max_size=9), at_once=st.integers(1, 4), fixed=st.booleans(), share=st.floats(0, 1))
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
    begun, ended, widths = set(), set(), []
    for step in stream_completions(loaded, specs, at_once=16, fixed=fixed):
        begun |= {token.row for token in step}
        widths.append(len(begun - ended))
        ended |= {token.row for token in step if token.stop_reason}
    assert max(widths) == 16
    full = widths[: next(i for i, _ in enumerate(widths) if len(begun) == 104)]
    assert len(ended) == 104
    lengths = [spec.sampling.max_new_tokens for spec in specs]
    waves = sum(max(lengths[start : start + 16]) for start in range(0, 104, 16))
    n_steps = sum(1 for _ in stream_completions(loaded, specs, at_once=16, fixed=fixed))
    assert full is not None
    print(n_steps, waves)
