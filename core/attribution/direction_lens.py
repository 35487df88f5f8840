"""Reading a residual stream through the unembedding: the logit lens of activations and of directions."""

from __future__ import annotations

import numpy as np
import torch

from core.attribution.values import DirectionLens, LayerLens, LayerLensSpec, LensSpec
from core.errors import BadDirection
from core.forward.unembedding import read_vectors, word_items
from core.models.loaded import LoadedModel


def read_direction(loaded: LoadedModel, spec: LensSpec, *, k: int = 10) -> DirectionLens:
    """Logit lens of a direction, without the final norm (paper, Eq. 2).

    Raises BadDirection when the direction does not fit the model.
    """
    direction = spec.direction
    direction.check_fits(n_layers=loaded.n_layers, d_model=loaded.d_model, model_name=loaded.name)
    with loaded.lock, torch.inference_mode():
        logits = read_vectors(loaded, torch.from_numpy(direction.vector)[None])[0].cpu()
    texts = loaded.vocabulary_texts()
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
    """Eq. 2 of one direction per layer (paper, Fig. 5), of its unit vector; `LayerLens.of_raw` has the other length.

    W_U alone, at the model's own scale: what a head adds to every vector is left out. Raises BadDirection when the
    vectors do not fit the model.
    """
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
        logits = read_vectors(loaded, units).cpu()
    found = logits[:, items]
    best = found.max(-1, keepdim=True).values if items else torch.full((len(logits), 1), torch.nan)
    ranks = torch.where(best.isnan()[:, 0], torch.nan, (logits > best).sum(-1) + 1.0)
    scores = found.mean(-1) if items else torch.full((len(logits),), torch.nan)
    return LayerLens(scores=scores.float().numpy(), ranks=ranks.float().numpy(), n_items=len(items))
