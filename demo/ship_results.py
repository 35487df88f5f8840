"""Put what was measured of a shipped pair into `demo`: python -m demo.ship_results FOLDER [--cache CACHE]

FOLDER is one of `python -m retrace paper … --out FOLDER`, CACHE where its texts are kept. Plan and results, all of it
as one bundle, and the two directions of the chosen place are written, so that the pair is looked at without the
download and steered without the traces.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from core.bundles.contents import of_experiment
from core.bundles.writing import write_bundle
from core.directions.direction import DOSE, Direction
from core.directions.folder import direction_bytes
from core.disk.carried import carried
from core.disk.store import Store
from core.embedded import DEMO
from core.errors import BadInput
from core.experiments.plans import read_outcome
from core.experiments.statistics import at_chosen
from core.experiments.values import Outcome
from core.fetching.shipped import ShippedPair, shipped_pairs
from core.models.pair import ROLES, Role
from core.runs.cells import DoseCell

PLAN, RESULTS, BUNDLE = "plan.json", "results.json", "results.retrace"


def ship(folder: Path, cache: Path, root: Path = DEMO) -> Path:
    """Write plan, results, bundle and directions; the folder that they are in. Raises BadInput for another pair."""
    outcome = read_outcome((folder / RESULTS).read_bytes(), source=RESULTS)
    pair, store = _pair_of(outcome), Store(cache)
    try:
        found = {role: _direction(outcome, role, store) for role in ROLES}
    finally:
        store.close()
    out = root / "recorded" / pair.name
    out.mkdir(parents=True, exist_ok=True)
    for name in (PLAN, RESULTS):
        shutil.copyfile(folder / name, out / name)
    with carried(cache) as values:
        held = of_experiment(cache, values, outcome.plan, outcome, sums=False)
        write_bundle(out / BUNDLE, replace(held, title=f"The {pair.title}, {pair.source.title}"))
    for role, direction in found.items():
        (root / "directions" / f"{pair.name}-{role}.safetensors").write_bytes(direction_bytes(direction))
    return out


def _pair_of(outcome: Outcome) -> ShippedPair:
    """The shipped pair that was measured. Raises BadInput."""
    spec = outcome.plan.pair
    for pair in shipped_pairs().values():
        if (spec.base.repo_id, spec.reasoner.adapter) == (pair.source.name, pair.adapter):
            return pair
    raise BadInput("These results are of no pair whose adapter comes with the project.", "Measure one of those.")


def _direction(outcome: Outcome, role: Role, store: Store) -> Direction:
    """What was added at the chosen place, with the dose as a share of the residual norm. Raises BadInput."""
    points = [p for p in outcome.reported if at_chosen(outcome, p) and (p.kind, p.source) == ("direction", role)]
    for key in (key for point in points for key in point.cells):
        cell = store.get_by_key(DoseCell, key)
        if cell is not None and cell.spec.direction is not None:
            share = points[0].coefficient / points[0].resid_norm
            name = f"{outcome.plan.label}, from the {role} model"
            known = cell.spec.direction.provenance
            return replace(cell.spec.direction, name=name, provenance=(*known, (DOSE, f"{share:.3g}")))
    raise BadInput(f"No text with the {role} model's direction is kept at the chosen place.", "Finish the plan first.")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m demo.ship_results", description="Ship the results of a pair.")
    parser.add_argument("folder", type=Path, help="a folder that `python -m retrace paper` made")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="where its texts are kept")
    args = parser.parse_args()
    print(ship(args.folder, args.cache))


if __name__ == "__main__":
    main()
