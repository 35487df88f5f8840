"""The 2×2 dose-response of the loaded pair: recorded for the embedded pair, run live for any."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.directions.direction import Direction
from core.embedded import RecordedCurves, example_questions, recorded_curves
from core.jobs import Snapshot
from core.models.pair import ROLES, ModelFacts
from core.runs.dose_response import DoseCell, DoseLine, DosePoint, plan_dose_response, point_of
from core.text.words import KEYWORDS
from core.values import SamplingSpec
from ui.directions.choices import choices
from ui.home.dose_chart import dose_charts, point_rows
from ui.home.verdict import verdict
from ui.shell.jobs import follow, is_live
from ui.shell.state import caller, guarded, workbench

SLOT = "job:dose"
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6)
PROMPT_COUNTS = (8, 16, 32, 64)
Pair = tuple[ModelFacts, ModelFacts]


def draw_dose_response(pair: Pair) -> None:
    """Recorded curves where they are of this very pair, a button to run it live, and what came of that."""
    recorded = recorded_curves()
    is_recorded = recorded is not None and recorded.fingerprints == (pair[0].fingerprint, pair[1].fingerprint)
    lines = _lines(pair, st.session_state.get("dose_prompts", 16))
    kept = _kept(lines)
    if is_live(SLOT):
        follow(SLOT, render=lambda snapshot: _draw_partial(lines, snapshot))
    elif kept:
        follow(SLOT)
        _draw(kept, "CACHED", f"{len(kept[0].hits)} questions per point, measured on this machine.", lines[0])
    elif is_recorded and recorded is not None:
        follow(SLOT)
        _draw_recorded(recorded)
    if not lines:
        st.info(
            "There is no direction from both models yet. On the **Extraction** page, extract one from the base model "
            "and one from the reasoning model, and save both: then this experiment can run.",
            icon=":material/explore:",
        )
        return
    _ask(lines)


def _directions(pair: Pair) -> list[tuple[str, Direction]]:
    """The newest direction of each model of the pair, named by its source; empty unless both are there."""
    found: list[tuple[str, Direction]] = []
    for role, facts in zip(ROLES, pair, strict=True):
        mine = [c.direction for c in choices(d_model=facts.d_model) if c.direction.fingerprint == facts.fingerprint]
        found += [(role, mine[0])] if mine else []
    return found if len(found) == 2 else []


def _lines(pair: Pair, n_prompts: int) -> tuple[DoseLine, ...]:
    directions = _directions(pair)
    questions = [example.prompt for example in example_questions("heldout")[-n_prompts:]]
    if not directions or not questions:
        return ()
    encode = workbench().pair.encode
    base, reasoner = pair
    scale = directions[0][1].resid_norm or 20.0
    return plan_dose_response(
        directions=directions,
        targets=[
            ("reasoner", reasoner.spec, reasoner.fingerprint, tuple(encode("reasoner", q) for q in questions)),
            ("base", base.spec, base.fingerprint, tuple(encode("base", q) for q in questions)),
        ],
        layer=directions[0][1].layer,
        coefficients=(0.0, *(round(share * scale, 2) for share in SHARES)),
        sampling=SamplingSpec(max_new_tokens=128, temperature=0.7),
        keywords=KEYWORDS,
    )


def _kept(lines: Sequence[DoseLine]) -> list[DosePoint]:
    """The points of the experiment when every cell is stored, else nothing."""
    points = []
    for line in lines:
        for spec in line.cells:
            cell = workbench().cached(spec)
            if cell is None:
                return []
            points.append(point_of(line, cell))
    return points


def _draw_partial(lines: Sequence[DoseLine], snapshot: Snapshot[object]) -> None:
    cells: Sequence[DoseCell] = snapshot.progress.partial or ()
    by_spec = {cell.spec: cell for cell in cells}
    points = [point_of(line, by_spec[spec]) for line in lines for spec in line.cells if spec in by_spec]
    if points:
        _draw(points, "LIVE", "Points appear as they are measured.", lines[0])


def _draw_recorded(curves: RecordedCurves) -> None:
    scale = next((choice.direction.resid_norm for choice in choices() if choice.origin == "recorded"), 0.0)
    note = f"measured by `make record`: {curves.n_prompts} held-out questions per point, layer {curves.layer}, window "
    _draw_points(curves.points, f"RECORDED · {note}{curves.window}.", resid_norm=scale)


def _draw(points: Sequence[DosePoint], badge: str, note: str, line: DoseLine) -> None:
    direction = next(cell.direction for cell in line.cells if cell.direction is not None)
    _draw_points(points, f"{badge} · {note}", resid_norm=direction.resid_norm)


def _draw_points(points: Sequence[DosePoint], note: str, *, resid_norm: float) -> None:
    rows = point_rows(points, resid_norm=resid_norm)
    for sentence in verdict(rows):
        st.markdown(f"- {sentence}")
    for column, chart in zip(st.columns(2), dose_charts(rows), strict=True):
        column.altair_chart(chart, width="stretch")
    st.caption(
        f"{note} Bands are 95% intervals over questions; hollow points are doses whose text is incoherent: repetitive, "
        "or more than 0.5 nats per token less likely to the unsteered model than its own text."
    )


def _ask(lines: Sequence[DoseLine]) -> None:
    count, button, _ = st.columns([2, 2, 4], vertical_alignment="bottom")
    count.select_slider("Questions per point", PROMPT_COUNTS, value=16, key="dose_prompts", persist_state="session")
    specs = list(dict.fromkeys(spec for line in lines for spec in line.cells))
    if button.button("Run it live", icon=":material/play_arrow:", width="stretch"):
        guarded(lambda: workbench().run_cells(specs, caller()), SLOT)
        st.rerun()
