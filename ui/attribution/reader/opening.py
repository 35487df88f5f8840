"""Where a text opens: at its strongest sentence before the first event, else at its strongest token."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.attribution.values import Attribution
from ui.attribution.reader.sentences import segments, strongest_before
from ui.components.token_strip import select_token

PIN_NEXT = "attribution:pin_next"
"""Session key of the token to pin in the text that is opened next."""
_PINNED_FOR = "attribution:pinned_for"
_OPENED = "attribution:opened_at"


@dataclass(frozen=True)
class Stops:
    """Places that are jumped between, and what they are called."""

    name: str
    tokens: tuple[int, ...]


def open_somewhere(attribution: Attribution, stops: Stops, sentences: tuple[int, ...], *, key: str) -> None:
    """Pin a token in a text that is shown for the first time, so that the strip `key` opens there."""
    identity = (attribution.spec.token_ids, attribution.spec.fingerprint)
    wanted = st.session_state.pop(PIN_NEXT, None)
    if wanted is None and st.session_state.get(_PINNED_FOR) == identity:
        return
    st.session_state[_PINNED_FOR] = identity
    if isinstance(wanted, int) and wanted < len(attribution.pieces):
        st.session_state[_OPENED] = (None, "")
        select_token(key, wanted)
        return
    st.session_state[_OPENED] = opening(attribution, stops, sentences)
    select_token(key, st.session_state[_OPENED][0])


def opening(attribution: Attribution, stops: Stops, sentences: tuple[int, ...]) -> tuple[int, str]:
    """(token, why it is the one) by the projection at the direction's layer."""
    start = attribution.spec.text_start
    layer = min(attribution.spec.direction.layer, len(attribution.projection) - 1)
    values = attribution.projection[layer]
    first = next((token for token in stops.tokens if token >= start), None)
    if first is None:
        return start + int(values[start:].argmax()), "Opened here: the strongest token of the text"
    found = strongest_before(values, segments(sentences, len(attribution.pieces)), text_start=start, event=first)
    if found is None:
        return first, f"Opened here: the first {stops.name}, which no sentence stands before"
    return found, f"Opened here: the strongest sentence before the first {stops.name}"


def opened_at(token: int) -> str:
    """Why the text opened at this token, or ""."""
    opened, words = st.session_state.get(_OPENED, (None, ""))
    return str(words) if opened == token else ""
