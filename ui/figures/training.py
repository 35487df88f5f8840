"""How a finetune went: its losses as a chart, and all of it as one page that opens offline. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import altair as alt
import pandas as pd

from core.finetuning.values import Course, Finetuned, Sample
from core.models.naming import show_merged
from ui.components.colours import dashes
from ui.figures.marks import Drawing
from ui.figures.report import lines_of, page_of, picture, quote, section, table_of
from ui.figures.rows import Row

SMOOTHED = 10
HEIGHT = 260
LEARNED, HELD_OUT = "learned", "held out"
_COLOURS = ("#128a80", "#c2549d")
"""Of the two losses; blue and orange are the two models."""
NOTE = f"Nats a token of the reasoning. The line is a mean over {SMOOTHED} steps, each of its own batch."


def loss_rows(course: Course) -> pd.DataFrame:
    """One row a point: step, loss in nats a token, and what it was measured on; the learned one is smoothed."""
    smooth = pd.Series(course.losses, dtype=float).rolling(SMOOTHED, min_periods=1).mean()
    rows = [{"step": i + 1, "loss": loss, "on": LEARNED} for i, loss in enumerate(smooth)]
    rows += [{"step": step, "loss": loss, "on": HELD_OUT} for step, loss in course.held_out]
    return pd.DataFrame(rows, columns=["step", "loss", "on"])


def loss_chart(course: Course) -> alt.LayerChart | None:
    """Loss by step, a line for what is learned and one with points for what is held out; None before the first step."""
    rows = loss_rows(course)
    if rows.empty:
        return None
    names, legend = [LEARNED, HELD_OUT], alt.Legend(orient="top", symbolType="stroke", symbolSize=400)
    base = alt.Chart(rows).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(nice=False, padding=6)),
        y=alt.Y("loss:Q", title="loss (nats a token)", scale=alt.Scale(zero=False)),
        color=alt.Color("on:N", title=None, scale=alt.Scale(domain=names, range=list(_COLOURS)), legend=legend),
        tooltip=["step", alt.Tooltip("loss", format=".3f"), "on"],
    )
    dash = alt.StrokeDash("on:N", title=None, scale=alt.Scale(domain=names, range=dashes(2)), legend=legend)
    points = base.transform_filter(alt.datum.on == HELD_OUT).mark_point(filled=True, size=60)
    return alt.layer(base.mark_line().encode(strokeDash=dash), points).properties(height=HEIGHT)


def training_html(found: Finetuned, *, fingerprint: str = "") -> str:
    """The report: what was learned from what, the losses, and what the model wrote at every checkpoint.

    `fingerprint` is the base model's, where it is known.
    """
    course = found.course
    chart = loss_chart(course)
    drawn = f"<div class='charts'>{picture(Drawing('loss', 'Loss by step', chart))}</div>" if chart else ""
    losses = section("Loss", f"<p>{escape(loss_words(course))}</p>", drawn, table_of(_rows(course)))
    note = "<p class='quiet'>Drawn by a seed of their own, at the same questions each time; not chosen.</p>"
    texts = [_texts(step, course.samples) for step in sorted({one.step for one in course.samples}, reverse=True)]
    body = (
        _top(found),
        losses if course.losses or course.held_out else "",
        section("What it wrote", note, *texts) if texts else "",
        section("Recipe", lines_of(_recipe(found))),
        section("Digests", lines_of(_digests(found, fingerprint))),
    )
    return page_of(found.spec.name, body)


def loss_words(course: Course) -> str:
    """Where the losses ended."""
    if not course.losses:
        return "Nothing has been learned yet."
    last = loss_rows(course).query("on == @LEARNED")["loss"].iloc[-1]
    held = f", {course.held_out[-1][1]:.3f} on {course.n_held_out:,} held-out traces" if course.held_out else ""
    return f"At last {last:.3f} nats a token, as a mean over {SMOOTHED} steps like the line{held}."


def _top(found: Finetuned) -> str:
    course, steps = found.course, found.spec.recipe.steps
    state = "" if found.finished else f" Not finished: {course.step} of {steps} steps."
    said = (
        f"{show_merged(found.spec.base)} learned the reasoning of {course.n_traces:,} traces ({found.spec.traces}), "
        f"{course.n_tokens:,} tokens; {course.n_held_out} more are held out, {course.n_left_out} left out.{state}"
    )
    return f"<header><h1>{escape(found.spec.name)}</h1><p class='quiet'>{escape(said)}</p></header>"


def _rows(course: Course) -> list[Row]:
    """A row a checkpoint: the smoothed loss of its step, and the held-out one."""
    frame = loss_rows(course)
    learned = [float(loss) for loss in frame[frame["on"] == LEARNED]["loss"]]
    held = dict(course.held_out)
    steps = sorted({*held, *(one.step for one in course.samples)})
    return [
        {"step": step, "learned": learned[step - 1] if step else None, "held_out": held.get(step)} for step in steps
    ]


def _texts(step: int, samples: Sequence[Sample]) -> str:
    quotes = "".join(quote(one.question, one.text) for one in samples if one.step == step)
    is_last = step == max(one.step for one in samples)
    return f"<details{' open' if is_last else ''}><summary>After step {step}</summary>{quotes}</details>"


def _recipe(found: Finetuned) -> list[tuple[str, str]]:
    recipe = found.spec.recipe
    return [
        ("rank", f"{recipe.rank}, alpha {recipe.alpha:g}"),
        ("linear maps", ", ".join(recipe.targets) or "all of every block"),
        ("steps", f"{recipe.steps:,} of {recipe.batch_tokens:,} tokens; a trace is cut at {recipe.max_tokens:,}"),
        ("learning rate", f"{recipe.rate:g} after {recipe.warmup} steps of warm-up, then a cosine to nothing"),
        ("held out", f"{recipe.held_out:.0%} of the questions"),
        ("seed", str(recipe.seed)),
        ("computed in", f"{found.spec.base.precision} on {found.spec.base.device}, {found.course.seconds:,.0f} s"),
    ]


def _digests(found: Finetuned, fingerprint: str) -> list[tuple[str, str]]:
    told = [("traces", found.spec.traces_digest), ("of the base", fingerprint)]
    return [(name, value) for name, value in told if value]
