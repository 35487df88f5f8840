"""One attributed text on screen: switches, token strip, line, pinned token. Computes nothing with a model.

It is one fragment: switching method, layer or token redraws this part alone, from the values at hand.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from core.attribution.values import Attribution
from core.models.pair import ROLES, ModelFacts
from core.text import words
from core.text.lines import shown_line
from ui.attribution.catalogue import BY_KEY, METHODS, WITHOUT_KEYWORDS
from ui.attribution.choice import View, choose_view, drawable
from ui.attribution.export import draw_export
from ui.attribution.form import Facts, Request, Tokens, say_forms
from ui.attribution.further import LAYERED, complete, every_layer, known_readings
from ui.attribution.methods import PERCENTILE, Method, Readings, rounded_range
from ui.attribution.pinned import Marks, draw_pinned
from ui.attribution.reader.opening import Stops, open_somewhere
from ui.attribution.reader.sentences import sentence_starts
from ui.attribution.recorded import recorded_words
from ui.components.token_strip import Row, Strip, select_token, selected_token, token_strip
from ui.components.value_line import ValueLine, choose_form, value_line
from ui.shell.measured import measured
from ui.shell.state import workbench

STRIP_KEY = "attribution_strip"
_SHOWN = "attribution:method_shown"
_STORED, _LIMIT, _TITLE = "attribution_stored", 50, 80


@st.fragment
def draw_attribution(attribution: Attribution, request: Request, facts: ModelFacts) -> None:
    """Everything about one text."""
    tokens = request.tokens
    keywords = keyword_tokens(attribution)
    marks = Marks(
        labels=labels_of(tokens, len(attribution.pieces)),
        events=tokens.events,
        keywords=keywords,
        sentences=sentence_starts(
            attribution.pieces, text_start=attribution.spec.text_start, parts=(start for start, _, _ in tokens.parts)
        ),
    )
    stops = Stops("event", tokens.events) if tokens.events else Stops("keyword", beginnings(keywords))
    open_somewhere(attribution, stops, marks.sentences, key=STRIP_KEY)
    with st.container(gap="xsmall"):
        view = choose_view(request, attribution, partial(_draw_jumps, stops))
        with st.container():
            known = known_readings(request, attribution, view.target, view.layer)
            found = _completed(known, request, view, facts)
        if found is None:
            view = replace(view, method=_shown_before(known))
        st.session_state[_SHOWN] = view.method.key
        _draw(found or known, request, view, marks, facts)


def _completed(known: Readings, request: Request, view: View, facts: ModelFacts) -> Readings | None:
    """The readings with the chosen one; None while it is computed, offered, or where there is none, which is said."""
    readings = complete(known, request, view.target, view.method.needs, facts, view.layer)
    if readings is None or view.method.available(readings):
        return readings
    st.info(f"There is no such reading for this model. {view.method.missing(readings)}", icon=":material/block:")
    return None


def _shown_before(known: Readings) -> Method:
    """What the text stays coloured by while another reading is not there: what it was coloured by before."""
    before = BY_KEY[st.session_state.get(_SHOWN, METHODS[0].key)]
    return before if before.available(known) else METHODS[0]


def _draw(readings: Readings, request: Request, view: View, marks: Marks, facts: ModelFacts) -> None:
    method, layer, tokens = view.method, view.layer, request.tokens
    wide, side = st.columns([2, 1], gap="medium")
    strip = strip_of(readings, tokens, view, marks)
    with wide:
        pinned = token_strip(strip, key=STRIP_KEY, height="window", search=True)
        line = ValueLine(
            values=method.values(readings, layer),
            pieces=readings.attribution.pieces,
            labels=marks.labels,
            title=method.titled(layer),
            events=tokens.events,
            pinned=pinned,
            first=readings.start,
        )
        st.caption(
            f"{method.explanation} Colours are full from the {PERCENTILE}th percentile of this text on. "
            f"{measured('attribution', readings.attribution.spec)}"
        )
        if method.key not in WITHOUT_KEYWORDS:
            say_forms(request)
        if method.needs in ("gradients", "interventions"):
            st.caption(recorded_words(facts))
        with st.container(horizontal=True, vertical_alignment="center"):
            form = choose_form("attribution_line")
            draw_export(readings, strip, line, marks, layer=layer)
        value_line(line, form=form, key="attribution_line", on_pick=partial(select_token, STRIP_KEY))
    with side:
        if method.needs in LAYERED:
            readings = every_layer(readings, request, view.target, method.needs, facts)
        readings = complete(readings, request, view.target, "steered", facts, layer) or readings
        draw_pinned(readings, pinned, method=method, layer=layer, marks=marks)


def strip_of(readings: Readings, tokens: Tokens, view: View, marks: Marks) -> Strip:
    """The strip coloured by one method at one layer, with the bars that are at hand."""
    method, layer = view.method, view.layer
    uses_target = {"gradients", "interventions"} & {m.needs for m in (method, *view.bars)}
    return Strip(
        pieces=readings.attribution.pieces,
        values=method.values(readings, layer),
        value_range=rounded_range(method.value_range(readings, layer)),
        value_name=method.titled(layer),
        unit=method.unit,
        parts=tokens.parts,
        events=tokens.events,
        keywords=marks.keywords,
        text_start=readings.start,
        targets=frozenset(view.target.positions if uses_target else ()),
        sentences=marks.sentences,
        rows=tuple(
            Row(
                name=bar.titled(layer),
                unit=bar.unit,
                values=bar.values(readings, layer),
                value_range=rounded_range(bar.value_range(readings, layer)),
            )
            for bar in drawable(view, readings)
        ),
    )


def keyword_tokens(attribution: Attribution) -> frozenset[int]:
    """Tokens of the text that hold a part of a keyword."""
    start = attribution.spec.text_start
    found = words.keyword_tokens(attribution.pieces[start:], attribution.spec.keywords)
    return frozenset(start + index for index in found)


def labels_of(tokens: Tokens, n: int) -> tuple[str, ...]:
    """(seq,) the label of the part that holds each token, "" outside."""
    labels = [""] * n
    for start, end, label in tokens.parts:
        labels[start:end] = [label] * (end - start)
    return tuple(labels)


def beginnings(tokens: frozenset[int]) -> tuple[int, ...]:
    """The first token of every run of tokens."""
    return tuple(token for token in sorted(tokens) if token - 1 not in tokens)


def _draw_jumps(stops: Stops) -> None:
    """Buttons to the stop before and after the pinned token."""
    if not stops.tokens:
        return
    at = selected_token(STRIP_KEY)
    before = [token for token in stops.tokens if at is not None and token < at]
    after = [token for token in stops.tokens if at is None or token > at]
    jump = partial(select_token, STRIP_KEY)
    for label, tokens, there in (
        (f"‹ Previous {stops.name}", before[-1:], bool(before)),
        (f"Next {stops.name} ›", after[:1], bool(after)),
    ):
        st.button(label, disabled=not there, on_click=jump, args=tokens or (None,))


def draw_stored(facts: Facts) -> None:
    """The chosen stored reading, with all that is stored about its text."""
    chosen = _choose(facts)
    if chosen is not None:
        request, attribution, reader = chosen
        draw_attribution(attribution, request, reader)


def _choose(facts: Facts) -> tuple[Request, Attribution, ModelFacts] | None:
    """A stored reading by one of these models, as the request that asks for it; None where there is none."""
    known = {fact.fingerprint: (role, fact) for role, fact in zip(ROLES, facts, strict=True)}
    stored = workbench().store.recent("attribution", Attribution, _LIMIT)
    found = [one.value for one in stored if one.value.spec.fingerprint in known]
    if not found:
        st.info("No reading of a text by these models is stored.", icon=":material/inventory_2:")
        return None
    if st.session_state.get(_STORED) not in range(len(found)):
        st.session_state[_STORED] = 0
    picked = st.selectbox(
        "Stored reading",
        range(len(found)),
        format_func=lambda i: _title(found[i]),
        key=_STORED,
        persist_state="session",
    )
    attribution = found[picked]
    spec = attribution.spec
    role, fact = known[spec.fingerprint]
    tokens = Tokens(token_ids=spec.token_ids, text_start=spec.text_start)
    text = "".join(attribution.pieces[spec.text_start :])
    request = Request(spec=spec, tokens=tokens, role=role, question="", text=text)
    return request, attribution, fact


def _title(attribution: Attribution) -> str:
    spec = attribution.spec
    text = "".join(attribution.pieces[spec.text_start : spec.text_start + 40])
    named = f"{shown_line(spec.direction.name, 40)} · read by {shown_line(spec.model.name, 24)}"
    return f"{shown_line(text, _TITLE)} · {named}"
