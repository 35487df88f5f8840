"""What a reading does before the text turns back, over all traces of a set, by both models."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.attribution.corpus import Anticipation, anticipate
from core.models.pair import ROLES, ModelFacts, Role
from core.traces.events import BACKTRACKING
from core.values import PAPER_WINDOW
from ui.attribution.corpus_data import Corpus, CorpusMethod, choose_reading, choose_set, read_set
from ui.attribution.form import Request
from ui.components.colours import GRAY
from ui.components.roles import COLOURS, NAMES, REASONER_FIRST
from ui.components.safe_text import plain
from ui.shell.state import pair_facts


@st.fragment
def draw_anticipation(request: Request) -> None:
    """Controls, curves, and how early events can be recognised."""
    facts = pair_facts()
    found = choose_set()
    if facts is None or found is None:
        return
    st.markdown(
        f"Does the direction show *before* the text turns back? The mean reading around the starts of labelled "
        f"sentences in **{plain(found.name, 60)}**, read by both models with the direction chosen above."
    )
    corpora: list[Corpus] = []
    for role, fact in sorted(zip(ROLES, facts, strict=True), reverse=True):
        corpus = read_set(found, role, fact, request.spec)
        if corpus is None:
            return
        corpora.append(corpus)
    method, layer, label = _choose(corpora[0], request, facts[0])
    curves = {corpus.role: anticipate(corpus.aligned(method.values(layer), label)) for corpus in corpora}
    if not any(curve.events.n.max(initial=0) for curve in curves.values()):
        st.info(
            f"No trace of this set has a part labelled {plain(label, 60)}; choose another label.",
            icon=":material/label:",
        )
        return
    unit = method.unit
    title = method.title + (f", layer {layer}" if method.per_layer else "")
    _draw_curves(curves, f"{title} ({unit})" if unit else title, label)
    _draw_auc(curves, label)
    _say(curves, corpora, label)


def _choose(corpus: Corpus, request: Request, facts: ModelFacts) -> tuple[CorpusMethod, int, str]:
    left, middle, right = st.columns(3, vertical_alignment="bottom", gap="medium")
    method, layer = choose_reading(left, middle, request, facts)
    labels = sorted(corpus.labels, key=lambda label: label != BACKTRACKING) or [BACKTRACKING]
    label = right.selectbox("Event", labels, key="corpus_label", persist_state="session")
    return method, layer, label or labels[0]


def _rows(curves: dict[Role, Anticipation], label: str) -> pd.DataFrame:
    frames = []
    for role, found in curves.items():
        for name, curve in ((f"before {label}", found.events), ("before other sentences", found.others)):
            frames.append(
                pd.DataFrame(
                    {
                        "offset": curve.offsets,
                        "value": curve.mean,
                        "low": curve.low,
                        "high": curve.high,
                        "places": curve.n,
                        "model": NAMES[role],
                        "where": name,
                    }
                )
            )
    return pd.concat(frames)


def _offset_axis() -> alt.X:
    return alt.X("offset:Q", title="offset to the sentence's first token", axis=alt.Axis(grid=False))


def _model_colour() -> alt.Color:
    scale = alt.Scale(domain=[NAMES[r] for r in REASONER_FIRST], range=[COLOURS[r] for r in REASONER_FIRST])
    return alt.Color("model:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _window() -> alt.Chart:
    frame = pd.DataFrame({"start": [PAPER_WINDOW.start - 0.5], "stop": [PAPER_WINDOW.stop - 0.5]})
    return alt.Chart(frame).mark_rect(color="#128a80", opacity=0.12).encode(x="start:Q", x2="stop:Q")


def _zero() -> alt.Chart:
    return alt.Chart(pd.DataFrame({"offset": [0]})).mark_rule(color=GRAY, strokeWidth=1.5).encode(x="offset:Q")


def _draw_curves(curves: dict[Role, Anticipation], title: str, label: str) -> None:
    frame = _rows(curves, label)
    base = alt.Chart(frame).encode(x=_offset_axis(), color=_model_colour())
    dash = alt.StrokeDash(
        "where:N",
        title=None,
        sort=[f"before {label}", "before other sentences"],
        scale=alt.Scale(range=[[1, 0], [5, 4]]),
        legend=alt.Legend(orient="top", labelLimit=260),
    )
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title=title, scale=alt.Scale(zero=False)), y2="high:Q", detail="where:N"
    )
    tips = ["model:N", "where:N", "offset:Q", alt.Tooltip("value:Q", format=".3g"), "places:Q"]
    line = base.mark_line(strokeWidth=2).encode(y=alt.Y("value:Q", title=title), strokeDash=dash, tooltip=tips)
    st.altair_chart(
        alt.layer(_window(), _zero(), band, line).properties(height=340),
        width="stretch",
        alt=f"{title} by offset to {label} and to other sentences, for both models, with 95% bands",
    )


def _draw_auc(curves: dict[Role, Anticipation], label: str) -> None:
    frame = pd.concat(
        pd.DataFrame(
            {
                "offset": found.events.offsets,
                "AUC": found.auc,
                "low": found.auc_low,
                "high": found.auc_high,
                "model": NAMES[role],
            }
        )
        for role, found in curves.items()
    )
    frame = frame[frame["offset"] <= 0]
    base = alt.Chart(frame).encode(x=_offset_axis(), color=_model_colour().legend(None))
    scale = alt.Scale(domain=[0, 1])
    half = alt.Chart(pd.DataFrame({"AUC": [0.5]})).mark_rule(color=GRAY, strokeDash=[5, 4]).encode(y="AUC:Q")
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", scale=scale, title="AUC"), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("AUC:Q", scale=scale), tooltip=["model:N", "offset:Q", alt.Tooltip("AUC:Q", format=".2f")]
    )
    st.markdown(f"**How early does it show?** AUC of {plain(label, 60)} against other sentences, by lead")
    st.altair_chart(
        alt.layer(_window(), half, band, line).properties(height=220),
        width="stretch",
        alt="AUC by offset for both models, with 95% bands; one half is chance",
    )
    if st.toggle("Show both curves as tables", key="corpus_tables"):
        st.dataframe(_rows(curves, label), hide_index=True, width="stretch")
        st.dataframe(frame, hide_index=True, width="stretch")


def _say(curves: dict[Role, Anticipation], corpora: list[Corpus], label: str) -> None:
    offsets = next(iter(curves.values())).events.offsets
    inside = [k for k, offset in enumerate(offsets) if PAPER_WINDOW.start <= offset < PAPER_WINDOW.stop]
    lines = []
    for role, found in curves.items():
        auc = found.auc[inside]
        if np.isfinite(auc).any():
            lines.append(f"{NAMES[role]} {np.nanmean(auc):.2f}")
    places = int(curves[corpora[0].role].events.n.max())
    skipped = sum(corpus.n_skipped for corpus in corpora)
    st.caption(
        f"{len(corpora[0].texts)} traces, up to {places} starts of {plain(label, 60)}. Bands are 95% intervals over "
        "traces (curves) and after Hanley and McNeil (AUC); the green field is the paper's window "
        f"{PAPER_WINDOW.label}, where the mean AUC is: {', '.join(lines) or 'no value'}. The centre of each curve is "
        "the text's own mean." + (f" {skipped} readings were left out as too long." if skipped else "")
    )
