"""Where labelled parts lie in tokens: events, windows, the label of each token. No torch, no disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.values import Event, Trace, Window

Label = Literal[
    "initializing",
    "deduction",
    "adding-knowledge",
    "example-testing",
    "uncertainty-estimation",
    "backtracking",
]
"""The paper's labels (taxonomy of Venhoff et al. 2025); a trace may hold others."""
LABELS: tuple[Label, ...] = get_args(Label)
INITIALIZING, DEDUCTION, ADDING_KNOWLEDGE, EXAMPLE_TESTING, UNCERTAINTY_ESTIMATION, BACKTRACKING = LABELS
Spans = Sequence[tuple[int, int]]


def digest_of(traces: Sequence[Trace]) -> str:
    """Identity of a set of traces: prompts, texts, parts and their order."""
    rows = [[t.prompt, t.text, [[p.label, p.start, p.end] for p in t.parts]] for t in traces]
    data = json.dumps(rows, ensure_ascii=True, separators=(",", ":")).encode()
    return hashlib.sha256(data).hexdigest()[:20]


def find_events(trace: Trace, label: str, *, spans: Spans, text_start: int) -> list[Event]:
    """The events of `label`: for each such part, the first token that reaches into it, at its absolute position.

    `spans` are the character spans of the text's tokens, the first of which is at position `text_start`. A part after
    the last token (a truncated reading) yields no event. White space at the start of a part is skipped.
    """
    ends = np.asarray([end for _, end in spans], dtype=np.int64)
    events = []
    for part in trace.parts:
        if part.label != label:
            continue
        covered = trace.text[part.start : part.end]
        start = part.start + len(covered) - len(covered.lstrip())
        index = int(np.searchsorted(ends, start, side="right"))
        if index < len(spans):
            events.append(Event(position=text_start + index, part=part))
    return events


def window_positions(events: Iterable[Event], window: Window, *, first: int, stop: int) -> NDArray[np.int64]:
    """(k,) sorted unique positions that the windows around the events cover, within first ≤ position < stop."""
    positions = {
        event.position + offset
        for event in events
        for offset in range(window.start, window.stop)
        if first <= event.position + offset < stop
    }
    return np.asarray(sorted(positions), dtype=np.int64)


def label_of_tokens(trace: Trace, spans: Spans) -> list[str]:
    """(n_tokens,) the label of the part that each token starts in; "" where there is none."""
    labels = [""] * len(spans)
    starts = np.asarray([start for start, _ in spans], dtype=np.int64)
    for part in trace.parts:
        for i in range(int(np.searchsorted(starts, part.start)), int(np.searchsorted(starts, part.end))):
            labels[i] = part.label
    return labels
