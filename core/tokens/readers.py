"""How the two models of a pair read one text: frames, what replaces special tokens, where their vocabularies differ.

The base model must read what the reasoning model reads without tokens that it never saw: of Llama-3.1 and its R1
distillate these are ids 128011 to 128014, which the paper's authors replaced. Knows tokenizers, no weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import BadInput
from core.tokens.encoding import Encoder
from core.tokens.frames import ChatFrame, control_tokens, plain_frame, read_as_text
from core.tokens.vocabulary import by_id, compare_vocabularies

if TYPE_CHECKING:
    from core.models.loaded import LoadedModel

SHOWN_DIFFERENCES = 12
TEXT_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class FirstTokens:
    """The tokens of the frame and the question, and the first ones of the text."""

    token_ids: tuple[int, ...]
    pieces: tuple[str, ...]
    text_start: int
    """Position of the first token of the text."""


@dataclass(frozen=True, kw_only=True)
class Readers:
    """Tokenizers and frames of a pair."""

    base: Encoder = field(repr=False)
    reasoner: Encoder = field(repr=False)
    base_frame: ChatFrame
    reasoner_frame: ChatFrame
    base_start: str
    """The base model's start token where its frame begins with it, else nothing."""
    reasoner_start: str
    """The same of the reasoning model."""
    control: tuple[str, ...]
    """Special, role and thought tokens of the reasoning model."""
    vocabularies: tuple[str, str]
    """Digests of the two vocabularies (base, reasoner)."""
    differences: tuple[tuple[int, str, str], ...]
    """(id, base's text, reasoner's text) of the first ids at which they differ; "" where one has no such id."""
    n_differences: int
    n_words: int
    """Of these, the ids that mean ordinary text in both models, and not the same."""

    @property
    def mapped(self) -> tuple[tuple[str, str], ...]:
        """The reasoning model's special tokens in its frame, and what the base model reads instead of each."""
        text = self.reasoner_frame.prefix + self.reasoner_frame.suffix
        found = sorted((text.index(token), token) for token in self.control if token in text)
        return tuple((t, self.base_start if t == self.reasoner_start else read_as_text(t, {})) for _, t in found)

    @property
    def template_words(self) -> tuple[str, ...]:
        """The words of the reasoning model's frame that are no special tokens: the base model reads them too."""
        text = self.reasoner_frame.prefix + " " + self.reasoner_frame.suffix
        for token in self.control:
            text = text.replace(token, " ")
        return tuple(dict.fromkeys(text.split()))

    def frame_read_as(self, read_as: Mapping[str, str]) -> ChatFrame:
        """The base model's frame with other texts for some of the special tokens."""
        start = read_as.get(self.reasoner_start, self.base_start) if self.reasoner_start else self.base_start
        rest = {token: text for token, text in read_as.items() if token != self.reasoner_start}
        body = ChatFrame(
            self.reasoner_frame.prefix.removeprefix(self.reasoner_start), self.reasoner_frame.suffix, "template"
        )
        return plain_frame(body, self.control, start, read_as=rest)

    def first_tokens(self, *, base: bool, frame: ChatFrame, question: str, text: str) -> FirstTokens:
        """The beginning of a trace as one of the models reads it, of whatever length. Raises BadInput for half
        characters."""
        encoder = self.base if base else self.reasoner
        reading = encoder.reading(frame, question, text, limited=False)
        ids = reading.token_ids[: reading.text_start + TEXT_TOKENS]
        return FirstTokens(token_ids=ids, pieces=encoder.pieces(ids), text_start=reading.text_start)

    def same_text_tokens(self, frame: ChatFrame, question: str, text: str) -> bool:
        """Whether the text, after either frame, becomes the same token ids in both models."""
        ours = self.base.reading(frame, question, text, limited=False)
        theirs = self.reasoner.reading(self.reasoner_frame, question, text, limited=False)
        return ours.token_ids[ours.text_start :] == theirs.token_ids[theirs.text_start :]


def readers_of(base: LoadedModel, reasoner: LoadedModel) -> Readers:
    """The tokenizers of a loaded pair, compared."""
    ours, theirs = by_id(base.tokenizer), by_id(reasoner.tokenizer)
    found = compare_vocabularies(base.tokenizer, reasoner.tokenizer)
    return Readers(
        base=base.encoder,
        reasoner=reasoner.encoder,
        base_frame=base.frame,
        reasoner_frame=reasoner.frame,
        base_start=_start_of(base),
        reasoner_start=_start_of(reasoner),
        control=control_tokens(reasoner.tokenizer),
        vocabularies=(_digest(ours), _digest(theirs)),
        differences=tuple((i, ours.get(i, ""), theirs.get(i, "")) for i in found.ids[:SHOWN_DIFFERENCES]),
        n_differences=len(found.ids),
        n_words=found.n_words,
    )


def check_same_words(ours: LoadedModel, theirs: LoadedModel) -> None:
    """Raise BadInput unless predictions of the two can be compared id by id: one word for each id of ordinary text."""
    n_words = 0 if ours is theirs else compare_vocabularies(ours.tokenizer, theirs.tokenizer).n_words
    if n_words or ours.d_vocab != theirs.d_vocab:
        why = f"{n_words:,} token ids mean other words" if n_words else f"{ours.d_vocab:,} and {theirs.d_vocab:,} ids"
        raise BadInput(
            f"{ours.name} and {theirs.name} have different vocabularies ({why}), so their predictions cannot be "
            "compared id by id.",
            "Compare two runs of one model, or load a base model and the reasoning model finetuned from it.",
        )


def _digest(vocabulary: dict[int, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(vocabulary.items())).encode()).hexdigest()[:16]


def _start_of(loaded: LoadedModel) -> str:
    """The start token that the frame begins with; one that comes again in it is a mark of roles."""
    bos, frame = loaded.tokenizer.bos_token or "", loaded.frame
    begins = bool(bos) and frame.prefix.startswith(bos)
    return bos if begins and (frame.prefix + frame.suffix).count(bos) == 1 else ""
