"""A plan as a shell command: what the command makes is the plan, and what no flag says is run from a file."""

from __future__ import annotations

import shlex
from dataclasses import is_dataclass, replace

import pytest

from core.directions.folder import DirectionFolder
from core.embedded import embedded_directions, example_questions, example_traces
from core.errors import BadInput
from core.experiments.command import SETTINGS, command_of, figures_of, flags_of, plan_with
from core.experiments.presets import paper_plan
from core.experiments.values import ControlPlan, Doses, Fixed, Plan, SavedPair, TraceSource
from core.models.pair import DEMO_PAIR, ModelFacts
from core.runs.questions import Example
from core.tokens.frames import ChatFrame
from core.traces.events import digest_of
from core.traces.sets import TraceFolder
from core.values import ModelSpec, PairSpec, Positions, SamplingSpec, Window
from retrace.console import Console
from retrace.flags import HELP
from retrace.parser import make_parser
from retrace.plans import plan_of


def facts(spec):
    return ModelFacts(
        spec=spec, fingerprint="", name=spec.name, n_layers=6, d_model=128, d_vocab=0, context_length=1024
    )


@pytest.fixture(scope="module")
def questions():
    return example_questions("heldout")


@pytest.fixture
def made(questions):
    """The plan of no flags."""
    return plan_of(make_parser().parse_args(["paper", "--out", "results"]), Console(), lambda: None)


def parsed(command, cache):
    """The plan that a command makes."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "retrace"]
    return plan_of(make_parser().parse_args([*words[3:], "--cache", str(cache)]), Console(), lambda: None)


CHANGES = {
    "nothing": {},
    "figures": {"figures": ("figB1", "fig3")},
    "layers and windows": {"layers": (0, 1, 2, 5), "windows": (Window(start=-3, stop=-2), Window(start=-13, stop=-7))},
    "fixed": {"fixed": Fixed(layer=0, window=Window(start=-7, stop=-1), dose=-1.5)},
    "a fixed layer": {"fixed": Fixed(layer=4)},
    "doses": {"doses": Doses(unit="unit", values=(-4.0, 0.1 + 0.2, 12.0))},
    "sampling": {"sampling": SamplingSpec(max_new_tokens=7, temperature=1.25, top_p=0.9, seed=-3, banned=(5, 2, 3))},
    "positions": {"positions": Positions(region="completion", start=3, stop=90, every=2, until=("so", "it's over"))},
    "open positions": {"positions": Positions(region="thinking", start=2)},
    "what is counted": {"keywords": ("hold on", "wait"), "counted": "all"},
    "no controls": {"controls": ControlPlan(random=0, matched=0, curves=0, kinds=())},
    "few controls": {"controls": ControlPlan(random=2, matched=0, curves=1, kinds=("random", "flip"), seed=9)},
    "extraction": {"label": "deduction", "negatives": "position", "weighting": "token", "block": 3},
    "a title": {"title": "Fig. 3, again: “it's” $HOME"},
    "weights": {"fingerprints": ("a" * 64, "maker/reasoner@" + "b" * 40)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_command_makes_the_plan(name, made, questions, tmp_path):
    plan = replace(made, **CHANGES[name])
    assert parsed(command_of(plan, questions=questions), tmp_path) == plan


@pytest.mark.parametrize("kind", ["embedded", "none"])
def test_saved_directions_are_named_by_their_ids(kind, made, questions, tmp_path):
    one, two = (DirectionFolder(tmp_path).save(direction) for direction in embedded_directions())
    traces = made.traces if kind == "embedded" else TraceSource(kind="none")
    for saved in (SavedPair(base=one, reasoner=two), SavedPair(base=one)):
        plan = replace(made, saved=saved, traces=traces)
        assert parsed(command_of(plan, questions=questions), tmp_path) == plan


def test_a_set_of_traces_is_named_by_its_id(made, questions, tmp_path):
    traces = example_traces()[:20]
    source = TraceSource(kind="set", name=TraceFolder(tmp_path).save(traces, name="mine"), digest=digest_of(traces))
    plan = replace(made, traces=source)
    assert parsed(command_of(plan, questions=questions), tmp_path) == plan


@pytest.mark.parametrize("quick", [True, False])
def test_the_presets_have_commands_that_say_no_more_than_they_must(quick, questions, tmp_path):
    pair = facts(DEMO_PAIR.base), facts(DEMO_PAIR.reasoner)
    traces = TraceSource(kind="embedded", name="embedded")
    plan = paper_plan(pair, traces, questions, quick=quick)
    command = command_of(plan, questions=questions)
    assert replace(parsed(command, tmp_path), traces=traces) == plan
    assert "--keywords" not in command
    assert "--region" not in command


def test_another_pair_is_named_with_its_own_questions(made, tmp_path):
    questions = [Example(prompt=f"Question {i}?") for i in range(8)]
    (tmp_path / "my questions.txt").write_text("\n".join(q.prompt for q in questions), "utf-8")
    prompts = str(tmp_path / "my questions.txt")
    spec = replace(DEMO_PAIR.base, precision="bf16")
    pair = PairSpec(base=spec, reasoner=replace(DEMO_PAIR.reasoner, precision="bf16"))
    chosen, reported = tuple(questions[::2]), tuple(questions[1::2])
    plan = replace(made, pair=pair, choose=chosen, report=reported)
    command = command_of(plan, questions=questions, prompts=prompts)
    assert parsed(command, tmp_path) == plan
    assert "--precision bf16" in command


@pytest.mark.parametrize(
    "changes",
    [
        {"choose": (Example(prompt="Mine?"), Example(prompt="Yours?"))},
        {"keywords": ("wait, no", "hmm")},
        {"traces": TraceSource(kind="file", name="traces.jsonl")},
        {"layers": ()},
        {"frame": ChatFrame(prefix="", suffix="", source="raw")},
        {"title": "two  spaces "},
        {"pair": PairSpec(base=ModelSpec(repo_id="a/b"), reasoner=ModelSpec(repo_id="a/c", precision="bf16"))},
        {"pair": PairSpec(base=ModelSpec(repo_id="/models/a,b"), reasoner=ModelSpec(repo_id="/models/c"))},
    ],
)
def test_what_no_flag_says_is_run_from_its_file(changes, made, questions):
    assert "retrace run plan.json" in command_of(replace(made, **changes), questions=questions)


def test_every_setting_has_a_flag_with_its_help():
    assert sorted(SETTINGS) == sorted(flag for group in HELP.values() for flag in group)


def fields_of(value):
    """The paths of all fields, those of the plan's own values too."""
    found = set()
    for name, part in vars(value).items():
        nested = {f"{name}.{inner}" for inner in fields_of(part)} if is_dataclass(part) else set()
        found |= nested or {name}
    return found


