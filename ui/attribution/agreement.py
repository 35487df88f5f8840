"""Whether the methods agree on this text: estimates against exact effects, sums against all at once, ranks of all."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.attribution.cross_check import READOUT_LIMIT, completeness_error, rank_correlation, rank_matrix, readout_share
from core.attribution.values import Attribution, Gradients, Interventions
from core.models.pair import ModelFacts
from core.values import Floats
from ui.attribution.catalogue import METHODS
from ui.attribution.form import Request
from ui.attribution.further import Target, choose_target, complete, known_readings
from ui.attribution.methods import Readings
from ui.attribution.recorded import recorded_words
from ui.components.colours import BLUE, GRAY, TEXT
from ui.components.safe_text import visible
from ui.components.theme import diverging_scale, screen_mode

_KINDS = ("Steering", "Ablation")


@st.fragment
def draw_agreement(attribution: Attribution, request: Request, facts: ModelFacts) -> None:
    """The panel; gradients and exact effects are computed or offered first."""
    st.markdown(
        "An attribution is worth what an intervention confirms. Here the gradient's estimate for every position is set "
        "against the exact effect of editing that position alone."
    )
    left, right = st.columns([1, 1], gap="medium", vertical_alignment="bottom")
    with left:
        target = choose_target(request, attribution)
    with right.popover("What was measured over many traces", icon=":material/help:"):
        st.markdown(recorded_words(facts))
    readings: Readings | None = known_readings(request, attribution, target, request.spec.layer)
    for needs in ("gradients", "interventions"):
        if readings is not None:
            readings = complete(readings, request, target, needs, facts, request.spec.layer)
    if readings is None or readings.gradients is None or readings.interventions is None:
        return
    _warn_of_readout(readings.gradients, readings.interventions.spec.layer)
    scatter, numbers = st.columns([3, 2], gap="large")
    with scatter:
        _draw_scatter(readings, readings.gradients, readings.interventions)
    with numbers:
        _draw_numbers(readings.gradients, readings.interventions)
    _draw_ranks(readings, target)


def _warn_of_readout(gradients: Gradients, layer: int) -> None:
    """Say when the number is the direction's own read-out, or comes mostly from the target position itself."""
    share = readout_share(gradients, layer)
    stop = max(gradients.spec.text.targets) + 1
    along = np.abs(gradients.along[layer, :stop])
    here = float(along[list(gradients.spec.text.targets)].sum() / max(float(along.sum()), 1e-12))
    if math.isfinite(share) and share > READOUT_LIMIT:
        st.warning(
            f"**Read-out explains this result.** Through final norm and W_U alone, {share:.0%} of the summed effect at "
            f"layer {layer} reaches the target{' (later blocks take some of it back)' if share > 1 else ''}: the "
            "direction is close to the keywords' own rows. Choose an earlier layer before you conclude that the model "
            "computes with it.",
            icon=":material/warning:",
        )
    elif here > READOUT_LIMIT:
        st.warning(
            f"**The target's own position explains this result.** {here:.0%} of the gradient × direction at layer "
            f"{layer} sits at the target itself; what came before it hardly matters here.",
            icon=":material/warning:",
        )
    else:
        st.caption(
            f"Read-out alone explains {share:.0%} of the summed effect at layer {layer}, and {here:.0%} of the effect "
            "sits at the target itself: the rest goes through later blocks and earlier positions."
        )


def estimates(gradients: Gradients, exact: Interventions, kind: str) -> tuple[Floats, Floats]:
    """(seq,) estimated and (seq,) exact effects of one kind of edit at each position alone."""
    layer = exact.spec.layer
    if kind == "Steering":
        return exact.spec.coefficient * gradients.along[layer], exact.steered
    return gradients.removal[layer], exact.ablated


