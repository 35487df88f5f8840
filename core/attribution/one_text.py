"""How each token of a text relates to a direction: projection, cosine, next-token probability; and the text steered.

One forward pass over the text for the first, another with the direction added; no hidden state outlives them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from core.attribution.corpus import CorpusText, CorpusTextSpec, Projection, ProjectionSpec
from core.attribution.readouts import Steered, SteeredSpec
from core.attribution.values import Attribution, AttributionSpec
from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.forward.hooks import record_residuals, run_decoder, steer_residuals
from core.forward.steering import Steering, compile_steering
from core.forward.unembedding import (
    any_probability,
    keyword_ids,
    kl_divergence,
    log_probabilities,
)
from core.models.loaded import LoadedModel, pieces
from core.values import Floats, Integers

TOP_K = 8


def attribute_tokens(loaded: LoadedModel, spec: AttributionSpec) -> Iterator[float | Attribution]:
    """Yield the share of work done after the forward, and at last the Attribution.

    Raises BadInput or BadDirection before the forward when the text, layer or direction does not fit the model.
    """
    _check(loaded, spec)
    _steering(loaded, spec, (True,))
    wanted = torch.tensor(keyword_ids(loaded, spec.keywords), device=loaded.device)
    began = time.perf_counter()
    projection, cosine, normed = _read(loaded, spec)
    read = time.perf_counter() - began
    yield 0.7
    began = time.perf_counter()
    p_keyword, rank = np.zeros((2, len(normed)), np.float32)
    tops = Tops(loaded, len(normed))
    with torch.inference_mode():
        for here, rows in log_probabilities(loaded, normed):
            p_keyword[here] = any_probability(rows, wanted).cpu().numpy()
            best = rows[:, wanted].max(-1, keepdim=True).values
            rank[here] = ((rows > best).sum(-1) + 1).cpu().numpy()
            tops.take(here, rows)
    yield Attribution(
        spec=spec,
        pieces=pieces(loaded, spec.token_ids),
        projection=projection,
        cosine=cosine,
        p_keyword=p_keyword,
        rank_keyword=rank,
        top_ids=tops.ids,
        top_pieces=tops.pieces,
        top_probs=tops.probs,
        seconds=read + time.perf_counter() - began,
    )


def read_steered(loaded: LoadedModel, spec: SteeredSpec) -> Iterator[float | Steered]:
    """Yield the share of work done after the forward, and at last the Steered.

    The text as it is and the steered one are two rows, which differ from the steered layer on. Raises as
    `attribute_tokens` does.
    """
    reading = spec.reading
    _check(loaded, reading)
    steering = _steering(loaded, reading, (False, True))
    wanted = torch.tensor(keyword_ids(loaded, reading.keywords), device=loaded.device)
    ids = torch.tensor([list(reading.token_ids)], device=loaded.device)
    with loaded.lock, torch.inference_mode(), steer_residuals(loaded, steering):
        normed = loaded.decoder(input_ids=ids, use_cache=False).last_hidden_state
    yield 0.6
    p_keyword, kl = np.zeros((2, ids.shape[1]), np.float32)
    tops = Tops(loaded, ids.shape[1])
    with torch.inference_mode():
        both = zip(*(log_probabilities(loaded, rows) for rows in normed), strict=True)
        for (here, plain), (_, moved) in both:
            kl[here] = kl_divergence(plain, moved).cpu().numpy()
            p_keyword[here] = any_probability(moved, wanted).cpu().numpy()
            tops.take(here, moved)
    yield Steered(spec=spec, p_keyword=p_keyword, kl=kl, top_ids=tops.ids, top_pieces=tops.pieces, top_probs=tops.probs)


class Tops:
    """The most likely next tokens of every position, gathered as log-probabilities come."""

    def __init__(self, loaded: LoadedModel, seq: int) -> None:
        k = min(TOP_K, loaded.d_vocab)
        self._texts = loaded.vocabulary_texts()
        self.ids: Integers = np.zeros((seq, k), np.int64)
        self.probs: Floats = np.zeros((seq, k), np.float32)

    def take(self, here: slice, rows: Tensor) -> None:
        """Log-probabilities (k, d_vocab) of the positions `here`."""
        values, ids = rows.topk(self.ids.shape[1], dim=-1)
        self.probs[here], self.ids[here] = values.exp().cpu().numpy(), ids.cpu().numpy()

    @property
    def pieces(self) -> tuple[str, ...]:
        """Texts of the ids, flattened in their order."""
        return tuple(self._texts[i] for i in self.ids.ravel())


def _check(loaded: LoadedModel, spec: AttributionSpec | CorpusTextSpec | ProjectionSpec) -> None:
    if spec.text_start < 0 or len(spec.token_ids) - spec.text_start < 2:
        raise BadInput("The text has fewer than two tokens.", "Choose a longer text.")
    loaded.check_fits(spec.token_ids)
    spec.direction.check_fits(n_layers=loaded.n_layers, d_model=loaded.d_model, model_name=loaded.name)


def read_corpus_text(loaded: LoadedModel, spec: CorpusTextSpec) -> CorpusText:
    """Projection, cosine and keyword probability of one text of a corpus, in one pass.

    Raises BadInput or BadDirection before the forward when text or direction do not fit the model.
    """
    _check(loaded, spec)
    wanted = torch.tensor(keyword_ids(loaded, spec.keywords), device=loaded.device)
    projection, cosine, normed = _read(loaded, spec)
    p_keyword = np.zeros(len(spec.token_ids), np.float32)
    with torch.inference_mode():
        for here, rows in log_probabilities(loaded, normed):
            p_keyword[here] = any_probability(rows, wanted).cpu().numpy()
    return CorpusText(
        spec=spec,
        pieces=pieces(loaded, spec.token_ids),
        projection=projection,
        cosine=cosine,
        p_keyword=p_keyword,
    )


def project_text(loaded: LoadedModel, spec: ProjectionSpec) -> Projection:
    """The centred projection of one text, in one pass up to the direction's layer.

    Raises BadInput or BadDirection before the forward when text or direction do not fit the model.
    """
    _check(loaded, spec)
    vector = torch.from_numpy(spec.direction.vector).to(loaded.device)
    found: list[Tensor] = []

    def sink(_layer: int, hidden: Tensor) -> None:
        found.append(centred_projection(hidden[0], vector, first=spec.text_start)[0])

    with loaded.lock:
        run_decoder(loaded, torch.tensor([spec.token_ids]), [spec.direction.layer], sink)
    return Projection(pieces=pieces(loaded, spec.token_ids), values=found[0].float().cpu().numpy())


def centred_projection(activations: Tensor, vector: Tensor, *, first: int) -> tuple[Tensor, Tensor]:
    """(seq,) projections on the unit vector and (seq,) cosines, after subtracting the mean activation of the text.

    activations (seq, d_model), vector (d_model,); the mean is over positions from `first` on (paper, Fig. 6). Float64.
    """
    centred = activations.double()
    centred = centred - centred[first:].mean(0)
    projection = centred @ vector.double()
    return projection, projection / centred.norm(dim=-1).clamp(min=1e-12)


def _read(loaded: LoadedModel, spec: AttributionSpec | CorpusTextSpec) -> tuple[Floats, Floats, Tensor]:
    """(n_layers, seq) projection and cosine, and (seq, d_model) final-normed activations, of one pass."""
    found = np.zeros((2, loaded.n_layers, len(spec.token_ids)), np.float32)
    vector = torch.from_numpy(spec.direction.vector).to(loaded.device)

    def sink(layer: int, hidden: Tensor) -> None:
        for row, values in enumerate(centred_projection(hidden[0], vector, first=spec.text_start)):
            found[row, layer] = values.cpu().numpy()

    with loaded.lock, torch.inference_mode(), record_residuals(loaded, range(loaded.n_layers), sink):
        normed = normed_of(loaded, spec.token_ids)
    return found[0], found[1], normed


def _steering(loaded: LoadedModel, spec: AttributionSpec, rows: Sequence[bool]) -> Steering:
    """Rows with the direction added at every position, or as they are."""
    edit = SteeringSpec(direction=spec.direction, layer=spec.layer, coefficient=spec.coefficient)
    steering = compile_steering(
        loaded, [[edit] if steered else [] for steered in rows], n_prompt=[spec.text_start] * len(rows)
    )
    steering.positions = torch.arange(len(spec.token_ids), device=loaded.device)[None]
    return steering


def normed_of(loaded: LoadedModel, token_ids: Sequence[int]) -> Tensor:
    """(seq, d_model) final-normed activations of one forward pass; the caller holds the lock."""
    ids = torch.tensor([list(token_ids)], device=loaded.device)
    normed: Tensor = loaded.decoder(input_ids=ids, use_cache=False).last_hidden_state[0]
    return normed
