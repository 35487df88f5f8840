"""The token strip: one text as tokens, coloured by one reading, with one token pinned. Knows nothing of models.

Token text travels as data and is set as text in the browser, never as HTML. The pinned token lives in session state
(`select_token` moves it); the browser draws a click at once and then reports it. Not usable inside `st.form`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ui.components.colours import LABEL_COLOURS

Size = Literal["normal", "stage"]
Values = Sequence[float | None] | NDArray[np.float32] | NDArray[np.float64]

CLIP = 160
"""Characters of one token that are shown; the full length is written after them."""
_OTHER_STYLES = ("other-1", "other-2", "other-3")
_HERE = Path(__file__).parent
_MADE_OF = {"token_strip": ("strip_reader",)}
"""Further files of a component."""


class _Pin(TypedDict):
    """The pinned token of a strip, and how it came to the browser."""

    token: int | None
    jump: int
    drawn: int
    text: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """Another reading of every token, drawn as a thin bar below it."""

    name: str
    values: Values
    """(n_tokens,); None or NaN means no value there."""
    value_range: tuple[float, float]
    unit: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """What is drawn. Token indices are absolute: the prompt's tokens come first, `text_start` is the text's first."""

    pieces: tuple[str, ...]
    values: Values | None = None
    """(n_tokens,) the reading that colours the tokens; None or NaN means no value there."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """Lowest and highest colour, around zero: (−r, r), or (0, 1) for a probability. Values beyond are clipped."""
    value_name: str = ""
    unit: str = ""
    parts: tuple[tuple[int, int, str], ...] = ()
    """(first token, token after the last, label)."""
    events: tuple[int, ...] = ()
    window: frozenset[int] = frozenset()
    keywords: frozenset[int] = frozenset()
    text_start: int = 0
    rows: tuple[Row, ...] = ()
    targets: frozenset[int] = frozenset()
    """Tokens whose prediction is being explained."""
    sentences: tuple[int, ...] = ()
    """First tokens of the sentences, in order; with them the strip is a reader: sentences are cards, beside a rail."""

    def __post_init__(self) -> None:
        n = len(self.pieces)
        for low, high in (self.value_range, *(row.value_range for row in self.rows)):
            assert low <= 0 <= high != low, (low, high)
        for row in self.rows:
            assert len(row.values) == n, (row.name, len(row.values), n)
        assert self.values is None or len(self.values) == n, (len(self.values), n)
        assert 0 <= self.text_start <= n, (self.text_start, n)
        for start, end, label in self.parts:
            assert 0 <= start < end <= n, (start, end, label, n)
        for index in (*self.events, *self.window, *self.keywords, *self.targets, *self.sentences):
            assert 0 <= index < n, (index, n)


def read_assets(name: str) -> tuple[str, str]:
    """(css, js) of a component: the shared token list first, then what it is made of, then its own."""
    colours = "".join(f"--label-{label}: {colour};" for label, colour in LABEL_COLOURS.items())
    stems = ("token_text", *_MADE_OF.get(name, ()), name)
    css, js = ("\n".join((_HERE / f"{stem}.{kind}").read_text("utf-8") for stem in stems) for kind in ("css", "js"))
    return f":host {{{colours}}}\n{css}", js


_css, _js = read_assets("token_strip")
_component = st.components.v2.component("retrace_token_strip", css=_css, js=_js)


def token_strip(
    strip: Strip,
    *,
    key: str,
    size: Size = "normal",
    height: int | Literal["window"] | None = 520,
    label: str = "Tokens of the text",
    search: bool = False,
) -> int | None:
    """Draw the strip and return the pinned token. Taller texts scroll within `height` pixels (None: no limit), or
    within what the browser's window has left below the elements above ("window", for strips with sentences).

    With `search` a field above the tokens finds text in them.
    """
    pin = _pin(key)
    digest = hash(strip.pieces)
    if pin["text"] not in (None, digest) and pin["jump"] == pin["drawn"]:
        pin["token"] = None
    if pin["token"] is not None and not 0 <= pin["token"] < len(strip.pieces):
        pin["token"] = None
    pin["text"], pin["drawn"] = digest, pin["jump"]
    data = strip_data(strip) | {"size": size, "height": height, "label": label, "search": search}
    stamp = hashlib.blake2b(json.dumps(data).encode(), digest_size=8).hexdigest()
    _component(
        key=key,
        data=data | {"stamp": stamp, "pinned": pin["token"], "jump": pin["jump"]},
        on_pin_change=lambda: _take_pin(key),
    )
    return pin["token"]


def select_token(key: str, index: int | None) -> None:
    """Pin a token from Python (a jump, a permalink), or none. Call it before the strip is drawn, or in a callback."""
    pin = _pin(key)
    pin["token"], pin["jump"] = index, pin["jump"] + 1


def selected_token(key: str) -> int | None:
    """The pinned token of a strip that may be drawn further down the page."""
    return _pin(key)["token"]


def strip_data(strip: Strip) -> dict[str, object]:
    """The strip as JSON-ready data; also what a self-contained HTML export embeds."""
    pieces, lengths = clip_pieces(strip.pieces)
    names = list(dict.fromkeys(label for _, _, label in sorted(strip.parts)))
    unknown = [name for name in names if name not in LABEL_COLOURS]
    styles = {name: _OTHER_STYLES[i % len(_OTHER_STYLES)] for i, name in enumerate(unknown)}
    low, high = strip.value_range
    return {
        "pieces": pieces,
        "lengths": lengths,
        "values": None if strip.values is None else [_rounded(value) for value in strip.values],
        "low": low,
        "high": high,
        "name": strip.value_name,
        "unit": strip.unit,
        "labels": [[name, styles.get(name, name)] for name in names],
        "parts": [[start, end, names.index(label)] for start, end, label in strip.parts],
        "events": list(strip.events),
        "window": sorted(strip.window),
        "keywords": sorted(strip.keywords),
        "start": strip.text_start,
        "targets": sorted(strip.targets),
        "sentences": list(strip.sentences),
        "rows": [
            {
                "name": row.name,
                "unit": row.unit,
                "low": row.value_range[0],
                "high": row.value_range[1],
                "values": [_rounded(value) for value in row.values],
            }
            for row in strip.rows
        ],
    }


def clip_pieces(pieces: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Pieces cut to what is shown, and the full length of those that were cut, by index."""
    lengths = {str(i): len(piece) for i, piece in enumerate(pieces) if len(piece) > CLIP}
    return [piece[:CLIP] for piece in pieces], lengths


def _rounded(value: float | None) -> float | None:
    """Three significant digits: more cannot be seen, and they are half of the message."""
    return float(f"{value:.3g}") if value is not None and math.isfinite(value) else None


def _pin(key: str) -> _Pin:
    """The one place where a strip's pinned token is kept; `jump` counts the times Python moved it."""
    pin: _Pin = st.session_state.setdefault(f"{key}:pin", {"token": None, "jump": 0, "drawn": 0, "text": None})
    return pin


def _take_pin(key: str) -> None:
    event = st.session_state[key].get("pin")
    if isinstance(event, Mapping):
        token = event.get("token")
        _pin(key)["token"] = token if isinstance(token, int) else None
