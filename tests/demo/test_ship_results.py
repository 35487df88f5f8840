"""What was measured of a shipped pair, put where the app looks for it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from core.bundles.reading import open_bundle
from core.directions.direction import DOSE
from core.directions.folder import read_direction_bytes
from core.errors import BadInput
from core.experiments.plans import outcome_json, plan_json
from core.experiments.statistics import at_chosen
from core.runs.cells import DoseCell
from demo import ship_results
from tests.experiments.test_work import open_bench, pair, run  # noqa: F401
from tests.fleet.test_cells import small_plan_for


def test_results_are_shipped_with_their_texts_and_the_directions_that_were_added(open_bench, tmp_path, monkeypatch):  # noqa: F811
    cache, folder, root = tmp_path / "cache", tmp_path / "out", tmp_path / "demo"
    bench = open_bench(cache)
    outcome = run(bench, small_plan_for(bench))
    for made in (folder, root / "directions"):
        made.mkdir(parents=True)
    (folder / "plan.json").write_text(plan_json(outcome.plan), "utf-8")
    (folder / "results.json").write_text(outcome_json(outcome), "utf-8")
    with pytest.raises(BadInput, match="no pair whose adapter comes with the project"):
        ship_results.ship(folder, cache, root)
    spec = outcome.plan.pair
    source = SimpleNamespace(name=spec.base.repo_id, title="A model")
    shipped = SimpleNamespace(name="a-pair", title="small pair", source=source, adapter=spec.reasoner.adapter)
    monkeypatch.setattr(ship_results, "shipped_pairs", lambda: {"a-pair": shipped})
    out = ship_results.ship(folder, cache, root)
    assert (out / "results.json").read_bytes() == (folder / "results.json").read_bytes()
    with (out / "results.retrace").open("rb") as file:
        bundle = open_bundle(file)
    assert {key for p in outcome.reported for key in p.cells} <= {item.key for item in bundle.manifest.items}
    for role in ("base", "reasoner"):
        direction = read_direction_bytes((root / f"directions/a-pair-{role}.safetensors").read_bytes(), name=role)
        point = next(
            p for p in outcome.reported if p.source == role and p.kind == "direction" and at_chosen(outcome, p)
        )
        added = bench.store.get_by_key(DoseCell, point.cells[0]).spec.direction
        assert np.array_equal(direction.vector, added.vector)
        share = float(dict(direction.provenance)[DOSE])
        assert share * point.resid_norm == pytest.approx(point.coefficient, rel=0.01)
