"""Foreign text made fit to hash, to keep and to show in one line."""

from __future__ import annotations

from typing import Any


def clean_text(text: str, length: int) -> str:
    """One line of printable text of at most `length` characters, from anybody's."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    return " ".join(printable.split())[:length].strip()


def clean(text: Any) -> str:
    """The string with lone surrogates replaced (they break hashing and display). Raises TypeError for non-strings."""
    if not isinstance(text, str):
        raise TypeError(type(text).__name__)
    return text.encode("utf-8", errors="replace").decode("utf-8")


def one_line(text: str, limit: int) -> str:
    """The beginning of a text on one line of printable characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
