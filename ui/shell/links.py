"""Permalinks: a page's settings in its address. Bad values are ignored, said so, and never raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

from ui.components.safe_text import plain

S = TypeVar("S", bound=str)

MAX_LINK = 6000


@dataclass(frozen=True, kw_only=True)
class Field:
    """One setting: its name in the address, the session key that holds it, its default, and how to read and write it.

    `parse` raises ValueError for text that is no value of this setting.
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
    for field in fields.values():
        raw = st.query_params.get(field.name) if first else None
        if raw is not None:
            try:
                st.session_state[field.key] = field.parse(raw)
            except (ValueError, OverflowError):
                ignored.append(f"{field.name} = {raw}")
        if field.key not in st.session_state:
            st.session_state[field.key] = copy(field.default)
        else:
            st.session_state[field.key] = st.session_state[field.key]
    if ignored:
        st.warning(
            f"The link held values that do not exist here and were ignored: {plain('; '.join(ignored))}. "
            "The defaults are used instead.",
            icon=":material/link:",
        )


def write_link(fields: Mapping[str, Field], **extra: str) -> None:
    """Put the settings that differ from their defaults, and `extra`, into the address."""
    values = {
        field.name: field.show(st.session_state[field.key])
        for field in fields.values()
        if st.session_state.get(field.key) != field.default
    }
    values |= {name: value for name, value in extra.items() if value}
    if (
        sum(len(name) + len(value) for name, value in values.items()) <= MAX_LINK
        and values != st.query_params.to_dict()
    ):
        st.query_params.from_dict(values)


def one_of(*options: S) -> Callable[[str], S]:
    """Parser of a closed choice."""

    def parse(raw: str) -> S:
        for option in options:
            if option == raw:
                return option
        raise ValueError(raw)

    return parse


def number(low: float, high: float, kind: type = float) -> Callable[[str], Any]:
    """Parser of a number between two bounds, inclusive."""

    def parse(raw: str) -> Any:
        value = kind(raw)
        if not low <= value <= high:
            raise ValueError(raw)
        return value

    return parse


def text(limit: int) -> Callable[[str], str]:
    """Parser of free text of limited length."""

    def parse(raw: str) -> str:
        if not raw.strip() or len(raw) > limit:
            raise ValueError(f"{len(raw)} characters")
        return raw

    return parse
