"""The marks around a model's thinking, and where a text divides into thinking and answer."""

from __future__ import annotations

THINK, END_THINK = "<think>", "</think>"
THOUGHT_MARKERS = (THINK, END_THINK)
"""Both marks, for code that treats them alike."""


def split_thought(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The reasoning in a response, and what was left out as (kind, sentence); without marks all of it is reasoning.

    Reasoning models omit `<think>` where their template writes it, and `</think>` where they are cut off.
    """
    before, begin, thought = text.partition(THINK)
    if not begin:
        before, thought = "", text
    thought, end, after = thought.partition(END_THINK)
    notes = []
    if before.strip():
        notes.append(("outside the reasoning", f"{len(before.strip()):,} characters before {THINK} are left out"))
    if after.strip():
        notes.append(("outside the reasoning", f"{len(after.strip()):,} characters after {END_THINK} are left out"))
    if begin and not end:
        notes.append(("cut off", f"the reasoning has no {END_THINK}; it is read to the end"))
    return thought, tuple(notes)


def has_thought(text: str) -> bool:
    """Whether the text has one of the marks."""
    return any(mark in text for mark in THOUGHT_MARKERS)
