"""What is read, by which model, against which direction: the controls that end in an AttributionSpec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution.values import AttributionSpec
from core.directions.direction import Direction
from core.directions.folder import id_of
from core.errors import UserFacingError
from core.models.pair import ROLES, ModelFacts, Role
from core.runs.values import Generation
from core.text.words import KEYWORDS, LENS_WORDS
from core.tokens.keywords import KeywordForms, SplitForm
from core.traces.events import BACKTRACKING, Spans, find_events
from core.values import Trace
from ui.attribution.source import Source, choose_source
from ui.components.first_screen import foldable
from ui.components.roles import REASONER_FIRST, SHORT, TITLES
from ui.components.safe_text import plain, show_error, tried
from ui.directions.choices import choices, first_choice, pick_direction
from ui.directions.coefficient import coefficient_slider, default_coefficient
from ui.directions.residual_norm import residual_norm
from ui.shell.handoff import FOLLOWED
from ui.shell.how_read import ask_template, draw_first_tokens, told_frame
from ui.shell.state import can_run, workbench

Facts = tuple[ModelFacts, ModelFacts]
TokenParts = tuple[tuple[int, int, str], ...]

ROLE_KEY = "attribution_role"
DIRECTION_KEY = "attribution_direction"
LAYER_KEY = "attribution_layer"
COEFFICIENT_KEY = "attribution_coefficient"
KEYWORDS_KEY = "attribution_keywords"
LENS_WORDS_KEY = "attribution_lens_words"
FOLDED = "reader"
"""What a phone folds away: all controls above the text."""
_FITTED = "attribution:fitted"
_SHOWN_FORMS, _NAMED = 8, 24


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A text as one model reads it, with what is known of its parts."""

    token_ids: tuple[int, ...]
    text_start: int
    parts: TokenParts = ()
    """(first token, token after the last, label), without overlaps, in order."""
    events: tuple[int, ...] = ()
    """Positions of the first tokens of backtracking parts."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of the model, and the marks that belong to the text."""

    spec: AttributionSpec
    tokens: Tokens
    role: Role
    """Who reads."""
    question: str
    text: str


def draw_form(facts: Facts) -> Request | None:
    """One row: the text, and a popover with all else; None, with the next step said below, where they do not fit."""
    by_role = dict(zip(ROLES, facts, strict=True))
    with foldable(FOLDED, "form"):
        kind_place, text_place, settings_place = st.columns([3, 6, 6], vertical_alignment="bottom")
    below = st.container()
    with below:
        source = choose_source(kind_place, text_place)
    if source is not None and source.generation is not None:
        _follow(source.generation, by_role)
    panel = settings_place.popover(_settings_title(by_role), icon=":material/tune:", width="stretch")
    with panel:
        role = _choose_role(by_role)
    with panel if choices(d_model=by_role[role].d_model) else below:
        direction = _choose_direction(by_role[role], below)
    if direction is None:
        return None
    with panel:
        layer, coefficient, keywords, lens_words = _choose_steering(direction, by_role[role])
        if source is not None:
            _draw_how_read(source)
    with below:
        tokens = _read(source, role, by_role) if source is not None else None
        if not keywords:
            show_error(UserFacingError("There are no keywords.", 'Give at least one word, for example "wait".'))
    if source is None or tokens is None or not keywords:
        return None
    spec = AttributionSpec(
        model=by_role[role].spec,
        fingerprint=by_role[role].fingerprint,
        token_ids=tokens.token_ids,
        text_start=tokens.text_start,
        direction=direction,
        layer=layer,
        coefficient=coefficient,
        keywords=keywords,
        lens_words=lens_words,
    )
    return Request(spec=spec, tokens=tokens, role=role, question=source.question, text=source.text)


def _settings_title(by_role: dict[Role, ModelFacts]) -> str:
    """Who reads, and which direction, as far as that was chosen."""
    role: Role = st.session_state.get(ROLE_KEY, REASONER_FIRST[0])
    known = {choice.direction_id: choice for choice in choices(d_model=by_role[role].d_model)}
    chosen = known.get(st.session_state.get(DIRECTION_KEY, "")) or first_choice(list(known.values()))
    return f"{SHORT[role]} · {plain(chosen.title, _NAMED) if chosen else 'no direction'}"


