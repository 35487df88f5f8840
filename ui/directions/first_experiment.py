"""From a pair to its first direction and dose response: answers unasked, then one button, with its time said before."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.embedded import fresh_questions, recorded_place
from core.errors import BadInput, UserFacingError
from core.experiments.presets import NOT_FIXED, paper_plan
from core.experiments.values import Plan, TraceSource
from core.models.pair import DEMO_PAIR, ModelFacts
from core.runs.questions import Example
from core.runs.values import Generation, GenerationSpec
from core.traces.events import BACKTRACKING, digest_of
from core.traces.set_files import EMBEDDED
from core.values import PairSpec
from ui.components.safe_text import plain, seconds, show_error
from ui.shell.frame import is_offered, page_path
from ui.shell.handoff import EXPERIMENT_JOB, MEASURED, open_experiment
from ui.shell.jobs import AUTO_RUN_MACS, forward_macs, is_live
from ui.shell.state import caller, guarded, guest, workbench

FEWEST = 4
"""Questions of the traces below which the embedded ones are asked instead."""
FIRST = "Measure a first direction"
TOGETHER = 6
"""How many times as fast as single answers a block of questions is written, as measured on CPUs with small models."""
_RECENT = 12
_PLANNED = "first:planned"
Pair = tuple[ModelFacts, ModelFacts]


def answers_at_once(reasoner: ModelFacts, specs: Sequence[GenerationSpec]) -> bool:
    """Whether a pair answers in seconds, so that it need not be asked: the embedded one, and another that is small as
    long as there is nothing to steer with. A visitor has one run at a time and asks for it."""
    if guest():
        return False
    is_small = sum(forward_macs(reasoner, spec.sampling.max_new_tokens) for spec in specs) <= AUTO_RUN_MACS
    steers = any(spec.steering for spec in specs)
    return reasoner.spec == DEMO_PAIR.reasoner or (is_small and not steers)


def offer_first(pair: Pair, *, button: DeltaGenerator, note: DeltaGenerator, key: str) -> None:
    """The button that goes the whole way without another choice, and how long that takes; nothing for visitors."""
    if not is_offered("experiments"):
        return
    plan = planned(pair)
    if isinstance(plan, UserFacingError):
        note.caption(f"{plain(plan.problem)} {plain(plan.remedy)}")
        return
    busy = is_live(EXPERIMENT_JOB)
    pressed = button.button(
        FIRST,
        icon=":material/science:",
        key=key,
        disabled=busy,
        help="An experiment is being measured: the Experiments page shows it." if busy else None,
    )
    note.caption(f"Both models' directions and what they do at several doses, against controls: {time_of(plan, pair)}.")
    if pressed and not begin(plan):
        show_error(st.session_state[f"{EXPERIMENT_JOB}:error"])


def begin(plan: Plan) -> bool:
    """Start the plan and go where it can be watched; False where that was refused, with the reason kept for its job."""
    bench = workbench()
    is_begun = guarded(lambda: bench.run_plan(plan, caller()), EXPERIMENT_JOB)
    if is_begun:
        st.session_state[MEASURED] = bench.experiments.save(plan)
        open_experiment(st.session_state[MEASURED])
        st.switch_page(page_path("experiments"))
    return is_begun


def time_of(plan: Plan, pair: Pair) -> str:
    """How long the plan takes: as measured by earlier ones of these models, else by their newest answers."""
    cost = workbench().cost(plan)
    if cost.seconds:
        return f"about {seconds(sum(cost.seconds.values()))}"
    pace = _pace(pair)
    if not pace:
        return "how long that takes is said once both models have answered"
    return f"about {seconds(cost.tokens / (pace * min(TOGETHER, plan.block)))}, by the pace of the last answers"


def _pace(pair: Pair) -> float:
    """Tokens a second of both models, by the newest answer of each; 0 where one of them has none."""
    recent = [one.value for one in workbench().store.recent("generation", Generation, _RECENT)]
    newest = [next((run for run in recent if facts.has_weights(run.spec.fingerprint)), None) for facts in pair]
    runs = [run for run in newest if run is not None and run.token_ids]
    took = max((run.seconds for run in runs), default=0.0)
    return sum(len(run.token_ids) for run in runs) / took if took and len(runs) == len(pair) else 0.0


def planned(pair: Pair) -> Plan | UserFacingError:
    """`quick_plan`, made once for these models and traces; or why there is none."""
    sets = tuple((one.set_id, one.digest) for one in workbench().trace_sets.list())
    asked = tuple((facts.spec, facts.fingerprint) for facts in pair), sets
    known: tuple[object, Plan | UserFacingError] | None = st.session_state.get(_PLANNED)
    if known is None or known[0] != asked:
        known = st.session_state[_PLANNED] = (asked, _tried(pair))
    return known[1]


def _tried(pair: Pair) -> Plan | UserFacingError:
    try:
        return quick_plan(pair)
    except UserFacingError as error:
        return error


def quick_plan(pair: tuple[ModelFacts, ModelFacts]) -> Plan:
    """Fig. 3 and 4 in small. Raises BadInput, with the next step, where no traces have the label."""
    folder = workbench().trace_sets
    is_embedded = pair[1].spec.repo_id == DEMO_PAIR.reasoner.repo_id
    sets = [one for one in folder.list() if one.counts.get(BACKTRACKING)]
    own = [one for one in sets if one.embedded == is_embedded] or sets
    if not own:
        raise BadInput(
            f"No traces with the label “{BACKTRACKING}” are there.",
            "Import labelled traces on the Traces page, or write and label some on the Labelling page.",
        )
    traces = folder.load(own[0].set_id)
    asked = tuple(Example(prompt=text) for text in dict.fromkeys(t.prompt for t in traces if t.prompt.strip()))
    return paper_plan(
        pair,
        TraceSource(
            kind="embedded" if own[0].set_id == EMBEDDED else "set", name=own[0].set_id, digest=digest_of(traces)
        ),
        asked if len(asked) >= FEWEST and not own[0].embedded else fresh_questions(),
        quick=True,
        figures=("fig3", "fig4"),
        labels=tuple({part.label for trace in traces for part in trace.parts}),
        fixed=recorded_place(PairSpec(base=pair[0].spec, reasoner=pair[1].spec)) if own[0].embedded else NOT_FIXED,
    )
