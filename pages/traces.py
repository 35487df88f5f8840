"""Traces: import anyone's, read them token by token with their labels, see what a window covers, correct, export."""

from __future__ import annotations

import streamlit as st

from core.importing.report import report_from_json
from core.traces.set_files import TraceSet
from ui.components.first_screen import fold_button, foldable
from ui.components.safe_text import done
from ui.shell.frame import PURPOSES, require_shell
from ui.shell.handoff import INDEX_KEY, SET_KEY
from ui.shell.how_read import say_vocabularies
from ui.shell.links import read_link, write_link
from ui.shell.state import workbench
from ui.traces.import_form import draw_import, draw_report, finish_import
from ui.traces.listing import choose_trace
from ui.traces.reader import FIELDS, draw_reader
from ui.traces.sets import FOLDED, choose_set, draw_summary, draw_unreadable


def draw_set(shown: TraceSet) -> None:
    """The set's report, its list, and the chosen trace beside it."""
    with foldable(FOLDED, "summary"):
        draw_summary(shown)
    report = workbench().trace_sets.report(shown.set_id)
    if report:
        done(lambda: draw_report(report_from_json(report)))
    left, right = st.columns([4, 9], gap="medium")
    with left:
        index = choose_trace(shown)
    if index is not None:
        with right:
            draw_reader(shown, index)


require_shell()
with st.container(gap="xsmall"):
    st.subheader("Traces", anchor=False)
    st.caption(PURPOSES["traces"])
read_link(FIELDS, "traces")
imported = finish_import()
if imported is not None:
    st.session_state[SET_KEY] = imported
    st.session_state[INDEX_KEY] = 0
sets = workbench().trace_sets.list()
draw_unreadable(workbench().trace_sets.unreadable())
if not sets:
    st.info("There are no traces yet. Import a file below; its traces then appear here.", icon=":material/description:")
    draw_import()
    st.stop()
say_vocabularies()
fold_button(FOLDED, "Sets, list and settings")
done(lambda: draw_set(choose_set(sets)))
write_link(FIELDS)
