"""A pair whose models share a card: the same tokens and numbers as beside each other, one of them there at any time.

The card is played by the CPU: the weights change places by the same code, in memory of the same kind.
"""

from __future__ import annotations

import gc
import itertools
import logging
import math
import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.attribution.gradients import attribute_gradients
from core.attribution.one_text import attribute_tokens, read_steered
from core.attribution.readouts import SteeredSpec, StreamLensSpec
from core.attribution.values import (
    Attribution,
    AttributionSpec,
    DivergenceSpec,
    GradientSpec,
    InterventionSpec,
    TargetText,
)
from core.background import Errand
from core.directions.direction import Direction
from core.engine import Engine
from core.errors import ModelUnavailable, OutOfMemory
from core.extraction.moments import MomentsSpec
from core.forward import unembedding
from core.forward.edits import SteeringSpec
from core.jobs import Caller
from core.memory import cards, exchange
from core.memory.exchange import Exchange
from core.memory.resident import OneCard
from core.models import both, checkpoints, loaded, loading
from core.models.pair import PairHolder
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec, LaneKLSpec
from core.settings import ONE_AT_A_TIME
from core.traces.events import digest_of
from core.values import PAPER_WINDOW, PairSpec, SamplingSpec
from core.workbench import Workbench
from tests.experiments.test_work import plan_for
from tests.extraction.test_passes import make_traces
from tests.page_helpers import save_tiny_pair
from tests.stored_values import assert_same

GB = 10**9
QUESTION, TEXT = "What is 3 plus 4?", "First we add the numbers. Wait, let me check this again."


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> PairSpec:
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def on_card(monkeypatch) -> None:
    monkeypatch.setattr(cards, "CARDS", ("cpu",))


def opened(root, pair: PairSpec, *, one_at_a_time: bool) -> Workbench:
    bench = Workbench(root)
    done = bench.engine.wait(bench.load_pair(pair, one_at_a_time=one_at_a_time), 60)
    assert done.state == "done", done.error
    return bench


@pytest.fixture
def benches(tmp_path, pair, on_card) -> Iterator[tuple[Workbench, Workbench]]:
    """(both models beside each other, sharing)."""
    found = tuple(opened(tmp_path / str(i), pair, one_at_a_time=bool(i)) for i in range(2))
    yield found
    for bench in found:
        bench.close()


@pytest.fixture(autouse=True)
def never_two(monkeypatch) -> None:
    """Before and after every exchange all of one model's weights are on the card, and none of the other's."""
    join, swap = Exchange.join, Exchange.swap

    def check(places: Exchange) -> None:
        assert {places.is_on_card(one) for one in places._here} == {True}
        assert {places.is_on_card(one) for one in places._away} == {False}

    def joined(self, here) -> None:
        join(self, here)
        check(self)

    def swapped(self) -> None:
        check(self)
        swap(self)
        check(self)

    monkeypatch.setattr(Exchange, "join", joined)
    monkeypatch.setattr(Exchange, "swap", swapped)


def watch(bench: Workbench) -> list[str]:
    """Every use of a weight asserts that it is on the card; the names of the models as they are used."""
    places, used = bench.pair._pair.card._places, list[str]()
    for role, model in bench.pair._pair.models.items():
        for module in model.model.modules():
            own = list(module.parameters(recurse=False))

            def check(*_, own=own, role=role) -> None:
                assert all(places.is_on_card(weight) for weight in own)
                used.append(role)

            if own:
                module.register_forward_pre_hook(check)
    return used


def spec_of(bench, role="reasoner", *, n=8, question=QUESTION, steering=()):
    facts = bench.pair.facts(role)
    return GenerationSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        prompt=bench.pair.encode(role, question),
        sampling=SamplingSpec(max_new_tokens=n),
        steering=tuple(steering),
    )


def direction(seed=3) -> Direction:
    raw = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
    return Direction.from_raw(raw / np.linalg.norm(raw), name="d", layer=1)


def result_of(bench: Workbench, job):
    done = bench.engine.wait(job, 60)
    assert done.state == "done", done.error
    return done.result


def n_moves(bench: Workbench) -> int:
    return bench.pair.moves.n_moves


