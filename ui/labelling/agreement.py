"""Two labellings of one set side by side: scores, confusion table, and the sentences of the cell that is chosen."""

from __future__ import annotations

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.labelling.agreement import NO_LABEL, Agreement, Place, Score, Unit, compare
from core.statistics import Interval
from core.text.lines import shown_line
from core.traces.events import BACKTRACKING
from core.traces.set_files import TraceSet
from ui.components.safe_text import plain
from ui.labelling.confusion import Cell, draw_confusion, name_of
from ui.labelling.source import MAX_SENTENCE, Labeller, labellers_of, traces_by
from ui.shell.frame import page_path
from ui.shell.handoff import INDEX_KEY

REFERENCE_KEY, OTHER_KEY = "agreement:reference", "agreement:other"
UNIT_KEY, JUDGED_KEY, LABEL_KEY = "agreement:unit", "agreement:judged", "agreement:label"
COMPARED_AT_ONCE = 5_000_000
"""Characters of a set that is compared without being asked for."""
MAX_LISTED = 500
_FOUND = "agreement:found"
_UNITS: dict[Unit, str] = {"sentence": "Sentences", "character": "Characters"}
_PLACES: dict[Unit, tuple[str, str]] = {
    "sentence": ("sentence", "sentences"),
    "character": ("stretch of text", "stretches of text"),
}
Found = tuple[Agreement, tuple[Score, ...], Interval]


def draw_agreement(shown: TraceSet) -> None:
    """Choose two labellings; their scores, table and sentences. Raises BadInput."""
    labellers = labellers_of(shown)
    if len(labellers) < 2:
        st.info(
            "This set has no labels yet, so there is nothing to compare the keywords with. Label it by keywords or by "
            "a judge above and save that; or choose another set.",
            icon=":material/label:",
        )
        return
    reference, other = _ask_labellings(shown, labellers)
    columns = st.columns([4, 3, 4], vertical_alignment="bottom")
    unit, judged = _ask_unit(columns[1], columns[2], reference)
    if reference == other:
        st.info("Both are the same labelling. Choose two different ones.", icon=":material/label:")
        return
    found = _found(shown, reference, other, unit=unit, judged=judged)
    if found is None:
        return
    agreement, scores, kappa = found
    if not agreement.table.sum():
        st.info("The reference labels nothing. Turn off **Only what the reference labels**.", icon=":material/label:")
        return
    score = _ask_label(columns[0], scores)
    _draw_metrics(score, agreement)
    table, cell = st.columns([6, 5], gap="large")
    with table:
        chosen = draw_confusion(agreement, label=score.label)
        st.caption(_meaning(agreement, kappa))
    with cell:
        _draw_cell(agreement, chosen)
    _draw_scores(scores)


def _ask_labellings(shown: TraceSet, labellers: list[Labeller]) -> tuple[Labeller, Labeller]:
    by_title = {labeller.title: labeller for labeller in labellers}
    picked = []
    questions = ((REFERENCE_KEY, "Reference"), (OTHER_KEY, "Compared with it"))
    for column, (base, label), first in zip(st.columns(2), questions, by_title, strict=False):
        key = f"{base}:{shown.set_id}"
        if st.session_state.get(key) not in by_title:
            st.session_state[key] = first
        picked.append(by_title[column.selectbox(label, list(by_title), key=key, persist_state="session")])
    return picked[0], picked[1]


def _ask_unit(left: DeltaGenerator, right: DeltaGenerator, reference: Labeller) -> tuple[Unit, bool]:
    """What is counted, and whether only what the reference labels counts."""
    unit = left.segmented_control(
        "Counted by",
        list(_UNITS),
        format_func=_UNITS.__getitem__,
        default="sentence",
        required=True,
        key=UNIT_KEY,
        persist_state="session",
        help="A sentence has the label that most of its characters have. Characters leave out white space.",
    )
    judged = right.toggle(
        "Only what the reference labels",
        value=reference.n_labels > 1,
        key=f"{JUDGED_KEY}:{reference.n_labels > 1}",
        persist_state="session",
        help="Sentences without a label in the reference are not known to be anything. This is off when the "
        "reference labels one thing only, as keywords do.",
    )
    return unit, judged


def _found(shown: TraceSet, reference: Labeller, other: Labeller, *, unit: Unit, judged: bool) -> Found | None:
    """The comparison, made anew only when something that it depends on has changed."""
    asked = (shown.set_id, shown.digest, reference, other, unit, judged)
    kept: tuple[object, Found] | None = st.session_state.get(_FOUND)
    if kept is not None and kept[0] == asked:
        return kept[1]
    if shown.n_characters > COMPARED_AT_ONCE and not st.button(
        "Compare them", type="primary", icon=":material/balance:"
    ):
        st.info(
            "This set is large: the comparison takes a while, so it starts when you press the button.",
            icon=":material/hourglass_top:",
        )
        return None
    with st.spinner("Comparing…", show_time=True):
        agreement = compare(traces_by(shown, reference), traces_by(shown, other), unit=unit, only_judged=judged)
        scores = tuple(agreement.score(label) for label in agreement.labels if label != NO_LABEL)
        found = (agreement, scores, agreement.kappa())
    st.session_state[_FOUND] = (asked, found)
    return found