def test_every_field_of_a_plan_has_a_flag(made):
    """A field that is added to a plan and that no flag says would be lost without a word."""
    of_files = {"choose", "report", "traces.kind", "traces.name", "frame"}
    of_pair = {field for field in fields_of(made) if field.startswith("pair.")}
    said = """title fingerprints figures saved label negatives weighting windows layers keywords counted block
        traces.digest fixed.layer fixed.window fixed.dose doses.unit doses.values
        positions.region positions.start positions.stop positions.every positions.until
        sampling.max_new_tokens sampling.temperature sampling.top_p sampling.seed sampling.banned
        controls.random controls.matched controls.curves controls.kinds controls.seed"""
    assert fields_of(made) - of_files - of_pair == set(shlex.split(said))
    assert len(shlex.split(said)) == len(SETTINGS)


@pytest.mark.parametrize("text", ["3,4", "fig3,FIG4", "Fig3, 4"])
def test_figures_have_the_names_of_the_paper(text):
    assert figures_of(text) == ("fig3", "fig4")
    assert figures_of("B.1,c1") == ("figB1", "figC1")
    assert figures_of("all,map") == (*figures_of("all"), "map")
    assert "map" not in figures_of("all")


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--figures", "7"),
        ("--layers", "-1"),
        ("--windows", "-8..-13"),
        ("--doses", "0"),
        ("--unit", "norm"),
        ("--random", "500"),
        ("--tokens", "0"),
        ("--temperature", "hot"),
        ("--every", "0"),
        ("--controls", "placebo"),
        ("--weights", "abc"),
        ("--traces-digest", "../x"),
    ],
)
def test_a_text_that_is_no_setting_is_refused_by_its_flag(flag, text, made):
    with pytest.raises(BadInput, match=flag):
        plan_with(made, {flag: text})


def test_fewer_controls_have_fewer_curves(made):
    assert plan_with(made, {"--random": "1"}).controls.curves == 1
    assert isinstance(plan_with(made, flags_of(made)), Plan)
