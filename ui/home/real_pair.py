"""On Home: a real language model that answers any question, one button away."""

from __future__ import annotations

import streamlit as st

from core.embedded import recorded_bundle
from core.remembered import has_torch
from core.values import PairSpec
from ui.components.safe_text import done, plain
from ui.shell.jobs import follow, is_live
from ui.shell.pairs.fetched import SLOT, is_shipped, missing_pairs, offer_pair, what_it_takes
from ui.shell.state import LOAD_SLOT, guest, open_bundle_file, opened_bundle, workbench


def draw_real_pair() -> None:
    """Nothing for visitors, nor where no adapter comes with the project or no model can be loaded."""
    if guest() or opened_bundle() is not None or not has_torch():
        return
    loaded: PairSpec | None = workbench().pair.spec
    shown = is_shipped(loaded) if loaded else None
    if shown is not None and shown.attribution:
        st.caption(f"{plain(shown.reasoner)} · {plain(shown.attribution)}.")
    for pair in missing_pairs():
        with st.container(border=True):
            words, button = st.columns([3, 2], vertical_alignment="center")
            words.markdown(
                f"**A real language model, live on this machine.** {plain(pair.source.title)}, and the same finetuned "
                f"to think aloud ({plain(pair.reasoner)}): ask it anything. {what_it_takes(pair)}"
            )
            with button:
                offer_pair(pair, key=f"home:get:{pair.source.name}")
                _offer_recorded(pair.name)
                if pair.attribution:
                    st.caption(plain(pair.attribution))
            _draw_progress()


def _offer_recorded(name: str) -> None:
    """What was measured of the pair, to be looked at without the download."""
    path = recorded_bundle(name)
    if path is None or not st.button("See what was measured of it", icon=":material/inventory_2:"):
        return
    with path.open("rb") as file:
        if done(lambda: open_bundle_file(file)):
            st.rerun()


def _draw_progress() -> None:
    """How far it is; Stop stands in the sidebar."""
    slot = next((slot for slot in (SLOT, LOAD_SLOT) if is_live(slot)), SLOT)
    follow(slot, stoppable=False)
