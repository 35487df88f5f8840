"""A trace as tokens for the strip: the loaded model's, or its words while no model is loaded. Draws nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.models.pair import Role
from core.traces.coverage import event_positions
from core.traces.events import Spans
from core.values import Part, Trace, Window
from ui.shell.state import workbench

_WORD = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True, kw_only=True)
class TokenTrace:
    """The text's tokens, counted from 0 at its beginning."""

    pieces: tuple[str, ...]
    spans: Spans
    """(n_tokens,) characters of the text."""
    is_words: bool
    n_read: int = 0
    """Tokens that a model would read: the text's, and those of the question around it."""

    def placed(self, trace: Trace) -> tuple[tuple[int, int, Part], ...]:
        """(first token, token after the last, part); a part ends where the next one begins."""
        starts, ends = (np.asarray(edges, dtype=np.int64) for edges in (zip(*self.spans, strict=True)))
        firsts = np.searchsorted(ends, [_begin(trace, part) for part in trace.parts], side="right")
        limits = np.append(np.unique(firsts), len(starts))
        following = limits[np.searchsorted(limits, firsts, side="right").clip(max=len(limits) - 1)]
        stops = np.minimum(np.searchsorted(starts, [part.end for part in trace.parts]), following)
        rows = zip(firsts, stops, trace.parts, strict=True)
        return tuple((int(first), int(stop), part) for first, stop, part in rows if first < stop)

    def events(self, trace: Trace, label: str) -> NDArray[np.int64]:
        """(n_events,) the tokens at which the label's events begin."""
        return event_positions(trace, label, self.spans)

    def window(self, events: NDArray[np.int64], window: Window) -> frozenset[int]:
        """The tokens that the window covers around the events."""
        spread = (events[:, None] + np.arange(window.start, window.stop)).ravel()
        return frozenset(int(token) for token in spread if 0 <= token < len(self.spans))


def _begin(trace: Trace, part: Part) -> int:
    """Where the part's first character stands that is not white space."""
    covered = trace.text[part.start : part.end]
    return part.start + len(covered) - len(covered.lstrip())


def read_tokens(trace: Trace, role: Role) -> TokenTrace:
    """The trace in the tokens of that role's model; in words while no model is loaded."""
    pair = workbench().pair
    if pair.spec is None:
        words = list(_WORD.finditer(trace.text))
        return TokenTrace(
            pieces=tuple(word[0] for word in words), spans=tuple(word.span() for word in words), is_words=True
        )
    reading = pair.locate(role, trace.prompt, trace.text)
    pieces = pair.pieces(role, reading.token_ids[reading.text_start :])
    return TokenTrace(pieces=pieces, spans=reading.spans, is_words=False, n_read=len(reading.token_ids))
