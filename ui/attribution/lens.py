"""What directions say when they are read as an output: Eq. 2 over layers, through both models' W_U (Fig. 5)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.attribution.values import LayerLens, LayerLensSpec
from core.extraction.values import DirectionSet, ExtractionSpec
from core.jobs import JobId
from core.models.pair import ROLES, ModelFacts, Role
from core.traces.set_files import TraceSet
from core.values import PAPER_WINDOW, Floats
from ui.attribution.corpus_data import choose_set
from ui.attribution.form import Request
from ui.components.colours import GRAY
from ui.components.roles import COLOURS, NAMES
from ui.components.safe_text import plain
from ui.shell.jobs import Offer, obtain
from ui.shell.state import caller, pair_facts, workbench

Facts = dict[Role, ModelFacts]


@st.fragment
def draw_lens(request: Request) -> None:
    """The chart over layers; directions at every layer are extracted from the set first, once asked for."""
    facts: Facts = dict(zip(ROLES, pair_facts() or (), strict=False))
    found = choose_set()
    if found is None or len(facts) < 2:
        return
    words = ", ".join(request.spec.lens_words) or "no words"
    st.markdown(
        f"Does a direction simply *say* the keywords? Eq. 2 of the difference of means at every layer, from both "
        f"models over **{plain(found.name, 60)}**, through both unembeddings. Words: **{plain(words, 80)}**; they are "
        "set in the menu beside the text, at the top."
    )
    asked = {role: _directions(found, role, facts[role]) for role in ROLES}
    sets = {role: directions for role, directions in asked.items() if directions is not None}
    if len(sets) < len(ROLES):
        return
    raw = _ask_length()
    rows = []
    for source, directions in sets.items():
        for reader in ROLES:
            lens = _lens(directions, facts[reader], request.spec.lens_words, name=f"layer_lens:{source}:{reader}")
            if lens is None:
                return
            scores = lens.of_raw(_vectors(directions)) if raw else lens.scores
            rows.append(_frame(lens, scores, source, reader))
    if not np.isfinite(pd.concat(rows)["score"]).any():
        st.info(
            "No item of this vocabulary contains one of the words, or no window reached a text.",
            icon=":material/label:",
        )
        return
    _draw(pd.concat(rows), request, raw=raw)


def _ask_length() -> bool:
    """Whether Eq. 2 is shown of the raw differences of means rather than of their unit vectors."""
    chosen = st.segmented_control(
        "Length of the vectors",
        ["unit", "raw"],
        default="unit",
        required=True,
        format_func={"unit": "Unit vectors", "raw": "Raw differences of means"}.__getitem__,
        key="lens_length",
        persist_state="session",
        help="Eq. 2 grows with the length of the vector. Unit vectors compare where the layers point; raw differences "
        "also grow with the residual stream, so that late layers count more.",
    )
    return chosen == "raw"


def _directions(found: TraceSet, role: Role, facts: ModelFacts) -> DirectionSet | None:
    """The directions of one model at every layer, from the store or by a job that is offered."""
    spec = ExtractionSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        traces_digest=found.digest,
        windows=(PAPER_WINDOW,),
        layers=tuple(range(facts.n_layers)),
    )

    def start() -> JobId[DirectionSet]:
        return workbench().extract(spec, workbench().trace_sets.load(found.set_id), caller())

    offer = Offer(button=f"Extract at every layer of the {NAMES[role]}")
    return obtain(spec, f"lens:{role}", DirectionSet, start, offer=offer)


def _lens(found: DirectionSet, reader: ModelFacts, words: tuple[str, ...], *, name: str) -> LayerLens | None:
    """Eq. 2 of every layer's unit direction through one model's W_U."""
    vectors = _vectors(found)
    spec = LayerLensSpec(model=reader.spec, fingerprint=reader.fingerprint, vectors=vectors, words=words)
    stored = workbench().cached(spec)
    if stored is not None:
        return stored
    asked = (found.spec, reader.fingerprint, words)
    return obtain(asked, name, LayerLens, lambda: workbench().attribute(spec, caller()), in_store=False)


def _vectors(found: DirectionSet) -> Floats:
    """(n_layers, d_model) raw differences of means; zero where D+ and D− do not differ."""
    vectors: Floats = np.where(found.differs[:, :1], found.vectors[:, 0], np.float32(0))
    return vectors


def _frame(lens: LayerLens, scores: Floats, source: Role, reader: Role) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": range(len(scores)),
            "score": scores.astype(float),
            "best rank": lens.ranks.astype(float),
            "direction": f"from the {NAMES[source]}",
            "W_U": f"of the {NAMES[reader]}",
        }
    )


def _draw(frame: pd.DataFrame, request: Request, *, raw: bool) -> None:
    sources = [f"from the {NAMES[role]}" for role in ROLES]
    base = alt.Chart(frame).encode(
        x=alt.X("layer:Q", title="layer of the direction", axis=alt.Axis(grid=False, tickMinStep=1, format="d")),
        y=alt.Y("score:Q", title=f"Eq. 2, logits of the {'raw difference' if raw else 'unit vector'}"),
        color=alt.Color(
            "direction:N",
            title=None,
            scale=alt.Scale(domain=sources, range=[COLOURS[role] for role in ROLES]),
            legend=alt.Legend(orient="top"),
        ),
        strokeDash=alt.StrokeDash(
            "W_U:N", scale=alt.Scale(range=[[1, 0], [5, 4]]), legend=alt.Legend(orient="top", title="W_U")
        ),
        tooltip=["layer:Q", "direction:N", "W_U:N", alt.Tooltip("score:Q", format=".3g"), "best rank:Q"],
    )
    zero = alt.Chart(pd.DataFrame({"score": [0.0]})).mark_rule(color=GRAY, opacity=0.6).encode(y="score:Q")
    st.altair_chart(
        alt.layer(zero, base.mark_line(point=True, strokeWidth=2)).properties(height=340),
        width="stretch",
        alt="Eq. 2 over layers, by source model and unembedding",
    )
    st.caption(
        "High values mean that the direction is close to the words' own output rows. In the paper, the layer that "
        "steers best does not decode to them, and later layers that do steer worse (Fig. 5). Window "
        f"{PAPER_WINDOW.label} before backtracking; the rank in the tooltip is that of the best such word."
    )
    if st.toggle("Show the curves as a table", key="lens_table"):
        st.dataframe(frame, hide_index=True, width="stretch")
    here = frame[frame["layer"] == request.spec.layer]
    if len(here):
        st.caption(f"At layer {request.spec.layer}: " + "; ".join(_said(row) for row in here.to_dict("records")) + ".")


def _said(row: Mapping[Hashable, Any]) -> str:
    rank = "no rank" if not np.isfinite(row["best rank"]) else f"rank {row['best rank']:,.0f}"
    return f"{row['direction']}, W_U {row['W_U']}: {row['score']:+.3g} ({rank})".replace("-", "−")
