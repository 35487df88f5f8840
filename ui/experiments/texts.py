"""The texts behind a point: what was asked and what was written, beside the unsteered text of the same question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from core.errors import BadInput
from core.experiments.statistics import baseline_of, rate
from core.experiments.values import Figure, Outcome, Point
from core.experiments.verdicts import percent
from core.runs.arms import first_divergence
from core.runs.written_traces import traces_of_cell
from core.text.words import keyword_tokens
from ui.components.lanes import Lane, lanes
from ui.components.roles import NAMES
from ui.components.safe_text import plain
from ui.experiments.widgets import kept
from ui.figures.rows import points_of
from ui.shell.notice import attempt, show_failure
from ui.shell.state import workbench

_WORDS = re.compile(r"\S+\s*|\s+")


def draw_texts(outcome: Outcome, figure: Figure, picked: Point | None, *, key: str) -> None:
    """A point and a question to choose, and both texts; `picked` is the point that was clicked in the chart."""
    points = [point for point in points_of(outcome, figure) if point.cells]
    if not points:
        return
    st.markdown("##### The texts behind a point")
    place = f"exp:texts:{key}:{figure}"
    names = {_label(point, i): i for i, point in enumerate(points)}
    labels = list(names)
    if picked in points and st.session_state.get(f"{place}:picked") != picked:
        st.session_state[f"{place}:picked"] = picked
        st.session_state[f"{place}:point"] = labels[points.index(picked)]
    which, number = st.columns([3, 1], vertical_alignment="bottom")
    label = which.selectbox(
        "Point (or click one in the chart)",
        labels,
        key=kept(f"{place}:point", labels[_first(points)], among=labels),
        persist_state="session",
    )
    point = points[names[label]]
    asked = outcome.plan.questions(point.half)[: point.n]
    order = sorted(range(len(asked)), key=lambda i: -point.hits[i])
    i = number.selectbox(
        "Question",
        order,
        format_func=lambda i: f"{i + 1} of {len(asked)} · {point.hits[i]} hit{'' if point.hits[i] == 1 else 's'}",
        key=kept(f"{place}:question", order[0], among=order),
        persist_state="session",
    )
    _draw_pair(outcome, point, i, key=place)


def _label(point: Point, index: int) -> str:
    match = ", equal coherence" if point.match == "coherence" else ""
    where = f", layer {point.layer}" if point.kind != "unsteered" else ""
    where += f", {point.window.label}" if point.window is not None else ""
    dose = f" at {point.coefficient:.3g} × unit" if point.kind != "unsteered" else ""
    return f"{index + 1}. {point.name} in the {NAMES[point.target]}{dose}{match}{where}"


def _first(points: Sequence[Point]) -> int:
    """The steered point with the highest rate."""
    steered = [i for i, point in enumerate(points) if point.kind == "direction"] or range(len(points))
    return max(steered, key=lambda i: rate(points[i]).mean)


def _draw_pair(outcome: Outcome, point: Point, i: int, *, key: str) -> None:
    question = outcome.plan.questions(point.half)[i]
    answer = f" (answer: {plain(question.answer, 80)})" if question.answer else ""
    st.markdown(f"**Question {i + 1}**, seed {outcome.plan.sampling.seed + i}: {plain(question.prompt, 2000)}{answer}")
    baseline = baseline_of((*outcome.reported, *outcome.chosen_from), point)
    shown = [(point, text_of(point, i))]
    if baseline is not None and baseline != point and i < baseline.n:
        shown.insert(0, (baseline, text_of(baseline, i)))
    if all(text is None for _, text in shown):
        st.info("These texts are no longer in the store: the counts are kept, the texts were trimmed.")
        return
    keywords = outcome.plan.keywords
    drawn = [_lane(one, i, text or "", keywords) for one, text in shown]
    if len(drawn) == 2:
        parted = first_divergence(_ids(drawn[0].pieces, drawn), _ids(drawn[1].pieces, drawn))
        drawn[1] = replace(drawn[1], diverged_at=parted)
    lanes(drawn, key=f"{key}:lanes", picture=True)
    text, keep = st.columns([2, 1], vertical_alignment="center")
    text.caption(f"All {point.n} texts of the point together: {percent(rate(point))} keywords.")
    keep.button(
        "Keep these texts as traces",
        icon=":material/description:",
        key=f"{key}:keep",
        on_click=lambda: attempt(lambda: _keep(point, key), key),
        width="stretch",
        help="All texts of the point as a set on the Traces page, each with its dose, direction, layer and seed.",
    )
    show_failure(key)
    if st.session_state.pop(f"{key}:kept", False):
        st.success("The texts are a set on the Traces page now.", icon=":material/check_circle:")


def _lane(point: Point, i: int, text: str, keywords: Sequence[str]) -> Lane:
    pieces = tuple(_WORDS.findall(text))
    nll = point.nll[i]
    facts = f"{point.hits[i]} hits in {point.words[i]} words" + (
        f", {nll:.2f} nats per token" if nll is not None else ""
    )
    title = f"{NAMES[point.target].capitalize()}, " + (
        "unsteered" if point.kind == "unsteered" else f"{point.name} at {point.coefficient:.3g}"
    )
    return Lane(title=title, subtitle=facts, pieces=pieces, highlights=keyword_tokens(pieces, keywords), unit="words")


def _ids(pieces: Sequence[str], drawn: Sequence[Lane]) -> tuple[int, ...]:
    """The words as numbers, the same in all lanes."""
    numbers = {piece: n for n, piece in enumerate(dict.fromkeys(p for lane in drawn for p in lane.pieces))}
    return tuple(numbers[piece] for piece in pieces)


def _keep(point: Point, place: str) -> None:
    """Make a set of traces of all texts of a point. Raises UserFacingError."""
    cells = [cell for cell_key in point.cells if (cell := workbench().cell(cell_key)) is not None]
    traces = [trace for cell in cells for trace in traces_of_cell(cell, arm_name=point.name)]
    if not traces:
        raise BadInput("None of these texts holds any reasoning.", "Choose another point.")
    dose = "" if point.kind == "unsteered" else f" at {point.coefficient:.3g}"
    workbench().trace_sets.save(traces, name=f"{point.name}{dose}, {NAMES[point.target]}", source="an experiment")
    st.session_state[f"{place}:kept"] = True


def text_of(point: Point, i: int) -> str | None:
    """The i-th text of a point; None where its cell is not in the store any more."""
    for cell_key in point.cells:
        cell = workbench().cell(cell_key)
        if cell is None:
            return None
        if i < len(cell.texts):
            return cell.texts[i]
        i -= len(cell.texts)
    return None
