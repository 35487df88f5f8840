"""Without a model: which of the stored passes over traces is shown."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.extraction.moments import MomentsSpec
from core.models.pair import ModelFacts
from core.text.lines import shown_line
from ui.shell.state import workbench

KEY = "extraction:stored"


def choose_stored(facts: tuple[ModelFacts, ModelFacts]) -> tuple[MomentsSpec, ...]:
    """The specs of one stored pass, of one model or both; () where there is none by these models."""
    prints = {fact.fingerprint for fact in facts}
    passes: dict[MomentsSpec, list[MomentsSpec]] = {}
    for spec in workbench().moments.stored():
        if spec.fingerprint in prints:
            passes.setdefault(replace(spec, model=facts[0].spec, fingerprint="", frame=None), []).append(spec)
    if not passes:
        st.info("No pass over traces by these models is stored.", icon=":material/inventory_2:")
        return ()
    found = sorted(passes.values(), key=lambda specs: -len(specs[0].windows))
    if st.session_state.get(KEY) not in range(len(found)):
        st.session_state[KEY] = 0
    if len(found) > 1:
        st.selectbox(
            "Stored pass",
            range(len(found)),
            format_func=lambda i: _title(found[i]),
            key=KEY,
            persist_state="session",
        )
    return tuple(found[st.session_state[KEY]])


def _title(specs: list[MomentsSpec]) -> str:
    spec = specs[0]
    models = "both models" if len(specs) > 1 else spec.model.name
    return (
        f"{shown_line(', '.join(spec.labels), 80)} · {len(spec.windows)} windows · {len(spec.layers)} layers · "
        f"{shown_line(models, 40)}"
    )