def text_of(bench, role, *, question=QUESTION) -> TargetText:
    facts, reading = bench.pair.facts(role), bench.pair.read(role, question, TEXT)
    return TargetText(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        token_ids=reading.token_ids,
        text_start=reading.text_start,
        keywords=("wait",),
        targets=(len(reading.token_ids) - 3,),
    )


def reading_of(bench, role) -> AttributionSpec:
    text = text_of(bench, role)
    asked = {name: getattr(text, name) for name in ("model", "fingerprint", "token_ids", "text_start", "keywords")}
    return AttributionSpec(**asked, direction=direction(), layer=1, coefficient=4.0)


def lens_of(bench, role, reader, layer) -> StreamLensSpec:
    facts = bench.pair.facts(reader)
    return replace(
        StreamLensSpec.of(reading_of(bench, role), layer), reader=facts.spec, reader_fingerprint=facts.fingerprint
    )


def test_lanes_of_both_models_are_token_for_token_what_they_are_beside_each_other(benches):
    beside, sharing = benches
    used = watch(sharing)
    edit = SteeringSpec(direction=direction(), layer=1, coefficient=9.0)
    lanes = []
    for bench in benches:
        base, reasoner = (spec_of(bench, role, n=24) for role in ("base", "reasoner"))
        specs = [reasoner, base, replace(base, steering=(edit,)), replace(reasoner, steering=(edit,))]
        lanes.append(result_of(bench, bench.generate(specs)))
    for a, b in zip(*lanes, strict=True):
        assert (a.token_ids, a.pieces, a.stop_reason, a.nll) == (b.token_ids, b.pieces, b.stop_reason, b.nll)
    assert n_moves(sharing) == 1
    changes = sum(a != b for a, b in itertools.pairwise(used))
    assert (used[0], changes) == ("base", 1)
    assert beside.pair.moves is None


def test_sets_of_lanes_begin_with_the_model_that_is_there(benches, monkeypatch):
    monkeypatch.setattr("core.runs.work.SET_BATCH", 4)
    found = []
    for bench in benches:
        specs = [spec_of(bench, role, n=6, question=f"What is {i}?") for i in range(6) for role in ("base", "reasoner")]
        found.append([(lane.token_ids, lane.nll) for lane in result_of(bench, bench.generate_set(specs))])
    assert found[0] == found[1]
    assert n_moves(benches[1]) == 1


def test_extraction_gathers_the_same_sums_of_both_models(benches):
    traces, found = make_traces(), []
    watch(benches[1])
    for bench in benches:
        specs = [
            MomentsSpec(
                model=facts.spec,
                fingerprint=facts.fingerprint,
                traces_digest=digest_of(traces),
                labels=("backtracking",),
                windows=(PAPER_WINDOW,),
                layers=(0, 2),
            )
            for facts in map(bench.pair.facts, ("reasoner", "base"))
        ]
        result_of(bench, bench.record_moments(specs, traces))
        found.append([bench.moments.get(spec) for spec in specs])
    for a, b in zip(*found, strict=True):
        assert_same(a, b)
    assert n_moves(benches[1]) == 2


@pytest.mark.parametrize(
    ("asked", "moves"),
    [
        pytest.param(lambda b: reading_of(b, "reasoner"), 1, id="readings"),
        pytest.param(lambda b: GradientSpec(text=text_of(b, "reasoner"), direction=direction()), 1, id="gradients"),
        pytest.param(
            lambda b: InterventionSpec(text=text_of(b, "reasoner"), direction=direction(), layer=1, coefficient=1.0),
            1,
            id="effects",
        ),
        pytest.param(lambda b: SteeredSpec(reading=reading_of(b, "reasoner")), 1, id="steered"),
        pytest.param(lambda b: lens_of(b, "base", "reasoner", 1), 1, id="lens of the other"),
        pytest.param(lambda b: DivergenceSpec(text=text_of(b, "base"), other=text_of(b, "reasoner")), 2, id="diverge"),
        pytest.param(lambda b: DivergenceSpec(text=text_of(b, "reasoner"), other=text_of(b, "base")), 3, id="reversed"),
    ],
)
def test_every_reading_is_the_same_to_the_bit(benches, asked, moves):
    watch(benches[1])
    found = [result_of(bench, bench.attribute(asked(bench))) for bench in benches]
    if isinstance(found[0], Attribution):
        found = [replace(one, seconds=0.0) for one in found]
    assert_same(*found)
    assert n_moves(benches[1]) == moves


