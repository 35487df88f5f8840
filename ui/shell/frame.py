"""The frame around every page: page settings, navigation, and the sidebar with the model pair and live work."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core.models.pair import ModelFacts
from core.remembered import has_torch
from core.settings import PROJECT
from ui.components.first_screen import keep_readable
from ui.components.safe_text import plain, show_error
from ui.shell.jobs import follow, is_live, stop
from ui.shell.pairs.linked import offer_linked_pair
from ui.shell.pairs.picker import draw_pair_line, draw_pair_picker
from ui.shell.recorded import draw_bundle_card, draw_recorded_card, draw_recorded_line
from ui.shell.state import (
    FIRST_FAILED,
    LOAD_SLOT,
    caller,
    chosen_pair,
    guarded,
    guest,
    is_recorded,
    n_others,
    opened_bundle,
    pair_facts,
    take_over,
    workbench,
)
from ui.shell.storage import draw_storage

_PAGES = (
    ("home", "Home"),
    ("traces", "Traces"),
    ("labelling", "Labelling"),
    ("finetuning", "Finetuning"),
    ("extraction", "Extraction"),
    ("directions", "Directions"),
    ("playground", "Steering playground"),
    ("experiments", "Experiments"),
    ("attribution", "Token attribution"),
    ("bundles", "Bundles"),
    ("talk", "Talk"),
)
PURPOSES = {
    "home": "One direction makes a reasoning model turn back. Does it?",
    "traces": "Reasoning texts with labelled sentences: see where each turns back, and which tokens before that a "
    "direction is taken from.",
    "labelling": "Which sentences turn back? Keywords say one thing, a language model another: label a set of traces, "
    "and see sentence by sentence where two labellings differ.",
    "finetuning": "Make a pair of your own: a small adapter learns the reasoning of your traces on top of a base "
    "model. Does the finetuned model steer by what the base model already had?",
    "extraction": "Find a direction in labelled traces: what a model has in mind just before it turns back, less its "
    "average over everything, by layer and offset.",
    "directions": "Keep, exchange, compare and combine the directions that steer a model; no model is needed here.",
    "playground": "See one question answered with a direction added to the model while it writes, and without it.",
    "experiments": "What does the direction do, beyond chance, beyond its controls, and only in the reasoning model?",
    "attribution": "See, token by token, where a text leans on a direction and where the model would turn back next.",
    "bundles": "Results as one file: measured on one machine, shown on any other without models, merged with what is "
    "there.",
    "talk": "What you show to a room, slide by slide, from what is stored: no model is needed, and nothing is run "
    "again.",
}
"""What each page is for, as its first screen says it; the README's table begins with the same words."""
_WITHOUT_CHARTS = ("playground",)
_MARK = "shell_ran"
GUEST_PAGES = ("home", "playground", "attribution")
"""What visitors of a shared server are offered; these pages let them in by `require_shell(for_visitors=True)`."""


def set_up() -> None:
    """Page settings and the rules of all pages; to be called first in every run."""
    st.set_page_config(page_title="Retrace", page_icon="↩️", layout="wide", initial_sidebar_state="auto")
    keep_readable()


def navigation() -> StreamlitPage:
    """The pages, with the one that the address names; where it draws charts, their theme is set.

    Charts need a loaded pair; until then altair, which takes a third of a second, is not imported.
    """
    page = st.navigation([_page(stem, title) for stem, title in _PAGES])
    st.session_state[_MARK] = True
    if pair_facts() is not None and page.url_path not in _WITHOUT_CHARTS:
        from ui.components.theme import use_chart_theme

        use_chart_theme()
    return page


def is_offered(stem: str) -> bool:
    """Whether this session may open a page."""
    return stem in GUEST_PAGES or not guest()


def _page(stem: str, title: str) -> StreamlitPage:
    seen: Literal["visible", "hidden"] = "visible" if is_offered(stem) else "hidden"
    return st.Page(PROJECT / "pages" / f"{stem}.py", title=title, default=stem == "home", visibility=seen)


def require_shell(*, for_visitors: bool = False) -> None:
    """On a fresh server a deep link, or a click before `app.py` is through, runs the page file alone: start over.

    Where no model will be loaded, the first line of every page says so. For visitors of a shared server a page ends
    here unless it is `for_visitors`.
    """
    if _MARK not in st.session_state:
        navigation()
        st.rerun()
    if guest() and not for_visitors:
        st.info("This page is the speaker's. Visitors have those in the sidebar.", icon=":material/lock:")
        st.stop()
    if is_recorded():
        draw_recorded_line()


