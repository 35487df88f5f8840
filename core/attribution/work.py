"""The readings of a text as the work of a job: one generator for every kind of spec that relates tokens to a direction.

Only the engine thread runs it; it yields after every pass, so that a stop takes effect there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import cast

from core.attribution.corpus import CorpusText, CorpusTextSpec, Projection, ProjectionSpec
from core.attribution.direction_lens import read_direction, read_layer_directions
from core.attribution.divergence import compare_models
from core.attribution.gradients import attribute_gradients
from core.attribution.interventions import measure_effects
from core.attribution.one_text import attribute_tokens, project_text, read_corpus_text, read_steered
from core.attribution.readouts import SteeredSpec, StreamLens, StreamLensSpec
from core.attribution.stream_lens import read_layer, read_layers
from core.attribution.values import (
    AttributionSpec,
    DirectionLens,
    DivergenceSpec,
    GradientSpec,
    InterventionSpec,
    LayerLensSpec,
    LensSpec,
    ReadingSpec,
)
from core.jobs import Progress
from core.models.loaded import LoadedModel
from core.values import ModelSpec, T

FindModel = Callable[[ModelSpec, str], LoadedModel]


def read_text(find_model: FindModel, spec: ReadingSpec[T]) -> Generator[Progress, None, T]:
    """The value of the spec; `find_model(model, fingerprint)` gives the models that it names."""
    steps, message = _steps(find_model, spec)
    yield Progress(0, 1, message)
    for item in steps:
        if not isinstance(item, float):
            return cast(T, item)
        yield Progress(item, 1, message)
    raise AssertionError("the reading ended without a result")


def read_corpus(
    find_model: FindModel,
    specs: Sequence[CorpusTextSpec],
    *,
    cached: Callable[[CorpusTextSpec], CorpusText | None],
    save: Callable[[CorpusTextSpec, CorpusText], None],
) -> Generator[Progress, None, tuple[CorpusText, ...]]:
    """All texts in order, one a step; those already stored are not read again, so a stopped run goes on."""
    found: list[CorpusText] = []
    for number, spec in enumerate(specs):
        text = cached(spec)
        if text is None:
            loaded = find_model(spec.model, spec.fingerprint)
            yield Progress(number, len(specs), f"reading text {number + 1} of {len(specs)} with {loaded.name}")
            text = read_corpus_text(loaded, spec)
            save(spec, text)
        found.append(text)
    return tuple(found)


def project_texts(
    find_model: FindModel,
    specs: Sequence[ProjectionSpec],
    *,
    cached: Callable[[ProjectionSpec], Projection | None],
    save: Callable[[ProjectionSpec, Projection], object],
) -> Generator[Progress, None, tuple[Projection, ...]]:
    """The projection of every text in order, one a step; those already stored are not read again."""
    found: list[Projection] = []
    for number, spec in enumerate(specs):
        projection = cached(spec)
        if projection is None:
            loaded = find_model(spec.model, spec.fingerprint)
            yield Progress(number, len(specs), f"projecting text {number + 1} of {len(specs)} with {loaded.name}")
            projection = project_text(loaded, spec)
            save(spec, projection)
        found.append(projection)
    return tuple(found)


def read_directions(
    find_model: FindModel,
    specs: Sequence[LensSpec],
    *,
    cached: Callable[[LensSpec], DirectionLens | None],
    save: Callable[[LensSpec, DirectionLens], object],
) -> Generator[Progress, None, tuple[DirectionLens, ...]]:
    """The lens of every direction in order, one a step; those already stored are not read again."""
    found: list[DirectionLens] = []
    for number, spec in enumerate(specs):
        lens = cached(spec)
        if lens is None:
            loaded = find_model(spec.model, spec.fingerprint)
            yield Progress(number, len(specs), f"reading direction {number + 1} of {len(specs)} through {loaded.name}")
            lens = read_direction(loaded, spec)
            save(spec, lens)
        found.append(lens)
    return tuple(found)


def read_stream(
    find_model: FindModel,
    specs: Sequence[StreamLensSpec],
    *,
    cached: Callable[[StreamLensSpec], StreamLens | None],
    save: Callable[[StreamLensSpec, StreamLens], None],
) -> Generator[Progress, None, tuple[StreamLens, ...]]:
    """The lens of each of some layers of one text, a layer a step; a stopped run goes on where it was."""
    return (yield from read_layers(lambda spec: _lens_models(find_model, spec), specs, cached=cached, save=save))


def _lens_models(find_model: FindModel, spec: StreamLensSpec) -> tuple[LoadedModel, LoadedModel]:
    reader = find_model(spec.reader, spec.reader_fingerprint)
    return find_model(spec.model, spec.fingerprint), reader


def _steps(find_model: FindModel, spec: ReadingSpec[T]) -> tuple[Iterator[object], str]:
    """Shares of the work, then the result; and what is being done, in words."""
    if isinstance(spec, AttributionSpec):
        loaded = find_model(spec.model, spec.fingerprint)
        return attribute_tokens(loaded, spec), f"reading {len(spec.token_ids)} tokens with {loaded.name}"
    if isinstance(spec, SteeredSpec):
        loaded = find_model(spec.reading.model, spec.reading.fingerprint)
        return read_steered(loaded, spec), f"steering {len(spec.reading.token_ids)} tokens with {loaded.name}"
    if isinstance(spec, StreamLensSpec):
        loaded, reader = _lens_models(find_model, spec)
        return read_layer(loaded, reader, spec), f"reading layer {spec.layer} of {loaded.name}"
    if isinstance(spec, LayerLensSpec):
        loaded = find_model(spec.model, spec.fingerprint)
        return iter([read_layer_directions(loaded, spec)]), f"reading the directions through {loaded.name}"
    if isinstance(spec, GradientSpec):
        loaded = find_model(spec.text.model, spec.text.fingerprint)
        return attribute_gradients(loaded, spec), f"differentiating {len(spec.text.token_ids)} tokens"
    if isinstance(spec, InterventionSpec):
        loaded = find_model(spec.text.model, spec.text.fingerprint)
        n = max(spec.text.targets) + 1 - spec.first
        return measure_effects(loaded, spec), f"steering and ablating {n} positions one by one"
    assert isinstance(spec, DivergenceSpec), type(spec)
    other = find_model(spec.other.model, spec.other.fingerprint)
    loaded = find_model(spec.text.model, spec.text.fingerprint)
    return compare_models(loaded, other, spec), f"reading with {loaded.name} and {other.name}"
