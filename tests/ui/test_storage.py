"""What takes how much of the disk, and freeing it."""

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.directions.direction import Direction
from core.workbench import Workbench
from tests import every_kind
from ui.components.safe_text import size


def page() -> None:
    from ui.shell.storage import draw_storage

    draw_storage()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    bench = Workbench(tmp_path)
    monkeypatch.setattr("ui.shell.storage.workbench", lambda: bench)
    yield bench
    bench.close()


def said(app: AppTest) -> str:
    return " ".join(e.value for e in (*app.markdown, *app.caption))


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    app.run()
    assert not app.exception
    return app


def test_each_part_is_named_with_its_size_and_freed_alone(bench):
    moments = every_kind.moments()
    bench.moments.put(moments)
    bench.moments.put_unfinished(replace(moments, spec=replace(moments.spec, seed=5)))
    saved = bench.directions.save(every_kind.direction())
    for folder, n_bytes in (("finetunes", 5_000), ("models", 2_000)):
        (bench.root / folder / "one").mkdir(parents=True)
        (bench.root / folder / "one" / "model.safetensors").write_bytes(bytes(n_bytes))
    app = AppTest.from_function(page).run()
    assert not app.exception
    taken = bench.store.taken()
    assert f"Sums of extractions: **{size(taken['moments'])}**" in said(app)
    assert f"Stopped passes: **{size(taken['unfinished_moments'])}**" in said(app)
    assert size(bench.store.limit_bytes) in said(app)
    assert "Saved directions:" in said(app)
    assert "Finetunes: 5" in said(app)
    assert "Fetched models: 2" in said(app)
    press(app, "storage:Stopped passes:ask")
    assert "begins anew" in said(app)
    assert bench.moments.unfinished_bytes() > 0, "asked before it is done"
    press(app, "storage:Stopped passes:yes")
    assert bench.moments.unfinished_bytes() == 0
    assert bench.moments.get(moments.spec) is not None
    press(press(app, "storage:Sums of extractions:ask"), "storage:Sums of extractions:yes")
    assert bench.moments.get(moments.spec) is None
    assert isinstance(bench.directions.load(saved), Direction)


def test_all_results_go_and_what_was_saved_stays(bench):
    spec, value = every_kind.values_by_kind()["dose_cell"]
    bench.store.put("dose_cell", spec, value)
    saved = bench.directions.save(every_kind.direction())
    app = AppTest.from_function(page).run()
    press(press(app, "storage:All results:ask"), "storage:All results:yes")
    assert bench.cached(spec) is None
    assert isinstance(bench.directions.load(saved), Direction)
