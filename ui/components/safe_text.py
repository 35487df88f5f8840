"""Text that came from a model, a file or a user, made safe for the places that would read it as markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from core.errors import UserFacingError

T = TypeVar("T")

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_ADDRESS = re.compile(r":(?=//)|www(?=\.)", re.IGNORECASE)

_WHITE_SPACE = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"})


def plain(text: str, limit: int = 300) -> str:
    """The text on one line with every character that markdown could read escaped, clipped to `limit` characters.

    Addresses become links even when escaped; a word joiner, which is not seen, keeps them text.
    """
    line = " ".join(_CONTROL.sub("�", text).split())
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return _PUNCTUATION.sub(r"\\\1", _ADDRESS.sub("\\g<0>\u2060", line))


def literal(text: str) -> str:
    """The text with control characters made visible and its lines kept, for `st.text`."""
    return _CONTROL.sub(_named, text)


def visible(text: str) -> str:
    """The text with white space and control characters made visible, for places that show text literally."""
    return _CONTROL.sub(_named, text.translate(_WHITE_SPACE))


def _named(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match[0]):04X}⟩"


def show_error(error: UserFacingError) -> None:
    """Cause and remedy in an error box; what they quote is shown literally."""
    st.error(f"**{plain(error.problem)}** {plain(error.remedy)}", icon=":material/warning:")


def tried(action: Callable[[], T]) -> T | None:
    """What the action gives; None, with the reason shown, where the user must do something else."""
    try:
        return action()
    except UserFacingError as error:
        show_error(error)
        return None


def done(action: Callable[[], object]) -> bool:
    """As `tried`, for what gives nothing: whether it was done."""
    return tried(lambda: (action(),)) is not None


def seconds(value: float) -> str:
    """A duration as people say it."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def size(n_bytes: float) -> str:
    """A number of bytes as people say it."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes:.0f} bytes"