@pytest.mark.parametrize(
    ("read", "asked"),
    [
        (attribute_tokens, reading_of),
        (read_steered, lambda b, role: SteeredSpec(reading=reading_of(b, role))),
        (attribute_gradients, lambda b, role: GradientSpec(text=text_of(b, role), direction=direction())),
    ],
)
def test_a_reading_that_is_stepped_by_hand_finds_its_model_at_every_use(benches, read, asked):
    watch(benches[1])
    found = []
    for bench in benches:
        steps = []
        for item in read(model_of(bench), asked(bench, "reasoner")):
            steps.append(item)
            with model_of(bench, "base").lock:
                pass
        result = steps[-1]
        found.append(replace(result, seconds=0.0) if isinstance(result, Attribution) else result)
    assert_same(*found)


@pytest.mark.parametrize(
    "asked",
    [
        lambda b: b.attribute(reading_of(b, "reasoner")),
        lambda b: b.attribute(DivergenceSpec(text=text_of(b, "base"), other=text_of(b, "reasoner"))),
        lambda b: b.attribute(lens_of(b, "base", "reasoner", 1)),
        lambda b: b.read_stream([lens_of(b, "base", "reasoner", 1)]),
        lambda b: b.compare_lanes(LaneKLSpec(lane=spec_of(b), reference=spec_of(b, "base"), token_ids=(5, 9))),
        lambda b: b.generate([spec_of(b, role) for role in ("reasoner", "base")]),
    ],
    ids=["readings", "divergence", "lens", "all layers", "lanes' KL", "lanes"],
)
def test_every_move_of_a_job_is_said_before(benches, monkeypatch, asked):
    said, announced = [], OneCard._announced

    def noted(self, guest):
        said.append(guest.title)
        return announced(self, guest)

    monkeypatch.setattr(OneCard, "_announced", noted)
    result_of(benches[1], asked(benches[1]))
    assert len(said) == n_moves(benches[1]) > 0


def test_two_models_are_compared_in_parts_where_much_of_it_has_to_wait(benches, monkeypatch):
    monkeypatch.setattr(unembedding, "CHUNK", 4)
    monkeypatch.setattr(unembedding, "WAITING_BYTES", 2 * 4 * 4 * 352)
    specs = [DivergenceSpec(text=text_of(bench, "base"), other=text_of(bench, "reasoner")) for bench in benches]
    found = [result_of(bench, bench.attribute(spec)) for bench, spec in zip(benches, specs, strict=True)]
    assert_same(*found)
    text = len(specs[1].text.token_ids) - specs[1].text.text_start
    assert n_moves(benches[1]) == 1 + math.ceil(text / 8) > 2


def test_lanes_of_two_models_and_all_layers_through_the_other_are_compared_alike(benches):
    watch(benches[1])
    kl, lenses = [], []
    for bench in benches:
        lane, other = spec_of(bench, "reasoner"), spec_of(bench, "base")
        asked = LaneKLSpec(lane=lane, reference=other, token_ids=(5, 9, 30, 31))
        kl.append(result_of(bench, bench.compare_lanes(asked)))
        specs = [lens_of(bench, "base", "reasoner", layer) for layer in range(3)]
        lenses.append(result_of(bench, bench.read_stream(specs)))
    assert_same(*kl)
    assert_same(*lenses)


def test_fixed_steps_go_on_after_their_model_was_away_and_their_graph_is_gone(benches):
    beside, sharing = benches
    expected = [t.token_id for (t,) in stream_completions(model_of(beside), [spec_of(beside, n=40)], fixed=True)]
    model, other, found = model_of(sharing), model_of(sharing, "base"), []
    stream = stream_completions(model, [spec_of(sharing, n=40)], fixed=True)
    for number, (token,) in enumerate(stream):
        found.append(token.token_id)
        rows = next(iter(model.lock.leavers), None)
        if number % 5 == 4:
            with other.lock:
                assert rows is None or rows._again is None
    assert found == expected
    assert n_moves(sharing) > 8


