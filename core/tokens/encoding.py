"""Text to token ids and back, for one fast tokenizer: whole texts in one go, with the characters of every token.

What a user or a trace says never becomes a control token. Knows no weights.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from core.errors import BadInput
from core.text.thoughts import THOUGHT_MARKERS
from core.tokens.frames import ChatFrame, control_tokens
from core.tokens.tokenizer import FastTokenizer
from core.tokens.vocabulary import renamed
from core.values import Prompt

Span = tuple[int, int]
_PRIVATE = (0xF0000, 0xFFFFE)
"""Characters without meaning, of which control tokens get other names."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Frame, question and answer text as one sequence.

    `spans` holds one (start, end) in characters of the text for each token from `text_start` on; a token that begins
    in the frame and ends in the text counts to the text, clipped.
    """

    token_ids: tuple[int, ...]
    spans: tuple[Span, ...]
    text_start: int


class Encoder:
    """One tokenizer with a model's context length; safe to share between threads."""

    def __init__(self, tokenizer: FastTokenizer, context_length: int) -> None:
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = False
        self._context_length = context_length
        ids = tokenizer.get_added_vocab()
        self._control_ids: dict[str, int] = {text: ids[text] for text in control_tokens(tokenizer)}
        self._texts = {i: text for text, i in self._control_ids.items()}
        self._apart: dict[int, Tokenizer] = {}
        self._lock = threading.Lock()
        self._pattern = re.compile("|".join(map(re.escape, self._control_ids)) or r"(?!)")

    def prompt(self, frame: ChatFrame, question: str) -> Prompt:
        """The rendered question and its token ids, with room for at least one new token."""
        self._check(question)
        text = frame.render(question)
        start = len(frame.prefix)
        ids = tuple(i for i, _ in self._encode(text, [(start, start + len(question))]))
        if len(ids) > self._context_length - 1:
            raise BadInput(
                f"The question takes {len(ids)} tokens, and this model reads at most {self._context_length - 1}.",
                "Shorten the question.",
            )
        return Prompt(question=question, text=text, token_ids=ids)

    def reading(self, frame: ChatFrame, question: str, text: str, *, limited: bool = True) -> Reading:
        """Question and answer text in one encoding; its thought markers are tokens unless the frame is plain.

        The question may be empty: a text whose question was not kept is read after an empty one. Raises BadInput for
        more tokens than the model reads, where that is `limited`.
        """
        _check_characters(question, "question")
        _check_characters(text, "text")
        start, begin = len(frame.prefix), len(frame.render(question))
        untrusted = [(start, start + len(question)), (begin, begin + len(text))]
        thoughts = None if frame.source == "plain" else begin
        tokens = self._encode(frame.render(question) + text, untrusted, thoughts_from=thoughts)
        if limited and len(tokens) > self._context_length:
            raise BadInput(
                f"The question and text take {len(tokens)} tokens, and this model reads {self._context_length}.",
                "Shorten the text, or choose a model with a longer context.",
            )
        first = next((k for k, (_, (_, end)) in enumerate(tokens) if end > begin), len(tokens))
        return Reading(
            token_ids=tuple(i for i, _ in tokens),
            spans=tuple((max(s - begin, 0), max(e - begin, 0)) for _, (s, e) in tokens[first:]),
            text_start=first,
        )

    def continuation(self, text: str, *, thoughts: bool = True) -> tuple[int, ...]:
        """Token ids of answer text by itself; control tokens in it stay text, thought markers only without `thoughts`.

        Raises BadInput for characters that are none.
        """
        _check_characters(text, "text")
        begin = 0 if thoughts else None
        return tuple(i for i, _ in self._encode(text, [(0, len(text))], thoughts_from=begin))

    def pieces(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        """One text per token; together they are the decoded text, special tokens included."""
        stream, found = DecodeStream(skip_special_tokens=False), []
        for token_id in token_ids:
            found.append(stream.step(self._backend, int(token_id)) or "")
        whole = self._backend.decode(list(token_ids), skip_special_tokens=False)
        joined = "".join(found)
        if found and whole.startswith(joined):
            found[-1] += whole[len(joined) :]
        return tuple(found)

    def _check(self, question: str) -> None:
        if not question.strip():
            raise BadInput("The question is empty.", "Write a question first.")
        _check_characters(question, "question")

    def _encode(
        self, text: str, untrusted: Sequence[Span], *, thoughts_from: int | None = None
    ) -> list[tuple[int, Span]]:
        """(token id, characters) of the whole text; control tokens inside `untrusted` stay ordinary text.

        A tokenizer may find them in other ways than by their letters: after it has normalised the text, or as a word
        of its own. So the ids are looked at.
        """
        tokens = list(_tokens(self._backend, text))
        held = [span for i, span in tokens if i in self._texts and _meets(span, untrusted)]
        if not held:
            return tokens
        trusted = []
        for match in self._pattern.finditer(text):
            thought = thoughts_from is not None and match.start() >= thoughts_from and match[0] in THOUGHT_MARKERS
            if thought or not _meets(match.span(), untrusted):
                trusted.append(match.span())
        if all(_meets(span, trusted) for span in held):
            return tokens
        return list(self._encode_apart(text, trusted))

    def _encode_apart(self, text: str, trusted: list[Span]) -> Iterator[tuple[int, Span]]:
        """By the same tokenizer under other names for its control tokens, which only the trusted ones bear here."""
        n = len(self._control_ids)
        first = next((c for c in range(*_PRIVATE, n) if not any(c <= ord(mark) < c + n for mark in set(text))), None)
        if first is None:
            raise BadInput("The text holds private-use characters of every kind.", "Delete some of them.")
        names = {token: chr(first + k) * len(token) for k, token in enumerate(self._control_ids)}
        with self._lock:
            if first not in self._apart:
                self._apart[first] = renamed(self._backend, names)
        parts, at = [], 0
        for start, end in trusted:
            parts += [text[at:start], names[text[start:end]]]
            at = end
        return _tokens(self._apart[first], "".join([*parts, text[at:]]))


def _meets(span: Span, others: Sequence[Span]) -> bool:
    """Whether the characters of one of the others are among those of the span."""
    return any(span[0] < end and span[1] > start for start, end in others)


def _tokens(backend: Tokenizer, text: str, *, shift: int = 0) -> Iterator[tuple[int, Span]]:
    """Some tokenizers leave the white space before a token out of its characters; here every token has its own."""
    encoded, last = backend.encode(text, add_special_tokens=False), 0
    for token_id, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
        start = min(start, last) if text[last:start].isspace() else start
        yield token_id, (start + shift, end + shift)
        last = max(last, end)


def _check_characters(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"The {what} holds half of a character (a lone surrogate) at position {error.start}.",
            "Delete that character, or copy the text again.",
        ) from None
