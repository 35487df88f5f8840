"""The 2×2 dose-response of the loaded pair: recorded for the embedded pair, run live for any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from core.embedded import RecordedCurves, example_questions, recorded_curves
from core.jobs import Snapshot
from core.models.pair import ROLES, ModelFacts
from core.runs.cells import DoseCell
from core.runs.dose_response import DoseLine, DosePoint, plan_dose_response, point_of
from core.text.words import KEYWORDS
from core.values import SamplingSpec
from ui.directions.residual_norm import residual_norm
from ui.home.arms import Arms, Pair, arm_notes, directions_of_pair
from ui.home.dose_chart import dose_charts, point_rows
from ui.home.verdict import verdict
from ui.shell.jobs import follow, is_live
from ui.shell.state import caller, guarded, workbench

SLOT = "job:dose"
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6)
PROMPT_COUNTS = (8, 16, 32, 64)
Norms = Mapping[tuple[str, str], float]
"""By source and target of a line."""


def draw_dose_response(pair: Pair) -> None:
    """What was recorded of this very pair, what was measured here, and a button to measure."""
    recorded = recorded_curves()
    if recorded is not None and recorded.fingerprints != (pair[0].fingerprint, pair[1].fingerprint):
        recorded = None
    directions = directions_of_pair(pair)
    lines = _lines(pair, directions, st.session_state.get("dose_prompts", 16))
    running = is_live(SLOT)
    kept, n_cells = _kept(() if running else lines)
    follow(SLOT, render=lambda snapshot: _draw_partial(lines, snapshot, pair))
    if not running and _show_recorded(recorded is not None, bool(kept)) and recorded is not None:
        _draw_recorded(recorded, pair)
    elif not running and kept:
        _draw_kept(kept, n_cells, lines, pair)
    if not lines:
        st.info(
            "There is no direction from both models yet. On the **Extraction** page, extract one from the base model "
            "and one from the reasoning model, and save both: then this experiment can run.",
            icon=":material/explore:",
        )
        return
    _ask(lines)
    for note in arm_notes(directions):
        st.caption(note)


def _show_recorded(is_recorded: bool, is_kept: bool) -> bool:
    """Which of the two to show: a live result stands beside the recorded one and never replaces it."""
    if not (is_recorded and is_kept):
        return is_recorded
    shown = st.segmented_control(
        "Shown", ("Recorded", "Measured here"), default="Recorded", required=True, key="dose_shown"
    )
    return shown == "Recorded"


def _lines(pair: Pair, directions: Arms, n_prompts: int) -> tuple[DoseLine, ...]:
    questions = [example.prompt for example in example_questions("heldout")[-n_prompts:]]
    if not directions or not questions:
        return ()
    encode = workbench().pair.encode
    base, reasoner = pair
    scale = residual_norm(reasoner, directions[0][1].layer).value or 20.0
    return plan_dose_response(
        directions=directions,
        targets=[
            ("reasoner", reasoner.spec, reasoner.fingerprint, tuple(encode("reasoner", q) for q in questions)),
            ("base", base.spec, base.fingerprint, tuple(encode("base", q) for q in questions)),
        ],
        coefficients=(0.0, *(round(share * scale, 2) for share in SHARES)),
        sampling=SamplingSpec(max_new_tokens=128, temperature=0.7),
        keywords=KEYWORDS,
    )


def _kept(lines: Sequence[DoseLine]) -> tuple[list[DosePoint], int]:
    """The points that are stored, which a stopped run has some of, and how many there are in all."""
    found = [(line, workbench().cached(spec)) for line in lines for spec in line.cells]
    return [point_of(line, cell) for line, cell in found if cell is not None], len(found)


def _draw_kept(points: Sequence[DosePoint], n_cells: int, lines: Sequence[DoseLine], pair: Pair) -> None:
    note = f"{len(points[0].hits)} questions per point, measured on this machine."
    if len(points) < n_cells:
        note += f" {len(points)} of {n_cells} points are there; Run it live goes on from them."
    _draw_points(points, f"CACHED · {note}", norms=_norms(lines, pair))


def _draw_partial(lines: Sequence[DoseLine], snapshot: Snapshot[object], pair: Pair) -> None:
    cells: Sequence[DoseCell] = snapshot.progress.partial or ()
    by_spec = {cell.spec: cell for cell in cells}
    points = [point_of(line, by_spec[spec]) for line in lines for spec in line.cells if spec in by_spec]
    if points:
        _draw_points(points, "LIVE · Points appear as they are measured.", norms=_norms(lines, pair))


def _norms(lines: Sequence[DoseLine], pair: Pair) -> Norms:
    """Of each line: the residual norm of its steered model at its layer."""
    facts: dict[str, ModelFacts] = dict(zip(ROLES, pair, strict=True))
    at = {(line.source, line.target): cell.layer for line in lines for cell in line.cells if cell.direction is not None}
    return {(source, target): residual_norm(facts[target], layer).value for (source, target), layer in at.items()}


def _draw_recorded(curves: RecordedCurves, pair: Pair) -> None:
    """Both recorded directions were added at one layer."""
    known = {role: residual_norm(facts, curves.layer).value for role, facts in zip(ROLES, pair, strict=True)}
    norms: Norms = {(source, target): known[target] for source in ROLES for target in ROLES}
    note = f"measured by `make record`: {curves.n_prompts} held-out questions per point, layer {curves.layer}, window "
    _draw_points(curves.points, f"RECORDED · {note}{curves.window}.", norms=norms)


def _draw_points(points: Sequence[DosePoint], note: str, *, norms: Norms) -> None:
    rows = point_rows(points, resid_norms=norms)
    for sentence in verdict(tuple(points)):
        st.markdown(f"- {sentence}")
    for column, chart in zip(st.columns(2), dose_charts(rows), strict=True):
        column.altair_chart(chart, width="stretch")
    st.caption(
        f"{note} Bands are 95% intervals over questions (Korn and Graubard, also at zero hits). Hollow points are "
        "doses whose text is not readable: repetitive, or more than 0.5 nats per token less likely to the unsteered "
        "model than its own text."
    )


def _ask(lines: Sequence[DoseLine]) -> None:
    count, button, _ = st.columns([2, 2, 4], vertical_alignment="bottom")
    count.select_slider("Questions per point", PROMPT_COUNTS, value=16, key="dose_prompts", persist_state="session")
    specs = list(dict.fromkeys(spec for line in lines for spec in line.cells))
    if button.button("Run it live", icon=":material/play_arrow:", width="stretch"):
        guarded(lambda: workbench().run_cells(specs, caller()), SLOT)
        st.rerun()
