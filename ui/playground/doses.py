"""The dose strip on the page: its row of coefficients, one job for all of them, and the dose that becomes a lane."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.forward.edits import OPERATORS
from core.jobs import Snapshot
from core.runs.arms import first_divergence
from core.runs.coherence import ONE_TEXT
from core.runs.dose_strip import SHARE_DOSES, UNIT_DOSES, DoseReading, coherent_band, read_strip, strip_specs
from core.runs.values import Generation, GenerationSpec
from ui.components.dose_strip import dose_strip
from ui.components.safe_text import plain
from ui.directions.coefficient import COEFFICIENT
from ui.directions.residual_norm import ResidualNorm
from ui.playground.bar import refused_run
from ui.playground.settings import Settings, keywords
from ui.shell.bounds import OneOf, Text, put
from ui.shell.jobs import follow
from ui.shell.links import Field
from ui.shell.state import caller, guarded, workbench

SLOT = "job:strip"
MAX_DOSES = 16
CONTEXT_TOKENS = 4
"""How many tokens before its first difference a column's text begins."""
SCALE, DOSES = OneOf(("unit", "share")), Text(200)
STRIP_FIELDS = (
    Field(name="scale", key="pg_scale", default="", parse=SCALE.parse),
    Field(name="doses", key="pg_doses", default="", parse=DOSES.parse),
)


def default_scale(norm: ResidualNorm) -> str:
    """Unit vectors, as in the paper, unless the largest of those doses is small beside the residual stream."""
    return "share" if max(UNIT_DOSES) < 0.3 * norm.value else "unit"


def chosen_doses(norm: ResidualNorm) -> tuple[tuple[float, ...], bool]:
    """(coefficients in unit vectors, whether they were chosen as shares of the residual norm), as the page has them."""
    by_share = (st.session_state["pg_scale"] or default_scale(norm)) == "share" and norm.value > 0
    size = norm.value if by_share else 1.0
    written = _written(st.session_state["pg_doses"])
    if written:
        return tuple(round(dose / 100 * size if by_share else dose, 4) for dose in written), by_share
    return tuple(round(dose * size, 2) for dose in (SHARE_DOSES if by_share else UNIT_DOSES)), by_share


def ask_doses(norm: ResidualNorm) -> None:
    """The scale of the row, and a row of one's own."""
    scale, row = st.columns([2, 5], vertical_alignment="bottom")
    put("pg_scale", st.session_state["pg_scale"] or default_scale(norm))
    names = {"unit": "× unit", "share": "% of norm"} if norm.value else {"unit": "× unit"}
    if st.session_state["pg_scale"] not in names:
        st.session_state["pg_scale"] = "unit"
    scale.segmented_control(
        "Doses", list(names), format_func=names.__getitem__, required=True, key="pg_scale", persist_state="session"
    )
    is_share = st.session_state["pg_scale"] == "share"
    doses = [100 * dose for dose in SHARE_DOSES] if is_share else UNIT_DOSES
    usual = ", ".join(f"{dose:.0f}" for dose in doses)
    row.text_input(
        "Doses of your own",
        key="pg_doses",
        persist_state="session",
        placeholder=usual,
        label_visibility="collapsed",
        max_chars=DOSES.limit,
    )
    if norm.value:
        st.caption(f"% of norm: of {norm.in_words} ({norm.value:.3g}).")
    else:
        st.caption(f"Doses are in unit vectors: {norm.in_words} is not known, so no dose is a share of it.")
    written = st.session_state["pg_doses"]
    if written.strip() and not _written(written):
        st.warning(
            f"Write up to {MAX_DOSES} numbers with commas between them; the usual row is used.",
            icon=":material/linear_scale:",
        )


def _written(raw: str) -> tuple[float, ...]:
    """The numbers of a row, in order and once each; () when it is not one."""
    try:
        doses = sorted({COEFFICIENT.parse(part.strip()) for part in raw.replace(";", ",").split(",") if part.strip()})
    except ValueError:
        return ()
    return tuple(doses) if len(doses) <= MAX_DOSES else ()


def run_strip(spec: GenerationSpec, doses: Sequence[float]) -> None:
    """Queue all doses as one batch; those that are stored are not run again."""
    guarded(lambda: workbench().generate(strip_specs(spec, doses), caller()), SLOT)


def stored_strip(spec: GenerationSpec, doses: Sequence[float]) -> tuple[Generation, ...] | None:
    """The strip's completions when every dose is stored, else None."""
    found = []
    for one in strip_specs(spec, doses):
        kept = workbench().cached(one)
        if kept is None:
            return None
        found.append(kept)
    return tuple(found)


