"""A plan as flags of the command line and back: one table for the parser, its help and "copy as command".

Knows no parser, no file and no model. In the table `p` is a plan and `t` the text of a flag.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar, get_args

from core.errors import BadInput
from core.experiments.presets import ALL_FIGURES, BEYOND, split
from core.experiments.values import CONTROLS, ControlPlan, Figure, Kind, Plan, SavedPair, Unit
from core.extraction.values import Negatives, Weighting
from core.models.naming import show_both
from core.models.pair import DEMO_PAIR
from core.runs.cells import Counted
from core.runs.questions import Example
from core.text.typed import counts, items, one_of, real, reals, show_counts, show_reals, span, whole
from core.traces.set_files import EMBEDDED
from core.values import PairSpec, Positions, Region, SamplingSpec, Window

PROGRAM = "python -m retrace"
CHOOSE = "choose"
"""Instead of a layer, a window or a dose: it is chosen on the choosing half."""
END = "end"
NONE, SET = "none", "set:"
_DIGEST = re.compile(r"[0-9a-f]{8,64}|")

T = TypeVar("T")


class Setting(NamedTuple):
    """One setting of a plan as the text of a flag."""

    put: Callable[[Plan, str], Plan]
    """The plan with the setting that the text gives. Raises BadInput."""
    show: Callable[[Plan], str]
    """The text of the plan's setting; "" where the plan has none."""


def plan_with(plan: Plan, said: Mapping[str, str]) -> Plan:
    """The plan with the settings that are given by their flags. Raises BadInput, which names the flag."""
    for flag, setting in SETTINGS.items():
        try:
            plan = setting.put(plan, said[flag].strip()) if flag in said else plan
        except BadInput as error:
            raise BadInput(f"{flag}: {error.problem}", error.remedy) from error
    return plan


def flags_of(plan: Plan) -> dict[str, str]:
    """The settings of a plan by their flags, without those that every plan has unless it is told otherwise."""
    usual = Plan(pair=plan.pair, traces=replace(plan.traces, digest=""), layers=plan.layers, choose=(), report=())
    shown = {flag: (setting.show(plan), setting.show(usual)) for flag, setting in SETTINGS.items()}
    return {flag: text for flag, (text, other) in shown.items() if text and (flag in PRESET or text != other)}


def command_of(plan: Plan, *, questions: Sequence[Example] = (), prompts: str = "") -> str:
    """The shell command that makes the same plan.

    `questions` are those that the command reads by itself: of the file `prompts`, or the embedded ones where that is
    "". A plan with others, or with what no flag says, is run from its file.
    """
    pair, traces = _pair_flags(plan.pair), _traces_text(plan)
    if pair is None or traces is None or not _is_said(plan) or not _is_split(plan, questions):
        return f"{PROGRAM} run plan.json --out results"
    halves = {"--choose": str(len(plan.choose)), "--report": str(len(plan.report))}
    said = pair | {"--traces": traces, "--prompts": prompts} | halves | flags_of(plan)
    words = [word for flag, text in said.items() if text for word in _words_of(flag, text)]
    return shlex.join([*PROGRAM.split(), "paper", *words, "--out", "results"])


def _pair_flags(pair: PairSpec) -> dict[str, str] | None:
    """The pair by its flags, none for the embedded one; None for a pair that flags cannot name."""
    if pair == DEMO_PAIR:
        return {}
    named, like = show_both(pair), pair.reasoner
    return {"--pair": named, "--precision": like.precision, "--device": like.device} if named else None


def _words_of(flag: str, text: str) -> tuple[str, ...]:
    """A text that begins with a minus hangs on its flag, so that it is not taken for one."""
    return (f"{flag}={text}",) if text.startswith("-") else (flag, text)


def _traces_text(plan: Plan) -> str | None:
    """The source as --traces takes it, "" for what is taken unasked; None for one that only a plan's file can name."""
    kind, unasked = plan.traces.kind, NONE if plan.saved else EMBEDDED
    text = {"embedded": EMBEDDED, "set": f"{SET}{plan.traces.name}", "none": NONE, "file": None}[kind]
    return "" if text == unasked else text


def _is_said(plan: Plan) -> bool:
    """Whether the flags of the plan give it back."""
    traces = replace(plan.traces, digest="")
    bare = Plan(pair=plan.pair, traces=traces, layers=(0,), choose=plan.choose, report=plan.report)
    try:
        return plan_with(bare, flags_of(plan)) == plan
    except BadInput:
        return False


