"""Text that came from a model, a file or a user, made safe for the places that would read it as markdown."""

from __future__ import annotations

import re

import streamlit as st

from core.errors import UserFacingError

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


def one_line(text: str, limit: int = 400) -> str:
    """The text on one line for a table's cell, which shows it literally; clipped to `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def clipped(text: str, limit: int = 64) -> str:
    """The text on one line of printable characters, for option lists, which show it literally."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
