"""Keeping and sharing what is shown: pin, note, code that repeats it, and files."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from core.runs.export import NamedLane, to_html, to_json, to_markdown
from core.runs.history import MAX_NOTE, run_id_of
from core.runs.script import script_of
from core.runs.values import Generation
from ui.components.safe_text import done
from ui.playground.plan import Plan
from ui.playground.settings import keywords
from ui.shell.state import guest, workbench
from ui.talk.add import offer_comparison

NUMBERS, SHARE_KEY = "numbers", "pg_share"
WAYS = {
    NUMBERS: "Numbers",
    "code": "Copy as code",
    "files": "Files",
    "note": "Pin and note",
    "talk": "Add to the talk",
}


SPEAKERS = ("note", "talk")
"""Ways that write to what the speaker keeps."""


def ask_way() -> str | None:
    """What of the lanes is shown below them, if anything."""
    return st.segmented_control(
        "Below the lanes",
        [way for way in WAYS if way not in SPEAKERS or not guest()],
        format_func=WAYS.__getitem__,
        key=SHARE_KEY,
        label_visibility="collapsed",
        width="content",
        help="The address of this page also restores the lanes, on this machine.",
    )


def draw_share(way: str | None, plan: Plan, generations: Sequence[Generation]) -> None:
    """Only what is chosen is computed."""
    if way == "code":
        st.caption("Runs in the project's folder with its packages, and gives the same tokens in fp32.")
        st.code(script_of([generation.spec for generation in generations]), language=None, height=360)
    elif way == "files":
        _draw_files(plan, generations)
    elif way == "note":
        _draw_note(generations)
    elif way == "talk":
        offer_comparison(generations, plan.titles, plan.subtitles, plan.references, keywords=keywords())


def _draw_files(plan: Plan, generations: Sequence[Generation]) -> None:
    lanes = [NamedLane(title=title, generation=g) for title, g in zip(plan.titles, generations, strict=True)]
    name = f"retrace-{run_id_of(generations[-1].spec)[:8]}"
    with st.container(horizontal=True):
        for label, made, ending, kind in (
            ("Markdown", to_markdown(lanes), "md", "text/markdown"),
            ("JSON", to_json(lanes), "json", "application/json"),
            ("HTML page", to_html(lanes), "html", "text/html"),
        ):
            data = made.encode("utf-8", "replace")
            st.download_button(
                label, data, f"{name}.{ending}", kind, icon=":material/download:", on_click="ignore", key=f"pg_{ending}"
            )
    st.caption("The HTML page stands alone: no scripts, and nothing is loaded when it is opened. It prints well.")


def _draw_note(generations: Sequence[Generation]) -> None:
    history = workbench().history
    records = [history.kept(generation.spec) for generation in generations]
    pinned = all(record is not None and record.pinned_at for record in records)
    notes = [record.note for record in records if record is not None and record.note]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        note = st.text_input("Note to these runs", notes[0] if notes else "", max_chars=MAX_NOTE)
        if st.button("Save the note", key="pg_note_save") and done(lambda: _annotate(generations, note)):
            st.toast("Noted: the runs are now kept until you delete them.", icon=":material/edit_note:")
        press = st.button("Unpin" if pinned else "Pin", icon=":material/push_pin:", key="pg_pin")
        if press and done(lambda: workbench().comparisons.pin(generations, 0.0 if pinned else time.time())):
            st.rerun()
    st.caption("Pinned and noted runs stand first in the history and are never trimmed.")


def _annotate(generations: Sequence[Generation], note: str) -> None:
    for generation in generations:
        workbench().history.annotate(generation, note)
