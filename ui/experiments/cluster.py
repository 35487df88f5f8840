"""Where a plan is measured: here, or by workers of a Ray cluster. Nothing is asked where Ray is not installed."""

from __future__ import annotations

import streamlit as st

from core.fleet.on_ray import is_installed
from core.fleet.values import AUTO, MOST, FleetSpec
from ui.experiments.widgets import kept

HERE, CLUSTER = "Here", "On a Ray cluster"
WHERE, ADDRESS, WORKERS, CARDS = "exp:where", "exp:ray", "exp:workers", "exp:cards"


def ask_cluster() -> None:
    """Where it is measured, in an expander of its own. Raises BadInput for workers that cannot be."""
    if not is_installed():
        return
    with st.expander("Where it is measured", icon=":material/dns:"):
        st.segmented_control(
            "Measured",
            (HERE, CLUSTER),
            key=kept(WHERE, HERE),
            persist_state="session",
            required=True,
            label_visibility="collapsed",
        )
        if st.session_state[WHERE] == HERE:
            st.caption("By the pair that is loaded here.")
            return
        _ask_workers()
        st.caption(
            "Workers make the cells; this app alone writes them, where all else is kept. Closing the page changes "
            "nothing; Stop ends the workers."
        )
        chosen_fleet()


def _ask_workers() -> None:
    """Where the cluster is, how many there are to be, and how much of a card each has."""
    address, workers, cards = st.columns([2, 1, 1])
    address.text_input(
        "Address",
        key=kept(ADDRESS, AUTO),
        persist_state="session",
        max_chars=200,
        help="HOST:PORT of the cluster; auto: this machine's, or one that is begun on it.",
    )
    workers.number_input(
        "Workers", 1, MOST, key=kept(WORKERS, 1), persist_state="session", help="Each holds one model."
    )
    cards.number_input(
        "Cards of each",
        0.0,
        1.0,
        step=0.25,
        key=kept(CARDS, 0.0),
        persist_state="session",
        help="A part where several workers share one.",
    )


def chosen_fleet() -> FleetSpec | None:
    """The workers that were asked for; None for here. Raises BadInput for an address that cannot be one."""
    state = st.session_state
    if not is_installed() or state.get(WHERE, HERE) == HERE:
        return None
    address = str(state.get(ADDRESS, AUTO)).strip()
    return FleetSpec(address=address, workers=int(state.get(WORKERS, 1)), gpus=float(state.get(CARDS, 0.0)))
