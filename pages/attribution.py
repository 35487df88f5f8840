"""Token attribution: one text, read by one model, every token related to one direction."""

from __future__ import annotations

import streamlit as st

from core.pair import ModelFacts
from core.runs import Attribution, AttributionSpec
from ui.attribution_form import draw_form
from ui.attribution_view import draw_attribution
from ui.jobs import follow
from ui.shell import require_shell
from ui.state import caller, guarded, pair_facts, workbench
from ui.text import plain

SLOT = "job:attribution"
SHOWN = "attribution:shown"
ASKED = "attribution:asked"
AUTO_RUN_MACS = 3e11
"""Texts that cost less are read without asking: a few seconds on a laptop's CPU."""
GRACE_SECONDS = 0.8
"""A result that comes this soon is drawn at once, without a progress bar in between."""


def attribution_of(spec: AttributionSpec, facts: ModelFacts) -> Attribution | None:
    """The attribution at hand, stored or now ready; otherwise its job is started, offered or followed."""
    found = st.session_state.get(SHOWN)
    if found is None or found.spec != spec:
        found = workbench().cached(spec) or _from_job(spec, facts)
    if found is not None:
        st.session_state[SHOWN] = found
    return found


def _from_job(spec: AttributionSpec, facts: ModelFacts) -> Attribution | None:
    if st.session_state.get(ASKED) != spec:
        if _cost(spec, facts) > AUTO_RUN_MACS and not _agrees(spec, facts):
            return None
        _start(spec)
    snapshot = follow(SLOT)
    if snapshot is not None and snapshot.state == "done" and snapshot.result.spec == spec:
        result: Attribution = snapshot.result
        return result
    if snapshot is not None or not _is_live():
        st.button("Read it again", icon=":material/refresh:", on_click=lambda: st.session_state.pop(ASKED, None))
    return None


def _start(spec: AttributionSpec) -> None:
    st.session_state[ASKED] = spec
    if guarded(lambda: workbench().attribute(spec, caller()), SLOT):
        workbench().engine.wait(st.session_state[SLOT], GRACE_SECONDS)


def _is_live() -> bool:
    snapshot = workbench().engine.snapshot(st.session_state.get(SLOT, ""))
    return snapshot is not None and snapshot.live


def _cost(spec: AttributionSpec, facts: ModelFacts) -> float:
    """Multiply-adds of two passes over the text and a logit lens at every layer."""
    per_layer = 24 * facts.d_model**2 + facts.d_model * facts.d_vocab
    return len(spec.token_ids) * facts.n_layers * per_layer


def _agrees(spec: AttributionSpec, facts: ModelFacts) -> bool:
    st.info(
        f"{len(spec.token_ids):,} tokens through {facts.n_layers} layers of {plain(facts.name)} take a while. "
        "Set everything as you want it, then read the text; the result is kept.",
        icon="⏳",
    )
    return st.button("Read the text", type="primary")


require_shell()
st.title("Token attribution")
st.markdown("See, token by token, where a text leans on a direction and where the model would turn back next.")

loaded = pair_facts()
if loaded is None:
    st.info(
        "The first text appears here as soon as a model pair is loaded. The sidebar shows how far that is; if nothing "
        "is being loaded there, choose a pair under **Change models**.",
        icon="⏳",
    )
    st.stop()

request = draw_form(loaded)
if request is None:
    st.stop()
reader = next(facts for facts in loaded if facts.fingerprint == request.spec.fingerprint)
attribution = attribution_of(request.spec, reader)
if attribution is None:
    st.stop()

draw_attribution(attribution, request.tokens)
