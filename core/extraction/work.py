"""Extraction as the work of jobs: one trace a step, what was gathered kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence

from core.extraction.direction_sets import extract_directions
from core.extraction.moments import Gathered, MomentsSpec, bytes_needed, is_large
from core.extraction.passes import record_moments
from core.extraction.shelf import MomentShelf
from core.extraction.values import DirectionSet, ExtractionSpec
from core.jobs import Progress
from core.models.loaded import LoadedModel
from core.values import ModelSpec, Trace


def extract(
    loaded: LoadedModel, traces: Sequence[Trace], spec: ExtractionSpec
) -> Generator[Progress, None, DirectionSet]:
    """The DirectionSet of `spec`, one trace a step."""
    if loaded.lock.is_away:
        yield Progress(0, len(traces), f"reading traces with {loaded.name}")
    for item in extract_directions(loaded, traces, spec):
        if isinstance(item, DirectionSet):
            return item
        yield Progress(item, len(traces), f"reading trace {item} of {len(traces)} with {loaded.name}")
    raise AssertionError("the extraction ended without a result")


def record(
    find_model: Callable[[ModelSpec, str], LoadedModel],
    shelf: MomentShelf,
    specs: Sequence[MomentsSpec],
    traces: Sequence[Trace],
) -> Generator[Progress, None, tuple[MomentsSpec, ...]]:
    """Put the sums of every spec on the shelf, one trace a step; those that lie there are not gathered again.

    Raises BadInput before the first forward where sums that are kept layer by layer have no room.
    """
    todo = [spec for spec in specs if shelf.get(spec) is None]
    for number, spec in enumerate(todo):
        loaded, before = find_model(spec.model, spec.fingerprint), number * len(traces)
        begun = shelf.unfinished(spec)
        if begun is None and is_large(spec, loaded.d_model):
            shelf.check_room(bytes_needed(spec, loaded.d_model))
        if loaded.lock.is_away:
            yield Progress(before, len(todo) * len(traces), f"reading traces with {loaded.name}")
        reading = record_moments(loaded, traces, spec, begun=begun, keep=shelf.put_unfinished)
        with contextlib.closing(reading):
            for item in reading:
                if isinstance(item, Gathered):
                    shelf.put(item)
                    continue
                message = f"reading trace {item} of {len(traces)} with {loaded.name}"
                yield Progress(before + item, len(todo) * len(traces), message)
    return tuple(specs)
