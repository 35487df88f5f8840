"""The checkpoints of a finetune as a series of pairs: when does the base model's direction begin to act?

Files are looked at, and no model is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from core.background import Tell, silent
from core.errors import BadInput
from core.experiments.presets import CHOOSE, NOT_FIXED, TOKENS, facts_unloaded, paper_plan
from core.experiments.statistics import MIN_RANDOM
from core.experiments.values import Fixed, Kind, Plan, TraceSource
from core.finetuning.folder import Record, RunFolder
from core.models.checkpoints import find_checkpoint
from core.models.naming import show_both
from core.runs.questions import Example
from core.series.values import FIGURES, Member, SeriesPlan
from core.traces.events import digest_of
from core.traces.sets import TraceFolder
from core.values import PairSpec, Trace

QUICK_CONTROLS: tuple[Kind, ...] = ("random", "label", "flip")
LEAST = 2
"""Checkpoints that a curve has at least, the one before the first step among them."""


def record_of(run: RunFolder) -> Record:
    """What the finetune of a folder was begun with. Raises BadInput where there is none, or no checkpoint of it."""
    record = run.record()
    if record is None:
        raise BadInput(
            f"The folder {str(run.path)!r} holds no finetune.", "Name the folder that `retrace finetune` was given."
        )
    n = len(run.checkpoints())
    if n < LEAST:
        raise BadInput(
            f"The finetune in {str(run.path)!r} has {n} checkpoint{'' if n == 1 else 's'}; a curve needs {LEAST}.",
            "Finetune with --every, so that adapters are kept on the way.",
        )
    return record


def checkpoint_plan(
    run: RunFolder,
    source: TraceSource,
    questions: Sequence[Example],
    *,
    quick: bool = False,
    labels: Sequence[str] = (),
    fixed: Fixed = NOT_FIXED,
) -> Plan:
    """The plan that every checkpoint is measured by, as the last one's: what is chosen is chosen once, on that one.

    Raises BadInput as `record_of` and for too few questions, ModelUnavailable where the base model is not there.
    """
    base = record_of(run).spec.base
    _, last = run.checkpoints()[-1]
    pair = facts_unloaded(PairSpec(base=base, reasoner=replace(base, adapter=str(last))))
    made = paper_plan(pair, source, questions, quick=quick, labels=labels, fixed=fixed, n_choose=CHOOSE)
    return for_checkpoints(made, quick=quick)


def for_checkpoints(plan: Plan, *, quick: bool = False) -> Plan:
    """The plan with what every checkpoint is reported by: controls of equal norm at the one dose.

    Controls of equal coherence would each need a search of their own at every checkpoint. The quick form has as many
    random directions as a share of them needs, and fewer other controls. Its texts are not shorter: a reasoner turns
    back late, after the first attempts have failed, and what ends before holds no keywords at any checkpoint.
    """
    controls, sampling = replace(plan.controls, matched=0, curves=0), plan.sampling
    if quick:
        kinds = tuple(kind for kind in controls.kinds if kind in QUICK_CONTROLS)
        controls = replace(controls, random=min(controls.random, MIN_RANDOM), kinds=kinds)
        sampling = replace(sampling, max_new_tokens=max(sampling.max_new_tokens, TOKENS))
    return replace(plan, figures=FIGURES, controls=controls, sampling=sampling)


def checkpoint_series(
    run: RunFolder, plan: Plan, *, steps: Collection[int] = (), title: str = "", tell: Tell = silent
) -> SeriesPlan:
    """The plan on the checkpoints after so many steps; on all where none is named.

    Raises BadInput as `record_of`, for a step without a checkpoint, and where the base model has changed since;
    ModelUnavailable where a checkpoint or the base model is damaged or gone.
    """
    record, found = record_of(run), dict(run.checkpoints())
    missing = sorted(set(steps) - found.keys())
    if missing:
        raise BadInput(
            f"There is no checkpoint after {missing[0]} steps.", f"Choose among {', '.join(map(str, found))}."
        )
    base = record.spec.base
    mark = find_checkpoint(base, progress=tell).fingerprint
    if mark != record.fingerprint:
        raise BadInput(
            f"The base model {base.name} has changed since this finetune was made.",
            "Put its files back as they were, or finetune again.",
        )
    members = []
    for step in sorted(steps or found):
        tell(f"looking at the checkpoint after {step} steps")
        pair = PairSpec(base=base, reasoner=replace(base, adapter=str(found[step])))
        named = mark, find_checkpoint(pair.reasoner, progress=tell).fingerprint
        members.append(Member(name=f"step {step}", pair=pair, fingerprints=named, step=step))
    if len(members) < LEAST:
        raise BadInput(f"{len(members)} checkpoint was named; a curve needs {LEAST}.", "Name more steps.")
    last = members[-1]
    plan = replace(plan, pair=last.pair, fingerprints=last.fingerprints, title="")
    return SeriesPlan(title=title or record.spec.name, plan=plan, members=tuple(members), one_place=True)


def pair_series(plan: Plan, pairs: Sequence[PairSpec], *, tell: Tell = silent) -> SeriesPlan:
    """The plan on each of the pairs, which choose layer, window and dose for themselves as the plan says.

    Raises BadInput for a pair that is named twice, ModelUnavailable for one that is not there.
    """
    members = []
    for pair in pairs:
        tell(f"looking at {pair.reasoner.name}")
        named = tuple(find_checkpoint(spec, progress=tell).fingerprint for spec in (pair.base, pair.reasoner))
        members.append(
            Member(
                name=show_both(pair) or f"{pair.base.name},{pair.reasoner.name}",
                pair=pair,
                fingerprints=(named[0], named[1]),
            )
        )
    if not members:
        raise BadInput("No pair is named.", "Name two or more, each as BASE,REASONER.")
    last, title = members[-1], plan.title
    plan = replace(plan, pair=last.pair, fingerprints=last.fingerprints, title="")
    return SeriesPlan(plan=plan, members=tuple(members), one_place=False, title=title)


def learned_traces(record: Record, folder: TraceFolder) -> tuple[str, tuple[Trace, ...]] | None:
    """Id and traces of the set that a finetune learned from, whatever it is called now; None where none holds them."""
    for one in sorted(folder.list(), key=lambda found: found.name != record.spec.traces):
        traces = folder.load(one.set_id)
        if digest_of(traces) == record.spec.traces_digest:
            return one.set_id, traces
    return None
