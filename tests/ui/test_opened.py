"""Bundles that sessions look at: a folder of their own, read-only, gone with the last session, merged when asked."""

from __future__ import annotations

import io
import tempfile

import pytest

from core.directions.folder import DirectionFolder
from core.errors import BadInput, UserFacingError
from core.workbench import Workbench
from tests import every_kind
from tests.bundles.filled import bundled, files_of, fill, values_of
from ui.shell.opened import MOST, PREFIX, SERVER, BundleShelf


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A shelf whose folders lie below this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    made = BundleShelf()
    yield made
    made.close_all()


@pytest.fixture
def data(tmp_path):
    fill(tmp_path / "cache")
    bundled(tmp_path / "cache", tmp_path / "all.retrace")
    return (tmp_path / "all.retrace").read_bytes()


def folders(tmp_path):
    return list((tmp_path / "tmp").glob(f"{PREFIX}*"))


def test_two_sessions_share_a_bundle_and_the_last_one_takes_it_away(shelf, data, tmp_path):
    first, second = (shelf.open(io.BytesIO(data), name) for name in ("a", "b"))
    assert first is second
    assert values_of(first.folder / "results") == values_of(tmp_path / "cache")
    shelf.close(first.digest, "a")
    assert shelf.get(first.digest) is first
    shelf.close(first.digest, "b")
    assert shelf.get(first.digest) is None
    assert folders(tmp_path) == []


def test_what_is_opened_cannot_be_changed(shelf, data, tmp_path):
    bench = shelf.open(io.BytesIO(data), "a").bench
    before = files_of(bench.store.root)
    (direction,) = bench.directions.list()
    changes = (
        lambda: bench.directions.save(every_kind.direction(layer=5)),
        lambda: bench.directions.rename(direction.direction_id, "other"),
        lambda: bench.history.annotate(every_kind.generation(1), "other"),
        lambda: bench.trace_sets.save(every_kind.traces(), name="other"),
        lambda: bench.trace_sets.rename(bench.trace_sets.list()[-1].set_id, "other"),
        lambda: bench.experiments.rename(bench.experiments.list()[0].experiment_id, "other"),
    )
    for change in changes:
        with pytest.raises(UserFacingError, match="read-only"):
            change()
    assert files_of(bench.store.root) == before


def test_it_is_merged_when_asked_and_the_file_that_was_opened_is_not_needed(shelf, data, tmp_path):
    opened = shelf.open(io.BytesIO(data), "a")
    ours = Workbench(tmp_path / "ours")
    new, same, notes = shelf.merge(opened.digest, ours)
    assert (new, same, notes) == (len(opened.manifest.items), 0, ())
    assert len(DirectionFolder(tmp_path / "ours").list()) == 1
    ours.close()


def test_a_refused_file_leaves_nothing(shelf, data, tmp_path):
    with pytest.raises(BadInput, match="refused"):
        shelf.open(io.BytesIO(data[:-1]), "a")
    assert folders(tmp_path) == []


def test_a_server_shows_a_few_and_forgets_those_of_sessions_that_left(shelf, tmp_path):
    made = []
    for number in range(MOST + 1):
        DirectionFolder(tmp_path / str(number)).save(every_kind.direction(layer=number))
        bundled(tmp_path / str(number), tmp_path / f"{number}.retrace")
        made.append((tmp_path / f"{number}.retrace").read_bytes())
    for number in range(MOST):
        shelf.open(io.BytesIO(made[number]), str(number))
    with pytest.raises(BadInput, match="are open"):
        shelf.open(io.BytesIO(made[MOST]), "new")
    shelf.open(io.BytesIO(made[MOST]), "new", is_there=lambda session: session != "2")
    assert len(folders(tmp_path)) == MOST


def test_what_a_killed_server_left_is_removed_and_what_another_uses_stays(shelf, data, tmp_path):
    used = shelf.open(io.BytesIO(data), "a").folder
    left = tmp_path / "tmp" / f"{PREFIX}left"
    (left / "results").mkdir(parents=True)
    BundleShelf()
    assert folders(tmp_path) == [used]


def test_what_the_server_opened_itself_stays_when_no_session_looks_at_it(shelf, data):
    kept = shelf.open(io.BytesIO(data), SERVER, is_there=lambda _: False)
    assert shelf.open(io.BytesIO(data), "a", is_there=lambda _: False) is kept
    shelf.close(kept.digest, "a")
    assert shelf.open(io.BytesIO(data), "b", is_there=lambda _: False) is kept