def _is_split(plan: Plan, questions: Sequence[Example]) -> bool:
    """Whether the questions, split into as many as the plan has, are its halves."""
    try:
        return split(questions, len(plan.choose), len(plan.report)) == (plan.choose, plan.report)
    except BadInput:
        return False


def figures_of(text: str) -> tuple[Figure, ...]:
    """Figures by the names "fig3", "3", "B.1" or "figB1", with commas; "all" is the paper's. Raises BadInput."""
    text = ",".join(",".join(ALL_FIGURES) if item == "all" else item for item in items(text))
    names = {name.lower().removeprefix("fig"): name for name in (*ALL_FIGURES, *BEYOND)}
    asked = {item: item.lower().removeprefix("fig").replace(".", "").strip() for item in items(text)}
    for item, name in asked.items():
        if name not in names:
            raise BadInput(
                f"{item[:40]!r} is not a figure of the paper.", f"Choose of: {', '.join(names.values())}; or all."
            )
    return tuple(dict.fromkeys(names[name] for name in asked.values()))


def window_of(text: str) -> Window:
    """A window as "-13..-8", both ends included, or one offset. Raises BadInput."""
    first, last = span(text)
    return Window(start=first, stop=last + 1)


def windows_of(text: str) -> tuple[Window, ...]:
    """Windows with commas between them. Raises BadInput."""
    return tuple(dict.fromkeys(window_of(item) for item in items(text)))


def _saved_of(text: str) -> SavedPair | None:
    base, _, reasoner = (part.strip() for part in text.partition(","))
    return SavedPair(base=base, reasoner=reasoner) if base else None


def _kinds_of(text: str) -> tuple[Kind, ...]:
    if text == "all":
        return CONTROLS
    return () if text == NONE else tuple(one_of(item, CONTROLS) for item in items(text))


def _show_saved(plan: Plan) -> str:
    return ",".join(filter(None, (plan.saved.base, plan.saved.reasoner))) if plan.saved else ""


def _weights_of(text: str) -> tuple[str, str]:
    base, comma, reasoner = (part.strip() for part in text.partition(","))
    if not comma:
        raise BadInput("It names one fingerprint.", "Give both, the base model's first, with a comma between them.")
    return base, reasoner


def _put_digest(plan: Plan, text: str) -> Plan:
    if not _DIGEST.fullmatch(text):
        raise BadInput(f"{text[:80]!r} is not a digest of traces.", "Copy it from a plan, or leave it out.")
    return replace(plan, traces=replace(plan.traces, digest=text))


def _sampled(plan: Plan, sampling: SamplingSpec) -> Plan:
    return replace(plan, sampling=sampling)


def _steered(plan: Plan, positions: Positions) -> Plan:
    return replace(plan, positions=positions)


def _controlled(plan: Plan, controls: ControlPlan) -> Plan:
    return replace(plan, controls=controls)


def _with_random(controls: ControlPlan, random: int) -> ControlPlan:
    """Fewer random controls have fewer of them measured at every dose, and fewer matched."""
    matched, curves = min(controls.matched, random), min(controls.curves, random)
    return replace(controls, random=random, matched=matched, curves=curves)


def _chosen(text: str, read: Callable[[str], T]) -> T | None:
    return None if text in ("", CHOOSE) else read(text)


def _or_nothing(value: object) -> str:
    return "" if value is None else str(value)