def _draw_scatter(readings: Readings, gradients: Gradients, exact: Interventions) -> None:
    kind = st.segmented_control(
        "Edit", _KINDS, default=_KINDS[0], required=True, key="agreement_kind", persist_state="session"
    )
    estimate, measured = estimates(gradients, exact, kind or _KINDS[0])
    places = np.flatnonzero(np.isfinite(measured))
    frame = pd.DataFrame(
        {
            "position": places,
            "token": [visible(readings.attribution.pieces[i]) for i in places],
            "estimate": estimate[places].astype(float),
            "exact": measured[places].astype(float),
        }
    )
    low = float(min(frame["estimate"].min(), frame["exact"].min(), 0))
    high = float(max(frame["estimate"].max(), frame["exact"].max(), 1e-6))
    ends = pd.DataFrame({"estimate": [low, high], "exact": [low, high]})
    x = alt.X("estimate:Q", title="gradient estimate, logits")
    y = alt.Y("exact:Q", title="exact effect, logits")
    line = alt.Chart(ends).mark_line(color=GRAY, strokeDash=[6, 4], strokeWidth=1.5).encode(x=x, y=y)
    tips = ["position:Q", "token:N", alt.Tooltip("estimate:Q", format="+.3g"), alt.Tooltip("exact:Q", format="+.3g")]
    points = alt.Chart(frame).mark_circle(size=45, opacity=0.6, color=BLUE).encode(x=x, y=y, tooltip=tips)
    st.altair_chart(
        alt.layer(line, points).properties(height=340),
        width="stretch",
        alt=f"{kind}: estimate against exact effect, one point per position; the dashed line is where they are equal",
    )
    if st.toggle("Show the points as a table", key="agreement_table"):
        st.dataframe(frame, hide_index=True, width="stretch")


def _draw_numbers(gradients: Gradients, exact: Interventions) -> None:
    n = int(np.isfinite(exact.steered).sum())
    st.metric("Positions edited one by one", n)
    for kind in _KINDS:
        rho = rank_correlation(*estimates(gradients, exact, kind))
        st.metric(
            f"{kind}: Spearman's ρ, estimate and exact", "no value" if math.isnan(rho) else f"{rho:+.2f}", border=False
        )
    error = completeness_error(exact)
    said = "no effect to compare" if math.isnan(error) else f"{error:.0%}"
    st.metric(
        "Completeness error",
        said,
        help="Sum of the one-position steering effects against steering all of these positions at once. 0% means that "
        "positions act independently; much more means that single positions do not tell the whole.",
    )
    total = float(np.nansum(exact.steered))
    lines = [
        f"One by one, steering moves the target by {total:+.2f} logits in sum; at once by {exact.steered_all:+.2f}.",
        f"Ablating all of them at once moves it by {exact.ablated_all:+.2f}, from {exact.target:+.2f}.",
    ]
    if exact.spec.first > 0:
        lines.append(f"Only the last {n} positions before the target were edited.")
    st.caption(" ".join(lines).replace("-", "−"))


def _draw_ranks(readings: Readings, target: Target) -> None:
    """Rank correlation of every pair of readings at hand, over the text's tokens up to the target."""
    exact = readings.interventions
    assert exact is not None
    layer, stop = exact.spec.layer, max(target.positions) + 1
    start = min(readings.start, stop - 1)
    at_hand = (method for method in METHODS if method.available(readings))
    rows = {m.title: m.values(readings, layer)[start:stop].astype(np.float64) for m in at_hand}
    matrix, titles = rank_matrix(rows), list(rows)
    frame = pd.DataFrame(
        [
            {"one": a, "other": b, "ρ": None if math.isnan(value) else round(float(value), 2)}
            for i, a in enumerate(titles)
            for j, b in enumerate(titles)
            for value in [matrix[i, j]]
        ]
    )
    st.markdown(f"**Do they rank the tokens alike?** Spearman's ρ over {stop - start} tokens, layer {layer}")
    mode = screen_mode(st.context.theme.type)
    base = alt.Chart(frame).encode(
        x=alt.X("other:N", sort=titles, title=None, axis=alt.Axis(labelAngle=-60, labelLimit=220, labelOverlap=False)),
        y=alt.Y("one:N", sort=titles, title=None, axis=alt.Axis(labelLimit=260, labelOverlap=False)),
        tooltip=["one:N", "other:N", "ρ:Q"],
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "ρ:Q",
            scale=diverging_scale(1, mode),
            legend=alt.Legend(orient="top", gradientLength=160),
        )
    )
    numbers = base.mark_text(fontSize=11, color=TEXT[mode]).encode(text=alt.Text("ρ:Q", format=".2f"))
    height = 150 + 26 * len(titles)
    st.altair_chart(
        alt.layer(cells, numbers).properties(height=height), width="stretch", alt="Rank correlations of all readings"
    )
    st.caption(
        "Readings of the direction, of the output and of effects answer different questions: low numbers between them "
        "are no fault. Low numbers between an estimate and what it estimates are."
    )
