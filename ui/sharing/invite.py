"""How the room gets in, and what visitors asked: on the speaker's screen alone, and only when asked for."""

from __future__ import annotations

import time

import streamlit as st

from core.sharing.door import Shared, sharing
from core.sharing.qr import code_of
from ui.components.safe_text import plain, seconds
from ui.shell.state import guest

SHOWN = 30
"""Visitors' runs that are listed."""


def draw_invite() -> None:
    """In the sidebar of the speaker of a shared server; nothing elsewhere."""
    shared = sharing()
    if shared is None or guest():
        return
    with st.sidebar:
        if st.button("Invite the room", icon=":material/qr_code_2:", key="invite", width="stretch"):
            _show_invitation()
        n = shared.door.n_visitors()
        with st.popover(f"What visitors asked · {n} here", icon=":material/groups:", width="stretch"):
            draw_visits(shared)


@st.dialog("Invite the room", width="large")
def _show_invitation() -> None:
    shared = sharing()
    if shared is not None and not guest():
        draw_invitation(shared.url)


def draw_invitation(url: str) -> None:
    """The address as a code and in letters, large enough for the last row; never the password."""
    if not url:
        st.warning("No network was found, so that no other machine can open this.", icon=":material/wifi_off:")
        return
    code, words = st.columns([2, 3], vertical_alignment="center")
    if picture := code_of(url):
        code.image(picture, width=420)
    words.title(plain(url), anchor=False)
    words.markdown("It asks for the password, which the terminal shows. Phones must be on the same network.")
    words.caption("While you present, the key **Q** shows this over the slides.")


def draw_visits(shared: Shared) -> None:
    """The latest runs of visitors: who, what, how, and when."""
    visits = shared.door.visits()
    if not visits:
        st.caption("No visitor has made a run yet.")
    for visit in visits[:SHOWN]:
        st.markdown(
            f"**{plain(visit.name)}** · {plain(visit.how, 120)} · {seconds(time.time() - visit.at)} ago  \n"
            f"{plain(visit.asked, 200)}"
        )
    if len(visits) > SHOWN:
        st.caption(f"The latest {SHOWN} of {len(visits)}.")
