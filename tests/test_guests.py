"""A visitor of a shared server, on the server's side: what reads works, what changes anything is refused."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace

import pytest

from core import guests
from core.errors import BadInput, NotAllowed
from core.guests import MOST_LANES, MOST_TOKENS, allowed, as_guest
from core.jobs import Caller, Progress
from core.models.pair import DEMO_PAIR
from core.runs.values import GenerationSpec
from core.values import ModelSpec, Prompt, SamplingSpec
from core.workbench import Workbench

PARTS = tuple(name for name in allowed() if name)
SPEC = GenerationSpec(
    model=ModelSpec(repo_id="a"),
    fingerprint="a",
    prompt=Prompt(text="Why?", token_ids=(1, 2), question="Why?"),
    sampling=SamplingSpec(max_new_tokens=MOST_TOKENS),
)


@pytest.fixture
def bench(tmp_path):
    made = Workbench(tmp_path / "cache")
    yield made
    made.close()


@pytest.fixture
def told():
    return []


@pytest.fixture
def guest(bench, told):
    return as_guest(bench, "visitor 1", told.extend)


def forever():
    while True:
        time.sleep(0.002)
        yield Progress(0, 0)


def publics(thing):
    return [name for name in dir(type(thing)) if not name.startswith("_")]


FORBIDDEN = {
    "load a pair": lambda b: b.load_pair(DEMO_PAIR, Caller()),
    "load past the engine": lambda b: b.pair.load(DEMO_PAIR),
    "have a model": lambda b: b.pair.model_of(ModelSpec(repo_id="a"), "a"),
    "ask what a pair needs": lambda b: b.estimate_pair(DEMO_PAIR),
    "keep the pair": lambda b: b.pair_hold.keep(Caller(owner="x")),
    "import traces": lambda b: b.import_traces(io.BytesIO(b"[]"), source="x", name="x"),
    "save traces": lambda b: b.trace_sets.save([], name="x"),
    "begin a set of traces": lambda b: b.trace_sets.new("x"),
    "rename traces": lambda b: b.trace_sets.rename("x", "y"),
    "delete traces": lambda b: b.trace_sets.delete("x"),
    "correct a trace": lambda b: b.trace_sets.edit("x", 0, [], note=""),
    "undo a correction": lambda b: b.trace_sets.undo("x"),
    "save labels": lambda b: b.trace_sets.save_labels("x", "y", []),
    "delete labels": lambda b: b.trace_sets.delete_labels("x", "y"),
    "label by keywords": lambda b: b.label_by_keywords("x", None, name="y"),
    "ask the judge": lambda b: b.judge(None, []),
    "extract": lambda b: b.extract(None, []),
    "extract all layers": lambda b: b.record_moments([], []),
    "run an experiment": lambda b: b.run_plan(None),
    "help an experiment": lambda b: b.help_plan(None),
    "save an experiment": lambda b: b.experiments.save(None),
    "keep an outcome": lambda b: b.experiments.keep("x", None),
    "rename an experiment": lambda b: b.experiments.rename("x", "y"),
    "delete an experiment": lambda b: b.experiments.delete("x"),
    "run a prompt set": lambda b: b.generate_set([SPEC]),
    "read all layers": lambda b: b.read_stream([]),
    "read a corpus": lambda b: b.read_corpus([]),
    "read by many passes": lambda b: b.attribute(object()),
    "save a direction": lambda b: b.directions.save(None),
    "rename a direction": lambda b: b.directions.rename("x", "y"),
    "write a note on a direction": lambda b: b.directions.annotate("x", "y"),
    "delete a direction": lambda b: b.directions.delete("x"),
    "save mean vectors": lambda b: b.mean_vectors.save(None),
    "delete mean vectors": lambda b: b.mean_vectors.delete("x"),
    "pin a run": lambda b: b.history.pin(None, 1.0),
    "write a note on a run": lambda b: b.history.annotate(None, "x"),
    "keep a run": lambda b: b.history.keep(None),
    "delete a run": lambda b: b.history.delete(SPEC),
    "pin a comparison": lambda b: b.comparisons.pin([], 1.0),
    "delete a comparison": lambda b: b.comparisons.delete(None),
    "delete a finetune": lambda b: b.finetunes.delete("x"),
    "train an adapter": lambda b: b.finetunes.run(None, []),
    "ask what a finetune needs": lambda b: b.finetunes.need(None),
    "fetch a model": lambda b: b.fetching.get(None),
    "discard what was interrupted": lambda b: b.journal.discard("x"),
    "begin a journal": lambda b: b.journal.begin("x", ()),
    "put a value": lambda b: b.store.put("generation", SPEC, None),
    "delete a value": lambda b: b.store.delete("generation", SPEC),
    "remove files": lambda b: b.store.remove_files("x"),
    "free the store": lambda b: b.store.clear(),
    "close the store": lambda b: b.store.close(),
    "free sums": lambda b: b.moments.free_finished(),
    "free unfinished sums": lambda b: b.moments.free_unfinished(),
    "remember a pair": lambda b: b.remembered.keep(None),
    "add to the talk": lambda b: b.talk.add(None),
    "clear the talk": lambda b: b.talk.clear(),
    "submit any job": lambda b: b.engine.submit("x", forever()),
    "halt the engine": lambda b: b.engine.halt(),
    "close the workbench": lambda b: b.close(),
}


@pytest.mark.parametrize("act", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_changes_anything_is_refused_and_nothing_changes(act, guest, bench):
    files = sorted(path for path in bench.store.root.rglob("*"))
    with pytest.raises(NotAllowed, match="speaker's to do"):
        act(guest)
    assert bench.engine.live() == []
    assert sorted(path for path in bench.store.root.rglob("*")) == files


@pytest.mark.parametrize("part", PARTS)
def test_a_method_that_is_not_named_is_refused_whatever_it_is(part, guest, bench):
    whole, view = getattr(bench, part), getattr(guest, part)
    own = set(vars(type(view)))
    for name in set(publics(whole)) - allowed()[part] - own:
        if callable(getattr(whole, name)):
            with pytest.raises(NotAllowed):
                getattr(view, name)()
        else:
            with pytest.raises(NotAllowed):
                getattr(view, name)


def test_of_the_workbench_itself_a_visitor_has_these_methods_and_no_other(guest, bench):
    runs = {"generate", "fork", "compare_lanes", "attribute", "read_direction", "table_events"}
    for name in set(publics(bench)) - allowed()[""] - runs:
        with pytest.raises(NotAllowed):
            getattr(guest, name)()
    assert {name for name in vars(guests._Guest) if not name.startswith("_")} == runs
    with pytest.raises(NotAllowed):
        _ = guest._lab
    for name in vars(bench):
        if not name.startswith("_"):
            assert name in {*PARTS, "engine", "root"}, f"{name} is new: say in core/guests.py what of it reads"


def test_what_reads_works(guest, bench):
    assert guest.directions.list() == []
    assert guest.trace_sets.list() == bench.trace_sets.list()
    assert guest.pair.spec is None
    assert guest.cached(SPEC) is None
    assert guest.store.warning == bench.store.warning
    assert guest.store.recent("generation", object, 5) == []
    assert guest.journal.interrupted() == []
    assert guest.history.entries(3) == []


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ([SPEC] * (MOST_LANES + 1), "4 lanes"),
        ([SPEC, replace(SPEC, sampling=SamplingSpec(max_new_tokens=MOST_TOKENS + 1))], "257 new tokens"),
        ([replace(SPEC, prompt=replace(SPEC.prompt, token_ids=tuple(range(2049))))], "2,049 tokens"),
    ],
)
def test_a_visitors_run_is_short(specs, says, guest, bench, told):
    for ask in (guest.generate, lambda specs: guest.fork(None, specs[-1], 0)):
        if len(specs) <= MOST_LANES or ask == guest.generate:
            with pytest.raises(BadInput, match=says):
                ask(specs)
    assert (bench.engine.live(), told) == ([], [])


def test_a_run_is_the_visitors_whatever_the_page_says_and_the_speaker_is_told(guest, bench, told):
    release = threading.Event()

    def own():
        release.wait(10)
        yield Progress(1, 1)

    bench.engine.submit("x", own())
    job = guest.generate([SPEC], Caller(owner="a tab"))
    assert bench.engine.is_of(job, "visitor 1")
    assert told == [SPEC]
    release.set()
    assert bench.engine.wait(job, 20).state == "error"


def test_a_visitor_releases_no_pair_that_the_speaker_keeps(guest, bench):
    bench.pair_hold.keep(Caller(owner="the speaker"))
    guest.pair_hold.release(Caller(owner="the speaker"))
    assert bench.pair_hold.kept_by() is not None


def test_a_visitor_stops_and_watches_no_other_run_than_the_own(guest, bench):
    own = bench.engine.submit("x", forever(), caller=Caller(owner="the speaker"))
    others = bench.engine.submit("x", forever(), caller=Caller(owner="b", guest="visitor 2"))
    mine = bench.engine.submit("x", forever(), caller=Caller(owner="c", guest="visitor 1"))
    for job in (own, others, "unknown"):
        with pytest.raises(NotAllowed, match="Another's run"):
            guest.engine.stop(job)
        with pytest.raises(NotAllowed, match="Another's run"):
            guest.engine.watch(job, Caller(owner="c"))
    guest.engine.watch(mine, Caller(owner="another tab"))
    assert bench.engine.is_of(mine, "visitor 1")
    guest.engine.stop(mine)
    assert bench.engine.wait(mine, 5).state == "cancelled"
    for job in (own, others):
        bench.engine.stop(job)
        bench.engine.wait(job, 5)