def warn_about_dose(spec: GenerationSpec, asked: Settings) -> None:
    """Where the dose stands in words: that it lies outside the coherent band, where that is known of these settings."""
    if asked.direction is None or not OPERATORS[spec.steering[0].operator].takes_coefficient:
        return
    doses, _ = chosen_doses(asked.norm)
    kept = stored_strip(spec, doses)
    band = coherent_band(read_strip(doses, kept, keywords())) if kept else None
    dose = spec.steering[0].coefficient
    if band and not band[0] <= dose <= band[1]:
        asked.dose_note.markdown(
            f":small[:orange[:material/warning: **{dose:.3g}** is outside the coherent band of this question, "
            f"{band[0]:.3g} to {band[1]:.3g} × unit: its keywords are no evidence.]]",
            help="Outside the band the text says nothing, is much less likely, or repeats itself more.",
        )


def draw_strip(spec: GenerationSpec, norm: ResidualNorm, *, chosen: float) -> None:
    """The strip as far as it is; a click on a dose makes it the coefficient of the settings."""
    doses, by_share = chosen_doses(norm)
    wanted = strip_specs(spec, doses)

    def draw(generations: Sequence[Generation | None], *, finished: bool) -> None:
        _draw(doses, generations, norm, by_share=by_share, chosen=chosen, finished=finished)

    def live(snapshot: Snapshot[object]) -> None:
        partial: Sequence[Generation] = snapshot.progress.partial or ()
        by_spec = {generation.spec: generation for generation in partial}
        draw([by_spec.get(one) for one in wanted], finished=False)

    run = follow(SLOT, render=live)
    if run is not None and run.live:
        return
    kept = stored_strip(spec, doses)
    if kept is None:
        bench = workbench()
        stopped = [bench.cached(one) or bench.unfinished(one) for one in wanted]
        begun = f" {sum(map(bool, stopped))} of the doses have a text already." if any(stopped) else ""
        st.info(
            refused_run("strip")
            or f"Press **Run the strip**: the question is answered at {len(doses)} doses at once, and you see where "
            f"the effect begins and where the text stops being readable.{begun}",
            icon=":material/linear_scale:",
        )
        if begun:
            draw(stopped, finished=False)
        return
    draw(kept, finished=True)
    _say_band(read_strip(doses, kept, keywords()))


def _draw(
    doses: Sequence[float],
    generations: Sequence[Generation | None],
    norm: ResidualNorm,
    *,
    by_share: bool,
    chosen: float,
    finished: bool,
) -> None:
    there = [(dose, g) for dose, g in zip(doses, generations, strict=True) if g is not None]
    readings = read_strip([dose for dose, _ in there], [g for _, g in there], keywords())
    by_dose: dict[float, DoseReading] = {reading.coefficient: reading for reading in readings}
    dose_strip(
        doses,
        [by_dose.get(dose) for dose in doses],
        _snippets(doses, generations),
        key="dose_strip",
        resid_norm=norm.value,
        by_share=by_share,
        chosen=chosen,
        on_pick=_promote,
        counted=" / ".join(keywords()) if len(keywords()) < 3 else "keywords",
        finished=finished,
    )


def _snippets(doses: Sequence[float], generations: Sequence[Generation | None]) -> list[str]:
    """The texts, each from shortly before the first token in which it parts from the unsteered one."""
    zero = next((g for dose, g in zip(doses, generations, strict=True) if dose == 0), None)
    snippets = []
    for g in generations:
        parts = first_divergence(zero.token_ids, g.token_ids) if zero and g and g is not zero else None
        start = max((parts or 0) - CONTEXT_TOKENS, 0)
        snippets.append(("… " if start else "") + "".join(g.pieces[start:]).strip() if g else "")
    return snippets


def _promote(dose: float) -> None:
    st.session_state["pg_coefficient"] = dose


def _say_band(readings: Sequence[DoseReading]) -> None:
    band = coherent_band(readings)
    if band is None:
        said = "Already the unsteered text says nothing: ask another question, or allow more tokens."
    else:
        said = f"The text stays coherent from **{band[0]:.3g}** to **{band[1]:.3g}** × unit vector (shaded)."
    st.caption(
        f"{plain(said) if band is None else said} Coherent: evidence, at most 0.5 nats per token above the unsteered "
        f"NLL, and a repetition of at most {ONE_TEXT.repetition:.0%}, which good texts reach too, or twice the "
        "unsteered one. Striped bars are doses that are not. One completion each: an anecdote, not a rate. Click a "
        "dose, or move with the arrow keys and press Enter, to see it as a lane below."
    )
