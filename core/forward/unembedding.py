"""From a residual stream to logits: final norm, unembedding, keywords in the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import BadInput
from core.models.loaded import LoadedModel


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