SETTINGS: dict[str, Setting] = {
    "--figures": Setting(lambda p, t: replace(p, figures=figures_of(t)), lambda p: ",".join(p.figures)),
    "--traces-digest": Setting(_put_digest, lambda p: p.traces.digest),
    "--saved": Setting(lambda p, t: replace(p, saved=_saved_of(t)), _show_saved),
    "--label": Setting(lambda p, t: replace(p, label=t), lambda p: p.label),
    "--negatives": Setting(lambda p, t: replace(p, negatives=one_of(t, get_args(Negatives))), lambda p: p.negatives),
    "--weighting": Setting(lambda p, t: replace(p, weighting=one_of(t, get_args(Weighting))), lambda p: p.weighting),
    "--windows": Setting(
        lambda p, t: replace(p, windows=windows_of(t)), lambda p: ",".join(w.label for w in p.windows)
    ),
    "--layers": Setting(lambda p, t: replace(p, layers=counts(t)), lambda p: show_counts(p.layers)),
    "--layer": Setting(
        lambda p, t: replace(p, fixed=replace(p.fixed, layer=_chosen(t, whole))), lambda p: _or_nothing(p.fixed.layer)
    ),
    "--window": Setting(
        lambda p, t: replace(p, fixed=replace(p.fixed, window=_chosen(t, window_of))),
        lambda p: p.fixed.window.label if p.fixed.window else "",
    ),
    "--dose": Setting(
        lambda p, t: replace(p, fixed=replace(p.fixed, dose=_chosen(t, real))),
        lambda p: "" if p.fixed.dose is None else show_reals((p.fixed.dose,)),
    ),
    "--unit": Setting(
        lambda p, t: replace(p, doses=replace(p.doses, unit=one_of(t, get_args(Unit)))), lambda p: p.doses.unit
    ),
    "--doses": Setting(
        lambda p, t: replace(p, doses=replace(p.doses, values=reals(t))), lambda p: show_reals(p.doses.values)
    ),
    "--tokens": Setting(
        lambda p, t: _sampled(p, replace(p.sampling, max_new_tokens=whole(t))), lambda p: str(p.sampling.max_new_tokens)
    ),
    "--temperature": Setting(
        lambda p, t: _sampled(p, replace(p.sampling, temperature=real(t))),
        lambda p: show_reals((p.sampling.temperature,)),
    ),
    "--top-p": Setting(
        lambda p, t: _sampled(p, replace(p.sampling, top_p=real(t))), lambda p: show_reals((p.sampling.top_p,))
    ),
    "--seed": Setting(lambda p, t: _sampled(p, replace(p.sampling, seed=whole(t))), lambda p: str(p.sampling.seed)),
    "--banned": Setting(
        lambda p, t: _sampled(p, replace(p.sampling, banned=counts(t) if t else ())),
        lambda p: show_counts(p.sampling.banned),
    ),
    "--keywords": Setting(lambda p, t: replace(p, keywords=items(t)), lambda p: ",".join(p.keywords)),
    "--counted": Setting(lambda p, t: replace(p, counted=one_of(t, get_args(Counted))), lambda p: p.counted),
    "--region": Setting(
        lambda p, t: _steered(p, replace(p.positions, region=one_of(t, get_args(Region)))), lambda p: p.positions.region
    ),
    "--from": Setting(lambda p, t: _steered(p, replace(p.positions, start=whole(t))), lambda p: str(p.positions.start)),
    "--to": Setting(
        lambda p, t: _steered(p, replace(p.positions, stop=None if t in ("", END) else whole(t))),
        lambda p: _or_nothing(p.positions.stop),
    ),
    "--every": Setting(
        lambda p, t: _steered(p, replace(p.positions, every=whole(t))), lambda p: str(p.positions.every)
    ),
    "--until": Setting(
        lambda p, t: _steered(p, replace(p.positions, until=items(t) if t else ())),
        lambda p: ",".join(p.positions.until),
    ),
    "--random": Setting(
        lambda p, t: _controlled(p, _with_random(p.controls, whole(t))), lambda p: str(p.controls.random)
    ),
    "--matched": Setting(
        lambda p, t: _controlled(p, replace(p.controls, matched=whole(t))), lambda p: str(p.controls.matched)
    ),
    "--curves": Setting(
        lambda p, t: _controlled(p, replace(p.controls, curves=whole(t))), lambda p: str(p.controls.curves)
    ),
    "--control-seed": Setting(
        lambda p, t: _controlled(p, replace(p.controls, seed=whole(t))), lambda p: str(p.controls.seed)
    ),
    "--controls": Setting(
        lambda p, t: _controlled(p, replace(p.controls, kinds=_kinds_of(t))),
        lambda p: ",".join(p.controls.kinds) or NONE,
    ),
    "--block": Setting(lambda p, t: replace(p, block=whole(t)), lambda p: str(p.block)),
    "--weights": Setting(
        lambda p, t: replace(p, fingerprints=_weights_of(t)),
        lambda p: ",".join(p.fingerprints) if any(p.fingerprints) else "",
    ),
    "--title": Setting(lambda p, t: replace(p, title=t), lambda p: p.title),
}
"""Every setting of a plan but its pair, traces and questions, by its flag."""
PRESET = frozenset(
    {
        "--figures",
        "--layers",
        "--windows",
        "--unit",
        "--doses",
        "--tokens",
        "--temperature",
        "--random",
        "--matched",
        "--curves",
        "--controls",
        "--block",
    }
)
"""What a preset may set, so that a command always states it."""
