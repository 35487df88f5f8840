"""What can be wrong with a plan is said before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from core.directions.direction import Direction
from core.errors import BadDirection, BadInput
from core.experiments.check import check_directions, check_memory, check_plan, check_prompts, check_space, cost_of
from core.experiments.plans import plan_id, plan_json, read_outcome, read_plan
from core.experiments.values import ControlPlan, Doses, Fixed, Outcome, Plan, SavedPair, TraceSource
from core.models.pair import ModelFacts
from core.runs.questions import Example
from core.values import ModelSpec, PairSpec, Part, Prompt, SamplingSpec, Trace, Window

BASE, REASONER = ModelSpec(repo_id="base"), ModelSpec(repo_id="reasoner")
PAIR = tuple(
    ModelFacts(spec=s, fingerprint=f, name=s.repo_id, n_layers=4, d_model=8, d_vocab=50, context_length=64)
    for s, f in ((BASE, "b"), (REASONER, "r"))
)


def plan(**changes) -> Plan:
    return replace(
        Plan(
            pair=PairSpec(base=BASE, reasoner=REASONER),
            fingerprints=("b", "r"),
            traces=TraceSource(kind="set", name="embedded"),
            layers=(1, 2),
            choose=(Example(prompt="a", answer="1"), Example(prompt="b")),
            report=(Example(prompt="c"), Example(prompt="d")),
        ),
        **changes,
    )


def trace(*labels: str) -> Trace:
    parts = tuple(Part(label=label, start=2 * i, end=2 * i + 1) for i, label in enumerate(labels))
    return Trace(trace_id="t", prompt="q", text="a b c d e f", parts=parts)


def test_a_sound_plan_passes():
    check_plan(plan(), PAIR)
    check_directions(plan(), {}, [trace("backtracking", "deduction")] * 2, PAIR)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"figures": ()}, "no figure"),
        ({"layers": (1, 4)}, "layer 4"),
        ({"layers": ()}, "no layer"),
        ({"fixed": Fixed(layer=9)}, "layer 9"),
        ({"windows": ()}, "no window"),
        ({"block": 0}, "Blocks of 0"),
        ({"choose": ()}, "0 questions to choose on"),
        ({"report": (Example(prompt="c"),)}, "1 question to report"),
        ({"report": (Example(prompt="a"), Example(prompt="d"))}, "both choose and be reported"),
        ({"fingerprints": ("r", "b")}, "swapped"),
        ({"fingerprints": ("b", "x")}, "another reasoning model"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        check_plan(plan(**changes), PAIR)


def test_doses_of_nothing_are_refused():
    with pytest.raises(BadInput, match="no dose but 0"):
        Doses(unit="unit", values=(0.0,))


def test_a_question_that_cannot_be_read_is_named():
    def encode(role, question, *, frame=None):
        if question == "d":
            raise BadInput("The question takes 90 tokens.", "Shorten it.")
        return Prompt(question=question, text=question, token_ids=(1,))

    with pytest.raises(BadInput, match="Question 2 of those to report cannot be asked: The question takes 90"):
        check_prompts(plan(), encode)
    found = check_prompts(plan(report=(Example(prompt="c"),) * 2), encode)
    assert {key: len(prompts) for key, prompts in found.items()} == {
        (role, half): 2 for role in ("base", "reasoner") for half in ("choose", "report")
    }


def direction(fingerprint="b", width=8, layer=1) -> Direction:
    return Direction.from_raw(np.ones(width, np.float32), name="mine", layer=layer, fingerprint=fingerprint)


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"base": direction("r")}, "was not found in base. It was found in the other model"),
        ({"base": direction("x")}, "was not found in base"),
        ({"base": direction("b", width=6)}, "6 dimensions"),
        ({"base": direction("b"), "reasoner": direction("r", layer=2)}, "different layers"),
    ],
)
def test_saved_directions_are_those_of_the_pair(saved, said):
    with pytest.raises((BadInput, BadDirection), match=said):
        check_directions(plan(saved=SavedPair(base="x")), saved, [], PAIR)


@pytest.mark.parametrize(
    ("changes", "traces", "said"),
    [
        ({}, [trace("backtracking", "deduction")], "traces are 1"),
        ({}, [trace("deduction")] * 2, "No trace has the label 'backtracking'"),
        ({}, [trace("backtracking")] * 2, "cannot be made: label, without, position"),
        ({"figures": ("fig3",), "negatives": "position"}, [trace("backtracking")] * 2, "nothing else to subtract"),
    ],
)
def test_controls_that_the_traces_cannot_give_are_refused(changes, traces, said):
    with pytest.raises(BadInput, match=said):
        check_directions(plan(**changes), {}, traces, PAIR)


def test_a_full_disk_is_seen_before(tmp_path):
    check_space(tmp_path, 1)
    with pytest.raises(BadInput, match="MB are free"):
        check_space(tmp_path, 1 << 60)


def test_the_memory_of_a_block_is_said_and_refused_where_it_is_not_there():
    one = plan(
        block=2,
        report=tuple(Example(prompt="c" * 30 + str(i)) for i in range(5)),
        sampling=SamplingSpec(max_new_tokens=1000),
    )
    cost = cost_of(one, kv_bytes=100)
    assert cost.memory_bytes == 2 * (1000 + 31 // 3) * 100
    assert cost_of(one).memory_bytes == 0
    check_memory(cost, cost.memory_bytes)
    with pytest.raises(BadInput, match=r"up to 0\.2 GB of memory .* 0\.1 GB are free"):
        check_memory(replace(cost, memory_bytes=200_000_000), 100_000_000)


def test_a_plan_is_read_back_as_it_was():
    one = plan(
        title="mine",
        fixed=Fixed(layer=2, window=Window(start=-3, stop=1), dose=0.5),
        saved=SavedPair(base="x"),
        sampling=SamplingSpec(temperature=0.7),
        controls=ControlPlan(random=2, matched=0, curves=1, kinds=("random",)),
    )
    assert read_plan(plan_json(one).encode()) == one
    assert plan_id(one) == plan_id(replace(one, title="other")) != plan_id(replace(one, block=7))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw | {"schema": "retrace-plan/9"}, "has the schema 'retrace-plan/9'"),
        (lambda raw: raw | {"plan": raw["plan"] | {"extra": 1}}, "does not fit"),
        (lambda raw: raw | {"plan": {k: v for k, v in raw["plan"].items() if k != "pair"}}, "does not fit"),
        (lambda raw: raw | {"plan": raw["plan"] | {"doses": {"unit": "auto", "values": [0]}}}, "no dose but 0"),
        (lambda raw: raw | {"plan": raw["plan"] | {"block": "many"}}, "does not fit"),
        (lambda raw: [raw], "no JSON object"),
    ],
)
def test_another_file_is_no_plan(change, said):
    raw = json.loads(plan_json(plan()))
    with pytest.raises(BadInput, match=said):
        read_plan(json.dumps(change(raw)).encode())


@pytest.mark.parametrize("data", [b"\xff\xfe", b"{", b"[" * 100_000])
def test_what_is_no_json_is_no_plan(data):
    with pytest.raises(BadInput, match="is not JSON"):
        read_plan(data)
    with pytest.raises(BadInput, match="is not JSON"):
        read_outcome(data)


def test_an_outcome_is_no_plan():
    from core.experiments.plans import outcome_json

    text = outcome_json(Outcome(plan=plan()))
    assert read_outcome(text.encode()) == Outcome(plan=plan())
    with pytest.raises(BadInput, match="has the schema 'retrace-outcome/1'"):
        read_plan(text.encode())
