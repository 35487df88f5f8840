"""Runs on the engine whose steps are fixed ones, as on a card: the first token, Stop, sessions that take turns."""

from functools import partial

import pytest

from core.engine import Engine
from core.forward.edits import SteeringSpec
from core.forward.fixed_fit import fits
from core.forward.fixed_step import FixedRows
from core.models.loaded import encode_prompt, hook_count
from core.runs import generation, lanes
from core.runs.generation import FIRST_TOKENS, stream_completions
from core.runs.lanes import generate_lanes
from core.runs.values import GenerationSpec
from core.values import Positions, SamplingSpec
from tests.tiny_models import tiny_loaded

QUESTIONS = ["Why?", "What is 3 plus 4?", "Find two numbers with sum 9."]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A pair of one family: two models share its code, which fused parts stand in for."""
    folder = tmp_path_factory.mktemp("models")
    made = [tiny_loaded(folder, seed=seed) for seed in (0, 1)]
    assert all(fits(loaded) for loaded in made)
    return made


@pytest.fixture
def events(monkeypatch):
    """What happens, in order; lanes go on by fixed steps."""
    seen, launch, tried = [], FixedRows.launch, generation.can_fix
    monkeypatch.setattr(lanes, "stream_completions", partial(stream_completions, fixed=True))
    monkeypatch.setattr(FixedRows, "launch", lambda self: seen.append("step") or launch(self))
    monkeypatch.setattr(generation, "can_fix", lambda *given: seen.append("tried") or tried(*given))
    return seen


def specs_of(loaded, make_direction, *, n=3, tokens=40, until=()):
    steering = SteeringSpec(
        direction=make_direction(loaded.d_model), layer=1, coefficient=4.0, positions=Positions(until=until)
    )
    return [
        GenerationSpec(
            model=loaded.spec,
            fingerprint=loaded.fingerprint,
            prompt=encode_prompt(loaded, QUESTIONS[i % 3]),
            sampling=SamplingSpec(max_new_tokens=tokens, temperature=1.0, seed=i, banned=tuple(loaded.eos_ids)),
            steering=(steering,) * (i % 2),
        )
        for i in range(n)
    ]


def test_the_first_tokens_come_before_anything_is_done_for_fixed_steps(models, events, make_direction):
    for _ in stream_completions(models[0], specs_of(models[0], make_direction), fixed=True):
        events.append("token")
    assert events[: FIRST_TOKENS + 1] == ["token"] * FIRST_TOKENS + ["tried"]
    assert events.count("step") == 40 - FIRST_TOKENS


def test_a_token_is_given_out_while_one_step_more_is_on_its_way(models, events, make_direction):
    """Never more: a stop would wait for them, and what they read may change."""
    ahead = []
    for n, _ in enumerate(stream_completions(models[0], specs_of(models[0], make_direction), fixed=True), start=1):
        ahead.append(events.count("step") - max(0, n - FIRST_TOKENS))
    assert set(ahead[FIRST_TOKENS:-1]) == {1}
    assert ahead[-1] == 0


def test_stop_takes_effect_within_a_step(models, events, make_direction):
    engine, loaded = Engine(), models[0]
    ended, at_stop = [], []
    specs = specs_of(loaded, make_direction, tokens=400)

    def on_token(lane, token_id, piece):
        if lane == 0 and events.count("step") == 20:
            engine.stop(job_id)
            at_stop.append(events.count("step"))

    work = generate_lanes([loaded] * 3, specs, on_token=on_token, on_end=ended.extend)
    job_id = engine.submit("x", work)
    assert engine.wait(job_id, 20).state == "cancelled"
    engine.halt()
    assert events.count("step") == at_stop[0] == 20
    assert [lane.stop_reason for lane in ended] == ["cancelled"] * 3
    assert {len(lane.token_ids) for lane in ended} == {FIRST_TOKENS + 19}
    assert hook_count(loaded) == 0


def test_three_sessions_take_turns_and_each_writes_what_it_writes_alone(models, events, make_direction):
    """Two of them on one model; what ends the steering of one does not touch the others."""
    asked = [(models[0], 3, ()), (models[0], 2, ("e", "a")), (models[1], 2, ())]
    wanted = [(loaded, specs_of(loaded, make_direction, n=n, until=until)) for loaded, n, until in asked]
    alone = []
    for loaded, specs in wanted:
        rows = [[] for _ in specs]
        for step in stream_completions(loaded, specs, fixed=False):
            for token in step:
                rows[token.row].append(token.token_id)
        alone.append([tuple(row) for row in rows])
    turns, engine = [], Engine()

    found = {}

    def keep(number):
        return lambda generations: found.update({number: [lane.token_ids for lane in generations]})

    jobs = [
        engine.submit(
            f"run {number}",
            _noted(turns, number, generate_lanes([loaded] * len(specs), specs, on_end=keep(number))),
        )
        for number, (loaded, specs) in enumerate(wanted)
    ]
    assert [engine.wait(job, 30).state for job in jobs] == ["done"] * 3
    engine.halt()
    assert [found[number] for number in range(3)] == alone
    begun = max(turns.index(number) for number in range(3))
    together = turns[begun : begun + 60]
    assert all(sorted(together[i : i + 3]) == [0, 1, 2] for i in range(0, 60, 3))


def _noted(turns, number, work):
    for progress in work:
        turns.append(number)
        yield progress
