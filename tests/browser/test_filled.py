"""Pages that begin empty, with something on them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from core.workbench import Workbench
from tests.browser.conftest import Screen
from tests.browser.test_access import PHONE, WAIT, ZOOMED, faint_texts, faults_of_layout, opened
from tests.browser.test_shell import forget_probes
from tests.series.small import series_on, trained


@pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark")], ids=["light", "dark"])
def test_a_finetune_and_its_curves_fit_every_screen_and_stand_out(
    fresh_server, tmp_path, page, screen, faults, monkeypatch
):
    monkeypatch.setattr("core.workbench.example_traces", tuple)
    bench = Workbench(tmp_path / "cache")
    series = series_on(trained(bench.finetunes.folder), bench)
    assert bench.engine.wait(bench.series.run(series), 240).state == "done"
    bench.close()
    with fresh_server("app.py") as server:
        for size in (PHONE, ZOOMED, {"width": 1280, "height": 720}):
            page.set_viewport_size(size)
            opened(server, page, "finetuning")
            expect(page.get_by_text("thinker").first).to_be_visible(timeout=WAIT)
            expect(page.locator("canvas, svg.marks").first).to_be_attached(timeout=WAIT)
            assert (size, faults_of_layout(page)) == (size, [])
            assert faint_texts(page) == []
        forget_probes(faults)
