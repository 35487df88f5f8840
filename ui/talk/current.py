"""The comparison that the session looks at: what the page in front shows is what is presented without a talk."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.runs.history import run_id_of
from core.runs.values import Generation, GenerationSpec
from core.talk.items import Talk
from core.text.words import KEYWORDS
from ui.components.lanes import Lane
from ui.components.stage import CACHED, LIVE, LanesSlide
from ui.shell.state import caller, workbench
from ui.talk.slides import lane_of

CURRENT = "talk:current"
_KIND = "generate"
"""The jobs that write lanes."""


@dataclass(frozen=True, kw_only=True)
class Current:
    """Lanes as a page shows them, whether or not they are written yet."""

    specs: tuple[GenerationSpec, ...]
    titles: tuple[str, ...]
    subtitles: tuple[str, ...]
    references: tuple[int | None, ...]
    keywords: tuple[str, ...] = KEYWORDS
    badge: str = CACHED

    @classmethod
    def of(cls, specs: tuple[GenerationSpec, ...], titles: tuple[str, ...], *, badge: str) -> Current:
        """Lanes of which none is compared with another."""
        n = len(specs)
        return cls(specs=specs, titles=titles, subtitles=("",) * n, references=(None,) * n, badge=badge)


def show_current(current: Current | None) -> None:
    """What the page in front shows now; None for a page without lanes."""
    st.session_state[CURRENT] = current


def is_written() -> bool:
    """Whether a job is writing the lanes of the page in front now."""
    current: Current | None = st.session_state.get(CURRENT)
    return current is not None and _is_growing(current)


def place_of_current(talk: Talk) -> int | None:
    """Which item of the talk the page in front shows; None where it is none."""
    current: Current | None = st.session_state.get(CURRENT)
    ids = tuple(map(run_id_of, current.specs)) if current is not None else ()
    return next((place for place, item in enumerate(talk.items) if item.subject == ids), None)


def current_slide() -> LanesSlide | None:
    """The comparison in front as a slide, as far as it is written; None where there is no text at all."""
    current: Current | None = st.session_state.get(CURRENT)
    if current is None or not current.specs:
        return None
    texts = _texts(current)
    if not any(texts):
        return None
    lanes = []
    for text, title, subtitle, at in zip(texts, current.titles, current.subtitles, current.references, strict=True):
        reference = texts[at] if at is not None else None
        lanes.append(
            lane_of(text, reference, title=title, subtitle=subtitle, keywords=current.keywords)
            if text is not None
            else Lane(title=title, subtitle=subtitle, state="queued")
        )
    return LanesSlide(question=current.specs[0].prompt.question, lanes=tuple(lanes), badge=current.badge)


def _texts(current: Current) -> list[Generation | None]:
    bench, growing = workbench(), dict[GenerationSpec, Generation]()
    for job in bench.engine.live() if _is_growing(current) else []:
        partial = job.progress.partial if job.kind == _KIND else None
        growing |= {text.spec: text for text in partial or () if isinstance(text, Generation)}
    return [growing.get(spec) or bench.cached(spec) or bench.unfinished(spec) for spec in current.specs]


def _is_growing(current: Current) -> bool:
    mine = (job for job in workbench().engine.live() if job.owner == caller().owner)
    return current.badge == LIVE and any(job.kind == _KIND for job in mine)
