"""What the quick look over checkpoints measures: less of everything but the length of texts."""

from __future__ import annotations

from dataclasses import replace

from core.embedded import example_questions
from core.experiments.presets import CHOOSE, TOKENS, facts_unloaded, paper_plan
from core.experiments.values import TraceSource
from core.models.pair import DEMO_PAIR
from core.series.checkpoints import QUICK_CONTROLS, for_checkpoints


def test_texts_are_long_enough_to_turn_back_in_and_enough_questions_choose() -> None:
    """In the first 112 tokens of the embedded pair's texts there is next to no keyword."""
    source = TraceSource(kind="embedded", name="embedded", digest="0" * 20)
    plan = paper_plan(
        facts_unloaded(DEMO_PAIR), source, example_questions("heldout"), quick=True, n_choose=CHOOSE, labels=["a", "b"]
    )
    made = for_checkpoints(plan, quick=True)
    assert made.sampling.max_new_tokens == TOKENS
    assert len(made.choose) == CHOOSE
    assert set(made.choose).isdisjoint(made.report)
    assert made.controls.kinds == QUICK_CONTROLS
    longer = replace(plan, sampling=replace(plan.sampling, max_new_tokens=2 * TOKENS))
    assert for_checkpoints(longer, quick=True).sampling.max_new_tokens == 2 * TOKENS
