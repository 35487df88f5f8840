"""Correcting a trace's parts by hand: relabel, move, remove, add, and take back. Changes the set, not the form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import streamlit as st

from core.errors import BadInput
from core.text.lines import kept_line, shown_line
from core.text.sentences import split_sentences
from core.traces.events import LABELS
from core.traces.set_files import TraceSet
from core.values import Part, Trace
from ui.components.safe_text import plain
from ui.shell.notice import attempt, show_failure
from ui.shell.state import workbench
from ui.traces.tokens import TokenTrace

MAX_LABEL = 60
MAX_SHOWN = 50
_PLACE = "traces:part"


def draw_parts(shown: TraceSet, index: int, trace: Trace, tokens: TokenTrace, pinned: int | None) -> None:
    """The part at the pinned token with its form, and the corrections so far."""
    st.markdown("**Correct the labels**")
    show_failure(_PLACE)
    if pinned is None or pinned >= len(tokens.pieces):
        st.caption("Click a token: its part can then be relabelled, moved or removed, or a new one added there.")
    else:
        _draw_form(shown, index, trace, tokens, pinned)
    _draw_history(shown)


def _draw_form(shown: TraceSet, index: int, trace: Trace, tokens: TokenTrace, pinned: int) -> None:
    found = next((row for row in reversed(tokens.placed(trace)) if row[0] <= pinned < row[1]), None)
    first, stop = (found[0], found[1]) if found else _suggested(trace, tokens, pinned)
    part = found[2] if found else None
    labels = list(dict.fromkeys([*LABELS, *shown.counts]))
    key = f"traces:part:{shown.set_id}:{index}:{shown.n_edits}:{first}:{stop}"
    name, left, right, save, remove = st.columns([4, 2, 2, 2, 2], vertical_alignment="bottom")
    label = name.selectbox(
        "Label of the part" if part else "Label of a new part",
        labels,
        index=labels.index(part.label) if part else None,
        key=f"{key}:label",
        accept_new_options=True,
        placeholder="Choose or type a label",
    )
    last = len(tokens.pieces) - 1
    a = left.number_input("First token", 0, last, first, key=f"{key}:first")
    b = right.number_input("Last token", 0, last, stop - 1, key=f"{key}:last")
    if save.button("Save" if part else "Add", key=f"{key}:save", type="primary", width="stretch"):
        _do(lambda: _save(shown, index, trace, tokens, part, label, a, b))
    if part and remove.button("Remove", key=f"{key}:remove", width="stretch"):
        _do(lambda: _replace(shown, index, trace, part, None))


def _save(
    shown: TraceSet, index: int, trace: Trace, tokens: TokenTrace, part: Part | None, label: str | None, a: int, b: int
) -> None:
    """Put a part with this label over the tokens a to b. Raises BadInput for a label or tokens that make no part."""
    name = kept_line(label or "", MAX_LABEL)
    if not name:
        raise BadInput("The part has no label.", "Choose one, or type a new one.")
    covered = trace.text[tokens.spans[a][0] : tokens.spans[b][1]] if a <= b else ""
    if not covered.strip():
        raise BadInput(f"The tokens {a} to {b} hold no text.", "Choose a first token at or before the last one.")
    start = tokens.spans[a][0] + len(covered) - len(covered.lstrip())
    new = Part(label=name, start=start, end=start + len(covered.strip()))
    over = [other for other in trace.parts if other is not part and other.start < new.end and new.start < other.end]
    if over and (part is None or (new.start, new.end) != (part.start, part.end)):
        raise BadInput(
            f"These tokens reach into a part that is labelled {over[0].label}.",
            "Change that part first, or choose other tokens.",
        )
    if new != part:
        _replace(shown, index, trace, part, new)


def _replace(shown: TraceSet, index: int, trace: Trace, old: Part | None, new: Part | None) -> None:
    kept = [part for part in trace.parts if part is not old]
    parts = sorted([*kept, *([new] if new else [])], key=lambda part: (part.start, part.end))
    workbench().trace_sets.edit(shown.set_id, index, parts, note=f"{trace.trace_id}: {_words(trace, old, new)}")


def _words(trace: Trace, old: Part | None, new: Part | None) -> str:
    part = new or old
    assert part is not None
    quote = shown_line(trace.text[part.start : part.end], 40)
    if old is None:
        return f"added {part.label}, {quote!r}"
    if new is None:
        return f"removed {part.label}, {quote!r}"
    return f"{old.label} → {new.label}, {quote!r}" if old.label != new.label else f"moved {new.label}, {quote!r}"


def _suggested(trace: Trace, tokens: TokenTrace, pinned: int) -> tuple[int, int]:
    """The tokens of the sentence around the pinned one, as far as no part holds them: (first, after the last)."""
    start, end = tokens.spans[pinned]
    low, high = next(((s, e) for s, e in split_sentences(trace.text) if s < end and start < e), (start, end))
    low = max([low, *(part.end for part in trace.parts if part.end <= start)])
    high = min([high, *(part.start for part in trace.parts if part.start >= end)])
    inside = [i for i, (s, e) in enumerate(tokens.spans) if s < high and e > low] or [pinned]
    return min(inside[0], pinned), max(inside[-1], pinned) + 1


def _draw_history(shown: TraceSet) -> None:
    edits = workbench().trace_sets.edits(shown.set_id)
    if not edits:
        return
    undo, text = st.columns([2, 6], vertical_alignment="center")
    text.caption(f"{len(edits):,} corrections; the latest: {plain(edits[-1].note, 160)}")
    if undo.button("Undo", key="traces:undo", icon=":material/undo:", width="stretch"):
        _do(lambda: workbench().trace_sets.undo(shown.set_id))
    with st.expander("All corrections"):
        latest = edits[::-1][:MAX_SHOWN]
        st.dataframe(
            {"when": [datetime.fromtimestamp(e.made_at) for e in latest], "what": [e.note for e in latest]},
            hide_index=True,
            column_config={"when": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", width="small")},
            alt="The latest corrections, newest first",
        )


def _do(action: Callable[[], object]) -> None:
    """Change the set and draw the whole page again; what prevents it is then shown."""
    attempt(action, _PLACE)
    st.rerun()
