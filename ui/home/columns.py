"""The three columns of Home, and the sentence that says what they show of this one question."""

from __future__ import annotations

from collections.abc import Sequence

from core.runs.questions import Example, is_right
from core.runs.values import Generation
from core.text.words import keyword_tokens, measure_text
from ui.components.lanes import Badge, Lane, lanes
from ui.components.roles import SHORT, TITLES

WAYS = (f"{SHORT['reasoner']} + direction", f"{SHORT['base']} + direction", f"{SHORT['reasoner']} + random push")
MODELS = (TITLES["reasoner"], TITLES["base"])
"""Where nothing is pushed."""
HEIGHT = 200


def draw_columns(
    generations: Sequence[Generation | None],
    question: Example,
    *,
    badge: Badge,
    is_pushed: bool,
    key: str = "home_lanes",
) -> None:
    """The answers side by side, with how often each turns back and whether it is right where that is known."""
    titles = WAYS if is_pushed else MODELS
    drawn = [_lane(one, title, question, badge) for one, title in zip(generations, titles, strict=True)]
    lanes(drawn, key=key, size="compact", height=HEIGHT)


def _lane(generation: Generation | None, title: str, question: Example, badge: Badge) -> Lane:
    if generation is None:
        return Lane(title=title, state="queued")
    is_done = generation.stop_reason != "running"
    answer = is_right(generation.text, question.answer) if is_done and generation.stop_reason == "eos" else None
    judged = "" if answer is None else f" · answer {'right ✓' if answer else 'wrong ✗'}"
    return Lane(
        title=title,
        subtitle=f"turns back: {times(turns(generation))}{judged}",
        pieces=generation.pieces,
        highlights=keyword_tokens(generation.pieces),
        state="done" if is_done else "running",
        badge=badge,
        note=broken(generation) if is_done else "",
    )


def turns(generation: Generation) -> int:
    """How often the text says “wait” or “hmm”."""
    return measure_text(generation.text).n_keywords


def times(n: int) -> str:
    """How often, in words."""
    return {0: "never", 1: "once", 2: "twice"}.get(n, f"{n} times")


def broken(generation: Generation) -> str:
    """Why the text is no evidence, or ""."""
    fault = measure_text(generation.text).no_evidence
    return f"No evidence: {fault}." if fault else ""


def verdict(generations: Sequence[Generation], *, has_push: bool) -> str:
    """One sentence on this one question; where the random push does as much, it says that first."""
    counts = [times(turns(one)) for one in generations]
    if not has_push:
        return f"Unsteered, the reasoning model turns back **{counts[0]}** here, the base model **{counts[1]}**."
    mine, base, random = counts
    if broken(generations[0]):
        return "At this strength the reasoning model's text **breaks**: its words are no evidence. Choose less."
    if 0 < turns(generations[0]) <= turns(generations[2]):
        return (
            f"Here **a random push does it too**: the reasoning model turns back {mine} with the direction and "
            f"{random} with a random one, the base model {base}."
        )
    return (
        f"Here the reasoning model turns back **{mine}** with the direction and **{random}** with a random one, the "
        f"base model **{base}**."
    )
