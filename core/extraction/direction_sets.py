"""The DirectionSet of one label, straight from the traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.extraction.contrast import contrast
from core.extraction.moments import Gathered, MomentsSpec
from core.extraction.passes import record_moments
from core.extraction.values import DirectionSet, ExtractionSpec
from core.models.loaded import LoadedModel
from core.values import Trace

FOLDS = 4


def extract_directions(
    loaded: LoadedModel, traces: Sequence[Trace], spec: ExtractionSpec
) -> Iterator[int | DirectionSet]:
    """Yield the number of traces read so far after each trace, and at last the DirectionSet.

    Every window of the spec is Eq. 3's: per trace, the mean over the union of its positions. Raises BadInput when all
    windows lie outside every trace, or fewer than two traces have an event.
    """
    moments = MomentsSpec(
        model=spec.model,
        fingerprint=spec.fingerprint,
        traces_digest=spec.traces_digest,
        labels=_labels_for(spec, traces),
        windows=spec.windows,
        layers=spec.layers,
        folds=FOLDS,
        frame=spec.frame,
    )
    for item in record_moments(loaded, traces, moments):
        if isinstance(item, Gathered):
            yield contrast(item, spec.label, negatives=spec.negatives, weighting=spec.weighting)
        else:
            yield item


def _labels_for(spec: ExtractionSpec, traces: Sequence[Trace]) -> tuple[str, ...]:
    """The label, and all others of the traces where their events are what is subtracted."""
    if spec.negatives != "position":
        return (spec.label,)
    return spec.label, *sorted({part.label for trace in traces for part in trace.parts} - {spec.label})
