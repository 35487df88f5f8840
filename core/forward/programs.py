"""Which absolute positions a steering program covers, and where what was written ends it. Knows neither hook nor model.

Two things are known before the first forward: where a region begins and where its slice ends. A keyword or the end of
the thinking is known only once it is written; a watch follows each row for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers.decoders import DecodeStream

from core.text.thoughts import THOUGHT_MARKERS
from core.text.words import keyword_spans
from core.tokens.tokenizer import FastTokenizer
from core.values import Positions

NO_END = 2**62


@dataclass(frozen=True)
class Ending:
    """What ends an edit early: one of some words in the completion, or the end of the thinking."""

    words: tuple[str, ...] = ()
    thinking: bool = False


def ending_of(positions: Positions) -> Ending:
    """The ending that these positions wait for; an empty one where nothing written can end them."""
    return Ending(words=tuple(sorted({w.casefold() for w in positions.until})), thinking=positions.region == "thinking")


def position_bounds(positions: Positions, n_prompt: int, think_start: int | None = None) -> tuple[int, int, int]:
    """(start, stop, step) in absolute positions; the completion begins at position n_prompt."""
    begins = {"completion": n_prompt, "thinking": n_prompt if think_start is None else think_start}
    begin = begins.get(positions.region, 0)
    end = n_prompt if positions.region == "prompt" else NO_END
    stop = end if positions.stop is None else min(end, begin + positions.stop)
    return begin + positions.start, stop, positions.every


def thinking_start(tokenizer: FastTokenizer, prompt_ids: Sequence[int]) -> int:
    """The position after the last thought marker that opens in the prompt, else that of the first new token."""
    opens, closes = (tokenizer.backend_tokenizer.token_to_id(marker) for marker in THOUGHT_MARKERS)
    for position in range(len(prompt_ids) - 1, -1, -1):
        if prompt_ids[position] == opens:
            return position + 1
        if prompt_ids[position] == closes:
            break
    return len(prompt_ids)


class EndingWatch:
    """Reads one row's completion as it is written and says which endings each token completes."""

    def __init__(self, tokenizer: FastTokenizer, endings: Sequence[Ending]) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=False)
        self._waiting = dict(enumerate(endings))
        self._tail = ""

    def feed(self, token_id: int) -> list[int]:
        """Indices of the endings that this token completes; each is named once.

        A word counts as soon as the text so far ends with it: whether "wait" goes on as "waiting" is not known yet.
        """
        text = self._tail + (self._stream.step(self._backend, int(token_id)) or "")
        ended = [i for i, ending in self._waiting.items() if _completes(text, ending)]
        for i in ended:
            del self._waiting[i]
        words = text.split()
        self._tail = words[-1] if words and not text[-1].isspace() else ""
        return ended


def _completes(text: str, ending: Ending) -> bool:
    if ending.thinking and THOUGHT_MARKERS[1] in text:
        return True
    return bool(ending.words) and bool(keyword_spans(text, ending.words))
