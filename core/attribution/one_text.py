"""How each token of a text relates to a direction: projection, cosine, logit lens, next-token probability, steering KL.

Two forward passes over the text, one as it is and one with the direction added; no hidden state outlives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from core.attribution.corpus import CorpusText, CorpusTextSpec
from core.attribution.values import Attribution, AttributionSpec
from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.forward.hooks import record_residuals, steer_residuals
from core.forward.steering import compile_steering
from core.forward.unembedding import (
    CHUNK,
    any_probability,
    keyword_ids,
    kl_divergence,
    log_probabilities,
    logit_lens,
    word_items,
)
from core.models.loaded import LoadedModel, pieces
from core.values import Floats

TOP_K = 8


def attribute_tokens(loaded: LoadedModel, spec: AttributionSpec) -> Iterator[float | Attribution]:
    """Yield the share of work done after each pass, and at last the Attribution.

    Raises BadInput or BadDirection before the first forward when the text, layer or direction does not fit the model.
    """
    _check(loaded, spec)
    wanted = torch.tensor(keyword_ids(loaded, spec.keywords), device=loaded.device)
    readings, baseline = _read(loaded, spec, wanted)
    yield 0.5
    steered = _steered_normed(loaded, spec)
    yield 0.9
    yield _assemble(loaded, spec, readings, baseline, steered, wanted)


def _check(loaded: LoadedModel, spec: AttributionSpec | CorpusTextSpec) -> None:
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
    vector = torch.from_numpy(spec.direction.vector).to(loaded.device)
    found = np.zeros((2, loaded.n_layers, len(spec.token_ids)), np.float32)

    def sink(layer: int, hidden: Tensor) -> None:
        for row, values in enumerate(centred_projection(hidden[0], vector, first=spec.text_start)):
            found[row, layer] = values.cpu().numpy()

    p_keyword = np.zeros(len(spec.token_ids), np.float32)
    with loaded.lock, torch.inference_mode(), record_residuals(loaded, range(loaded.n_layers), sink):
        normed = normed_of(loaded, spec.token_ids)
    with torch.inference_mode():
        for here, rows in log_probabilities(loaded, normed):
            p_keyword[here] = any_probability(rows, wanted).cpu().numpy()
    return CorpusText(
        spec=spec,
        pieces=pieces(loaded, spec.token_ids),
        projection=found[0],
        cosine=found[1],
        p_keyword=p_keyword,
    )


def centred_projection(activations: Tensor, vector: Tensor, *, first: int) -> tuple[Tensor, Tensor]:
    """(seq,) projections on the unit vector and (seq,) cosines, after subtracting the mean activation of the text.

    activations (seq, d_model), vector (d_model,); the mean is over positions from `first` on (paper, Fig. 6). Float64.
    """
    centred = activations.double()
    centred = centred - centred[first:].mean(0)
    projection = centred @ vector.double()
    return projection, projection / centred.norm(dim=-1).clamp(min=1e-12)


def _read(loaded: LoadedModel, spec: AttributionSpec, wanted: Tensor) -> tuple[dict[str, Floats], Tensor]:
    """Per-layer readings (n_layers, seq) and the final-normed activations (seq, d_model) of the baseline pass."""
    seq = len(spec.token_ids)
    names = ("projection", "cosine", "lens", "score")
    readings: dict[str, Floats] = {name: np.zeros((loaded.n_layers, seq), np.float32) for name in names}
    vector = torch.from_numpy(spec.direction.vector).to(loaded.device)
    items = torch.tensor(word_items(loaded, spec.lens_words), dtype=torch.int64, device=loaded.device)

    def sink(layer: int, hidden: Tensor) -> None:
        projection, cosine = centred_projection(hidden[0], vector, first=spec.text_start)
        readings["projection"][layer] = projection.cpu().numpy()
        readings["cosine"][layer] = cosine.cpu().numpy()
        readings["lens"][layer], readings["score"][layer] = read_layers(loaded, hidden[0], wanted, items)

    with loaded.lock, torch.inference_mode(), record_residuals(loaded, range(loaded.n_layers), sink):
        return readings, normed_of(loaded, spec.token_ids)


def read_layers(
    loaded: LoadedModel, hidden: Tensor, wanted: Tensor, items: Tensor | None = None
) -> tuple[Floats, Floats]:
    """(seq,) log probability of the `wanted` ids and (seq,) mean logit of the `items` (Eq. 2), by the logit lens.

    hidden (seq, d_model) of any layer; NaN scores where there are no items.
    """
    lens, score = np.full((2, len(hidden)), np.nan, np.float32)
    for start in range(0, len(hidden), CHUNK):
        logits = logit_lens(loaded, hidden[start : start + CHUNK])
        here = slice(start, start + len(logits))
        lens[here] = (logits[:, wanted].logsumexp(-1) - logits.logsumexp(-1)).cpu().numpy()
        if items is not None and len(items):
            score[here] = logits[:, items].mean(-1).cpu().numpy()
    return lens, score


def _steered_normed(loaded: LoadedModel, spec: AttributionSpec) -> Tensor:
    """(seq, d_model) final-normed activations with the direction added at every position."""
    edit = SteeringSpec(direction=spec.direction, layer=spec.layer, coefficient=spec.coefficient)
    steering = compile_steering(loaded, [[edit]], n_prompt=[spec.text_start])
    steering.positions = torch.arange(len(spec.token_ids), device=loaded.device)[None]
    with loaded.lock, torch.inference_mode(), steer_residuals(loaded, steering):
        return normed_of(loaded, spec.token_ids)


def normed_of(loaded: LoadedModel, token_ids: Sequence[int]) -> Tensor:
    """(seq, d_model) final-normed activations of one forward pass; the caller holds the lock."""
    ids = torch.tensor([list(token_ids)], device=loaded.device)
    normed: Tensor = loaded.decoder(input_ids=ids, use_cache=False).last_hidden_state[0]
    return normed


def _assemble(
    loaded: LoadedModel,
    spec: AttributionSpec,
    readings: dict[str, Floats],
    baseline: Tensor,
    steered: Tensor,
    wanted: Tensor,
) -> Attribution:
    seq = len(spec.token_ids)
    k = min(TOP_K, loaded.d_vocab)
    p_keyword = np.zeros((2, seq), np.float32)
    kl, rank = np.zeros((2, seq), np.float32)
    top_ids = np.zeros((2, seq, k), np.int64)
    top_probs = np.zeros((2, seq, k), np.float32)
    with torch.inference_mode():
        both = zip(log_probabilities(loaded, baseline), log_probabilities(loaded, steered), strict=True)
        for (here, plain), (_, moved) in both:
            kl[here] = kl_divergence(plain, moved).cpu().numpy()
            best = plain[:, wanted].max(-1, keepdim=True).values
            rank[here] = ((plain > best).sum(-1) + 1).cpu().numpy()
            for i, rows in enumerate((plain, moved)):
                p_keyword[i, here] = any_probability(rows, wanted).cpu().numpy()
                values, ids = rows.topk(k, dim=-1)
                top_probs[i, here], top_ids[i, here] = values.exp().cpu().numpy(), ids.cpu().numpy()
    texts = loaded.vocabulary_texts()
    return Attribution(
        spec=spec,
        pieces=pieces(loaded, spec.token_ids),
        projection=readings["projection"],
        cosine=readings["cosine"],
        lens=readings["lens"],
        score=readings["score"],
        p_keyword=p_keyword[0],
        rank_keyword=rank,
        p_keyword_steered=p_keyword[1],
        kl_steered=kl,
        top_ids=top_ids,
        top_pieces=tuple(texts[i] for i in top_ids.ravel()),
        top_probs=top_probs,
    )