def _ask_label(column: DeltaGenerator, scores: tuple[Score, ...]) -> Score:
    by_label = {score.label: score for score in scores}
    if st.session_state.get(LABEL_KEY) not in by_label:
        st.session_state[LABEL_KEY] = BACKTRACKING if BACKTRACKING in by_label else next(iter(by_label))
    return by_label[column.selectbox("Scores for the label", list(by_label), key=LABEL_KEY, persist_state="session")]


def _draw_metrics(score: Score, agreement: Agreement) -> None:
    unit = _UNITS[agreement.unit].lower()
    facts = {
        "Precision": (score.precision, 100, f"Of the {unit} so labelled, the share that the reference so labels."),
        "Recall": (score.recall, 100, f"Of the {unit} that the reference so labels, the share that was found."),
        "F1": (score.f1, 100, "Harmonic mean of precision and recall."),
        "Cohen's κ": (score.kappa, 1, "Agreement on this label beyond chance: 1 is full, 0 is what chance gives."),
    }
    for column, (name, (interval, factor, text)) in zip(st.columns(4), facts.items(), strict=True):
        with column.container(border=True):
            st.metric(name, _say(interval.mean, factor), help=text)
            st.caption(_range(interval, factor))


def _say(value: float, factor: int) -> str:
    if value != value:
        return "—"
    return f"{100 * value:.1f}%" if factor == 100 else f"{value:.2f}"


def _range(interval: Interval, factor: int) -> str:
    if interval.low != interval.low:
        return "too few traces for an interval"
    return f"95%: {_say(interval.low, factor)} to {_say(interval.high, factor)}"


def _meaning(agreement: Agreement, kappa: Interval) -> str:
    unit = "sentences" if agreement.unit == "sentence" else "characters"
    said = [f"{agreement.table.sum():,} {unit} of {len(agreement.pairs):,} traces; colour is the share of the row."]
    if agreement.unjudged:
        said.append(f"{agreement.unjudged:,} without a label in the reference are left out.")
    if min(np.count_nonzero(agreement.table.sum(axis=axis)) for axis in (0, 1)) > 2:
        said.append(f"Over all labels κ is {_say(kappa.mean, 1)} ({_range(kappa, 1)}).")
    return " ".join([*said, "Intervals resample traces."])


def _draw_scores(scores: tuple[Score, ...]) -> None:
    if not st.toggle("Show the scores of all labels", key="agreement:all", persist_state="session"):
        return
    st.dataframe(
        {
            "label": [score.label for score in scores],
            "in the reference": [score.in_reference for score in scores],
            "in the other": [score.in_other for score in scores],
            **{
                name: [f"{_say(i.mean, f)} ({_say(i.low, f)} to {_say(i.high, f)})" for i in intervals]
                for name, f, intervals in (
                    ("precision", 100, [score.precision for score in scores]),
                    ("recall", 100, [score.recall for score in scores]),
                    ("F1", 100, [score.f1 for score in scores]),
                    ("κ", 1, [score.kappa for score in scores]),
                )
            },
        },
        hide_index=True,
        alt="Precision, recall, F1 and kappa of every label, with 95% intervals",
    )


def _draw_cell(agreement: Agreement, cell: Cell) -> None:
    """The sentences of one cell of the table; the one picked stands below with what is around it."""
    places = agreement.places.get((cell.row, cell.column), ())
    one, many = _PLACES[agreement.unit]
    row, column = plain(name_of(cell.row), 60), plain(name_of(cell.column), 60)
    counted = f"{len(places):,} {one if len(places) == 1 else many}"
    st.markdown(f"**{counted}**: {row} in the reference, {column} in the other")
    if not places:
        st.info("There are none. Click another cell of the table.", icon=":material/search:")
        return
    listed = places[:MAX_LISTED]
    event = st.dataframe(
        {
            "sentence": [shown_line(_text(agreement, place), MAX_SENTENCE) for place in listed],
            "trace": [agreement.pairs[place.trace][0].trace_id for place in listed],
        },
        hide_index=True,
        height=300,
        key=f"agreement:list:{cell}",
        on_select="rerun",
        selection_mode="single-row",
        alt="The sentences of the chosen cell; a click on a row shows what stands around it",
    )
    if len(places) > MAX_LISTED:
        st.caption(f"The first {MAX_LISTED:,} are listed.")
    rows = event["selection"]["rows"]
    if rows and rows[0] < len(listed):
        _draw_place(agreement, listed[rows[0]])
    else:
        st.caption("Tick a row to read the sentence in its context.")


def _text(agreement: Agreement, place: Place) -> str:
    return agreement.pairs[place.trace][0].text[place.start : place.end]


def _draw_place(agreement: Agreement, place: Place) -> None:
    text = agreement.pairs[place.trace][0].text
    before, after = text[max(0, place.start - 240) : place.start], text[place.end : place.end + 240]
    with st.container(border=True):
        st.caption("Before")
        st.text(("…" if place.start > 240 else "") + before.strip())
        st.caption("The sentence")
        st.text(text[place.start : place.end])
        st.caption("After")
        st.text(after.strip() + ("…" if place.end + 240 < len(text) else ""))
    if st.button("Read it in its trace", icon=":material/description:", key="agreement:open"):
        st.session_state[INDEX_KEY] = place.trace
        st.switch_page(page_path("traces"))
