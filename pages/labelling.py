"""Labelling: keywords, a judge and written traces; how far two labellings of the same traces agree."""

from __future__ import annotations

import streamlit as st

from core.traces.set_files import TraceSet
from ui.components.safe_text import done
from ui.labelling.agreement import draw_agreement
from ui.labelling.judge import draw_judge
from ui.labelling.keywords import draw_keywords
from ui.labelling.source import VIEW_KEY, choose_set, draw_facts
from ui.labelling.write import draw_write
from ui.shell.frame import PURPOSES, require_shell
from ui.shell.how_read import say_vocabularies
from ui.shell.notice import show_notice
from ui.shell.state import workbench

AGREEMENT, KEYWORDS, JUDGE, WRITE = "Agreement", "Keywords", "Judge", "Write traces"
WITH_SET = {AGREEMENT: draw_agreement, KEYWORDS: draw_keywords, JUDGE: draw_judge}


def chosen_set() -> TraceSet | None:
    """The set to work on; None, with the next step said, where there is none."""
    sets = workbench().trace_sets.list()
    if not sets:
        st.info(
            "There are no traces yet. Import a file on the Traces page, or choose **Write traces**.",
            icon=":material/description:",
        )
        return None
    shown = choose_set(sets)
    draw_facts(shown)
    return shown


def draw_view(view: str) -> None:
    """What the page shows below its title."""
    if view == WRITE:
        draw_write()
    elif (shown := chosen_set()) is not None:
        WITH_SET[view](shown)


require_shell()
st.title("Labelling", anchor=False)
st.write(PURPOSES["labelling"])
show_notice()
say_vocabularies()
st.session_state.setdefault(VIEW_KEY, AGREEMENT)
view = str(
    st.segmented_control(
        "View",
        [*WITH_SET, WRITE],
        required=True,
        key=VIEW_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
)
done(lambda: draw_view(view))