def _writer(generation: Generation, by_role: dict[Role, ModelFacts]) -> Role | None:
    """The loaded model that wrote it, by its weights and tokenizer."""
    return next((role for role in ROLES if by_role[role].has_weights(generation.spec.fingerprint)), None)


def _follow(generation: Generation, by_role: dict[Role, ModelFacts]) -> None:
    """When another generation is chosen, its writer and its steering become the settings; they may then be changed."""
    if st.session_state.get(FOLLOWED) == generation:
        return
    st.session_state[FOLLOWED] = generation
    writer = _writer(generation, by_role)
    if writer is not None:
        st.session_state[ROLE_KEY] = writer
    edit = next((edit for edit in generation.spec.steering if edit.operator == "add"), None)
    if edit is None or writer is None:
        return
    direction_id = id_of(edit.direction)
    if direction_id in {choice.direction_id for choice in choices(d_model=by_role[writer].d_model)}:
        st.session_state[DIRECTION_KEY] = direction_id
        st.session_state[LAYER_KEY] = edit.layer
        st.session_state[COEFFICIENT_KEY] = edit.coefficient
        st.session_state[_FITTED] = edit.direction.digest


def _choose_role(by_role: dict[Role, ModelFacts]) -> Role:
    return st.selectbox(
        "Read by",
        REASONER_FIRST,
        format_func=TITLES.__getitem__,
        key=ROLE_KEY,
        persist_state="session",
        help=f"{plain(by_role['reasoner'].name)}, finetuned from {plain(by_role['base'].name)}.",
    )


def _choose_direction(facts: ModelFacts, below: DeltaGenerator) -> Direction | None:
    direction = pick_direction(d_model=facts.d_model, key=DIRECTION_KEY, told=below)
    if direction is None and choices():
        st.caption(f"The {len(choices())} there are belong to models whose d_model is not {facts.d_model}.")
    return direction


def _choose_steering(direction: Direction, facts: ModelFacts) -> tuple[int, float, tuple[str, ...], tuple[str, ...]]:
    """(layer, coefficient, keywords, Eq. 2 words)."""
    fitted = st.session_state.get(_FITTED) == direction.digest
    if not fitted or st.session_state.get(LAYER_KEY, facts.n_layers) >= facts.n_layers:
        st.session_state[LAYER_KEY] = min(direction.layer, facts.n_layers - 1)
    if not fitted or COEFFICIENT_KEY not in st.session_state:
        norm = residual_norm(facts, st.session_state[LAYER_KEY])
        st.session_state[COEFFICIENT_KEY] = default_coefficient(direction, norm)
    st.session_state[_FITTED] = direction.digest
    st.session_state.setdefault(KEYWORDS_KEY, ", ".join(KEYWORDS))
    st.session_state.setdefault(LENS_WORDS_KEY, ", ".join(LENS_WORDS))
    words = st.text_input(
        "Keywords, separated by commas",
        key=KEYWORDS_KEY,
        persist_state="session",
        max_chars=200,
        help="Upper and lower case count alike. A form that the tokenizer splits counts by its first token, where "
        "that begins no other word; readings of keywords say which forms do not count.",
    )
    contained = st.text_input(
        "Words of Eq. 2, separated by commas",
        key=LENS_WORDS_KEY,
        persist_state="session",
        max_chars=200,
        help="For the reading “Eq. 2”: every vocabulary item that contains one of them counts, as in the paper.",
    )
    st.markdown("For the readings that add the direction:")
    layer = st.selectbox(
        "Added after layer",
        range(facts.n_layers),
        key=LAYER_KEY,
        persist_state="session",
        help="The residual stream after this block is edited; layers count from 0.",
    )
    coefficient = coefficient_slider(direction, residual_norm(facts, layer), key=COEFFICIENT_KEY)
    return layer, coefficient, _words(words), _words(contained)


def _words(text: str | None) -> tuple[str, ...]:
    """The words of a comma-separated field, each once."""
    return tuple(dict.fromkeys(word.strip().casefold() for word in (text or "").split(",") if word.strip()))


