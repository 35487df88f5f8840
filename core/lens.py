"""Reading a residual stream through the unembedding: the logit lens of activations and of directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from core.effects import LayerLens, LayerLensSpec
from core.errors import BadDirection, BadInput
from core.models.loaded import LoadedModel
from core.runs import DirectionLens, LensSpec


def unembed(loaded: LoadedModel, normed: Tensor) -> Tensor:
    """(..., d_vocab) float32 logits of final-normed activations (..., d_model), soft-capped where the model does so."""
    logits: Tensor = loaded.unembed(normed).float()
    cap = getattr(loaded.model.config, "final_logit_softcapping", None)
    return logits if not cap else torch.tanh(logits / cap) * cap


def logit_lens(loaded: LoadedModel, resid: Tensor) -> Tensor:
    """(..., d_vocab) float32 logits of residual-stream activations (..., d_model), as if the model ended there."""
    return unembed(loaded, loaded.final_norm(resid))


def keyword_ids(loaded: LoadedModel, keywords: Sequence[str]) -> list[int]:
    """Ids of the vocabulary items that begin one of the keywords: "wait", " Wait", "WAIT" for "wait".

    An item counts when its text, without surrounding white space and case, equals a keyword. Where the tokenizer
    splits a keyword, its first token counts instead. Raises BadInput when nothing is left to look for.
    """
    wanted = {word.strip().casefold() for word in keywords} - {""}
    if not wanted:
        raise BadInput("There are no keywords.", 'Give at least one word, for example "wait".')
    texts = vocabulary_texts(loaded)
    ids = {i for i, text in enumerate(texts) if text.strip().casefold() in wanted}
    found = {texts[i].strip().casefold() for i in ids}
    for word in wanted - found:
        for form in (word, " " + word, word.capitalize(), " " + word.capitalize()):
            ids.add(loaded.tokenizer.encode(form, add_special_tokens=False)[0])
    return sorted(ids)


def vocabulary_texts(loaded: LoadedModel) -> list[str]:
    """(d_vocab,) the text of every token id; ids without a token have an empty text."""
    known = min(len(loaded.tokenizer), loaded.d_vocab)
    texts: list[str] = loaded.tokenizer.batch_decode([[i] for i in range(known)])
    return texts + [""] * (loaded.d_vocab - known)


def word_items(loaded: LoadedModel, words: Sequence[str]) -> list[int]:
    """Ids of the vocabulary items whose text contains one of the words, whatever the case (the `a` of Eq. 2)."""
    wanted = [word.casefold() for word in words if word.strip()]
    return [i for i, text in enumerate(vocabulary_texts(loaded)) if any(word in text.casefold() for word in wanted)]


def read_direction(loaded: LoadedModel, spec: LensSpec, *, k: int = 10) -> DirectionLens:
    """Logit lens of a direction, without the final norm (paper, Eq. 2).

    Raises BadDirection when the direction does not fit the model.
    """
    direction = spec.direction
    direction.check_fits(n_layers=loaded.n_layers, d_model=loaded.d_model, model_name=loaded.name)
    with loaded.lock, torch.inference_mode():
        weight_dtype = loaded.compute_dtype
        vector = torch.from_numpy(direction.vector).to(loaded.device, weight_dtype)
        logits = loaded.unembed(vector[None])[0].double().cpu()
    texts = vocabulary_texts(loaded)
    items = word_items(loaded, spec.words)
    order = logits.argsort(descending=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    return DirectionLens(
        top=tuple((texts[i], float(logits[i])) for i in order[:k].tolist()),
        bottom=tuple((texts[i], float(logits[i])) for i in order.flip(0)[:k].tolist()),
        score=float(logits[items].mean()) if items else 0.0,
        best_rank=int(ranks[items].min()) + 1 if items else 0,
        n_items=len(items),
    )


def read_layer_directions(loaded: LoadedModel, spec: LayerLensSpec) -> LayerLens:
    """Eq. 2 of one direction per layer (paper, Fig. 5). Raises BadDirection when the vectors do not fit the model."""
    vectors = np.asarray(spec.vectors, np.float64)
    if vectors.shape != (loaded.n_layers, loaded.d_model):
        raise BadDirection(
            f"The directions have shape {list(vectors.shape)}; {loaded.name} has {loaded.n_layers} layers of width "
            f"{loaded.d_model}.",
            "Extract them from a model of this shape, at all layers.",
        )
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = torch.from_numpy(np.divide(vectors, norms, out=np.full_like(vectors, np.nan), where=norms > 0))
    items = word_items(loaded, spec.words)
    with loaded.lock, torch.inference_mode():
        logits = loaded.unembed(units.to(loaded.device, loaded.compute_dtype)).double().cpu()
    found = logits[:, items]
    best = found.max(-1, keepdim=True).values if items else torch.full((len(logits), 1), torch.nan)
    ranks = torch.where(best.isnan()[:, 0], torch.nan, (logits > best).sum(-1) + 1.0)
    scores = found.mean(-1) if items else torch.full((len(logits),), torch.nan)
    return LayerLens(scores=scores.float().numpy(), ranks=ranks.float().numpy(), n_items=len(items))
