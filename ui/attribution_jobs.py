"""Values that come by job: at hand, from the store, or computed after asking where that takes long."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.attribution.values import ReadingSpec
from core.models.pair import ModelFacts
from ui.jobs import follow
from ui.state import caller, guarded, workbench

AUTO_RUN_MACS = 3e11
"""What costs less is computed without asking: a few seconds on a laptop's CPU."""
GRACE_SECONDS = 0.8
"""A result that comes this soon is drawn at once, without a progress bar in between."""


def forward_macs(facts: ModelFacts, n_tokens: int, *, lens: bool = False) -> float:
    """Multiply-adds of one pass over the text; with `lens`, of reading every layer through the unembedding too."""
    blocks = 12 * facts.n_layers * facts.d_model**2
    return n_tokens * (blocks + facts.d_model * facts.d_vocab * (facts.n_layers if lens else 1))


def at_hand(spec: ReadingSpec, name: str) -> Any:
    """The value of the spec if this session or the store has it; nothing is started."""
    found = st.session_state.get(f"{name}:shown")
    if found is None or found.spec != spec:
        found = workbench().cached(spec)
        if found is not None:
            st.session_state[f"{name}:shown"] = found
    return found


def obtain(spec: ReadingSpec, name: str, *, macs: float, offer: str, button: str) -> Any:
    """The value of the spec, or None while its job runs, failed, or waits for the button.

    `name` keeps one kind of value apart from others in this session. What costs more than AUTO_RUN_MACS is offered
    with the sentence `offer` and the button.
    """
    found = at_hand(spec, name)
    if found is None:
        found = _from_job(spec, name, macs=macs, offer=offer, button=button)
        if found is not None:
            st.session_state[f"{name}:shown"] = found
    return found


def _from_job(spec: ReadingSpec, name: str, *, macs: float, offer: str, button: str) -> Any:
    slot, asked = f"job:{name}", f"{name}:asked"
    if st.session_state.get(asked) != spec:
        if macs > AUTO_RUN_MACS and not _agrees(name, offer, button):
            return None
        st.session_state[asked] = spec
        if guarded(lambda: workbench().attribute(spec, caller()), slot):
            workbench().engine.wait(st.session_state[slot], GRACE_SECONDS)
    snapshot = follow(slot)
    if snapshot is not None and snapshot.state == "done" and snapshot.result.spec == spec:
        return snapshot.result
    if snapshot is not None or not _is_live(slot):
        st.button(
            "Read it again",
            icon=":material/refresh:",
            key=f"{name}:again",
            on_click=lambda: st.session_state.pop(asked, None),
        )
    return None


def _is_live(slot: str) -> bool:
    snapshot = workbench().engine.snapshot(st.session_state.get(slot, ""))
    return snapshot is not None and snapshot.live


def _agrees(name: str, offer: str, button: str) -> bool:
    st.info(offer, icon=":material/hourglass_top:")
    return st.button(button, type="primary", key=f"{name}:go")
