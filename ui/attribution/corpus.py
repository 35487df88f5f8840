"""The tokens of a whole set that stand out under a direction, in context; a click opens the text there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.attribution.corpus import Extreme, extremes
from core.models.pair import ModelFacts
from core.text.lines import shown_line
from core.values import Floats
from ui.attribution.corpus_data import Corpus, choose_reading, choose_set, label_rows, read_set
from ui.attribution.form import Request
from ui.attribution.reader.opening import PIN_NEXT
from ui.attribution.source import KIND_KEY, SET_KEY, TRACE_KEY
from ui.components.colours import CATEGORICAL, GRAY, LABEL_COLOURS, dashes
from ui.components.safe_text import plain, visible

SECTION_KEY = "attribution_section"
_N = 20
_CONTEXT = 8
_BINS = 48
_OPENED = "corpus:opened"


@st.fragment
def draw_corpus(request: Request, facts: ModelFacts) -> None:
    """Controls, histogram by label, strongest and weakest tokens."""
    if st.session_state.pop(_OPENED, False):
        st.rerun()
    found = choose_set()
    if found is None:
        return
    st.markdown(
        f"The tokens of **{plain(found.name, 60)}** that stand out under the direction chosen above, read by "
        f"{plain(facts.name)}. Click a row to open its text there."
    )
    corpus = read_set(found, request.role, facts, request.spec)
    if corpus is None:
        return
    left, right = st.columns([3, 2], vertical_alignment="bottom", gap="medium")
    method, layer = choose_reading(left, right, request, facts)
    title = method.title + (f", layer {layer}" if method.per_layer else "")
    _draw_histogram(label_rows(corpus, method.values(layer)), title)
    rows = [method.values(layer)(text) for text in corpus.texts]
    strongest, weakest = extremes(rows, [text.spec.text_start for text in corpus.texts], k=_N)
    for name, listed in (("Strongest", strongest), ("Weakest", weakest)):
        st.markdown(f"**{name} tokens**, at most three from one text")
        _draw_table(corpus, listed, key=f"corpus_{name.lower()}", unit=method.unit)


def _draw_histogram(rows: dict[str, Floats], title: str) -> None:
    if not rows:
        st.caption("The texts have no labelled parts, so there is no histogram by label.")
        return
    st.altair_chart(histogram(rows, title), width="stretch", alt=f"Distribution of {title} by label")


def histogram(rows: Mapping[str, Floats], title: str) -> alt.LayerChart:
    """How the values of each label's tokens are distributed; a colour and a dash for each label."""
    every = np.concatenate(list(rows.values()))
    low, high = np.percentile(every[np.isfinite(every)], (0.2, 99.8))
    edges = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    frame = pd.concat(
        pd.DataFrame(
            {
                "value": middles,
                "share": np.histogram(values, edges)[0] / max(len(values), 1),
                "label": f"{label} ({len(values):,})",
            }
        )
        for label, values in rows.items()
    )
    names = [f"{label} ({len(values):,})" for label, values in rows.items()]
    colours = [LABEL_COLOURS.get(label, CATEGORICAL[i % len(CATEGORICAL)]) for i, label in enumerate(rows)]
    legend = alt.Legend(orient="top", columns=3, labelLimit=260, title=None, symbolSize=400)
    chart = (
        alt.Chart(frame)
        .mark_line(interpolate="step", strokeWidth=1.8)
        .encode(
            x=alt.X("value:Q", title=title),
            y=alt.Y("share:Q", title="share of the label's tokens", axis=alt.Axis(format=".0%", tickCount=4)),
            color=alt.Color("label:N", scale=alt.Scale(domain=names, range=colours), legend=legend),
            strokeDash=alt.StrokeDash(
                "label:N", scale=alt.Scale(domain=names, range=dashes(len(names))), legend=legend
            ),
            tooltip=["label:N", alt.Tooltip("value:Q", format=".3g"), alt.Tooltip("share:Q", format=".1%")],
        )
    )
    zero = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(color=GRAY, opacity=0.6).encode(x="value:Q")
    return alt.layer(zero, chart).properties(height=280)


def _draw_table(corpus: Corpus, listed: Sequence[Extreme], *, key: str, unit: str) -> None:
    def open_there() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        if picked:
            open_text(corpus, listed[picked[0]])

    columns = ["value", "before", "token", "after", "label", "text"]
    st.dataframe(
        pd.DataFrame([_row(corpus, item) for item in listed], columns=columns),
        hide_index=True,
        height=280,
        key=key,
        on_select=open_there,
        selection_mode="single-row",
        column_config={
            "value": st.column_config.NumberColumn(f"value ({unit})" if unit else "value", format="%.3g", width=80),
            "before": st.column_config.TextColumn(width=230),
            "token": st.column_config.TextColumn(width=90),
            "after": st.column_config.TextColumn(width=230),
        },
        alt="Tokens that stand out, with their context",
    )


def _row(corpus: Corpus, item: Extreme) -> list[object]:
    pieces = corpus.texts[item.text].pieces
    at = item.position
    label = next((found for start, end, found in corpus.parts[item.text] if start <= at < end), "")
    return [
        item.value,
        visible("".join(pieces[max(0, at - _CONTEXT) : at]))[-60:],
        visible(pieces[at])[:40],
        visible("".join(pieces[at + 1 : at + 1 + _CONTEXT]))[:60],
        label,
        shown_line(corpus.traces[item.text].prompt or corpus.traces[item.text].text, 48),
    ]


def open_text(corpus: Corpus, item: Extreme) -> None:
    """Show the text of the token, with the token pinned, when the page is drawn next."""
    st.session_state[KIND_KEY] = "trace"
    st.session_state[SET_KEY] = corpus.set_id
    st.session_state[TRACE_KEY] = corpus.indices[item.text]
    st.session_state[PIN_NEXT] = item.position
    st.session_state[SECTION_KEY] = "Text"
    st.session_state[_OPENED] = True
