"""Merging results: nothing is lost, nothing is doubled, ids stay, and it is said where things came from."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from core.bundles.contents import of_directions, of_experiment, of_runs
from core.bundles.layout import BadBundle
from core.bundles.merging import merge
from core.bundles.origins import Origins
from core.bundles.reading import open_bundle
from core.bundles.writing import write_bundle, write_into
from core.directions.folder import DirectionFolder, id_of
from core.disk import codec
from core.disk.carried import carried
from core.disk.store import Store
from core.errors import BadInput, UserFacingError
from core.experiments.folder import ExperimentFolder
from core.experiments.plans import plan_id
from core.extraction.shelf import MomentShelf
from core.runs.cells import DoseCell
from core.runs.history import RunHistory
from core.traces.sets import TraceFolder
from core.values import Part
from tests import every_kind
from tests.bundles.filled import bundled, files_of, fill, values_of
from tests.experiments import outcomes


@pytest.fixture
def opened():
    """Opens bundles, and closes their files."""
    files = []

    def open_at(path):
        files.append(path.open("rb"))
        return open_bundle(files[-1])

    yield open_at
    for file in files:
        file.close()


def carry(root, path, opened):
    bundled(root, path)
    return opened(path)


def test_a_merge_into_nothing_is_the_cache_itself(tmp_path, opened):
    fill(tmp_path / "a")
    merged = merge(carry(tmp_path / "a", tmp_path / "a.retrace", opened), tmp_path / "b")
    assert files_of(tmp_path / "b") == files_of(tmp_path / "a")
    assert values_of(tmp_path / "b") == values_of(tmp_path / "a")
    assert merged.same == 0
    assert merged.notes == ()


def test_a_merge_of_two_caches_holds_both_and_nothing_twice(tmp_path, opened):
    for seed, name in enumerate("ab"):
        fill(tmp_path / name, seed=seed)
    before = {name: (files_of(tmp_path / name), values_of(tmp_path / name)) for name in "ab"}
    bundle = carry(tmp_path / "a", tmp_path / "a.retrace", opened)
    merge(bundle, tmp_path / "b")
    after, values = files_of(tmp_path / "b"), values_of(tmp_path / "b")
    assert set(after) == set(before["a"][0]) | set(before["b"][0])
    assert set(values) == set(before["a"][1]) | set(before["b"][1])
    assert {name: after[name] for name in before["b"][0]} == before["b"][0]
    directions = DirectionFolder(tmp_path / "b")
    assert {one.direction_id for one in directions.list()} == {id_of(every_kind.direction(layer=i)) for i in (0, 1)}
    assert directions.broken() == []
    assert {one.name for one in TraceFolder(tmp_path / "b").list()} == {"mine 0", "mine 1"}
    again = merge(bundle, tmp_path / "b")
    assert not again.new
    assert again.same == len(bundle.manifest.items)
    assert (files_of(tmp_path / "b"), values_of(tmp_path / "b")) == (after, values)


def test_what_came_in_says_where_it_came_from(tmp_path, opened):
    fill(tmp_path / "a")
    fill(tmp_path / "b", seed=1)
    merge(carry(tmp_path / "a", tmp_path / "a.retrace", opened), tmp_path / "b")
    origins = Origins(tmp_path / "b")
    theirs, ours = (id_of(every_kind.direction(layer=i)) for i in (0, 1))
    origin = origins.of("direction", theirs)
    assert origin is not None
    assert origin.title == "All results"
    assert origins.of("direction", ours) is None


def test_a_direction_under_another_ones_name_is_refused(tmp_path):
    fill(tmp_path / "a")
    (path,) = (tmp_path / "a" / "directions").glob("*.safetensors")
    other = every_kind.direction(layer=3)
    path.write_bytes(codec.dump(other, key=path.stem))
    file = io.BytesIO()
    write_into(file, of_directions(tmp_path / "a"))
    with pytest.raises(BadBundle, match="its name stands for"):
        merge(open_bundle(file), tmp_path / "b")
    assert not list((tmp_path / "b").glob("directions/*"))


def test_a_direction_that_is_here_keeps_its_name_and_note(tmp_path, opened):
    fill(tmp_path / "a")
    fill(tmp_path / "b")
    direction_id = id_of(every_kind.direction(layer=0))
    DirectionFolder(tmp_path / "b").rename(direction_id, "ours")
    merge(carry(tmp_path / "a", tmp_path / "a.retrace", opened), tmp_path / "b")
    assert DirectionFolder(tmp_path / "b").load(direction_id).name == "ours"


def test_notes_and_pins_of_a_run_are_joined(tmp_path, opened):
    for name, note in (("a", "theirs"), ("b", "ours")):
        history = RunHistory(tmp_path / name, Store(tmp_path / name))
        history.annotate(every_kind.generation(), note)
    RunHistory(tmp_path / "a", Store(tmp_path / "a")).pin(every_kind.generation(), 7.0)
    merge(carry(tmp_path / "a", tmp_path / "a.retrace", opened), tmp_path / "b")
    (entry,) = RunHistory(tmp_path / "b", Store(tmp_path / "b")).entries()
    assert (entry.record.note, entry.record.pinned_at) == ("ours\ntheirs", 7.0)


def test_of_two_results_of_one_plan_the_further_one_stays(tmp_path, opened):
    whole = outcomes.outcome()
    half = replace(whole, finished=False, done=3, reported=whole.reported[:3])
    for name, kept in (("half", half), ("whole", whole)):
        folder = ExperimentFolder(tmp_path / name)
        folder.keep(folder.save(whole.plan), kept)
    halves, wholes = (carry(tmp_path / n, tmp_path / f"{n}.retrace", opened) for n in ("half", "whole"))
    merge(wholes, tmp_path / "half")
    merge(halves, tmp_path / "whole")
    for name in ("half", "whole"):
        assert ExperimentFolder(tmp_path / name).outcome(plan_id(whole.plan)) == whole


def test_an_experiment_is_not_younger_than_its_bundle(tmp_path, opened):
    fill(tmp_path / "a")
    bundle = carry(tmp_path / "a", tmp_path / "a.retrace", opened)
    merge(bundle, tmp_path / "b")
    (kept,) = ExperimentFolder(tmp_path / "b").list()
    assert kept.saved_at == pytest.approx(bundle.manifest.made_at, abs=0.01)


def test_trace_sets_that_were_corrected_differently_stay_side_by_side(tmp_path, opened):
    folder = TraceFolder(tmp_path / "a")
    set_id = folder.save(every_kind.traces(), name="mine")
    merge(carry(tmp_path / "a", tmp_path / "first.retrace", opened), tmp_path / "b")
    folder.edit(set_id, 0, (Part(label="deduction", start=0, end=4),), note="by us")
    TraceFolder(tmp_path / "b").edit(set_id, 0, (Part(label="uncertain", start=0, end=4),), note="by them")
    bundle = carry(tmp_path / "a", tmp_path / "second.retrace", opened)
    for _ in range(2):
        merge(bundle, tmp_path / "b")
        found = TraceFolder(tmp_path / "b").list()
        assert sorted(one.name for one in found) == ["mine", "mine (merged)"]
    labels = {TraceFolder(tmp_path / "b").trace(one.set_id, 0).parts[0].label for one in found}
    assert labels == {"deduction", "uncertain"}


def test_corrections_that_go_on_from_ours_are_taken_over(tmp_path, opened):
    folder = TraceFolder(tmp_path / "a")
    set_id = folder.save(every_kind.traces(), name="mine")
    merge(carry(tmp_path / "a", tmp_path / "first.retrace", opened), tmp_path / "b")
    folder.edit(set_id, 0, (Part(label="deduction", start=0, end=4),), note="later")
    merge(carry(tmp_path / "a", tmp_path / "second.retrace", opened), tmp_path / "b")
    (found,) = TraceFolder(tmp_path / "b").list()
    assert (found.set_id, found.n_edits) == (set_id, 1)


def test_an_experiment_travels_with_the_texts_of_its_points_and_its_sums(tmp_path, opened):
    experiment_id = fill(tmp_path / "a")
    experiments = ExperimentFolder(tmp_path / "a")
    plan, outcome = experiments.plan(experiment_id), experiments.outcome(experiment_id)
    plan_prints = replace(outcome, fingerprints=(every_kind.FINGERPRINT, every_kind.FINGERPRINT))
    with carried(tmp_path / "a") as store:
        write_bundle(tmp_path / "e.retrace", of_experiment(tmp_path / "a", store, plan, plan_prints, sums=True))
        without = of_experiment(tmp_path / "a", store, plan, plan_prints, sums=False)
    merge(opened(tmp_path / "e.retrace"), tmp_path / "b")
    (key,) = plan_prints.reported[0].cells
    cell = Store(tmp_path / "b").get_by_key(DoseCell, key)
    assert cell is not None
    assert cell.texts == ("Wait, so 4.",)
    assert MomentShelf(Store(tmp_path / "b")).get(every_kind.moments().spec) is not None
    assert not [source for source in without.sources if source.place == "file"]
    assert values_of(tmp_path / "b").keys() < values_of(tmp_path / "a").keys()


def test_runs_that_are_only_stored_travel_too(tmp_path, opened):
    fill(tmp_path / "a")
    ids = [entry.run_id for entry in RunHistory(tmp_path / "a", Store(tmp_path / "a")).entries()]
    with carried(tmp_path / "a") as store:
        write_bundle(tmp_path / "r.retrace", of_runs(tmp_path / "a", store, ids))
        with pytest.raises(BadInput, match="None of these runs"):
            of_runs(tmp_path / "a", store, ["0" * 20])
    merge(opened(tmp_path / "r.retrace"), tmp_path / "b")
    assert [e.run_id for e in RunHistory(tmp_path / "b", Store(tmp_path / "b")).entries()] == ids


def test_where_there_is_no_room_nothing_is_merged(tmp_path, opened):
    fill(tmp_path / "a")
    with pytest.raises(BadInput, match="there is room for"):
        merge(carry(tmp_path / "a", tmp_path / "a.retrace", opened), tmp_path / "b", room=10)
    assert not (tmp_path / "b").exists()


def test_a_bundle_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    fill(tmp_path / "a")
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserFacingError, match="No space left"):
        bundled(tmp_path / "a", tmp_path / "a.retrace")
    assert not list(tmp_path.glob("*.retrace"))
    assert not list(tmp_path.glob(".*"))


def test_what_is_unfinished_or_of_one_machine_stays(tmp_path):
    fill(tmp_path / "a")
    store = Store(tmp_path / "a")
    store.put("unfinished", "spec", every_kind.generation())
    store.put("speed", "spec", every_kind.generation())
    found = bundled(tmp_path / "a", tmp_path / "a.retrace")
    kinds = {source.key.rpartition("-")[0] for source in found.sources if source.place in ("value", "file")}
    assert not kinds & {"unfinished", "speed"}
    assert {"dose_cell", "moments", "pair", "extraction"} <= kinds
