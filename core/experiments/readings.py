"""What a plan measures beside its doses: Fig. 5, Fig. 6, and keywords against a reference labelling (Table C.1).

Work for the engine, a pass or a text a step. Importing it costs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.attribution.corpus import LEADS, AlignedText, Projection, ProjectionSpec, auc_by_lead
from core.attribution.values import DirectionLens, LensSpec
from core.directions.direction import Direction
from core.errors import BadInput
from core.experiments.values import LabelRow, LeadRow, LeadTrace, LensRow
from core.extraction.contrast import contrast
from core.extraction.moments import MomentsSpec
from core.extraction.shelf import MomentShelf
from core.extraction.values import Negatives, Weighting
from core.jobs import Progress, relay
from core.labelling.agreement import compare
from core.labelling.keywords import KeywordSet, label_by_keywords
from core.labelling.references import Reference
from core.models.pair import Role
from core.runs.cells import DoseCell
from core.runs.written_traces import traces_of_cell
from core.statistics import Interval, wilson
from core.text.words import LENS_WORDS
from core.traces.events import BACKTRACKING, digest_of, find_events
from core.values import ModelSpec, Trace, Window

if TYPE_CHECKING:
    from core.models.loaded import LoadedModel

FindModel = Callable[[ModelSpec, str], "LoadedModel"]
SHOWN = 3
"""Traces whose projection is drawn."""
_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True)
class Head:
    """A model of the pair."""

    role: Role
    model: ModelSpec
    fingerprint: str


def read_lens(
    find_model: FindModel,
    directions: Sequence[tuple[Role, Direction]],
    heads: Sequence[Head],
    *,
    cached: Callable[[LensSpec], DirectionLens | None],
    save: Callable[[LensSpec, DirectionLens], object],
    words: tuple[str, ...] = LENS_WORDS,
) -> Generator[Progress, None, tuple[LensRow, ...]]:
    """Fig. 5: every direction, with the model it is from, through the unembedding of each head (paper, Eq. 2)."""
    from core.attribution.work import read_directions

    specs = [
        LensSpec(model=head.model, fingerprint=head.fingerprint, direction=direction, words=words)
        for head in heads
        for _, direction in directions
    ]
    lenses = yield from read_directions(find_model, specs, cached=cached, save=save)
    return tuple(
        LensRow(source=source, head=head.role, layer=direction.layer, score=lens.score, rank=lens.best_rank)
        for i, (source, direction) in enumerate(directions)
        for head, lens in zip(heads, lenses[i :: len(directions)], strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class LeadPlan:
    """Fig. 6 for one model: which direction of it is projected on, and where its events are."""

    source: Head
    label: str = BACKTRACKING
    layer: int
    window: Window
    negatives: Negatives = "all"
    weighting: Weighting = "trace"
    saved: Direction | None = None
    """A direction to take as it is, on all traces; else it is made of every other trace and tested on the rest."""


def read_leads(
    find_model: FindModel,
    plan: LeadPlan,
    traces: Sequence[Trace],
    *,
    shelf: MomentShelf,
    cached: Callable[[ProjectionSpec], Projection | None],
    save: Callable[[ProjectionSpec, Projection], object],
    leads: Sequence[int] = LEADS,
    shown: int = SHOWN,
) -> Generator[Progress, None, tuple[tuple[LeadRow, ...], tuple[LeadTrace, ...]]]:
    """Fig. 6: AUC by lead over the tested traces, and the first `shown` of them that have an event.

    Traces that the model cannot read are left out, and so are leads at which no event or no other part has a value.
    Raises BadInput or BadDirection where the traces give no direction, and when no tested trace can be read.
    """
    from core.attribution.work import project_texts

    direction, tested = plan.saved, list(traces)
    if direction is None:
        direction = yield from _direction(find_model, plan, traces[::2], shelf)
        tested = list(traces[1::2])
    loaded = find_model(plan.source.model, plan.source.fingerprint)
    specs, places = [], []
    for number, trace in enumerate(tested):
        yield Progress(number, len(tested), "finding events")
        try:
            spec, text = _aligned(loaded, plan, trace, direction)
        except BadInput:
            continue
        specs.append(spec)
        places.append((trace.trace_id, text))
    if not specs:
        raise BadInput("None of the tested traces can be read.", "Choose a set with more, or shorter, traces.")
    found = yield from project_texts(find_model, specs, cached=cached, save=save)
    texts = [replace(text, values=projection.values) for (_, text), projection in zip(places, found, strict=True)]
    curve = [row for row in auc_by_lead(texts, leads) if row.n_events and row.n_others]
    rows = tuple(LeadRow(source=plan.source.role, **vars(row)) for row in curve)
    drawn = [i for i, text in enumerate(texts) if text.events][:shown]
    return rows, tuple(_drawn(plan.source.role, places[i][0], texts[i], found[i]) for i in drawn)


def _direction(
    find_model: FindModel, plan: LeadPlan, traces: Sequence[Trace], shelf: MomentShelf
) -> Generator[Progress, None, Direction]:
    """The direction of the plan, made of these traces alone."""
    from core.extraction.work import record

    others = sorted({part.label for trace in traces for part in trace.parts} - {plan.label})
    spec = MomentsSpec(
        model=plan.source.model,
        fingerprint=plan.source.fingerprint,
        traces_digest=digest_of(traces),
        labels=(plan.label, *others) if plan.negatives == "position" else (plan.label,),
        windows=(plan.window,),
        layers=(plan.layer,),
    )
    yield from record(find_model, shelf, [spec], traces)
    moments = shelf.get(spec)
    assert moments is not None, "the pass left no sums"
    found = contrast(moments, plan.label, negatives=plan.negatives, weighting=plan.weighting)
    return found.at(plan.layer, plan.window)


def _aligned(
    loaded: LoadedModel, plan: LeadPlan, trace: Trace, direction: Direction
) -> tuple[ProjectionSpec, AlignedText]:
    """What is asked of a trace, and where its parts begin; the values are still to come. BadInput: not readable."""
    from core.models.loaded import encode_text

    reading = encode_text(loaded, trace.prompt, trace.text)
    found = {
        label: {e.position for e in find_events(trace, label, spans=reading.spans, text_start=reading.text_start)}
        for label in {part.label for part in trace.parts}
    }
    events = found.pop(plan.label, set())
    spec = ProjectionSpec(
        model=plan.source.model,
        fingerprint=plan.source.fingerprint,
        token_ids=reading.token_ids,
        text_start=reading.text_start,
        direction=direction,
    )
    others = set().union(*found.values()) - events
    return spec, AlignedText(
        values=_NOTHING, first=reading.text_start, events=tuple(sorted(events)), others=tuple(sorted(others))
    )


def _drawn(role: Role, trace_id: str, text: AlignedText, projection: Projection) -> LeadTrace:
    """The projection along the reasoning text, without its prompt."""
    return LeadTrace(
        source=role,
        trace_id=trace_id,
        projection=tuple(float(value) for value in projection.values[text.first :]),
        pieces=projection.pieces[text.first :],
        events=tuple(position - text.first for position in text.events),
    )


def compare_labels(
    cells: Sequence[DoseCell], reference: Reference, *, arm_name: str = "", label: str = BACKTRACKING
) -> Generator[Progress, None, tuple[LabelRow, ...]]:
    """Table C.1: keywords of the cells against the reference, by sentence of the reasoning, one row per dose.

    Cells of one coefficient are put together; their own keywords are looked for. Raises what the reference raises.
    """
    doses = sorted({cell.spec.coefficient for cell in cells})
    rows: list[LabelRow] = []
    for number, dose in enumerate(doses):
        here = [cell for cell in cells if cell.spec.coefficient == dose]

        def placed(progress: Progress, number: int = number) -> Progress:
            share = progress.done / progress.total if progress.total else 0.0
            return replace(progress, done=number + share, total=len(doses), partial=tuple(rows))

        traces = [trace for cell in here for trace in traces_of_cell(cell, arm_name=arm_name)]
        labelled = yield from relay(reference.label(traces), placed)
        keywords = KeywordSet(keywords=here[0].spec.keywords, label=label)
        rows.append(label_row(traces, labelled, keywords, reference, coefficient=dose))
    return tuple(rows)


def label_row(
    traces: Sequence[Trace],
    labelled: Sequence[Trace],
    keywords: KeywordSet,
    reference: Reference,
    *,
    coefficient: float,
) -> LabelRow:
    """Sentences by whether they have a keyword and whether the reference gives them the keywords' label."""
    by_keyword = label_by_keywords(traces, keywords)
    counts = {True: 0, False: 0}
    both, event = 0, keywords.label
    for mine, theirs in zip(by_keyword, labelled, strict=True):
        assert mine.text == theirs.text, "the labeller changed the order or a text"
        places = compare([theirs], [mine], only_judged=not reference.knows_all).places
        both += len(places.get((event, event), ()))
        for (in_reference, in_mine), found in places.items():
            if (in_reference == event) != (in_mine == event):
                counts[in_mine == event] += len(found)
    return LabelRow(
        coefficient=coefficient,
        labeller=reference.name,
        n_texts=len(traces),
        both=both,
        keyword_only=counts[True],
        reference_only=counts[False],
    )


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """How well keywords find the events of a reference, with 95% intervals over sentences; nan where there are none."""

    precision: Interval
    recall: Interval
    f1: Interval


def label_scores(row: LabelRow) -> LabelScores:
    """Precision, recall and F1 of the keywords (paper, Table C.1), by Wilson.

    F1 is 2 j / (1 + j), where j is the share of sentences that both name among those that either names: its interval is
    that of j. Sentences of one text are taken as independent.
    """
    share = wilson(row.both, row.both + row.keyword_only + row.reference_only)
    return LabelScores(
        precision=wilson(row.both, row.both + row.keyword_only),
        recall=wilson(row.both, row.both + row.reference_only),
        f1=Interval(mean=_f1(share.mean), low=_f1(share.low), high=_f1(share.high), n=share.n),
    )


def _f1(share: float) -> float:
    return 2 * share / (1 + share)