def model_of(bench: Workbench, role="reasoner"):
    return bench.pair._pair.models[role]


def test_two_sessions_at_different_models_both_end_and_move_rarely(benches):
    sharing, found = benches[1], []
    watch(sharing)
    for bench in benches:
        jobs = [
            bench.generate([spec_of(bench, role, n=60, question=question)], Caller(owner=question))
            for role, question in (("base", "a"), ("reasoner", "b"), ("base", "c"))
        ]
        found.append([result_of(bench, job)[0].token_ids for job in jobs])
    assert found[0] == found[1]
    assert n_moves(sharing) <= 4


def test_a_move_is_said_logged_and_timed(benches, caplog):
    sharing, said = benches[1], []
    with caplog.at_level(logging.INFO, logger="core.memory.resident"):
        work = sharing.pair.in_turn(sharing._lanes.generate((spec_of(sharing, "reasoner"), spec_of(sharing, "base"))))
        said = [progress.message for progress in work]
    assert [text for text in said if text.startswith("Moving")] == ["Moving the reasoning model to the card, about 1 s"]
    assert "the reasoning model came to the card and the base model left it" in caplog.text
    moves = sharing.pair.moves
    assert (moves.n_moves, moves.n_bytes) == (1, sum(p.nbytes for p in model_of(sharing).model.parameters()))
    assert 0 < moves.seconds < 5


