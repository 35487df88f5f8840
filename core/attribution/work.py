"""The readings of a text as the work of a job: one generator for every kind of spec that relates tokens to a direction.

Only the engine thread runs it; it yields after every pass, so that a stop takes effect there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

from core.attribution.corpus import CorpusText, CorpusTextSpec
from core.attribution.direction_lens import read_layer_directions
from core.attribution.divergence import compare_models
from core.attribution.gradients import attribute_gradients
from core.attribution.interventions import measure_effects
from core.attribution.one_text import attribute_tokens, read_corpus_text
from core.attribution.values import (
    AttributionSpec,
    DivergenceSpec,
    GradientSpec,
    InterventionSpec,
    LayerLensSpec,
    ReadingSpec,
    ReadingValue,
)
from core.jobs import Progress
from core.models.loaded import LoadedModel
from core.values import ModelSpec

FindModel = Callable[[ModelSpec, str], LoadedModel]


def read_text(find_model: FindModel, spec: ReadingSpec) -> Generator[Progress, None, ReadingValue]:
    """The value of the spec; `find_model(model, fingerprint)` gives the models that it names."""
    steps, message = _steps(find_model, spec)
    yield Progress(0, 1, message)
    for item in steps:
        if not isinstance(item, float):
            return item
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


def _steps(find_model: FindModel, spec: ReadingSpec) -> tuple[Iterator[float | ReadingValue], str]:
    """Shares of the work, then the result; and what is being done, in words."""
    if isinstance(spec, AttributionSpec):
        loaded = find_model(spec.model, spec.fingerprint)
        return attribute_tokens(loaded, spec), f"reading {len(spec.token_ids)} tokens with {loaded.name}"
    if isinstance(spec, LayerLensSpec):
        loaded = find_model(spec.model, spec.fingerprint)
        return iter([read_layer_directions(loaded, spec)]), f"reading the directions through {loaded.name}"
    loaded = find_model(spec.text.model, spec.text.fingerprint)
    if isinstance(spec, GradientSpec):
        return attribute_gradients(loaded, spec), f"differentiating {len(spec.text.token_ids)} tokens"
    if isinstance(spec, InterventionSpec):
        n = max(spec.text.targets) + 1 - spec.first
        return measure_effects(loaded, spec), f"steering and ablating {n} positions one by one"
    assert isinstance(spec, DivergenceSpec), type(spec)
    other = find_model(spec.other.model, spec.other.fingerprint)
    return compare_models(loaded, other, spec), f"reading with {loaded.name} and {other.name}"
