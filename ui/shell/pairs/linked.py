"""The pair that a link was made with: said on top of the page, and loaded only when its button is pressed."""

from __future__ import annotations

import streamlit as st

from core.values import PairSpec
from ui.components.safe_text import plain
from ui.shell.links import PAIR, Field, read_link
from ui.shell.pairs.text import on_device, read_pair
from ui.shell.state import caller, guarded, guest, workbench

LINKED = "linked_pair"
"""Session key of the pair that a link was made with."""
_FIELDS = {PAIR: Field(name=PAIR, key=LINKED, default=None, parse=read_pair)}


def linked_pair() -> PairSpec | None:
    """The pair that this session's link was made with, where another one is loaded."""
    asked: PairSpec | None = st.session_state.get(LINKED)
    loaded = workbench().pair.spec
    if asked is None or loaded is None:
        return None
    pair = on_device(asked, loaded.reasoner.device)
    if pair == loaded:
        st.session_state[LINKED] = None
        return None
    return pair


def of_link(pair: PairSpec) -> tuple[str, str, str]:
    """What the link was made with: reasoning model, base model, precision."""
    return pair.reasoner.name, pair.base.name, pair.reasoner.precision


def load_linked(slot: str) -> None:
    """Load the pair of the link, which a link alone never does; the job's id goes to `slot`."""
    pair = linked_pair()
    if pair is not None and guarded(lambda: workbench().load_pair(pair, caller()), slot):
        st.session_state["pair"] = pair
        st.session_state[LINKED] = None


def offer_linked_pair(slot: str) -> None:
    """On top of the page: that its link was made with another pair, and the button that loads that one."""
    read_link(_FIELDS, "shell")
    pair = linked_pair()
    if pair is None:
        return
    reasoner, base, precision = map(plain, of_link(pair))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(
            f"This link was made with **{reasoner}** finetuned from **{base}** in {precision}. Another pair is loaded, "
            "and the page shows that one.",
            icon=":material/link:",
        )
        if not guest():
            st.button("Load the pair of the link", on_click=load_linked, args=(slot,), key="pair:of_link")
