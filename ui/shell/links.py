"""Permalinks: a page's settings in its address. Bad values are ignored, said so, and never raise.

What a setting may be is stated once, in `ui.shell.bounds`, for its link and its widget. Names that a page does not
know are no settings and are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.components.safe_text import plain
from ui.shell.pairs.start import first_pair
from ui.shell.pairs.text import show_pair
from ui.shell.state import workbench

PAIR = "pair"
"""The name that the loaded pair has in every address."""
PRESENT, _STAGE, _BEGUN = "present", "stage", "present:begun"
"""The names by which an address asks for the slides, the second in addresses of before; and a key of the session."""
MAX_LINK = 6000
SHOWN = 40
"""Characters of an ignored value that are shown."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One setting: its name in the address, the session key that holds it, its default, and how to read and write it.

    `parse` raises ValueError, with the reason, for text that is no value of this setting.
    """

    name: str
    key: str
    default: Any
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str


def read_link(fields: Mapping[str, Field], page: str) -> None:
    """On the session's first run of a page, take over the settings of the address; the rest gets its default."""
    seen = f"link:{page}"
    first = seen not in st.session_state
    ignored: list[str] = st.session_state.setdefault(seen, [])
    st.session_state.setdefault(f"{seen}:names", frozenset(name for name in fields if name in st.query_params))
    for field in fields.values():
        for given in [st.query_params.get_all(field.name)] if first and field.name in st.query_params else []:
            try:
                st.session_state[field.key] = _parsed(field, given)
            except (ValueError, OverflowError) as error:
                ignored.append(f"{plain(f'{field.name} = {given[-1]}', SHOWN)} ({plain(str(error))})")
        if field.key not in st.session_state:
            st.session_state[field.key] = copy(field.default)
    if ignored:
        st.warning(
            f"The link held values that do not exist here and were ignored: {'; '.join(ignored)}. "
            "The defaults are used instead.",
            icon=":material/link:",
        )


def _parsed(field: Field, given: list[str]) -> Any:
    """The value that is given once. Raises ValueError."""
    if len(given) > 1:
        raise ValueError(f"it is given {len(given)} times")
    return field.parse(given[0])


def linked(page: str) -> frozenset[str]:
    """The settings of a page that were in its address when the session saw it first."""
    names: frozenset[str] = st.session_state.get(f"link:{page}:names", frozenset())
    return names


def presenting() -> bool:
    """Whether the address asks for the slides. It alone decides: the browser takes it out when the speaker leaves."""
    return "1" in (st.query_params.get(PRESENT), st.query_params.get(_STAGE))


def times_begun() -> int:
    """How often this session began to present."""
    begun: int = st.session_state.get(_BEGUN, 0)
    return begun


def begin_to_present() -> None:
    """From the next run on, and after a reload too."""
    st.session_state[_BEGUN] = times_begun() + 1
    keep_presenting()


def keep_presenting() -> None:
    """Say it to the browser, under the name of now: what a callback changes of an address does not reach it."""
    st.query_params.pop(_STAGE, None)
    st.query_params[PRESENT] = "1"


def stop_presenting() -> None:
    """From the next run on."""
    for name in (PRESENT, _STAGE):
        st.query_params.pop(name, None)


def write_link(fields: Mapping[str, Field], **extra: str) -> None:
    """Put the settings that differ from their defaults, and `extra`, into the address; too long ones are not, and said
    so, for an address with a part of them would restore something else.

    The loaded pair goes with them: what they show is of that pair, wherever and whenever the link is opened. An address
    without settings holds it where it is not the one that this server starts with.
    """
    slides = "1" if presenting() else ""
    asked = {name: value for name, value in (extra | {PRESENT: slides}).items() if value}
    settings = {
        field.name: field.show(st.session_state[field.key])
        for field in fields.values()
        if st.session_state.get(field.key) != field.default
    }
    if sum(len(name) + len(value) for name, value in (asked | settings).items()) > MAX_LINK:
        settings = {}
        st.caption("These settings are too long for an address: the link of this page does not hold them.")
    pair = _pair_text(anyway=bool(asked or settings))
    values = ({PAIR: pair} if pair else {}) | asked | settings
    if values != st.query_params.to_dict():
        st.query_params.from_dict(values)


def _pair_text(*, anyway: bool) -> str:
    loaded = workbench().pair.spec
    text = show_pair(loaded) if loaded else ""
    return text if anyway or text != show_pair(first_pair()) else ""


def put_instead(key: str, value: object, words: str) -> None:
    """Set `value` where what was asked for is not there; `say_instead` tells it in these words."""
    st.session_state[key] = value
    st.session_state[f"instead:{key}"] = (value, words)


def say_instead(key: str) -> None:
    """What `put_instead` did to this key, until another value is chosen."""
    value, words = st.session_state.get(f"instead:{key}", (None, ""))
    if words and st.session_state.get(key) == value:
        st.warning(words, icon=":material/link:")
