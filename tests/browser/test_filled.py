"""Pages that begin empty, with something on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from core.workbench import Workbench
from tests.browser.conftest import Screen, Server, running
from tests.browser.test_access import PHONE, WAIT, ZOOMED, faint_texts, faults_of_layout, opened
from tests.browser.test_shell import forget_probes
from tests.series.small import series_on, trained


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a finetune and its curves."""
    cache = tmp_path_factory.mktemp("filled") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.workbench.example_traces", tuple)
        bench = Workbench(cache)
        series = series_on(trained(bench.finetunes.folder), bench)
        state = bench.engine.wait(bench.series.run(series), 240).state
        bench.close()
    assert state == "done"
    with running("app.py", cache) as started:
        yield started


@pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark")], ids=["light", "dark"])
def test_a_finetune_and_its_curves_fit_every_screen_and_stand_out(server, page, screen, faults):
    for size in (PHONE, ZOOMED, {"width": 1280, "height": 720}):
        page.set_viewport_size(size)
        opened(server, page, "finetuning")
        expect(page.get_by_text("thinker").first).to_be_visible(timeout=WAIT)
        expect(page.locator("canvas, svg.marks").first).to_be_attached(timeout=WAIT)
        assert (size, faults_of_layout(page)) == (size, [])
        assert faint_texts(page) == []
    forget_probes(faults)
