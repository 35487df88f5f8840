"""How each model of the pair reads a question: its frame in tokens, what the chat template is told, the vocabularies.

What the template is told is chosen once, for all pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from core.models.pair import ROLES
from core.tokens.frames import TEMPLATE_DATE, Arguments, ChatFrame, Template, TemplateArgument, Value
from core.tokens.readers import FirstTokens, Readers
from ui.components.roles import NAMES, TITLES
from ui.components.safe_text import plain, tried, visible
from ui.shell.bounds import put
from ui.shell.links import Field
from ui.shell.state import can_run, workbench

TOLD_KEY = "template_told"
"""What the chat template is told, by name, in the words of the screen."""
_MOST_TOLD, _SHOWN_ENDS = 8, 60
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,39}")
_AS_IT_IS = "the template's own"


def _parse(raw: str) -> dict[str, str]:
    """Names and values of a link. Raises ValueError."""
    told = dict(parse_qsl(raw, keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_TOLD))
    if not all(_NAME.fullmatch(name) and value.isprintable() and 0 < len(value) <= 40 for name, value in told.items()):
        raise ValueError("no names and values of a chat template")
    return told


TOLD_FIELD = Field(name="told", key=TOLD_KEY, default={}, parse=_parse, show=urlencode)


def told_frame() -> ChatFrame | None:
    """The reasoning model's frame with what its template is told; None where that is its own frame."""
    told = _told(workbench().pair.template())
    return workbench().pair.template(told).frame if told else None


def _told(template: Template) -> Arguments:
    """What was chosen, as far as this template has it and it is not what it does anyway."""
    chosen: Mapping[str, str] = st.session_state.get(TOLD_KEY, {})
    found: dict[str, Value] = {}
    for argument in template.arguments:
        for value in argument.values:
            if chosen.get(argument.name) == _shown(value) and value != argument.default:
                found[argument.name] = value
    return found


def _shown(value: Value) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def ask_template() -> None:
    """A switch for everything that the chat template can be told, and what else is to know of the template."""
    template = workbench().pair.template()
    for argument in template.arguments:
        _ask_argument(argument)
    known = {(argument.name, _shown(value)) for argument in template.arguments for value in argument.values}
    told: Mapping[str, str] = st.session_state.get(TOLD_KEY, {})
    unknown = [f"{name} = {value}" for name, value in told.items() if (name, value) not in known]
    if unknown:
        st.caption(f"This model's chat template cannot be told {plain(', '.join(unknown), 200)}.")
    if template.frame.source == "raw":
        st.caption("The reasoning model has no chat template: the question is read as it stands.")
    if template.prints_date:
        st.caption(
            f"The chat template prints a date; Retrace gives it {TEMPLATE_DATE}, so that a run can be repeated on "
            "another day."
        )


def _ask_argument(argument: TemplateArgument) -> None:
    key = f"{TOLD_KEY}:{argument.name}"
    default = _AS_IT_IS if argument.default is None else _shown(argument.default)
    options = list(dict.fromkeys([*([default] if argument.default is None else []), *map(_shown, argument.values)]))
    told = dict(st.session_state.get(TOLD_KEY, {}))
    put(key, told.get(argument.name) if told.get(argument.name) in options else default)

    def take() -> None:
        now = {name: value for name, value in told.items() if name != argument.name}
        picked = st.session_state[key]
        st.session_state[TOLD_KEY] = now if picked in (None, default) else {**now, argument.name: picked}

    opens = "By itself the template would not open the model's thinking; here it is told to. "
    st.segmented_control(
        f"Chat template: {plain(argument.name)}",
        options,
        key=key,
        on_change=take,
        help=(opens if argument.opens_thinking else "")
        + f"What the template is told; without a choice: {plain(default)}. It holds on all pages.",
    )


def draw_first_tokens(readers: Readers, question: str, text: str, *, base: ChatFrame | None = None) -> None:
    """The beginning of question and text in the tokens of both models; `base` is another frame of the base model."""
    frames = {"base": base or readers.base_frame, "reasoner": readers.reasoner_frame}
    found = tried(
        lambda: [
            readers.first_tokens(base=role == "base", frame=frames[role], question=question, text=text)
            for role in ROLES
        ]
    )
    if found is None:
        return
    for column, role, first in zip(st.columns(2), ROLES, found, strict=True):
        begins = f"the text begins at position {first.text_start}" if text else f"{first.text_start} tokens"
        column.caption(f"{TITLES[role]}, {plain(workbench().pair.facts(role).name)}: {begins}")
        column.code(_tokens(first), language=None, wrap_lines=True)
    st.caption(_starts(readers, frames["base"]))


def _tokens(first: FirstTokens) -> str:
    shown = [f"{i} {visible(piece)}" for i, piece in zip(first.token_ids, first.pieces, strict=True)]
    frame, text = shown[: first.text_start], shown[first.text_start :]
    if len(frame) > 2 * _SHOWN_ENDS:
        left_out = f"… {len(frame) - 2 * _SHOWN_ENDS:,} tokens …"
        frame = [*frame[:_SHOWN_ENDS], left_out, *frame[-_SHOWN_ENDS:]]
    behind = "\n── text ──\n" + " · ".join(text) + " · …" if text else "\n── answer ──"
    return " · ".join(frame) + behind


def _starts(readers: Readers, frame: ChatFrame) -> str:
    """Which of the readings begins with a start token."""
    base = frame.prefix.startswith(readers.base_start) and bool(readers.base_start)
    return {
        (True, True): "Both readings begin with the model's own start token.",
        (False, False): "Neither reading begins with a start token.",
        (True, False): ":material/warning: Only the base model's reading begins with a start token.",
        (False, True): ":material/warning: Only the reasoning model's reading begins with a start token: the base "
        "model's tokenizer adds none.",
    }[base, readers.reasoner_frame.prefix.startswith(readers.reasoner_start) and bool(readers.reasoner_start)]


def say_vocabularies() -> None:
    """On every page that uses the pair: where the two vocabularies differ, and what that means. Nothing where not."""
    if not can_run():
        return
    readers = workbench().pair.readers()
    n_marks = readers.n_differences - readers.n_words
    if readers.n_words:
        st.warning(
            f"The vocabularies of the {NAMES['base']} and the {NAMES['reasoner']} differ: {readers.n_words:,} token "
            "ids mean other words in the other model. Each model reads a text in its own tokens; what compares their "
            "predictions id by id, such as the KL between the two, is refused.",
            icon=":material/text_fields:",
        )
    elif n_marks:
        st.caption(
            f":material/text_fields: The vocabularies of the two models differ at {n_marks:,} token ids, all of them "
            "added tokens; ordinary words have the same ids in both. Each model reads a text in its own tokens."
        )
