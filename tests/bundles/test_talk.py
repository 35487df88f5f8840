"""A talk travels with the runs and experiments that it names, and joins the talk that is there."""

from __future__ import annotations

import json

import pytest

from core.bundles.contents import of_directions, of_project, of_talk
from core.bundles.layout import BadBundle
from core.bundles.manifest import manifest_json, read_manifest
from core.bundles.merging import merge
from core.bundles.reading import open_bundle
from core.bundles.writing import write_bundle
from core.disk.carried import carried
from core.disk.store import Store
from core.errors import BadInput
from core.experiments.folder import ExperimentFolder
from core.runs.history import RunHistory
from core.talk.folder import TalkFolder
from core.talk.items import Talk, made_item
from tests.bundles.filled import fill
from tests.talk.filled import FIRST, compare, fill_talk, pieces_of, text


@pytest.fixture
def talk(tmp_path):
    """(path of the bundle of a talk, id of its experiment)."""
    experiment_id = fill_talk(tmp_path / "a")
    path = tmp_path / "talk.retrace"
    with carried(tmp_path / "a") as store:
        write_bundle(path, of_talk(tmp_path / "a", store, sums=False))
    return path, experiment_id


def merged(path, root):
    with path.open("rb") as file:
        return merge(open_bundle(file), root)


def runs_of(root):
    store = Store(root)
    try:
        history = RunHistory(root, store)
        return {run_id: history.find(run_id) for run_id in TalkFolder(root).read().run_ids}
    finally:
        store.close()


def test_a_talk_brings_all_that_it_shows_and_nothing_else(talk, tmp_path):
    path, experiment_id = talk
    with path.open("rb") as file:
        manifest = open_bundle(file).manifest
    assert (manifest.kind, manifest.count("talk"), manifest.count("run")) == ("talk", 1, 3)
    assert [plan.experiment_id for plan in manifest.plans] == [experiment_id]
    assert manifest.count("direction") == manifest.count("traces") == 0
    merged(path, tmp_path / "b")
    assert TalkFolder(tmp_path / "b").read() == TalkFolder(tmp_path / "a").read()
    assert all(runs_of(tmp_path / "b").values())
    assert ExperimentFolder(tmp_path / "b").outcome(experiment_id) is not None


def test_a_talk_joins_the_one_that_is_there_and_merging_again_changes_nothing(talk, tmp_path):
    root = tmp_path / "b"
    compare(root, "Mine?", (text(21, "Mine?", pieces_of("m")),), "mine")
    merged(talk[0], root)
    once = TalkFolder(root).read()
    assert [item.title[:5] for item in once.items] == ["mine", "First", "</scr", "Fig. "]
    merged(talk[0], root)
    assert TalkFolder(root).read() == once


def test_what_is_gone_stays_out_and_the_rest_travels(tmp_path):
    root = tmp_path / "a"
    experiment_id = fill_talk(root)
    ExperimentFolder(root).delete(experiment_id)
    for path in (root / "history").glob("*"):
        path.unlink()
    with carried(root) as store:
        found = of_talk(root, store, sums=False)
    assert found.plans == ()
    assert {source.place for source in found.sources} == {"talk"}


def test_an_empty_talk_is_no_bundle(tmp_path):
    fill(tmp_path)
    with carried(tmp_path) as store, pytest.raises(BadInput, match="The talk is empty"):
        of_talk(tmp_path, store, sums=True)


def test_everything_holds_the_talk_too(tmp_path):
    fill_talk(tmp_path)
    with carried(tmp_path) as store:
        places = [source.place for source in of_project(tmp_path, store, sums=False).sources]
    assert places.count("talk") == 1


def test_only_a_bundle_with_a_talk_is_of_the_newer_format(talk, tmp_path):
    """What an older Retrace reads rightly, it goes on reading."""
    fill(tmp_path / "c")
    write_bundle(tmp_path / "old.retrace", of_directions(tmp_path / "c"))
    for path, schema in ((talk[0], 2), (tmp_path / "old.retrace", 1)):
        with path.open("rb") as file:
            manifest = open_bundle(file).manifest
        assert json.loads(manifest_json(manifest))["schema"] == schema


@pytest.mark.parametrize("key", ["1" * 20, "../talk", "0" * 19])
def test_a_talk_has_one_name(talk, key):
    with talk[0].open("rb") as file:
        manifest = open_bundle(file).manifest
    row = json.loads(manifest_json(manifest))
    item = next(item for item in row["items"] if item["place"] == "talk")
    item["key"], item["name"] = key, f"talk-{key}.safetensors"
    with pytest.raises(BadBundle):
        read_manifest(json.dumps(row).encode())


def test_titles_of_a_foreign_talk_are_held_to_the_rules(talk):
    items = TalkFolder(talk[0].parent / "a").read().items
    with pytest.raises(ValueError):
        Talk(items=(*items, made_item("again", comparison=items[0].comparison)))
    assert items[0].comparison.question == FIRST
