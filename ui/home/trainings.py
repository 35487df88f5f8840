"""The same experiment on pairs trained from other starts: is what the embedded pair shows a lucky run?"""

from __future__ import annotations

import streamlit as st

from core.embedded import recorded_trainings
from core.experiments.statistics import chosen_point, null_of, rate, unsteered
from core.experiments.values import Outcome
from core.experiments.verdicts import percent, ticks
from core.models.pair import ModelFacts, are_of

TITLE = "The same on pairs trained from other starts"
MARKS = {"yes": "✓ yes", "no": "✗ no", "unclear": "? cannot be told", "too little": "? too little text"}


def draw_trainings(pair: tuple[ModelFacts, ModelFacts]) -> None:
    """A row per training with its four ticks, when the loaded pair is the first of them."""
    found = recorded_trainings()
    if len(found) < 2 or not are_of(found[0].fingerprints, pair):
        return
    with st.expander(TITLE, icon=":material/receipt_long:"):
        st.table([_row(outcome) for outcome in found])
        st.caption(
            "RECORDED · measured by `make record`: each training with its own traces, and its layer, window and dose "
            "chosen on questions that are not reported. `demo/recorded/` holds every number; "
            "`demo/recorded/paper/report.html` is the report with texts."
        )


def _row(outcome: Outcome) -> dict[str, str]:
    chosen, null = chosen_point(outcome), null_of(outcome)
    before = unsteered(outcome.reported, "reasoner", "report")
    row = {"Pair": outcome.plan.title}
    row |= {tick.name.capitalize(): MARKS.get(tick.state, tick.state) for tick in ticks(outcome)}
    row["Unsteered"] = percent(rate(before)) if before else ""
    row["Steered"] = f"{percent(rate(chosen))}, layer {chosen.layer}" if chosen else ""
    strongest = null.strongest if null else None
    row["Strongest readable control"] = f"{strongest.name}, {percent(rate(strongest))}" if strongest else ""
    return row
