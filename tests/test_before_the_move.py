"""What was kept before core/ was parted into packages is still found, and under the same keys.

`fixtures/before_the_move` was written by the code of then, from the values of `every_kind`; its `facts.json` holds the
keys and ids of then.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from core import workbench
from core.directions.folder import DirectionFolder, id_of
from core.directions.mean_vectors import MeanVectorFolder
from core.disk import codec
from core.disk.store import Store
from core.extraction.shelf import KIND, UNFINISHED, MomentShelf
from core.runs.history import RunHistory, run_id_of
from core.runs.journal import RunJournal
from core.runs.values import Generation
from core.traces.set_files import EMBEDDED
from core.traces.sets import TraceFolder
from core.values import Part
from tests import every_kind
from tests.stored_values import assert_same

FIXTURE = Path(__file__).parent / "fixtures" / "before_the_move"
COUNTED_ANEW = {"attribution", "corpus_text", "gradients", "interventions", "divergence"}
"""Kinds whose keywords are counted in another way since: their old results are computed again."""
SINCE = {"steered", "stream_lens", "projection"}
"""Kinds that were not kept then."""
FACTS = json.loads((FIXTURE / "facts.json").read_text("utf-8"))


@pytest.fixture
def root(tmp_path):
    return Path(shutil.copytree(FIXTURE, tmp_path / "cache"))


def test_every_stored_value_is_found(root):
    bench = workbench.Workbench(root)
    pairs = every_kind.values_by_kind()
    assert {kind for kind, _ in workbench._KINDS.values()} == set(pairs)
    for kind, (spec, value) in pairs.items():
        if kind in COUNTED_ANEW | SINCE:
            assert bench.cached(spec) is None
        else:
            assert_same(bench.cached(spec), value)
    assert_same(bench.unfinished(every_kind.generation(3).spec), every_kind.generation(3))
    assert bench.store.warning is None


def test_the_keys_are_the_same():
    moments, cut = every_kind.moments().spec, every_kind.generation(3).spec
    pairs = {kind: spec for kind, (spec, _) in every_kind.values_by_kind().items()}
    pairs |= {KIND: moments, UNFINISHED: moments, "unfinished": cut}
    keys = {kind: codec.key_of(kind, spec) for kind, spec in pairs.items()}
    assert {kind for kind, key in keys.items() if key != FACTS["keys"].get(kind)} == COUNTED_ANEW | SINCE


def test_sums_are_found(root):
    shelf = MomentShelf(Store(root))
    assert_same(shelf.get(every_kind.moments().spec), every_kind.moments())
    assert_same(shelf.unfinished(every_kind.moments().spec), every_kind.moments())


def test_saved_directions_are_found(root):
    folder = DirectionFolder(root)
    noted, other = (folder.load(found) for found in FACTS["directions"])
    assert_same(other, every_kind.direction(1))
    assert_same(
        noted,
        dataclasses.replace(
            every_kind.direction(), provenance=(*every_kind.direction().provenance, ("note", "a note"))
        ),
    )
    assert [id_of(noted), id_of(other)] == FACTS["directions"]
    assert folder.broken() == []


def test_mean_vectors_are_found(root):
    folder = MeanVectorFolder(root)
    (kept,) = folder.list()
    assert kept.item_id == FACTS["mean_vectors"] == folder.save(every_kind.mean_vectors())
    assert_same(kept.value, every_kind.mean_vectors())


def test_traces_with_their_correction_and_labelling_are_found(root):
    folder = TraceFolder(root, embedded=every_kind.traces)
    set_id, (first, second) = FACTS["traces"]["id"], every_kind.traces()
    corrected = dataclasses.replace(second, parts=(Part(label="deduction", start=0, end=7),))
    assert folder.load(set_id) == (first, corrected)
    assert folder.info(set_id).digest == FACTS["traces"]["digest"]
    assert folder.load_labels(set_id, "keywords") == (first.parts, ())
    assert [(edit.index, edit.note) for edit in folder.edits(set_id)] == [(1, "b: labelled")]
    folder.undo(set_id)
    assert folder.load(set_id) == every_kind.traces()
    assert folder.info(set_id).digest == FACTS["traces"]["digest_without_corrections"]
    assert folder.trace(EMBEDDED, 0).parts == first.parts[1:]
    assert folder.info(EMBEDDED).digest == FACTS["traces"]["embedded_digest"]
    assert folder.unreadable() == ()


def test_kept_runs_are_found(root):
    history = RunHistory(root, Store(root))
    run, fork = every_kind.generation(4), every_kind.generation(5)
    kept, forked = history.find(FACTS["runs"]["kept"]), history.find(FACTS["runs"]["fork"])
    assert (run_id_of(run.spec), run_id_of(fork.spec)) == (FACTS["runs"]["kept"], FACTS["runs"]["fork"])
    assert_same(kept.generation, run)
    assert_same(forked.generation, fork)
    assert (kept.note, kept.pinned_at) == ("worth keeping", 1_700_000_000.0)
    assert (forked.parent, forked.forked_at) == (FACTS["runs"]["kept"], 2)
    listed = {entry.run_id for entry in history.entries()}
    assert listed == {*FACTS["runs"].values(), run_id_of(every_kind.generation().spec)}


def test_an_interrupted_run_is_found(root):
    (run,) = RunJournal(root).interrupted()
    (found,) = run.generations
    want = dataclasses.replace(
        every_kind.generation(6),
        token_ids=every_kind.IDS[:2],
        pieces=every_kind.PIECES[:2],
        stop_reason="interrupted",
        nll=None,
        seconds=found.seconds,
    )
    assert (run.run_id, run.meta) == (FACTS["interrupted"], {"title": "lane"})
    assert isinstance(found, Generation)
    assert_same(found, want)


def old_files(root):
    return sorted(p for p in root.glob("*/*.safetensors") if p.parent.name in p.name)


def test_large_values_in_the_old_place_are_counted_replaced_and_cleared(root):
    store, spec = Store(root), every_kind.moments().spec
    large = old_files(root)
    assert {path.parent.name for path in large} == {"extraction", KIND, UNFINISHED}
    assert store.size_bytes() == store._opened().volume() + sum(path.stat().st_size for path in large)
    store.delete(UNFINISHED, spec)
    assert store.put_file(KIND, spec, every_kind.moments())
    assert [path.parent.name for path in old_files(root)] == ["extraction"]
    assert_same(MomentShelf(store).get(spec), every_kind.moments())
    kept = [p for name in ("directions", "mean_vectors", "history", "traces", "runs") for p in (root / name).rglob("*")]
    store.clear()
    assert old_files(root) == []
    assert store.get_file(type(every_kind.moments()), KIND, spec) is None
    assert all(path.exists() for path in kept)


def test_a_damaged_large_value_in_the_old_place_is_a_miss_and_goes(root):
    path = old_files(root)[0]
    path.write_bytes(path.read_bytes()[:-1])
    spec, _ = every_kind.values_by_kind()["extraction"]
    assert workbench.Workbench(root).cached(spec) is None
    assert not path.exists()
