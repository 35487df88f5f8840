"""Foreign text made fit to hash, to keep under a name, and to show on one line."""

from __future__ import annotations


def without_surrogates(text: object) -> str:
    """The whole string, line breaks included, with lone surrogates as "?": they break hashing and display.

    For texts and questions, which must otherwise stay as they are. Raises TypeError for anything but a string.
    """
    if not isinstance(text, str):
        raise TypeError(type(text).__name__)
    return text.encode("utf-8", errors="replace").decode("utf-8")


def kept_line(text: str, limit: int) -> str:
    """The first `limit` characters of the text on one line of printable characters, cut without a mark.

    For names, labels and notes that are stored: the same text gives the same name, whoever cuts it.
    """
    return _printable(text, limit)[:limit].strip()


def shown_line(text: str, limit: int) -> str:
    """The text on one line of printable characters, at most `limit`; where it goes on, "…" is the last of them.

    For lists and sentences: who reads it sees that something is missing.
    """
    line = _printable(text, limit)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _printable(text: str, limit: int) -> str:
    """One line of printable characters, from no more of the text than can matter."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
