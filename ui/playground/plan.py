"""Which lanes a run has: what the settings ask for, as specs with titles and the lane that each is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from core.extraction.controls import CONTROL, random_controls
from core.forward.edits import OPERATORS, SteeringSpec
from core.models.pair import Role
from core.runs.export import describe_positions
from core.runs.values import GenerationSpec
from core.values import Positions, Prompt, SamplingSpec
from ui.components.roles import NAMES, TITLES
from ui.shell.state import workbench

LaneKind = Literal["baseline", "steered", "control", "base", "base_steered"]
RANDOM = "random control"
KINDS: dict[LaneKind, str] = {
    "baseline": "unsteered",
    "steered": "steered",
    "control": RANDOM,
    "base": NAMES["base"],
    "base_steered": f"{NAMES['base']} steered",
}
DEFAULT_LANES: list[LaneKind] = ["baseline", "steered", "control"]
UNSTEERED: list[LaneKind] = ["baseline", "base"]
"""Those that need no direction."""
MAX_LANES = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Lanes to be generated: one spec, title, subtitle, and index of the lane it is compared with, each."""

    specs: tuple[GenerationSpec, ...]
    titles: tuple[str, ...]
    subtitles: tuple[str, ...]
    references: tuple[int | None, ...]


def read_lanes(raw: str) -> list[LaneKind]:
    """The lanes of a link, also in its older spelling. Raises ValueError."""
    names = {"reasoner": "baseline,steered", "both": "baseline,steered,base,base_steered"}.get(raw, raw)
    chosen = names.split(",") if names else []
    kinds: list[LaneKind] = [kind for kind in get_args(LaneKind) if kind in chosen]
    if len(kinds) != len(chosen) or len(kinds) > MAX_LANES:
        raise ValueError(f"allowed: up to {MAX_LANES} of {', '.join(KINDS)}")
    return kinds


def plan_lanes(
    prompts: dict[Role, Prompt],
    program: tuple[SteeringSpec, ...],
    sampling: SamplingSpec,
    *,
    kinds: Sequence[LaneKind],
    control_seed: int = 0,
) -> Plan:
    """The lanes of these kinds in the order of KINDS, all with the same seed."""
    pair = workbench().pair
    specs = []
    for kind in (kind for kind in KINDS if kind in kinds):
        role: Role = "base" if kind.startswith("base") and kind != "baseline" else "reasoner"
        facts = pair.facts(role)
        steering: dict[LaneKind, tuple[SteeringSpec, ...]] = {
            "steered": program,
            "base_steered": program,
            "control": tuple(_control(edit, control_seed) for edit in program),
        }
        specs.append(
            GenerationSpec(
                model=facts.spec,
                fingerprint=facts.fingerprint,
                prompt=prompts[role],
                sampling=sampling,
                steering=steering.get(kind, ()),
            )
        )
    return plan_of(specs)


def steered_spec(prompt: Prompt, program: tuple[SteeringSpec, ...], sampling: SamplingSpec) -> GenerationSpec:
    """The reasoning model under the program: the lane that doses and prompt sets are about."""
    facts = workbench().pair.facts("reasoner")
    return GenerationSpec(
        model=facts.spec, fingerprint=facts.fingerprint, prompt=prompt, sampling=sampling, steering=program
    )


def _control(edit: SteeringSpec, seed: int) -> SteeringSpec:
    return replace(edit, direction=random_controls(edit.direction, 1, seed)[0])


def plan_of(specs: Sequence[GenerationSpec]) -> Plan:
    """Specs with the titles and subtitles of their lanes. A lane is compared with its own model's unsteered one,
    where there is one, else with the first."""
    references = []
    for i, spec in enumerate(specs):
        same = [j for j, other in enumerate(specs) if j != i and _is_same(other, spec) and not other.steering]
        first = 0 if i and not same else None
        references.append(same[0] if same and spec != specs[same[0]] and (spec.steering or same[0] < i) else first)
    return Plan(
        specs=tuple(specs),
        titles=tuple(map(title_of, specs)),
        subtitles=tuple(map(subtitle_of, specs)),
        references=tuple(references),
    )


def _is_same(one: GenerationSpec, other: GenerationSpec) -> bool:
    """Whether two lanes are of one model, wherever each was measured."""
    return one.fingerprint == other.fingerprint and one.model.precision == other.model.precision


def title_of(spec: GenerationSpec) -> str:
    """Which model, and what is done to it."""
    role = workbench().pair.role_of(spec.model, spec.fingerprint)
    who = TITLES[role] if role else spec.model.name
    return f"{who}, {what_is_done(spec)}"


def what_is_done(spec: GenerationSpec) -> str:
    """To the model of a lane, in words: nothing, steered, or steered with a random direction instead."""
    if not spec.steering:
        return "unsteered"
    is_control = all(dict(edit.direction.provenance).get(CONTROL) for edit in spec.steering)
    return RANDOM if is_control else "steered"


def without_controls(plan: Plan) -> Plan:
    """The lanes that are no control, as they were run before controls stood beside every run."""
    return plan_of([spec for spec in plan.specs if what_is_done(spec) != RANDOM])


def subtitle_of(spec: GenerationSpec) -> str:
    """The program in a few words, and from where the lane goes on."""
    words = [_edit(edit) for edit in spec.steering[:2]] or [spec.model.name]
    more = [f"{len(spec.steering) - 2} more edits"] if len(spec.steering) > 2 else []
    forked = [f"forked at token {len(spec.prefix)}"] if spec.prefix else []
    return "; ".join([*words, *more, *forked])


def _edit(edit: SteeringSpec) -> str:
    size = f"{edit.coefficient:.3g}"
    what = OPERATORS[edit.operator].lane.format(size=size)
    where = "" if edit.positions == Positions() else f", {describe_positions(edit.positions)}"
    ramp = f", over {edit.ramp} tokens" if edit.ramp > 1 else ""
    return f"{what} at layer {edit.layer}{where}{ramp}"
