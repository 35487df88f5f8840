"""The tokens of a tokenizer as data: names that no text can hold, ids that a model lacks, two vocabularies compared.

Knows tokenizer.json as the `tokenizers` library writes it, no weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from tokenizers import Tokenizer

from core.errors import ModelUnavailable

if TYPE_CHECKING:
    from core.tokens.tokenizer import FastTokenizer


class _Model(TypedDict, total=False):
    """The parts of tokenizer.json's "model" that name tokens."""

    vocab: dict[str, int] | list[tuple[str, float]]
    merges: list[tuple[str, str]]
    unk_token: str | None


class _Added(TypedDict):
    id: int
    content: str


class _State(TypedDict):
    added_tokens: list[_Added]
    model: _Model
    post_processor: object


def renamed(backend: Tokenizer, names: Mapping[str, str]) -> Tokenizer:
    """The same tokenizer with other texts for some of its tokens, which keep their ids; it adds no tokens of its own.

    What the model of a Unigram, WordPiece or BPE tokenizer knows under the old name is found under the new one only.
    """
    state = _state_of(backend)
    state["added_tokens"] = [{**t, "content": names.get(t["content"], t["content"])} for t in state["added_tokens"]]
    model = state["model"]
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        model["vocab"] = {names.get(token, token): i for token, i in vocab.items()}
    else:
        model["vocab"] = [(names.get(token, token), score) for token, score in vocab]
    unknown = model.get("unk_token")
    if unknown is not None and unknown in names:
        model["unk_token"] = names[unknown]
    if "merges" in model:
        model["merges"] = [(a, b) for a, b in model["merges"] if not {a, b, a + b} & set(names)]
    state["post_processor"] = None
    return Tokenizer.from_str(json.dumps(state))


def fitted(tokenizer: FastTokenizer, rows: int, frame: str) -> FastTokenizer:
    """The tokenizer without the added tokens for which a model of so many embedding rows has none.

    Their texts are then read as any other text. Raises ModelUnavailable where the `frame` around every question needs
    one of them, or where ordinary words lie beyond the rows: that is another model's tokenizer.
    """
    ids = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows}
    if not ids:
        return tokenizer
    added = tokenizer.get_added_vocab()
    words = sorted(set(ids) - set(added), key=ids.__getitem__)
    if words:
        raise ModelUnavailable(
            f"The tokenizer knows {len(words):,} words that the model does not: it has {rows:,} embedding rows, and "
            f"{words[0][:40]!r} has the id {ids[words[0]]:,}.",
            "Use the tokenizer.json that was published with these weights.",
        )
    needed = next((token for token in ids if token in frame), None)
    if needed is not None:
        raise ModelUnavailable(
            f"The chat template writes {needed[:40]!r}, whose id {ids[needed]:,} lies beyond the {rows:,} rows of the "
            "model's embedding.",
            "Use the tokenizer and chat template that were published with these weights.",
        )
    return _rebuilt(tokenizer, _without(tokenizer.backend_tokenizer, set(ids)), set(ids))


def _without(backend: Tokenizer, tokens: set[str]) -> Tokenizer:
    state = _state_of(backend)
    state["added_tokens"] = [added for added in state["added_tokens"] if added["content"] not in tokens]
    model = state["model"]
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        model["vocab"] = {token: i for token, i in vocab.items() if token not in tokens}
    else:
        model["vocab"] = [(token, score) for token, score in vocab if token not in tokens]
    if "merges" in model:
        model["merges"] = [(a, b) for a, b in model["merges"] if not {a, b, a + b} & tokens]
    return Tokenizer.from_str(json.dumps(state))


def _rebuilt(tokenizer: FastTokenizer, backend: Tokenizer, tokens: set[str]) -> FastTokenizer:
    """The same special tokens, other than `tokens`, and chat template around another backend."""
    from transformers import PreTrainedTokenizerFast

    special = {name: token for name, token in tokenizer.special_tokens_map.items() if token not in tokens}
    post_processor = backend.post_processor
    rebuilt: FastTokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=tokenizer.chat_template,
        clean_up_tokenization_spaces=False,
        **special,
    )
    rebuilt.backend_tokenizer.post_processor = post_processor
    return rebuilt


def _state_of(backend: Tokenizer) -> _State:
    state: _State = json.loads(backend.to_str())
    return state


@dataclass(frozen=True, kw_only=True)
class VocabularyDifference:
    """At which ids two vocabularies differ."""

    ids: tuple[int, ...]
    """Every id that has another token, or none, in one of them; in order."""
    n_words: int
    """Those among them that are ordinary text in both: the same id means two words."""


def compare_vocabularies(ours: FastTokenizer, theirs: FastTokenizer) -> VocabularyDifference:
    """By id. Tokens that were added to a vocabulary are no ordinary text: a finetune has its own marks of roles."""
    a, b = by_id(ours), by_id(theirs)
    added = {*ours.get_added_vocab().values(), *theirs.get_added_vocab().values()}
    ids = tuple(sorted(i for i in {*a, *b} if a.get(i) != b.get(i)))
    return VocabularyDifference(ids=ids, n_words=sum(i in a and i in b and i not in added for i in ids))


def by_id(tokenizer: FastTokenizer) -> dict[int, str]:
    """Tokens by id."""
    return {i: token for token, i in tokenizer.get_vocab().items()}
