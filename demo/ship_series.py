"""Put what was measured over a finetune into `demo`: python -m demo.ship_series PAIR OUT [--cache CACHE]

OUT is a folder of `python -m retrace emergence … --out OUT`, CACHE where its experiments are kept, PAIR the shipped
pair whose adapter is the finetune's. Adapters of the checkpoints are named by finetune and step, wherever they lay.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path, PurePath

from core.embedded import DEMO
from core.errors import BadInput
from core.experiments.plans import plan_id
from core.experiments.values import Outcome
from core.series.folder import SeriesFolder, read_series, series_id
from core.series.values import SeriesPlan, choice_of, choosing_plan, member_plan
from core.values import PairSpec

PLAN = "plan.json"


def ship(name: str, out: Path, cache: Path, root: Path = DEMO) -> Path:
    """Write plan, experiments and cosines; the folder that they are in. Raises BadInput for an unfinished series."""
    plan = read_series((out / PLAN).read_bytes(), source=PLAN)
    found, place = SeriesFolder(cache).load(plan), SeriesFolder(root / "recorded" / name)
    if not found.finished:
        raise BadInput("Not every checkpoint is measured.", "Go on with the same command of `retrace emergence`.")
    moved = _moved(plan)
    kept = place.experiments(place.save(moved))
    choice = choice_of(plan, found.choosing)
    choosing = choosing_plan(moved)
    if found.choosing is not None and choosing is not None:
        kept.keep(plan_id(choosing), _renamed(found.choosing))
    for one, member in zip(found.measured, moved.members, strict=True):
        own = member_plan(moved, member, choice)
        assert one.outcome is not None
        kept.keep(plan_id(own), _renamed(one.outcome))
        place.keep_cosines(moved, own, one.cosines)
    return place.folder / series_id(moved)


def _moved(plan: SeriesPlan) -> SeriesPlan:
    members = tuple(replace(member, pair=_named(member.pair)) for member in plan.members)
    return replace(plan, members=members, plan=replace(plan.plan, pair=_named(plan.plan.pair)))


def _renamed(outcome: Outcome) -> Outcome:
    return replace(outcome, plan=replace(outcome.plan, pair=_named(outcome.plan.pair)))


def _named(pair: PairSpec) -> PairSpec:
    """The reasoner's adapter by finetune and step, without the folders above."""
    path = PurePath(pair.reasoner.adapter or "")
    return replace(pair, reasoner=replace(pair.reasoner, adapter=f"{path.parent.parent.name}/{path.name}"))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m demo.ship_series", description="Ship curves over a finetune.")
    parser.add_argument("pair", help="the name of a shipped pair")
    parser.add_argument("out", type=Path, help="a folder that `python -m retrace emergence` made")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="where its experiments are kept")
    args = parser.parse_args()
    print(ship(args.pair, args.out, args.cache))


if __name__ == "__main__":
    main()