def _read(source: Source, role: Role, by_role: dict[Role, ModelFacts]) -> Tokens | None:
    """The text in the chosen model's tokens: where that model wrote it, the tokens it wrote."""
    generation = source.generation
    if generation is not None:
        writer = _writer(generation, by_role)
        if writer == role:
            prompt = generation.spec.prompt.token_ids
            return Tokens(token_ids=prompt + generation.token_ids, text_start=len(prompt))
        if writer is None and not _agrees_to_reread(generation, by_role[role]):
            return None
    reading = tried(lambda: workbench().pair.read(role, source.question, source.text, frame=told_frame()))
    if reading is None:
        return None
    parts, events = place_parts(source.trace, reading.spans, text_start=reading.text_start)
    return Tokens(token_ids=reading.token_ids, text_start=reading.text_start, parts=parts, events=events)


def _draw_how_read(source: Source) -> None:
    """What stands around the text, in the tokens of both models; what a model wrote itself keeps its own tokens."""
    st.markdown("How each model reads it: chat template and first tokens")
    if not source.question.strip():
        st.caption("No question is kept with this text; models read it without one.")
    ask_template()
    if source.generation is not None:
        st.caption("The model that wrote this text reads the tokens that it was given and wrote.")
    readers = tried(lambda: workbench().pair.readers(told_frame()))
    if readers is not None:
        draw_first_tokens(readers, source.question, source.text)


def _agrees_to_reread(generation: Generation, facts: ModelFacts) -> bool:
    st.warning(
        f"This was written by **{plain(generation.spec.model.name)}** with weights or a tokenizer that are not "
        "loaded now, so its token ids may mean other words here. Load that model in the sidebar, or read the text "
        "again; its tokens may then differ from those that were generated.",
        icon=":material/repeat:",
    )
    return st.toggle(
        f"Read its text again with the tokenizer of {plain(facts.name)}",
        key=f"attribution_reread:{generation.spec.fingerprint}",
        persist_state="session",
    )


def place_parts(trace: Trace | None, spans: Spans, *, text_start: int) -> tuple[TokenParts, tuple[int, ...]]:
    """(parts in tokens, positions of the backtracking events) of a labelled trace; a part starts at its event."""
    if trace is None:
        return (), ()
    labels = dict.fromkeys(part.label for part in trace.parts)
    found = [event for label in labels for event in find_events(trace, label, spans=spans, text_start=text_start)]
    found.sort(key=lambda event: event.position)
    starts = np.asarray([start for start, _ in spans])
    limits = [*(event.position for event in found), text_start + len(spans)][1:]
    parts = []
    for event, limit in zip(found, limits, strict=True):
        end = min(text_start + int(np.searchsorted(starts, event.part.end)), limit)
        if end > event.position:
            parts.append((event.position, end, event.part.label))
    return tuple(parts), tuple(sorted({e.position for e in found if e.part.label == BACKTRACKING}))


def say_forms(request: Request) -> None:
    """Of the keywords: which forms count by a first token alone, and which do not count."""
    if not can_run():
        return
    forms = tried(lambda: workbench().pair.keyword_forms(request.role, request.spec.keywords))
    if forms is not None and (forms.by_first or forms.left_out):
        st.caption(forms_in_words(forms))


def forms_in_words(forms: KeywordForms) -> str:
    """Markdown: the split forms, each with its place and first token."""
    sentences = []
    if forms.by_first:
        sentences.append(f"By their first token, which begins no other word, count {_listed(forms.by_first)}.")
    if forms.left_out:
        sentences.append(f"Not counted, as their first token begins other words too: {_listed(forms.left_out)}.")
    return " ".join(sentences)


def _listed(forms: Sequence[SplitForm]) -> str:
    listed = [
        f"“{plain(form.text, 24)}” {'at the start of a line' if form.opens_line else 'after a space'} "
        f"({f'“{plain(form.first, 24)}”' if form.first else 'white space'})"
        for form in forms[:_SHOWN_FORMS]
    ]
    more = len(forms) - _SHOWN_FORMS
    return ", ".join([*listed, *([f"{more} more forms"] if more > 0 else [])])
