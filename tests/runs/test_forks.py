"""Forks: what a fork's spec is, and the tree that keeps them."""

from dataclasses import replace

import pytest

from core.disk.store import Store
from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.runs.forks import after, fork_spec, until
from core.runs.history import RunHistory, run_id_of, search
from core.values import Positions, SamplingSpec
from tests import stored_values as sv


@pytest.fixture
def history(tmp_path):
    store = Store(tmp_path)
    yield RunHistory(tmp_path, store)
    store.close()


def edit(**fields):
    return SteeringSpec(direction=sv.direction(), layer=2, coefficient=4.0, **fields)


def test_without_changes_a_fork_asks_for_the_same_run_with_a_prefix():
    parent = sv.generation()
    assert fork_spec(parent, 3) == replace(parent.spec, prefix=parent.token_ids[:3])
    assert fork_spec(parent, 3, steering=parent.spec.steering) == fork_spec(parent, 3)
    assert fork_spec(parent, 0).prefix == ()


def test_other_steering_begins_at_the_fork_and_the_old_one_ends_there():
    parent = replace(sv.generation(), spec=sv.generation_spec(steering=(edit(),)))
    new = edit(operator="ablate", positions=Positions(region="completion"))
    old, fresh = fork_spec(parent, 3, steering=(new,)).steering
    assert old == edit(positions=Positions(stop=3 + 3))
    assert fresh == replace(new, positions=Positions(region="completion", start=3))
    assert fork_spec(parent, 3, steering=()).steering == (old,)


def test_an_edited_beginning_and_other_sampling_take_their_places():
    sampling = SamplingSpec(max_new_tokens=64, temperature=1.0, seed=9)
    spec = fork_spec(sv.generation(), 2, prefix=(7, 8, 9), sampling=sampling)
    assert (spec.prefix, spec.sampling) == ((7, 8, 9), sampling)


@pytest.mark.parametrize(
    ("positions", "past", "future"),
    [
        (Positions(), Positions(stop=14), Positions(start=14)),
        (Positions(region="prompt"), Positions(region="prompt"), None),
        (Positions(region="completion", start=6), None, Positions(region="completion", start=6)),
        (Positions(region="completion", stop=3), Positions(region="completion", stop=3), None),
        (
            Positions(region="thinking", stop=9),
            Positions(region="thinking", stop=4),
            Positions(region="thinking", start=4, stop=9),
        ),
    ],
)
def test_an_edit_is_cut_in_two_at_the_fork(positions, past, future):
    before, behind = until(edit(positions=positions), 10, 4), after(edit(positions=positions), 10, 4)
    assert (before.positions if before else None) == past
    assert (behind.positions if behind else None) == future


def test_a_token_that_is_not_there_and_a_full_text_are_refused():
    parent = sv.generation(tokens=5)
    with pytest.raises(BadInput, match="number 6"):
        fork_spec(parent, 6)
    with pytest.raises(BadInput, match="limit is 4"):
        fork_spec(parent, 5, sampling=SamplingSpec(max_new_tokens=4))


def test_the_tree_holds_parents_before_their_forks_and_survives_a_restart(history, tmp_path):
    root = sv.generation()
    child = replace(root, spec=fork_spec(root, 2, steering=()))
    grandchild = replace(root, spec=fork_spec(child, 4, sampling=SamplingSpec(seed=5)))
    other = replace(root, spec=fork_spec(root, 1, steering=()))
    history.keep(child, parent=root, forked_at=2)
    history.keep(grandchild, parent=child, forked_at=4)
    history.keep(other, parent=root, forked_at=1)
    again = RunHistory(tmp_path, Store(tmp_path))
    for start in (root, child, grandchild, other):
        rows = [(depth, entry.record.forked_at) for depth, entry in again.tree(run_id_of(start.spec))]
        assert rows == [(0, 0), (1, 1), (1, 2), (2, 4)]
    assert again.tree("0" * 20) == []


def test_pins_and_notes_stay_when_a_run_is_kept_again_and_pinned_runs_come_first(history):
    first, second = sv.generation(1), sv.generation(2)
    history.annotate(first, "the funny one")
    history.pin(first, 12.0)
    history.keep(second)
    history.keep(first, parent=second, forked_at=1)
    entries = history.entries()
    assert [entry.run_id for entry in entries] == [run_id_of(first.spec), run_id_of(second.spec)]
    assert (entries[0].record.note, entries[0].record.pinned_at, entries[0].record.forked_at) == (
        "the funny one",
        12.0,
        1,
    )
    history.pin(first, 0.0)
    assert history.find(run_id_of(first.spec)).pinned_at == 0


def test_stored_runs_are_listed_until_they_are_deleted(history, tmp_path):
    generation = sv.generation(3)
    history._store.put("generation", generation.spec, generation)
    (entry,) = history.entries()
    assert not entry.kept
    assert history.find(entry.run_id).generation == generation
    history.keep(generation)
    assert [e.kept for e in history.entries()] == [True]
    history.delete(generation.spec)
    assert history.entries() == []
    assert history.find(entry.run_id) is None


def test_search_needs_every_word_somewhere_in_the_run(history):
    history.annotate(sv.generation(4), "Interesting WAIT")
    entries = history.entries()
    assert search(entries, "wait interesting") == entries
    assert search(entries, "2 + 2 number") == entries
    assert search(entries, "wait absent") == []
