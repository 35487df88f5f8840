"""Sentences of a reasoning text as exact character spans. Knows no labels and no models.

Own code, because the well-kept sentencex (like pysbd, which is not) takes a lone letter before a full stop for an
initial: in "so it equals x. Then" it sees one sentence, and mathematics is full of those.
"""

from __future__ import annotations

import itertools
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator

from core.text.thoughts import THOUGHT_MARKERS

Span = tuple[int, int]

_CLOSING = "\"'”’»)\\]}*_"
_END = re.compile(
    rf"(?<![.!?…])(?<!\.[ \t])(?P<mark>\.(?:[ \t]\.)++|[.!?…]++)[{_CLOSING}]*+(?=\s|$)|(?P<wide>[。！？]++[”’」』）]*+)"
)
_NEWLINES = re.compile(r"[\n\r\u2028\u2029]\s*")
_NEWLINE = re.compile(r"\r\n|[\n\r\u2028\u2029]")
_OPENER = re.compile(r"```|`|\$\$|\$(?=\S)|\\\[|\\\(|\\begin\{([A-Za-z]{1,20}\*?)\}|https?://")
_CLOSERS = {"```": "```", "`": "`", "$$": "$$", "$": "$", "\\[": "\\]", "\\(": "\\)"}
_MAX_FORMULA = 2000
_MAX_INLINE = 300
_URL = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)\]}]")
_LIST_MARKER = re.compile(r"[ \t>#*_(\-]*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})\.[*_]*")
_SOFT_WRAP = re.compile(r"[a-z](?![.)]\s|\s*[-=<>≤≥≠≈+*/^_(\[])")
_LAST_WORD = re.compile(r"[^\W\d_][\w.]{0,15}$")
_THOUGHT = re.compile("|".join(map(re.escape, THOUGHT_MARKERS)))

_NEVER_LAST = re.compile(r"e\.?g|i\.?e|vs|cf|viz|dr|mrs?|ms|prof|figs?|eqs?|thm|w\.r\.t", re.IGNORECASE)
"""Abbreviations that something always follows."""
_SELDOM_LAST = re.compile(
    r"etc|approx|incl|excl|jr|sr|inc|ltd|dept|est|min|max|avg|hrs?|[ap]\.m|a\.k\.a|sec|ch|ex|st|al|resp|prop|cor|def",
    re.IGNORECASE,
)
"""Abbreviations that may end a sentence: a capital letter after them decides."""


def split_sentences(text: str) -> tuple[Span, ...]:
    """The sentences of `text`, in order, as (start, end) with no white space at either end.

    Every character that is not white space lies in exactly one, save thought markers, which lie in none. A full stop
    inside a number, a formula, code, a link or an abbreviation, or after the number of a list item, ends nothing. A
    line break does, unless the next line goes on in lower case; an ellipsis does not where the text goes on so.
    """
    protected = list(_protected(text))
    markers = [match.span() for match in _THOUGHT.finditer(text) if not _inside(match.start(), protected)]
    cuts = {edge for span in markers for edge in span}
    cuts |= {match.end() for match in _END.finditer(text) if not _inside(match.start(), protected) and _ends(match)}
    cuts |= {match.end() for match in _NEWLINES.finditer(text) if _breaks(match, protected)}
    edges = sorted(cuts | {0, len(text)})
    found = []
    for start, end in itertools.pairwise(edges):
        piece = text[start:end]
        bare = piece.strip()
        if bare and (start, end) not in markers:
            first = start + len(piece) - len(piece.lstrip())
            found.append((first, first + len(bare)))
    return tuple(found)


def _protected(text: str) -> Iterator[Span]:
    """Code, formulas and links, in order and disjoint."""
    at = 0
    while (match := _OPENER.search(text, at)) is not None:
        end = _end_of_region(text, match)
        if end is not None:
            yield match.start(), end
        at = end or match.end()


def _end_of_region(text: str, match: re.Match[str]) -> int | None:
    """Where the region that opens here ends; None when it does not close, and so is no region."""
    opener, start = match[0], match.end()
    if opener.startswith("http"):
        link = _URL.match(text, match.start())
        return link.end() if link else None
    if opener == "```":
        end = text.find("```", start)
        return len(text) if end < 0 else end + 3
    closer = f"\\end{{{match[1]}}}" if match[1] else _CLOSERS[opener]
    inline = opener in ("`", "$")
    end = text.find(closer, start, start + (_MAX_INLINE if inline else _MAX_FORMULA))
    if end < 0 or (inline and (end == start or "\n" in text[start:end])):
        return None
    if opener == "$" and (text[end - 1].isspace() or text[end + 1 : end + 2].isdigit()):
        return None
    return end + len(closer)


def _inside(position: int, regions: list[Span]) -> bool:
    """Whether the position lies within one of the sorted, disjoint regions."""
    i = bisect_right(regions, (position, sys.maxsize)) - 1
    return i >= 0 and regions[i][0] <= position < regions[i][1]


def _ends(match: re.Match[str]) -> bool:
    """Whether this full stop, question mark or the like ends a sentence."""
    if match["wide"]:
        return True
    text, mark = match.string, match["mark"]
    follows = text[match.end() : match.end() + 40].lstrip(" \t" + _CLOSING + "(“‘«")[:1]
    if "…" in mark or mark[:2] in ("..", ". ", ".\t"):
        return not follows.islower()
    if mark != ".":
        return not (follows.islower() and match.end() - match.start() > len(mark))
    return not _is_abbreviation(text, match.start(), follows) and not _numbers_an_item(text, match)


def _is_abbreviation(text: str, stop: int, follows: str) -> bool:
    word = _LAST_WORD.search(text, max(0, stop - 17), stop)
    if word is None:
        return False
    if _NEVER_LAST.fullmatch(word[0]):
        return True
    acronym = word[0].isupper() and "." in word[0]
    return not follows.isupper() and (acronym or _SELDOM_LAST.fullmatch(word[0]) is not None)


def _numbers_an_item(text: str, match: re.Match[str]) -> bool:
    """Whether all before the full stop on its line is the number or letter of a list item."""
    line = max(text.rfind("\n", 0, match.start()), text.rfind("\r", 0, match.start())) + 1
    return _LIST_MARKER.fullmatch(text, line, match.end()) is not None


def _breaks(match: re.Match[str], protected: list[Span]) -> bool:
    """Whether this line break, with the white space after it, ends a sentence."""
    text, start = match.string, match.start()
    if _inside(start, protected):
        return False
    blank_line = len(_NEWLINE.findall(match[0])) > 1
    announces = text[max(0, start - 8) : start].rstrip().endswith(":")
    return blank_line or announces or _SOFT_WRAP.match(text, match.end()) is None
