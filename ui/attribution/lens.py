"""What directions say when they are read as an output: Eq. 2 over layers, through both models' W_U (Fig. 5)."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.attribution.values import LayerLens, LayerLensSpec
from core.extraction.values import DirectionSet, ExtractionSpec
from core.models.pair import ROLES, ModelFacts, Role
from core.traces.set_files import TraceSet
from core.values import PAPER_WINDOW
from ui.attribution.corpus_data import choose_set
from ui.attribution.form import Request
from ui.components.safe_text import plain
from ui.components.theme import BLUE, GRAY, ORANGE
from ui.shell.jobs import follow
from ui.shell.state import caller, guarded, pair_facts, workbench

_NAMES: dict[Role, str] = {"base": "base model", "reasoner": "reasoning model"}
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
        "set under “Steered readings and keywords”."
    )
    sets = {role: _directions(found, role, facts[role]) for role in ROLES}
    if any(value is None for value in sets.values()):
        return
    rows = []
    for source in ROLES:
        for reader in ROLES:
            lens = _lens(sets[source], source, facts[reader], request.spec.lens_words)
            if lens is None:
                return
            rows.append(_frame(lens, source, reader))
    if not np.isfinite(pd.concat(rows)["score"]).any():
        st.info(
            "No item of this vocabulary contains one of the words, or no window reached a text.",
            icon=":material/label:",
        )
        return
    _draw(pd.concat(rows), request)


def _directions(found: TraceSet, role: Role, facts: ModelFacts) -> DirectionSet | None:
    """The directions of one model at every layer, from the store or by a job that is offered."""
    spec = ExtractionSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        traces_digest=found.digest,
        windows=(PAPER_WINDOW,),
        layers=tuple(range(facts.n_layers)),
    )
    value: DirectionSet | None = workbench().cached(spec)
    if value is not None:
        return value
    slot = f"job:lens:{role}"
    live = workbench().engine.snapshot(st.session_state.get(slot, ""))
    if (live is None or not live.live) and st.button(
        f"Extract at every layer of the {_NAMES[role]}", type="primary", key=f"lens:go:{role}"
    ):
        traces = workbench().trace_sets.load(found.set_id)
        if guarded(lambda: workbench().extract(spec, traces, caller()), slot):
            workbench().engine.wait(st.session_state[slot], 1.0)
    snapshot = follow(slot)
    if snapshot is not None and snapshot.state == "done" and snapshot.result.spec == spec:
        return snapshot.result  # type: ignore[no-any-return]
    return None


def _lens(found: Any, source: Role, reader: ModelFacts, words: tuple[str, ...]) -> LayerLens | None:
    """Eq. 2 of every layer's direction through one model's W_U."""
    vectors = np.nan_to_num(found.vectors[:, 0])
    spec = LayerLensSpec(model=reader.spec, fingerprint=reader.fingerprint, vectors=vectors, words=words)
    value: LayerLens | None = workbench().cached(spec)
    if value is None:
        slot = f"job:layer_lens:{source}"
        if guarded(lambda: workbench().attribute(spec, caller()), slot):
            workbench().engine.wait(st.session_state[slot], 2.0)
        snapshot = follow(slot)
        value = snapshot.result if snapshot is not None and snapshot.state == "done" else None
    return value


def _frame(lens: LayerLens, source: Role, reader: Role) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": range(len(lens.scores)),
            "score": lens.scores.astype(float),
            "best rank": lens.ranks.astype(float),
            "direction": f"from the {_NAMES[source]}",
            "W_U": f"of the {_NAMES[reader]}",
        }
    )


def _draw(frame: pd.DataFrame, request: Request) -> None:
    sources = [f"from the {_NAMES[role]}" for role in ROLES]
    base = alt.Chart(frame).encode(
        x=alt.X("layer:Q", title="layer of the direction", axis=alt.Axis(grid=False, tickMinStep=1, format="d")),
        y=alt.Y("score:Q", title="Eq. 2, logits per unit of direction"),
        color=alt.Color(
            "direction:N",
            title=None,
            scale=alt.Scale(domain=sources, range=[ORANGE, BLUE]),
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


def _said(row: dict[Any, Any]) -> str:
    rank = "no rank" if not np.isfinite(row["best rank"]) else f"rank {row['best rank']:,.0f}"
    return f"{row['direction']}, W_U {row['W_U']}: {row['score']:+.3g} ({rank})".replace("-", "−")
