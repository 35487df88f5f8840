"""Putting what a page shows into the talk: a comparison, whose runs are pinned for it, or a figure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import streamlit as st

from core.experiments.values import Figure
from core.runs.history import run_id_of
from core.runs.values import Generation
from core.talk.items import MAX_TITLE, Comparison, ShownFigure, TalkItem, TalkLane, made_item
from core.text.lines import shown_line
from ui.components.safe_text import done
from ui.shell.frame import page_path
from ui.shell.state import opened_bundle, workbench


def offer_comparison(
    generations: Sequence[Generation],
    titles: Sequence[str],
    subtitles: Sequence[str],
    references: Sequence[int | None],
    *,
    keywords: Sequence[str],
) -> None:
    """A title and the button that adds these lanes, as they are called here."""
    question = generations[0].spec.prompt.question

    def item(title: str) -> TalkItem:
        shown = kept_comparison(generations, titles, subtitles, references, keywords=keywords)
        return made_item(title, comparison=shown, instead=question)

    _offer(item, question, key=f"talk:add:{hash(tuple(g.spec for g in generations))}")


def kept_comparison(
    generations: Sequence[Generation],
    titles: Sequence[str],
    subtitles: Sequence[str],
    references: Sequence[int | None],
    *,
    keywords: Sequence[str],
) -> Comparison:
    """The comparison of runs, which are pinned: none of them is trimmed while the talk is made. UserFacingError."""
    history, lanes, written = workbench().history, [], []
    for generation, title, subtitle, at in zip(generations, titles, subtitles, references, strict=True):
        run_id = run_id_of(generation.spec)
        known = history.entry(run_id)
        written.append(known.stored_at if known is not None else time.time())
        if known is None or not known.record.pinned_at:
            history.pin(generation, time.time())
        lanes.append(TalkLane(run_id=run_id, title=title, subtitle=subtitle, reference=-1 if at is None else at))
    question = generations[0].spec.prompt.question
    return Comparison(question=question, lanes=tuple(lanes), keywords=tuple(keywords), recorded_at=max(written))


def offer_figure(experiment_id: str, figure: Figure, title: str) -> None:
    """A title and the button that adds a figure."""
    shown = ShownFigure(experiment_id=experiment_id, figure=figure)
    _offer(lambda named: made_item(named, figure=shown, instead=title), title, key=f"talk:add:{experiment_id}:{figure}")


def _offer(item: Callable[[str], TalkItem], usual: str, *, key: str) -> None:
    if opened_bundle() is not None:
        st.caption("An opened bundle is read-only: merge it, and add this to your own talk.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = st.text_input(
            "Title of the slide", shown_line(usual, MAX_TITLE), max_chars=MAX_TITLE, key=f"{key}:title"
        )
        pressed = st.button("Add to the talk", icon=":material/playlist_add:", key=key)
        st.page_link(page_path("talk"), label="To the talk", icon=":material/slideshow:")
    added: list[bool] = []
    if pressed and done(lambda: added.append(workbench().talk.add(item(title)))):
        words = "Added to the talk." if added[0] else "It is in the talk already."
        st.toast(words, icon=":material/playlist_add_check:")
