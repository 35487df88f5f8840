"""From a pair to its first direction and dose response: a quick look with the traces and questions that are at hand."""

from __future__ import annotations

from core.embedded import fresh_questions, recorded_place
from core.errors import BadInput
from core.experiments.presets import NOT_FIXED, paper_plan
from core.experiments.values import Plan, TraceSource
from core.models.pair import DEMO_PAIR, ModelFacts
from core.runs.questions import Example
from core.traces.events import BACKTRACKING, digest_of
from core.traces.set_files import EMBEDDED
from core.values import PairSpec
from ui.shell.state import workbench

FEWEST = 4
"""Questions of the traces below which the embedded ones are asked instead."""


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
