"""A tiny finetune with labelled traces, and the small plan that its checkpoints are measured by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from core.experiments.values import ControlPlan, Doses, TraceSource
from core.finetuning import samples
from core.finetuning.folder import RunFolder
from core.finetuning.work import finetune
from core.jobs import finish
from core.runs.questions import Example
from core.series.checkpoints import checkpoint_plan, checkpoint_series
from core.series.values import SeriesPlan
from core.traces.events import BACKTRACKING, digest_of
from core.values import Part, SamplingSpec, Trace, Window
from core.workbench import Workbench
from tests.finetuning.small import RECIPE, spec_of
from tests.tiny_models import tiny_folder

QUESTIONS = tuple(Example(prompt=f"What is {i} plus 4?", answer=str(i + 4)) for i in range(8))
TURN = "Wait, let me check this again. "


def labelled(n: int = 24) -> tuple[Trace, ...]:
    """Traces of a deduction, sometimes a turn, and a result, every sentence a part."""
    made = []
    for i in range(n):
        sentences = [("deduction", f"First I add {i} and {i + 1}. ")]
        sentences += [(BACKTRACKING, TURN), ("deduction", f"Once more, {i} and {i + 1}. ")] * (i % 3)
        sentences.append(("uncertainty-estimation", f"So it is perhaps {2 * i + 1}."))
        text, parts = "", []
        for label, sentence in sentences:
            end = len(text) + len(sentence.rstrip())
            parts.append(Part(label=label, start=len(text), end=end))
            text += sentence
        made.append(Trace(trace_id=str(i), prompt=f"What is {i} plus {i + 1}?", text=text, parts=tuple(parts)))
    return tuple(made)


def trained(root: Path) -> RunFolder:
    """A finished finetune with four checkpoints, at 0, 2, 4 and 6 steps."""
    torch.set_num_threads(1)
    samples.NEW_TOKENS = 2
    traces = labelled()
    spec = replace(spec_of(tiny_folder(root, name="base"), traces, RECIPE), traces_digest=digest_of(traces))
    run = RunFolder(root / "thinker")
    finish(finetune(spec, traces, run))
    return run


def series_on(run: RunFolder, bench: Workbench, **changes: object) -> SeriesPlan:
    """A plan of little text on the checkpoints, with the traces in the workbench."""
    if not bench.trace_sets.list():
        bench.trace_sets.save(labelled(), name="mine")
    (one,) = bench.trace_sets.list()
    source = TraceSource(kind="set", name=one.set_id, digest=digest_of(labelled()))
    plan = checkpoint_plan(run, source, QUESTIONS, labels=["deduction", BACKTRACKING, "uncertainty-estimation"])
    plan = replace(
        plan,
        windows=(Window(start=-4, stop=-1), Window(start=-2, stop=1)),
        layers=(0, 2),
        doses=Doses(values=(0.5, 1.0)),
        sampling=SamplingSpec(max_new_tokens=5, temperature=0.7),
        controls=ControlPlan(random=2, matched=0, curves=0, kinds=("random", "label", "flip")),
        block=3,
    )
    return checkpoint_series(run, replace(plan, **changes))
