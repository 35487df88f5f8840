"""The pair that a link was made with. A link never loads anything: its pair is offered where another one is loaded."""

from __future__ import annotations

import streamlit as st

from core.values import PairSpec
from ui.components.safe_text import plain
from ui.shell.links import PAIR, Field, read_link
from ui.shell.pair_text import on_device, read_pair
from ui.shell.state import caller, guarded, workbench

KEY = "linked_pair"
FIELDS = {PAIR: Field(name=PAIR, key=KEY, default=None, parse=read_pair)}


def offer_linked_pair(slot: str) -> None:
    """In the sidebar: what the link's pair is, and a button to load it; the load job's id goes to `slot`."""
    read_link(FIELDS, "shell")
    asked: PairSpec | None = st.session_state[KEY]
    loaded = workbench().pair.spec
    if asked is None or loaded is None:
        return
    pair = on_device(asked, loaded.reasoner.device)
    if pair == loaded:
        st.session_state[KEY] = None
        return
    st.warning(
        f"This link was made with **{plain(pair.reasoner.name)}** finetuned from **{plain(pair.base.name)}** in "
        f"{pair.reasoner.precision}. Another pair is loaded, and the page shows that one.",
        icon=":material/link:",
    )
    if st.button("Load the pair of the link", width="stretch"):
        if guarded(lambda: workbench().load_pair(pair, caller()), slot):
            st.session_state["pair"] = pair
            st.session_state[KEY] = None
        st.rerun()
