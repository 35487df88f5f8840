"""What was measured over a finetune, put where the Finetuning page looks for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import BadInput
from core.series.folder import SeriesFolder, series_json
from core.workbench import Workbench
from demo.ship_series import ship
from tests.series.small import series_on, trained
from ui.figures.series_rows import series_rows


def _page() -> None:
    from ui.finetuning.recorded import draw_recorded

    draw_recorded(is_open=True)


def test_curves_are_shipped_without_the_place_of_the_finetune_and_shown(tmp_path, monkeypatch):
    monkeypatch.setattr("core.workbench.example_traces", tuple)
    cache, out, root = tmp_path / "cache", tmp_path / "out", tmp_path / "demo"
    bench = Workbench(cache)
    run = trained(bench.finetunes.folder)
    plan = series_on(run, bench)
    out.mkdir()
    (out / "plan.json").write_text(series_json(plan), "utf-8")
    with pytest.raises(BadInput, match="Not every checkpoint is measured"):
        ship("a-pair", out, cache, root)
    assert not root.exists()
    measured = bench.engine.wait(bench.series.run(plan), 240).result
    bench.close()
    folder = ship("a-pair", out, cache, root)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if f"{run.path}" in path.read_text("utf-8")] == []
    place = SeriesFolder(root / "recorded" / "a-pair")
    (kept,) = place.list()
    assert kept.plan.members[-1].pair.reasoner.adapter == "thinker/step-000006"
    assert kept.plan.steps == plan.steps
    shipped = place.load(kept.plan)
    assert series_rows(shipped) == series_rows(measured)
    assert [one.cosines for one in shipped.measured] == [one.cosines for one in measured.measured]
    monkeypatch.setattr(
        "ui.finetuning.recorded.shipped_pairs", lambda: {"a": SimpleNamespace(name="a-pair", title="small pair")}
    )
    monkeypatch.setattr("ui.finetuning.recorded.recorded_folder", lambda name: root / "recorded" / name)
    app = AppTest.from_function(_page).run(timeout=30)
    assert not app.exception
    (shown,) = app.expander
    assert "recorded over 4 checkpoints" in shown.label
    assert app.caption[0].value == "Held against 2 random directions of equal norm\\, label\\, flip\\."
    assert [title.value for title in app.subheader] == ["Over the training of the small pair"]