def test_a_card_without_room_for_a_move_is_a_sentence_and_both_models_go_on(benches, monkeypatch):
    sharing = benches[1]
    place, full = sharing.pair._pair.card._places, [True]

    def room(n_bytes, device):
        if full[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return exchange.new_room(n_bytes, device)

    monkeypatch.setattr(place, "_new_room", room)
    failed = sharing.engine.wait(sharing.generate([spec_of(sharing, "reasoner")]), 60)
    assert isinstance(failed.error, OutOfMemory)
    assert "no room left for moving a model" in failed.error.problem
    for role in ("base", "reasoner"):
        (lane,) = result_of(sharing, sharing.generate([spec_of(sharing, role)]))
        assert lane.token_ids == result_of(benches[0], benches[0].generate([spec_of(benches[0], role)]))[0].token_ids
        full[0] = False


def test_models_share_the_card_where_both_have_no_room_there(pair, on_card, monkeypatch):
    need = {"reasoner": 7 * GB, "base": 6 * GB}
    monkeypatch.setattr(loading, "memory_needed", lambda spec, _: need[spec.repo_id.rsplit("/", 1)[-1]])
    free, engine = [0], Engine()
    monkeypatch.setattr(checkpoints, "available_memory", lambda device: free[0])
    monkeypatch.setattr(loaded, "check_memory", lambda *_: None)
    for room, shares in ((13 * GB, False), (13 * GB - 1, True), (7 * GB, True)):
        free[0], holder = room, PairHolder()
        assert engine.wait(engine.submit("load", holder.load(pair)), 60).state == "done"
        assert (holder.moves is not None) == shares
    free[0], holder = 7 * GB - 1, PairHolder()
    refused = engine.wait(engine.submit("load", holder.load(pair)), 60)
    assert isinstance(refused.error, ModelUnavailable)
    assert "need about 13.0 GB on cpu, and 7.0 GB are free" in refused.error.problem
    assert holder.spec is None
    engine.halt()


@pytest.mark.parametrize(
    ("card", "computer", "asked", "shares"),
    [
        (33 * GB, 0, False, False),
        (33 * GB, 16 * GB, True, True),
        (24 * GB, 16 * GB, False, True),
        (24 * GB, 16 * GB - 1, False, None),
        (33 * GB, 16 * GB - 1, True, None),
        (16 * GB, 64 * GB, False, None),
    ],
)
def test_the_card_needs_room_for_one_and_the_computer_for_the_other(pair, monkeypatch, card, computer, asked, shares):
    monkeypatch.setattr(loading, "check_device", lambda spec: None)
    monkeypatch.setattr(loading, "memory_needed", lambda spec, _: 16 * GB + GB // 2)
    monkeypatch.setattr(loading, "weights_bytes", lambda spec, _: 16 * GB)
    monkeypatch.setattr(checkpoints, "available_memory", lambda device: {"cuda": card, "cpu": computer}[device])
    there = PairSpec(base=replace(pair.base, device="cuda"), reasoner=replace(pair.reasoner, device="cuda"))
    if shares is None:
        with pytest.raises(ModelUnavailable, match="GB are free"):
            both.prepare_pair(there, (), one_at_a_time=asked, errand=Errand())
    else:
        assert both.prepare_pair(there, (), one_at_a_time=asked, errand=Errand()).one_card == shares


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_what_bitsandbytes_quantised_is_refused_with_the_reason(pair, on_card, monkeypatch, precision):
    both_, engine = PairSpec(base=replace(pair.base, precision=precision), reasoner=pair.reasoner), Engine()
    refused = engine.wait(engine.submit("load", PairHolder().load(both_, one_at_a_time=True)), 60)
    assert f"in {precision} cannot share a card" in refused.error.problem
    monkeypatch.setattr(checkpoints, "available_memory", lambda _: 1000)
    refused = engine.wait(engine.submit("load", PairHolder().load(both_)), 60)
    assert "are free" in refused.error.problem
    engine.halt()


def test_asking_for_it_loads_the_pair_anew_and_nothing_else_does(pair, on_card, monkeypatch):
    engine, holder = Engine(), PairHolder()

    def load(asked=None) -> bool:
        assert engine.wait(engine.submit("load", holder.load(pair, one_at_a_time=asked)), 60).state == "done"
        return holder.moves is not None

    assert [load(), load(True), load(), load(False), load()] == [False, True, True, False, False]
    monkeypatch.setenv(ONE_AT_A_TIME, "1")
    holder = PairHolder()
    assert load()
    engine.halt()


def test_on_the_cpu_nothing_is_shared_whatever_is_asked(pair):
    engine, holder = Engine(), PairHolder()
    assert engine.wait(engine.submit("load", holder.load(pair, one_at_a_time=True)), 60).state == "done"
    assert holder.moves is None
    engine.halt()


def test_a_pair_that_shared_a_card_leaves_no_memory_behind(pair, on_card, monkeypatch):
    engine, holder = Engine(), PairHolder()
    assert engine.wait(engine.submit("load", holder.load(pair, one_at_a_time=True)), 60).state == "done"
    places = holder._pair.card._places
    gone = [weakref.ref(places._card[0].untyped_storage()), weakref.ref(places)]
    taken = holder.memory_taken("cpu")
    assert taken >= sum(p.nbytes for model in holder._models() for p in model.model.parameters())
    del places
    left: list[object] = []
    monkeypatch.setattr(loaded, "free_memory", lambda: left.append(gone[0]()))
    assert engine.wait(engine.submit("release", holder.release()), 60).state == "done"
    assert left[-1] is None
    left.clear()
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    engine.halt()


def test_the_other_model_has_left_before_the_second_is_read(pair, on_card, monkeypatch):
    order, load, leave = [], loaded.load_model, Exchange.__init__
    monkeypatch.setattr(loaded, "load_model", lambda spec, **k: (order.append(spec.name), load(spec, **k))[1])
    monkeypatch.setattr(Exchange, "__init__", lambda self, *a, **k: (order.append("leaves"), leave(self, *a, **k))[1])
    engine, holder = Engine(), PairHolder()
    assert engine.wait(engine.submit("load", holder.load(pair, one_at_a_time=True)), 60).state == "done"
    assert order == ["reasoner", "leaves", "base"]
    engine.halt()


def test_an_experiment_is_the_same_with_a_move_for_many_points(pair, on_card, tmp_path):
    found = []
    for shares in (False, True):
        bench = opened(tmp_path / str(shares), pair, one_at_a_time=shares)
        bench.trace_sets.save(make_traces(6), name="mine")
        outcome = result_of(bench, bench.run_plan(plan_for(bench, figures=("fig3", "fig5"))))
        found.append((outcome.chosen_from, outcome.reported, outcome.choice, outcome.lens))
        if shares:
            assert n_moves(bench) <= 8 < outcome.done
        bench.close()
    assert found[0] == found[1]