def wait_for_pair() -> tuple[ModelFacts, ModelFacts]:
    """(base, reasoner) facts, of a remembered pair where none is loaded; while there are none, show how far the load is
    and end the run here.
    """
    facts = pair_facts()
    if facts is None:
        if is_live(LOAD_SLOT):
            st.info("The models are being loaded. This page goes on by itself.", icon=":material/hourglass_top:")
        elif is_recorded():
            st.info(
                "No models are loaded, and nothing is stored of a pair that this page could show.",
                icon=":material/inventory_2:",
            )
        else:
            words = "The speaker has not loaded a pair yet." if guest() else "Choose a pair in the sidebar."
            st.info(f"No models are loaded. {words}", icon=":material/info:")
        if LOAD_SLOT in st.session_state:
            follow(LOAD_SLOT, stoppable=False)
        st.stop()
    return facts


def page_path(stem: str) -> str:
    """The path of a page for links between pages."""
    return str(PROJECT / "pages" / f"{stem}.py")


def draw_sidebar() -> None:
    """Pair picker, what runs now, and the store; on top of the page what its link asks of the pair."""
    if has_torch() and opened_bundle() is None:
        offer_linked_pair(LOAD_SLOT)
    with st.sidebar:
        failed = st.session_state.get(FIRST_FAILED)
        if failed is not None:
            show_error(failed)
        opened = opened_bundle()
        if opened is not None:
            if not guest():
                draw_bundle_card(opened)
            return
        if guest():
            _draw_for_visitor()
            return
        st.markdown("#### Model pair")
        if has_torch():
            _ensure_pair()
            draw_pair_picker(LOAD_SLOT)
            _follow_load()
        if is_recorded():
            draw_recorded_card()
        _draw_others()
        _draw_live_work()
        _draw_store()


def _draw_for_visitor() -> None:
    """Who this is, the pair, which is the speaker's to choose, and what runs."""
    st.caption(f"You are **{plain(guest())}**. Your runs are short, and the speaker sees them when asked for.")
    loading = [job for job in workbench().engine.live() if job.kind == "load"]
    if loading:
        st.session_state[LOAD_SLOT] = loading[0].job_id
        follow(LOAD_SLOT, stoppable=False, narrow=True)
    elif pair_facts() is None:
        st.caption("The speaker has not loaded a pair yet.")
    draw_pair_line()
    _draw_live_work()
    st.link_button("Log out", "/logout", width="stretch")


def _ensure_pair() -> None:
    """Load this session's pair when nothing is loaded and no load was tried; go on with a load of a closed tab."""
    bench = workbench()
    take_over(LOAD_SLOT, "load")
    if bench.pair.spec is None and LOAD_SLOT not in st.session_state:
        loading = [job for job in bench.engine.live() if job.kind == "load"]
        if loading:
            st.session_state[LOAD_SLOT] = loading[0].job_id
        else:
            guarded(lambda: bench.load_pair(chosen_pair(), caller()), LOAD_SLOT)


def _follow_load() -> None:
    """How far this session's load is, with Stop where it is its own; or that another visitor is loading a pair."""
    engine, job_id = workbench().engine, st.session_state.get(LOAD_SLOT, "")
    job = engine.snapshot(job_id)
    follow(LOAD_SLOT, stoppable=job is not None and job.owner == caller().owner, narrow=True)
    for other in engine.live():
        if other.kind == "load" and other.job_id != job_id and workbench().pair.spec is not None:
            st.caption(f"Another visitor: {plain(other.title)}. Runs on this pair go on until then.")


def _draw_others() -> None:
    """Who else would be moved to another pair by loading one."""
    n = n_others()
    if n and pair_facts() is not None:
        st.caption(f"{n} other visitor{'s' if n > 1 else ''} use{'' if n > 1 else 's'} this pair.")


def _draw_live_work() -> None:
    """This session's jobs and those of closed tabs, each with Stop, and how many others there are."""
    engine = workbench().engine
    live = [job for job in engine.live() if job.kind != "load"]
    left = {job.job_id for job in engine.left()}
    shown = [job for job in live if job.owner == caller().owner or job.job_id in left]
    if shown:
        st.markdown("#### Running now")
    for job in shown:
        name, button = st.columns([3, 2], vertical_alignment="center")
        done = f", {job.progress.done / job.progress.total:.0%}" if job.progress.total else ""
        name.caption(plain(job.title) + (f" of a closed tab{done}" if job.job_id in left else ""))
        button.button("Stop", key=f"side:{job.job_id}", on_click=stop, args=(job.job_id,))
    others = len(live) - len(shown)
    if others:
        st.caption(f"{others} run{'s' if others > 1 else ''} of other visitors")


def _draw_store() -> None:
    bench = workbench()
    if bench.store.warning:
        st.warning(plain(bench.store.warning), icon=":material/save:")
    draw_storage()
