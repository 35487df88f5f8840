"""Comparisons: which lanes were asked side by side, what pinning keeps, and what is left when runs go."""

import pytest

from core.disk.store import Store
from core.runs.history import Comparisons, RunHistory, run_id_of
from tests import stored_values as sv


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def history(tmp_path, store):
    return RunHistory(tmp_path, store)


@pytest.fixture
def comparisons(tmp_path, store, history):
    return Comparisons(tmp_path, store, history)


def run(store, number):
    made = sv.generation(number)
    store.put("generation", made.spec, made)
    return made


def lanes_of(entries):
    return [entry.comparison.run_ids for entry in entries]


def test_lanes_that_share_a_run_are_comparisons_of_their_own_the_last_asked_first(store, comparisons):
    plain, gentle, strong = (run(store, number) for number in range(3))
    comparisons.note([plain.spec, gentle.spec])
    comparisons.note([plain.spec, strong.spec])
    first, second = ((run_id_of(plain.spec), run_id_of(one.spec)) for one in (gentle, strong))
    assert lanes_of(comparisons.entries()) == [second, first]
    comparisons.note([plain.spec, gentle.spec])
    assert lanes_of(comparisons.entries()) == [first, second]
    assert comparisons.records(comparisons.entries()[0].comparison)[1].generation == gentle
    assert comparisons.entries()[0].comparison.question == "What is 2 + 2?"


def test_a_pinned_comparison_outlives_the_store_and_an_unpinned_one_is_still_listed(store, comparisons):
    pair, other = [run(store, 0), run(store, 1)], [run(store, 2), run(store, 3)]
    comparisons.pin(pair, 5.0)
    comparisons.note([one.spec for one in other])
    assert [entry.pinned for entry in comparisons.entries()] == [True, False]
    store.clear()
    (entry,) = comparisons.entries()
    assert [record.generation for record in comparisons.records(entry.comparison)] == pair
    comparisons.pin(pair, 0.0)
    (entry,) = comparisons.entries()
    assert not entry.pinned


def test_a_comparison_is_forgotten_without_its_runs_and_runs_that_are_gone_are_left_out(store, history, comparisons):
    lanes = [run(store, 0), run(store, 1)]
    comparisons.pin(lanes, 5.0)
    (entry,) = comparisons.entries()
    history.delete(lanes[0].spec)
    assert [record.generation for record in comparisons.records(entry.comparison)] == [lanes[1]]
    assert not comparisons.entries()[0].pinned
    comparisons.delete(entry.comparison)
    assert comparisons.entries() == []
    assert history.find(run_id_of(lanes[1].spec)) is not None


def test_a_run_is_found_by_its_id_however_many_came_after_it(store, history):
    first = run(store, 0)
    for number in range(1, 210):
        run(store, number)
    assert run_id_of(first.spec) not in {entry.run_id for entry in history.entries()}
    assert history.find(run_id_of(first.spec)).generation == first
    assert history.find("0" * 20) is None
    assert history.find("%") is None
