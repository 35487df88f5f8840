"""Loading a pair while another is in use: who goes on, who ends and how, and what a stop or a fault leaves."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

import pytest
import torch

from core.engine import Engine
from core.errors import ModelUnavailable
from core.jobs import Progress
from core.models import checkpoints, loaded, loading
from core.models.pair import PairHolder
from core.values import ModelSpec, PairSpec
from tests.page_helpers import save_tiny_pair
from tests.tiny_models import tiny_folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> tuple[PairSpec, PairSpec]:
    return tuple(save_tiny_pair(tmp_path_factory.mktemp(name)) for name in ("one", "two"))


@pytest.fixture
def holder(pairs) -> PairHolder:
    holder = PairHolder()
    engine = Engine()
    assert engine.wait(engine.submit("load", holder.load(pairs[0])), 60).state == "done"
    engine.halt()
    return holder


@pytest.fixture
def engine(holder) -> Iterator[Engine]:
    engine = Engine(check_clean=holder.check_clean)
    yield engine
    engine.halt()


class Gate:
    """Holds a step of loading until it is opened."""

    def __init__(self, monkeypatch, place: object, name: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        through = getattr(place, name)

        def slow(*args, **options):
            self.reached.set()
            assert self.opened.wait(30)
            return through(*args, **options)

        monkeypatch.setattr(place, name, slow)


def forwards(holder: PairHolder, seen: list[object], *, role="reasoner"):
    """A job that runs one forward a step, for ever."""
    facts = holder.facts(role)
    model = holder.model_of(facts.spec, facts.fingerprint)
    while True:
        with model.lock, torch.inference_mode():
            model.model(input_ids=torch.tensor([[1, 2, 3]]))
        seen.append((torch.get_default_dtype(), torch.get_num_threads()))
        yield Progress(len(seen), 0)


def wait_until(condition, seconds=20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def in_bf16(pair: PairSpec) -> PairSpec:
    base, reasoner = (ModelSpec(repo_id=spec.repo_id, precision="bf16") for spec in (pair.base, pair.reasoner))
    return PairSpec(base=base, reasoner=reasoner)


@pytest.mark.parametrize(("place", "name"), [(checkpoints, "find_checkpoint"), (loaded, "load_tokenizer")])
def test_runs_on_the_loaded_pair_go_on_until_the_swap_and_end_with_the_reason(
    holder, engine, pairs, monkeypatch, place, name
):
    gate, seen = Gate(monkeypatch, place, name), []
    run = engine.submit("run", forwards(holder, seen))
    load = engine.submit("load", holder.load(pairs[1]))
    assert gate.reached.wait(30)
    n_before = len(seen)
    wait_until(lambda: len(seen) > n_before + 20)
    assert holder.spec == pairs[0]
    assert engine.snapshot(load).live
    gate.opened.set()
    assert engine.wait(load, 60).state == "done"
    assert holder.spec == pairs[1]
    ended = engine.wait(run, 10)
    assert isinstance(ended.error, ModelUnavailable)
    assert "is not loaded any more" in ended.error.problem
    assert holder.facts("base").spec == pairs[1].base


def test_numbers_of_other_jobs_keep_their_type_and_threads_while_a_model_is_built(holder, engine, pairs):
    seen = []
    run = engine.submit("run", forwards(holder, seen))
    wait_until(lambda: seen)
    kept = seen[0]
    assert engine.wait(engine.submit("load", holder.load(in_bf16(pairs[1]))), 60).state == "done"
    engine.wait(run, 10)
    assert set(seen) == {kept}
    assert kept[0] == torch.float32


def test_after_a_load_forwards_run_on_the_threads_of_their_pair(holder, engine, pairs):
    seen = []
    assert engine.wait(engine.submit("load", holder.load(pairs[1])), 60).state == "done"
    engine.submit("run", forwards(holder, seen))
    wait_until(lambda: seen)
    assert seen[0][1] == 1


@pytest.mark.parametrize("has_pair", [True, False])
def test_a_stop_within_the_weights_leaves_what_was_there_and_gives_the_memory_back(
    holder, engine, pairs, monkeypatch, has_pair
):
    if not has_pair:
        holder = PairHolder()
    told, made, build = loading._told, [], loaded.load_weights

    def slow(weights, message, tell):
        for weight in told(weights, message, tell):
            time.sleep(0.05)
            yield weight

    def load_weights(*args):
        model = build(*args)
        made.append(weakref.ref(model))
        return model

    monkeypatch.setattr(loading, "_told", slow)
    monkeypatch.setattr(loaded, "load_weights", load_weights)
    load = engine.submit("load", holder.load(pairs[1]))
    wait_until(lambda: made and 0 < engine.snapshot(load).progress.done < 0.9)
    engine.stop(load)
    assert engine.wait(load, 20).state == "cancelled"
    wait_until(lambda: not holder._background._thread.is_alive())
    assert made[0]() is None
    assert holder.spec == (pairs[0] if has_pair else None)
    if has_pair:
        seen = []
        engine.submit("run", forwards(holder, seen))
        wait_until(lambda: len(seen) > 3)


def test_a_pair_that_cannot_be_loaded_leaves_the_old_one_in_use(holder, engine, pairs, tmp_path):
    seen = []
    run = engine.submit("run", forwards(holder, seen))
    wider = ModelSpec(repo_id=str(tiny_folder(tmp_path, d_model=64, name="wider")))
    for base in (wider, ModelSpec(repo_id="/nowhere")):
        ended = engine.wait(engine.submit("load", holder.load(PairSpec(base=base, reasoner=pairs[1].reasoner))), 60)
        assert isinstance(ended.error, ModelUnavailable)
        assert holder.spec == pairs[0]
    n_before = len(seen)
    wait_until(lambda: len(seen) > n_before + 3)
    assert engine.snapshot(run).live


def test_the_error_of_a_failed_load_holds_no_model(holder, engine, pairs, tmp_path, monkeypatch):
    made, build = [], loaded._assemble

    def assemble(*args):
        model = build(*args)
        made.append(weakref.ref(model))
        return model

    monkeypatch.setattr(loaded, "_assemble", assemble)
    wider = ModelSpec(repo_id=str(tiny_folder(tmp_path, d_model=64, name="wider")))
    ended = engine.wait(engine.submit("load", holder.load(PairSpec(base=wider, reasoner=pairs[1].reasoner))), 60)
    assert "not a base model and its finetune" in ended.error.problem
    assert [ref() for ref in made] == [None, None]


def test_where_both_do_not_fit_the_old_pair_is_released_first(holder, engine, pairs, monkeypatch):
    seen, order = [], []
    need = sum(checkpoints.estimate_memory(spec).weights_bytes for spec in (pairs[1].base, pairs[1].reasoner))
    old = holder.memory_taken("cpu")

    def available(device: str) -> int:
        return (old if holder.spec is None else 0) + need // 2

    unload, load_model = loaded.unload, loaded.load_model
    monkeypatch.setattr(checkpoints, "available_memory", available)
    monkeypatch.setattr(loaded, "unload", lambda model: (order.append("unload"), unload(model)))
    monkeypatch.setattr(loaded, "load_model", lambda *a, **k: (order.append("load"), load_model(*a, **k))[1])
    monkeypatch.setattr(loading, "memory_needed", lambda spec, folder: need // 2)
    run = engine.submit("run", forwards(holder, seen))
    load = engine.submit("load", holder.load(pairs[1]))
    assert engine.wait(load, 60).state == "done"
    assert order == ["unload", "unload", "load", "load"]
    assert "is not loaded any more" in engine.wait(run, 10).error.problem


def test_what_fits_at_no_time_is_refused_and_the_old_pair_stays(holder, engine, pairs, monkeypatch):
    monkeypatch.setattr(checkpoints, "available_memory", lambda device: 1000)
    monkeypatch.setattr(loading, "memory_needed", lambda spec, folder: 10**12)
    ended = engine.wait(engine.submit("load", holder.load(pairs[1])), 60)
    assert "need about 2000.0 GB on cpu" in ended.error.problem
    assert "once the loaded pair is released" in ended.error.problem
    assert holder.spec == pairs[0]


def test_two_loads_come_one_after_the_other(holder, engine, pairs, monkeypatch):
    gate = Gate(monkeypatch, loaded, "load_tokenizer")
    first = engine.submit("load", holder.load(pairs[1]))
    assert gate.reached.wait(30)
    second = engine.submit("load", holder.load(in_bf16(pairs[0])))
    third = engine.submit("load", holder.load(in_bf16(pairs[0])))
    wait_until(lambda: "another load" in engine.snapshot(second).progress.message)
    engine.stop(third)
    assert engine.wait(third, 5).state == "cancelled"
    gate.opened.set()
    assert engine.wait(first, 60).state == "done"
    assert engine.wait(second, 60).state == "done"
    assert holder.spec == in_bf16(pairs[0])


def test_a_load_after_one_that_was_stopped_waits_for_its_thread(holder, engine, pairs, monkeypatch):
    gate = Gate(monkeypatch, loaded, "load_tokenizer")
    first = engine.submit("load", holder.load(pairs[1]))
    assert gate.reached.wait(30)
    engine.stop(first)
    assert engine.wait(first, 2).state == "cancelled"
    second = engine.submit("load", holder.load(in_bf16(pairs[1])))
    wait_until(lambda: "stopped" in engine.snapshot(second).progress.message)
    gate.opened.set()
    assert engine.wait(second, 60).state == "done"


def test_a_pair_that_is_there_is_not_loaded_again(holder, engine, pairs, monkeypatch):
    monkeypatch.setattr(loaded, "load_model", lambda *a, **k: pytest.fail("loaded again"))
    assert engine.wait(engine.submit("load", holder.load(pairs[0])), 10).result == pairs[0]


def test_a_load_that_is_stopped_leaves_one_for_another_place_alone(engine, pairs, monkeypatch):
    told, go_on = loading._told, threading.Event()

    def slow(weights, message, tell):
        for weight in told(weights, message, tell):
            go_on.wait(0.05)
            yield weight

    monkeypatch.setattr(loading, "_told", slow)
    first, second = PairHolder(), PairHolder()
    stopped = engine.submit("load", first.load(pairs[0]))
    wait_until(lambda: engine.snapshot(stopped).progress.done > 0)
    other = engine.submit("load", second.load(pairs[1]))
    wait_until(lambda: "another load" in engine.snapshot(other).progress.message)
    engine.stop(stopped)
    go_on.set()
    assert engine.wait(other, 60).state == "done", engine.snapshot(other).error
    assert (first.spec, second.spec) == (None, pairs[1])
