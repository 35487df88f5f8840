"""The token strip and the lanes on stage alone, with plain and hostile text. Served by the browser tests.

`?case=` picks the text (plain, hostile, or a number of tokens), `?size=stage` the large print, `?reads=1` the reader.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import streamlit as st

from ui.components.lanes import Lane, lanes
from ui.components.token_strip import Strip, select_token, token_strip

TEXT = (
    "<think>\nOkay, so I need to find the smallest number that is divisible by both twelve and eighteen. "
    "Let me start by writing down the prime factors of each. Twelve is two times two times three. "
    "Eighteen is two times three times three. A common multiple is simply their product, which is two hundred sixteen. "
    "Wait, that is a multiple but is it the smallest one? Let me check with thirty-six: thirty-six divided by twelve "
    "is three, and thirty-six divided by eighteen is two. I am not sure whether a smaller one exists. For example, "
    "twenty-four fails because eighteen does not divide it.\n\nSo the answer is thirty-six.\n</think>\n\n**36**"
)
SPANS = ("initializing", "deduction", "adding-knowledge", "backtracking", "example-testing", "uncertainty-estimation")
HOSTILE = (
    "<script>window.hacked=1</script>",
    '<img src="https://beacon.example/x.png" onerror="window.hacked=2">',
    "</think>",
    "![](https://beacon.example/y.png)",
    "${window.hacked=3}",
    "`x`",
    "$x$",
    " {{7*7}}",
    "\u202eright to left\u202c",
    "\u200bzero\u200dwidth\u2060",
    "\x00\x07\x1b[31m",
    "\ud800",
    "\t\ttabs\r\n",
    "👩‍👩‍👧‍👦",
    "👍🏽",
    "1️⃣",
    "🇩🇪",
    "<|end▁of▁sentence|>",
    "<｜end▁of▁sentence｜>",
    "A" * 10_000,
    " שלום",
    " مرحبا",
    "Z̸̢̛͖̱͙̟͎͍̈́͝a̵͎͑l̴̙͛g̶̱̑o̵̙͐",
    "\ufeff",
    "\u2028",
    "<style>*{display:none}</style>",
    "<iframe src=https://beacon.example></iframe>",
    "\n\n",
)


def split(text: str) -> tuple[str, ...]:
    """Words with their leading space, line breaks alone: about what a byte-level BPE tokenizer gives."""
    pieces: list[str] = []
    for line in text.split("\n"):
        words = line.split(" ")
        pieces += [word if i == 0 else f" {word}" for i, word in enumerate(words) if word or i]
        pieces.append("\n")
    return tuple(piece for piece in pieces[:-1] if piece)


def pieces_for(case: str) -> tuple[str, ...]:
    if case == "hostile":
        return HOSTILE + split(TEXT)[:40]
    words = split(TEXT)
    return tuple(words[i % len(words)] for i in range(int(case))) if case.isdigit() else words


def strip_for(pieces: tuple[str, ...], metric: str) -> Strip:
    """Every mark at once, over made-up values."""
    rng = random.Random(3)
    wave = [2.4 * math.sin(i / 7) * rng.random() for i in range(len(pieces))]
    events = tuple(i for i, piece in enumerate(pieces) if piece.strip() == "Wait,")
    edges = [len(pieces) * k // 6 for k in range(7)]
    plain = Strip(
        pieces=pieces,
        parts=tuple((edges[k], edges[k + 1], SPANS[k]) for k in range(6) if edges[k] < edges[k + 1]),
        events=events,
        window=frozenset(i + d for i in events for d in range(-13, -7) if i + d >= 0),
        keywords=frozenset(i for i, piece in enumerate(pieces) if piece.strip() in {"Wait,", "not", "but"}),
        text_start=min(12, len(pieces)),
    )
    if metric == "none":
        return plain
    signed = metric == "projection"
    values = [v if signed else abs(v) / 2.4 for v in wave]
    return Strip(
        **{name: getattr(plain, name) for name in ("pieces", "parts", "events", "window", "keywords", "text_start")},
        values=[None if i % 23 == 5 else v for i, v in enumerate(values)],
        value_range=(-2.4, 2.4) if signed else (0, 1),
        value_name="projection" if signed else "P(next is a keyword)",
        unit="σ" if signed else "",
    )


def draw_lanes(pieces: tuple[str, ...], size: str) -> None:
    live = bool(st.query_params.get("live"))
    grown = st.session_state["grown"] = min(len(pieces), st.session_state.get("grown", 0) + max(8, len(pieces) // 40))
    shown = pieces[:grown] if live else pieces
    hits = tuple(i for i, piece in enumerate(shown) if piece.strip() in {"Wait,", "not", "but"})
    baseline = Lane(
        title="Baseline", subtitle="reasoner · no steering", pieces=pieces[:90], highlights=hits[:1], badge="CACHED"
    )
    steered = Lane(
        title="Steered",
        subtitle="reasoner · layer 10 · +8",
        pieces=shown,
        highlights=hits,
        diverged_at=14 if len(shown) > 14 else None,
        state="running" if live else "cancelled",
        badge="LIVE",
    )
    empty = Lane(
        title="Base model, steered",
        subtitle="base · layer 10 · +8",
        badge="RECORDED",
        note="No evidence: empty completion",
    )
    failed = Lane(
        title="Base model", subtitle="base · no steering", pieces=pieces[:12], state="interrupted", badge="LIVE"
    )
    count = int(st.query_params.get("lanes", "2"))
    at = lanes([baseline, steered, empty, failed][:count], key="lanes", size="stage" if size == "stage" else "normal")
    st.text(f"lane token: {at}")


def main() -> None:
    st.set_page_config(page_title="Strip", layout="wide")
    case = st.query_params.get("case", "plain")
    size = st.query_params.get("size", "normal")
    pieces = pieces_for(case)
    metric = st.radio("Metric", ["projection", "probability", "none"], horizontal=True)
    if st.button("Jump to the last token"):
        select_token("strip", len(pieces) - 1)
    if st.query_params.get("show", "both") in ("both", "strip"):
        strip, reads = strip_for(pieces, metric), bool(st.query_params.get("reads"))
        if reads:
            starts = {0, strip.text_start} | {i + 1 for i, piece in enumerate(pieces[:-1]) if piece.endswith(".")}
            strip = replace(strip, sentences=tuple(sorted(starts)))
        index = token_strip(
            strip,
            key="strip",
            size="stage" if size == "stage" else "normal",
            height="window" if reads else 520,
            search=reads,
        )
        st.text(f"pinned: {index}")
    if st.query_params.get("show", "both") in ("both", "lanes"):
        st.fragment(draw_lanes, run_every=0.25 if st.query_params.get("live") else None)(pieces, size)


if __name__ == "__main__":
    main()
