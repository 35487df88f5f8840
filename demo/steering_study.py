"""What the directions do: a sweep to choose layer, window and dose; dose-response and controls on other prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.directions.direction import Direction
from core.extraction.contrast import contrast
from core.extraction.controls import (
    label_controls,
    matched,
    nearest_projected_out,
    overall_mean,
    random_controls,
    shuffled_events,
)
from core.models.pair import ROLES, Role
from core.runs.cells import DoseCell, DoseCellSpec
from core.runs.coherence import CHOSEN, REPORTED, Allowance, Measured, is_readable
from core.traces.events import BACKTRACKING
from core.values import PAPER_WINDOW, Window
from demo.study import WINDOWS, Study, summary

SWEEP_SHARE = 0.5
FINER_SHARES = (0.3, 0.4, 0.6, 0.65, 0.7)
Row = dict[str, Any]


def readable(row: Row, baseline: Row, allowed: Allowance = REPORTED) -> bool:
    """Whether the texts of a dose are readable beside the unsteered ones."""
    return is_readable(_measured(row), _measured(baseline), allowed)


def _measured(row: Row) -> Measured:
    return Measured(
        nll=row["nll"][0], repetition=row["repetition"], no_evidence=row["no_evidence"], n_texts=row["prompts"]
    )


def sweep(study: Study) -> dict[str, Any]:
    """Every layer × window × source at one dose, then more doses at the best places, all on the choosing prompts."""
    places = [(layer, window) for layer in study.layers for window in WINDOWS]
    rows = _sweep_rows(study, [(role, *place, SWEEP_SHARE) for role in study.sizes.swept for place in places])
    baseline = summary(study.run([study.cell("reasoner", None, 0.0, which="choose")])[0])
    best = _best_places([row for row in rows if row["source"] == "base"], baseline, study.sizes.places)
    finer: list[tuple[Role, int, Window, float]] = [("base", *place, share) for place in best for share in FINER_SHARES]
    return {"baseline": baseline, "rows": rows + _sweep_rows(study, finer)}


def _sweep_rows(study: Study, asked: Sequence[tuple[Role, int, Window, float]]) -> list[Row]:
    specs = [
        study.cell("reasoner", study.direction(role, layer, window), study.dose(share, layer), which="choose")
        for role, layer, window, share in asked
    ]
    return [
        {"source": role, "layer": layer, "window": [window.start, window.stop], "share": share} | summary(cell)
        for (role, layer, window, share), cell in zip(asked, study.run(specs), strict=True)
    ]


def _best_places(rows: Sequence[Row], baseline: Row, n: int) -> list[tuple[int, Window]]:
    """Where the effect is strongest, readable text first, and the best layers of the paper's window."""
    ranked = sorted(rows, key=lambda row: (not readable(row, baseline), -row["keywords"][0]))
    paper = [row for row in ranked if row["window"] == [PAPER_WINDOW.start, PAPER_WINDOW.stop]]
    chosen = ranked[:n] + paper[:n]
    return list(dict.fromkeys((row["layer"], Window(start=row["window"][0], stop=row["window"][1])) for row in chosen))


def choose(found: dict[str, Any], *, window: Window | None = None) -> Row:
    """The readable place and dose at which the base-derived direction raises the keywords most; `window` fixes one."""
    rows = [row for row in found["rows"] if row["source"] == "base"]
    if window is not None:
        rows = [row for row in rows if row["window"] == [window.start, window.stop]]
    fit = [row for row in rows if readable(row, found["baseline"], CHOSEN)]
    return max(fit or rows, key=lambda row: row["keywords"][0])


def dose_response(study: Study, layer: int, window: Window, shares: Sequence[float]) -> list[tuple[Row, DoseCell]]:
    """The 2×2 on the reported prompts: direction of base or reasoner × added to base or reasoner × dose."""
    asked = [(source, target, share) for source in ROLES for target in ROLES for share in (0.0, *sorted(shares))]
    specs = [
        study.cell(target, study.direction(source, layer, window), study.dose(share, layer), which="report")
        for source, target, share in asked
    ]
    return [
        ({"source": source, "target": target, "share": share} | summary(cell), cell)
        for (source, target, share), cell in zip(asked, study.run(specs), strict=True)
    ]


def controls(study: Study, layer: int, window: Window, share: float) -> list[Row]:
    """What should do less than the base-derived direction at the chosen dose, on the last of the reported prompts."""
    coefficient = study.dose(share, layer)
    direction = study.direction("base", layer, window)
    named: list[tuple[str, DoseCellSpec]] = []

    def add(name: str, control: Direction, amount: float = coefficient, **changes: Any) -> None:
        named.append((name, study.cell("reasoner", control, amount, which="controls", **changes)))

    for i, control in enumerate(random_controls(direction, study.sizes.random_controls), start=1):
        add(f"random {i}", control)
    add("overall mean activation", overall_mean(study.moments("base"), direction))
    others = label_controls(study.moments("base"), layer, window, BACKTRACKING)
    for other in others:
        add(f"label: {dict(other.provenance)['label']}", matched(other, direction))
    for i, control in enumerate(_shuffled(study, layer, window), start=1):
        add(f"shuffled events {i}", matched(control, direction))
    add("self-amplification", direction, operator="amplify")
    add("sign flip", direction, -coefficient)
    without = nearest_projected_out(direction, others)
    add(f"the direction {without.name.split(' · ')[1]}", without)
    cells = study.run(spec for _, spec in named)
    cosines = {f"label: {dict(other.provenance)['label']}": other.cosine(direction) for other in others}
    return [
        {"control": name, "cosine": cosines.get(name)} | summary(cell)
        for (name, _), cell in zip(named, cells, strict=True)
    ]


def _shuffled(study: Study, layer: int, window: Window) -> list[Direction]:
    found = []
    for seed in range(study.sizes.shuffles):
        traces = shuffled_events(study.traces, seed, BACKTRACKING)
        moments = study.gather("base", traces, labels=(BACKTRACKING,), windows=(window,))
        direction = contrast(moments, BACKTRACKING).at(layer, window)
        found.append(replace(direction, name=f"shuffled events {seed + 1}"))
    return found
