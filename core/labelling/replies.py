"""What an endpoint sends back: its bytes unpacked a little at a time, the text of an answer, the words of a refusal.

Knows no connection, no key and no labels.
"""

from __future__ import annotations

import html
import json
import re
import zlib
from collections.abc import Iterable, Iterator

PIECE_BYTES = 1 << 16
MAX_WORDS = 300
_MAX_HTML = 8000
_DEEP = 6
_SAYS = (
    "error",
    "errors",
    "detail",
    "details",
    "message",
    "msg",
    "description",
    "error_description",
    "reason",
    "title",
)
_NAMES = ("type", "code", "status")
_TEXT_PARTS = ("text", "output_text")


class BadReply(ValueError):
    """A reply that holds no answer; the text is a sentence's end, which begins with what is wrong."""


def unpacked(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The pieces of a body, unpacked to PIECE_BYTES at most at a time. Raises BadReply for damage or other packings."""
    kind = encoding.strip().lower() or "identity"
    if kind == "identity":
        yield from pieces
        return
    if kind not in ("gzip", "x-gzip", "deflate"):
        raise BadReply(f"packed its answer as {kind[:20]!r}, which was not asked for")
    unpacker = None
    for piece in pieces:
        rest = piece
        while rest:
            if unpacker is None:
                unpacker = zlib.decompressobj(-15 if kind == "deflate" and rest[0] & 15 != 8 else 47)
            try:
                yield unpacker.decompress(rest, PIECE_BYTES)
            except zlib.error:
                raise BadReply("packed its answer so that it cannot be unpacked") from None
            if unpacker.eof:
                return
            rest = unpacker.unconsumed_tail
    raise BadReply("broke its answer off")


def answer_of(data: bytes) -> str:
    """The text of a chat completion. Raises BadReply, with what the body says instead."""
    choice = _first_choice(data)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else choice.get("text")
    text = _joined(content)
    cut = choice.get("finish_reason") == "length"
    if cut and not text.rstrip("` \n").endswith("}"):
        raise BadReply("cut its answer off at its limit of tokens; fewer sentences at once may help")
    if not text.strip():
        refusal = message.get("refusal") if isinstance(message, dict) else None
        words = said(refusal or choice.get("error") or choice.get("finish_reason") or "")
        raise BadReply(f"sent an answer that holds no text{f': {words}' if words else ''}")
    return text


def words_of(data: bytes) -> str:
    """What a body of any form says of an error, on one line; "" for an empty one."""
    try:
        return said(json.loads(data)) or _clipped(_decoded(data))
    except (ValueError, RecursionError):
        return _clipped(_without_tags(_decoded(data)))


def error_status(data: bytes) -> int | None:
    """The HTTP status that an error sent with status 200 names, 200 if it names none; None for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    error = found.get("error") if isinstance(found, dict) and not found.get("choices") else None
    if not error:
        return None
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else 200


def said(found: object) -> str:
    """The words of an error object in one of the forms that endpoints use, on one line."""
    return _clipped(": ".join(dict.fromkeys(_pieces(found, _DEEP))))


def _first_choice(data: bytes) -> dict[str, object]:
    try:
        found = json.loads(data)
        choices = found["choices"] if isinstance(found, dict) else None
        choice = choices[0] if isinstance(choices, list) else None
    except (ValueError, KeyError, IndexError, RecursionError):
        choice = None
    if not isinstance(choice, dict):
        words = words_of(data)
        raise BadReply(f"sent no chat completion{f' but: {words}' if words else ''}")
    return choice


def _joined(content: object) -> str:
    """The text of a content: text, or a list of parts, of which those of text count and thoughts do not."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        given = content.get("text") if content.get("type", "text") in _TEXT_PARTS else None
        return given if isinstance(given, str) else ""
    return "".join(_joined(part) for part in content) if isinstance(content, list) else ""


def _pieces(found: object, deep: int) -> list[str]:
    if isinstance(found, str):
        return [found.strip()] if found.strip() else []
    if isinstance(found, list) and deep:
        return [piece for item in found[:3] for piece in _pieces(item, deep - 1)]
    if not isinstance(found, dict) or not deep:
        return [str(found)] if type(found) is int else []
    named = {str(name).lower(): value for name, value in found.items()}
    place = named.get("loc")
    begin = [".".join(map(str, place))] if isinstance(place, list) else []
    for names in (_SAYS, _NAMES):
        words = [piece for name in names if name in named for piece in _pieces(named[name], deep - 1)]
        if words:
            return begin + words
    return begin


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _without_tags(text: str) -> str:
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>", " ", text[:_MAX_HTML])
    return html.unescape(re.sub(r"<[^<>]*>", " ", text))


def _clipped(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 10 * MAX_WORDS]).split())
    return line[:MAX_WORDS].rstrip(".")
