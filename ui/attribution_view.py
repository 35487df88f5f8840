"""The attribution on screen: method and layer, token strip, line, pinned token. Computes nothing with a model.

It is one fragment: switching method, layer or token redraws this part alone, from the values at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st

from core import metrics
from core.runs import Attribution
from ui.attribution_form import Tokens
from ui.attribution_methods import BY_KEY, METHODS, PERCENTILE, Method
from ui.pinned_token import draw_pinned
from ui.token_strip import Strip, select_token, selected_token, token_strip
from ui.value_line import ValueLine, choose_form, value_line

STRIP_KEY = "attribution_strip"
METHOD_KEY = "attribution_method"
_PINNED_FOR = "attribution:pinned_for"
_HEIGHT = 400


@dataclass(frozen=True)
class Stops:
    """Places that are jumped between, and what they are called."""

    name: str
    tokens: tuple[int, ...]


@st.fragment
def draw_attribution(attribution: Attribution, tokens: Tokens) -> None:
    """Everything about one attribution."""
    keywords = keyword_tokens(attribution)
    labels = _labels(tokens, len(attribution.pieces))
    stops = Stops("event", tokens.events) if tokens.events else Stops("keyword", _beginnings(keywords))
    _pin_something(attribution, stops)
    method, layer = _choose_view(attribution)
    wide, side = st.columns([2, 1], gap="medium")
    with wide:
        pinned = token_strip(
            strip_of(attribution, tokens, method=method, layer=layer, keywords=keywords),
            key=STRIP_KEY,
            height=_HEIGHT,
        )
        st.caption(f"{method.explanation} Colours are full from the {PERCENTILE}th percentile of this text on.")
        with st.container(horizontal=True, vertical_alignment="center"):
            form = choose_form("attribution_line")
            _draw_jumps(stops)
        value_line(
            ValueLine(
                values=method.values(attribution, layer),
                pieces=attribution.pieces,
                labels=labels,
                title=_title(method, layer),
                events=tokens.events,
                pinned=pinned,
                first=attribution.spec.text_start,
            ),
            form=form,
            key="attribution_line",
            on_pick=partial(select_token, STRIP_KEY),
        )
    with side:
        draw_pinned(
            attribution, pinned, method=method, layer=layer, labels=labels, events=tokens.events, keywords=keywords
        )


def strip_of(
    attribution: Attribution, tokens: Tokens, *, method: Method, layer: int, keywords: frozenset[int]
) -> Strip:
    """The strip coloured by one method at one layer."""
    return Strip(
        pieces=attribution.pieces,
        values=method.values(attribution, layer),
        value_range=_rounded(method.value_range(attribution, layer)),
        value_name=_title(method, layer),
        unit=method.unit,
        parts=tokens.parts,
        events=tokens.events,
        keywords=keywords,
        text_start=attribution.spec.text_start,
    )


def keyword_tokens(attribution: Attribution) -> frozenset[int]:
    """Tokens of the text that hold a part of a keyword."""
    start = attribution.spec.text_start
    found = metrics.keyword_tokens(attribution.pieces[start:], attribution.spec.keywords)
    return frozenset(start + index for index in found)


def _labels(tokens: Tokens, n: int) -> tuple[str, ...]:
    """(seq,) the label of the part that holds each token, "" outside."""
    labels = [""] * n
    for start, end, label in tokens.parts:
        labels[start:end] = [label] * (end - start)
    return tuple(labels)


def _beginnings(tokens: frozenset[int]) -> tuple[int, ...]:
    """The first token of every run of tokens."""
    return tuple(token for token in sorted(tokens) if token - 1 not in tokens)


def _pin_something(attribution: Attribution, stops: Stops) -> None:
    """A text that is shown for the first time has its first event pinned, else a keyword, else its strongest token."""
    identity = (attribution.spec.token_ids, attribution.spec.fingerprint)
    if st.session_state.get(_PINNED_FOR) == identity:
        return
    st.session_state[_PINNED_FOR] = identity
    start = attribution.spec.text_start
    layer = min(attribution.spec.direction.layer, len(attribution.projection) - 1)
    strongest = start + int(attribution.projection[layer, start:].argmax())
    select_token(STRIP_KEY, stops.tokens[0] if stops.tokens else strongest)


def _choose_view(attribution: Attribution) -> tuple[Method, int]:
    """Method and layer: two switches over values that are at hand."""
    left, right = st.columns([5, 2], gap="medium")
    chosen = left.segmented_control(
        "Colour by",
        [method.key for method in METHODS],
        default=METHODS[0].key,
        required=True,
        format_func=lambda key: BY_KEY[key].short,
        key=METHOD_KEY,
        persist_state="session",
        wrap=True,
    )
    method = BY_KEY[chosen or METHODS[0].key]
    n_layers = len(attribution.projection)
    if n_layers == 1:
        return method, 0
    layer = right.slider(
        "Layer that is read",
        0,
        n_layers - 1,
        min(attribution.spec.direction.layer, n_layers - 1),
        key=f"attribution_read_layer:{n_layers}",
        persist_state="session",
        disabled=not method.per_layer,
        help="The residual stream after this block; layers count from 0. Readings of the model's output have none.",
    )
    return method, layer


def _draw_jumps(stops: Stops) -> None:
    """Buttons to the stop before and behind the pinned token."""
    if not stops.tokens:
        return
    at = selected_token(STRIP_KEY)
    before = [token for token in stops.tokens if at is not None and token < at]
    after = [token for token in stops.tokens if at is None or token > at]
    jump = partial(select_token, STRIP_KEY)
    st.button(f"‹ Previous {stops.name}", disabled=not before, on_click=jump, args=before[-1:] or (None,))
    st.button(f"Next {stops.name} ›", disabled=not after, on_click=jump, args=after[:1] or (None,))


def _title(method: Method, layer: int) -> str:
    return f"{method.title}, layer {layer}" if method.per_layer else method.title


def _rounded(value_range: tuple[float, float]) -> tuple[float, float]:
    low, high = value_range
    reach = float(f"{high:.3g}")
    return (-reach if low < 0 else 0.0, reach)
