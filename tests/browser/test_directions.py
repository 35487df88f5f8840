"""The directions page in a real browser, with no model to load: files in, a look at them, a file out and in again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Download, Page, TimeoutError, expect

from core.directions.exports import export_bytes
from core.directions.folder import DirectionFolder
from core.directions.mean_vectors import MeanVectorFolder
from core.directions.uploads import read_vectors
from tests.browser.conftest import Screen, Server, settled
from tests.directions.test_mean_vectors import make_means
from tests.directions.test_tensors import Touches

HOSTILE = "![x](https://beacon.example/x.png)<img src=x onerror='window.hacked=1'>"


@pytest.fixture
def server(fresh_server: Callable[..., AbstractContextManager[Server]], tmp_path: Path) -> Iterator[Server]:
    missing = f"{tmp_path / 'no-base'},{tmp_path / 'no-reasoner'}"
    with fresh_server("app.py", RETRACE_PAIR=missing, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1") as running:
        yield running


def upload(page: Page, path: Path) -> None:
    """Choose a file once nothing is being drawn, and again where the uploader was put in its place meanwhile."""
    name = page.get_by_test_id("stFileUploader").get_by_text(path.name)
    for _ in range(3):
        settled(page)
        page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(path)
        with contextlib.suppress(AssertionError):
            expect(name).to_be_visible(timeout=20_000)
            return
    raise AssertionError(f"{path.name} was not taken")


def downloaded(page: Page, ending: str = "") -> Download:
    """What the Download button gives; it is pressed again where it, or its file, was being drawn anew."""
    for _ in range(5):
        settled(page)
        with contextlib.suppress(TimeoutError):
            with page.expect_download(timeout=40_000) as download:
                page.get_by_role("button", name="Download", exact=True).click()
            if download.value.suggested_filename.endswith(ending):
                return download.value
    raise AssertionError(f"no file {ending} was downloaded")


def view(page: Page, name: str) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True).click()


@pytest.mark.parametrize("screen", [Screen(theme="dark")])
def test_files_in_and_out_without_a_model(server: Server, page: Page, tmp_path: Path) -> None:
    means = make_means(n_layers=4, d_model=32)
    value = {
        label: {"mean": torch.from_numpy(means.means[i]), "count": int(means.counts[i])}
        for i, label in enumerate(means.labels)
    }
    torch.save({**value, HOSTILE: value["deduction"]}, tmp_path / "means.pt")
    torch.save({"x": Touches(tmp_path / "ran")}, tmp_path / "hostile.pt")

    page.goto(server.url)
    page.get_by_role("link", name="Directions").click()
    expect(page.get_by_text("Nothing is saved yet")).to_be_visible(timeout=60_000)
    view(page, "Import")
    upload(page, tmp_path / "hostile.pt")
    expect(page.get_by_text("which is code")).to_be_visible(timeout=60_000)
    assert not (tmp_path / "ran").exists()

    page.get_by_role("button", name="Remove").first.click()
    upload(page, tmp_path / "means.pt")
    expect(page.get_by_text("A set of mean vectors")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Keep the set").click()
    expect(page.get_by_text("The set is kept until you delete it")).to_be_visible(timeout=30_000)
    cells = page.get_by_test_id("stVegaLiteChart").first.locator("svg.marks .mark-rect path")
    expect(cells).to_have_count(9, timeout=30_000)
    assert len(MeanVectorFolder(server.cache).list()) == 1
    page.get_by_role("button", name="Add to the saved directions").click()
    expect(page.get_by_text("1 added to the saved directions")).to_be_visible(timeout=30_000)

    view(page, "Saved")
    page.get_by_role("button", name="Export").click()
    page.get_by_role("combobox", name="Format").click()
    page.get_by_role("option", name="GGUF").click()
    (saved,) = DirectionFolder(server.cache).list()
    download = downloaded(page, ".gguf")
    data = Path(download.path()).read_bytes()
    assert data == export_bytes(saved.direction, "gguf")
    assert read_vectors(data, name="x.gguf") == saved.direction
    assert page.evaluate("window.hacked") is None
