"""Showing runs: lanes side by side, what can be measured of each, and what to do with them next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from core.labelling.keywords import EXTENDED_KEYWORDS, KeywordSet
from core.runs.arms import first_divergence
from core.runs.values import Generation, LaneKL, StopReason
from core.text.sentences import split_sentences
from core.text.words import keyword_tokens, measure_text
from ui.components.lanes import Badge, Lane, LaneState, lanes
from ui.components.safe_text import seconds
from ui.playground.plan import Plan
from ui.playground.settings import keywords
from ui.talk.current import Current, show_current

_STATES: dict[StopReason, LaneState] = {
    "running": "running",
    "eos": "done",
    "length": "done",
    "context": "done",
    "cancelled": "cancelled",
    "timeout": "timeout",
    "error": "error",
    "interrupted": "interrupted",
}
_STOPS = {
    "eos": "ended by itself",
    "length": "reached the length limit",
    "context": "filled the context",
    "cancelled": "stopped",
    "interrupted": "cut off when the server stopped",
    "error": "failed",
    "timeout": "ran out of time",
    "running": "writing",
}


def draw_lanes(
    plan: Plan,
    generations: Sequence[Generation | None],
    *,
    badge: Badge,
    key: str,
    readings: Sequence[LaneKL | None] = (),
    below: int | None = None,
) -> tuple[int, int] | None:
    """Lanes of finished or growing completions, each marked where it parts from the lane it is compared with.

    With `below` they fill the window but for this many pixels.
    """
    drawn = []
    for i, (title, subtitle, generation) in enumerate(zip(plan.titles, plan.subtitles, generations, strict=True)):
        if generation is None:
            drawn.append(Lane(title=title, subtitle=subtitle, state="queued"))
            continue
        reference = plan.references[i]
        baseline = generations[reference] if reference is not None else None
        lane = _lane(generation, baseline, title=title, subtitle=subtitle, badge=badge)
        reading = readings[i] if readings else None
        drawn.append(replace(lane, values=tuple(reading.kl.tolist()), value_name="KL") if reading else lane)
    finished = all(generation is not None and generation.stop_reason != "running" for generation in generations)
    if badge:
        show_current(
            Current(
                specs=plan.specs,
                titles=plan.titles,
                subtitles=plan.subtitles,
                references=plan.references,
                keywords=keywords(),
                badge=badge,
            )
        )
    return lanes(drawn, key=key, height=340, below=below, picture=finished)


def _lane(generation: Generation, baseline: Generation | None, *, title: str, subtitle: str, badge: Badge) -> Lane:
    state = _STATES[generation.stop_reason]
    evidence = measure_text(generation.text).no_evidence if state == "done" else None
    return Lane(
        title=title,
        subtitle=subtitle,
        pieces=generation.pieces,
        highlights=keyword_tokens(generation.pieces, keywords()),
        diverged_at=first_divergence(baseline.token_ids, generation.token_ids) if baseline else None,
        state=state,
        badge=badge,
        note=f"No evidence: {evidence}." if evidence else "",
    )


def metrics_table(generations: Sequence[Generation], titles: Sequence[str]) -> None:
    """One row per lane: what the text says by itself, and how likely the unsteered model finds it."""
    rows = [_row(generation, title) for generation, title in zip(generations, titles, strict=True)]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        column_config={
            "keywords": st.column_config.NumberColumn(
                help=f"Share of words that are {' or '.join(keywords())} (paper, Eq. 1)", format="percent"
            ),
            "turns back": st.column_config.NumberColumn(
                help="Sentences in which the text turns back, by a list of words and phrases such as “wait” or “let me "
                "check”: a hint, not a label"
            ),
            "repetition": st.column_config.NumberColumn(
                help="Share of four-word sequences that occurred before; loops game the keyword count", format="percent"
            ),
            "NLL": st.column_config.NumberColumn(
                help="Nats per token under the unsteered model; far above the baseline means incoherent text",
                format="%.2f",
            ),
        },
    )
    st.caption("One completion is an anecdote: **Prompt set** shows the same over many prompts, with intervals.")


def backtracking_sentences(text: str) -> int:
    """How many sentences hold one of the words and phrases of the extended keyword set."""
    phrases = KeywordSet(keywords=EXTENDED_KEYWORDS)
    return sum(phrases.matches(text[start:end]) for start, end in split_sentences(text))


def _row(generation: Generation, title: str) -> dict[str, object]:
    measured = measure_text(generation.text, keywords())
    return {
        "lane": title,
        "keywords": measured.keyword_fraction if measured.n_words else None,
        "hits": measured.n_keywords,
        "turns back": backtracking_sentences(generation.text),
        "words": measured.n_words,
        "tokens": len(generation.token_ids),
        "repetition": measured.repetition,
        "NLL": generation.nll,
        "end": _STOPS[generation.stop_reason],
        "time": seconds(generation.seconds),
        "note": f"no evidence: {measured.no_evidence}" if measured.no_evidence else "",
    }
