"""The logit lens of a text's residual stream: one layer when it is asked for, or every layer that is not read yet."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from core.attribution.readouts import StreamLens, StreamLensSpec
from core.errors import BadInput
from core.forward.hooks import run_decoder
from core.forward.unembedding import CHUNK, keyword_ids, logit_lens, word_items
from core.jobs import Progress
from core.models.loaded import LoadedModel

_STREAM_BYTES = 2**28
"""Residual streams of several layers that are kept from one forward, so that it serves them all."""


def read_layer(loaded: LoadedModel, reader: LoadedModel, spec: StreamLensSpec) -> Iterator[float | StreamLens]:
    """Yield the share of work done after the forward up to the layer, and at last the StreamLens.

    Raises BadInput before the forward when text, layer or reader do not fit the model.
    """
    _check(loaded, reader, spec)
    streams = _streams(loaded, spec.token_ids, [spec.layer])
    reader.lock.expect()
    yield 0.5
    yield _read(reader, spec, streams[spec.layer])


def read_layers(
    find_model: Callable[[StreamLensSpec], tuple[LoadedModel, LoadedModel]],
    specs: Sequence[StreamLensSpec],
    *,
    cached: Callable[[StreamLensSpec], StreamLens | None],
    save: Callable[[StreamLensSpec, StreamLens], None],
) -> Generator[Progress, None, tuple[StreamLens, ...]]:
    """The lens of each of some layers of one text, a layer a step; those already stored are not read again.

    `find_model(spec)` gives the model and the reader. Raises BadInput as `read_layer` does.
    """
    found = {spec: lens for spec in specs if (lens := cached(spec)) is not None}
    missing = [spec for spec in specs if spec not in found]
    while missing:
        loaded, reader = find_model(missing[0])
        a_stream = len(missing[0].token_ids) * loaded.d_model * loaded.compute_dtype.itemsize
        here, missing = missing[: max(1, _STREAM_BYTES // a_stream)], missing[max(1, _STREAM_BYTES // a_stream) :]
        for spec in here:
            _check(loaded, reader, spec)
        yield Progress(len(found), len(specs), f"running {len(here)} layers of {loaded.name}")
        streams = _streams(loaded, here[0].token_ids, [spec.layer for spec in here])
        reader.lock.expect()
        for spec in here:
            yield Progress(len(found), len(specs), f"reading layer {spec.layer} of {loaded.name}")
            found[spec] = _read(reader, spec, streams.pop(spec.layer))
            save(spec, found[spec])
    return tuple(found[spec] for spec in specs)


def _check(loaded: LoadedModel, reader: LoadedModel, spec: StreamLensSpec) -> None:
    loaded.check_fits(spec.token_ids)
    if not 0 <= spec.layer < loaded.n_layers:
        raise BadInput(
            f"Layer {spec.layer} was asked for; {loaded.name} has layers 0 to {loaded.n_layers - 1}.",
            "Choose one of these layers.",
        )
    if (loaded.d_model, loaded.d_vocab) != (reader.d_model, reader.d_vocab):
        raise BadInput(
            f"{loaded.name} and {reader.name} differ in d_model or vocabulary, so one cannot read the other's stream.",
            "Load a base model and the reasoning model finetuned from it.",
        )


def _streams(loaded: LoadedModel, token_ids: Sequence[int], layers: Sequence[int]) -> dict[int, Tensor]:
    """(seq, d_model) residual stream of each layer, from one forward up to the deepest."""
    kept: dict[int, Tensor] = {}
    with loaded.lock:
        run_decoder(loaded, torch.tensor([list(token_ids)]), layers, kept.__setitem__)
    return {layer: hidden[0] for layer, hidden in kept.items()}


def _read(reader: LoadedModel, spec: StreamLensSpec, stream: Tensor) -> StreamLens:
    wanted = torch.tensor(keyword_ids(reader, spec.keywords), device=reader.device)
    items = torch.tensor(word_items(reader, spec.words), dtype=torch.int64, device=reader.device)
    lens, score = np.full((2, len(stream)), np.nan, np.float32)
    with reader.lock, torch.inference_mode():
        for start in range(0, len(stream), CHUNK):
            logits = logit_lens(reader, stream[start : start + CHUNK].to(reader.device))
            here = slice(start, start + len(logits))
            lens[here] = (logits[:, wanted].logsumexp(-1) - logits.logsumexp(-1)).cpu().numpy()
            if len(items):
                score[here] = logits[:, items].mean(-1).cpu().numpy()
    return StreamLens(spec=spec, lens=lens, score=score)
