"""One direction: its norms, its counts, what it says through the unembedding, what it resembles; save and download."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import streamlit as st

from core.attribution.values import DirectionLens, LensSpec
from core.directions.direction import Direction
from core.directions.exports import file_name
from core.directions.folder import MAX_NAME, direction_bytes, id_of
from core.errors import BadInput
from core.extraction.values import DirectionSet
from core.models.pair import ROLES, ModelFacts
from core.text.lines import kept_line
from core.text.words import LENS_WORDS
from ui.components.roles import NAMES
from ui.components.safe_text import done, plain, visible
from ui.directions.choices import choices
from ui.extraction.layer_map import Cell
from ui.shell.frame import page_path
from ui.shell.jobs import obtain
from ui.shell.state import caller, workbench

SAVED = "extraction:saved"
SHOWN_COEFFICIENT = 12


def draw_facts(direction: Direction, found: DirectionSet, *, cell: Cell) -> None:
    """Norms in three units, and what the means were taken over."""
    share = f"{direction.norm / direction.resid_norm:.1%}" if direction.resid_norm else "?"
    with st.container(horizontal=True, gap="medium"):
        for label, value in (("unit", "1"), ("raw", f"{direction.norm:.3g}"), ("of residual", share)):
            st.metric(label, value, width="content")
    raw_multiple = SHOWN_COEFFICIENT / direction.norm
    resid = f", {SHOWN_COEFFICIENT / direction.resid_norm:.0%} of that norm" if direction.resid_norm else ""
    st.caption(
        "Its length in three units: as the unit vector that coefficients multiply, as the raw difference of means, and "
        f"as a share of the mean residual norm of {plain(direction.source_model or 'the model', 60)} at layer "
        f"{direction.layer} ({direction.resid_norm:.3g}). "
        f"A coefficient of {SHOWN_COEFFICIENT} is {raw_multiple:.3g} × the raw difference{resid}."
    )
    st.markdown(_counts(found, cell))
    st.markdown(_trust(found, cell))
    if cell.window in found.composed:
        st.caption(
            "This window is the mean over its offsets. The paper's mean over the union of positions differs where "
            "windows overlap or leave the text; the button below reads the traces again for it."
        )


def _trust(found: DirectionSet, cell: Cell) -> str:
    i, j = found.spec.layers.index(cell.layer), found.spec.windows.index(cell.window)
    low, high = found.separation_interval[:, i, j]
    split, d = found.reliability[i, j], found.separation[i, j]
    if not math.isfinite(d):
        return "Too few traces have such an event to say how far it can be trusted."
    return (
        f"In traces that it was not made of, d′ is **{d:.2f}** (95% interval {low:.2f} to {high:.2f}); the even and "
        f"the odd traces agree to a cosine of **{split:.2f}**."
    )


def _counts(found: DirectionSet, cell: Cell) -> str:
    j = found.spec.windows.index(cell.window)
    traces, tokens = (int(n) for n in found.counts[j])
    whole = found.n_events * (cell.window.stop - cell.window.start)
    lost = f", {whole - tokens:,} fell off the text or were shared by two events" if whole > tokens else ""
    return (
        f"**{tokens:,} tokens** in the window, around **{found.n_events:,} events** in **{traces:,} traces**"
        f"{lost}. Compared with {found.n_tokens:,} tokens of {found.n_traces:,} traces."
    )


def draw_save(direction: Direction) -> None:
    """Name, Save and Download, and the way to the playground once it is saved."""
    direction_id = id_of(direction)
    name = st.text_input("Name", direction.name, max_chars=MAX_NAME, key=f"extraction:name:{direction_id}")
    save, download = st.columns(2)
    if save.button("Save", type="primary", width="stretch", icon=":material/bookmark_add:"):
        done(lambda: _save(direction, name))
    named = dataclasses.replace(direction, name=kept_line(name, MAX_NAME) or direction.name)
    download.download_button(
        "Download",
        direction_bytes(named),
        file_name=file_name(named),
        mime="application/octet-stream",
        on_click="ignore",
        width="stretch",
        icon=":material/download:",
        help="A safetensors file with the vector and where it came from; any tool that reads safetensors opens it.",
    )
    if st.session_state.get(SAVED) == direction_id:
        st.success("Saved. It is kept until you delete it.", icon=":material/check_circle:")
        st.page_link(page_path("playground"), label="Try it in the playground", icon=":material/tune:")


def _save(direction: Direction, name: str) -> None:
    cleaned = kept_line(name, MAX_NAME)
    if not cleaned:
        raise BadInput("The direction's name is empty.", "Type a name, then press Save again.")
    st.session_state[SAVED] = workbench().directions.save(dataclasses.replace(direction, name=cleaned))


def draw_resemblance(direction: Direction) -> None:
    """Cosine with every saved and recorded direction of the same d_model."""
    st.markdown("##### Cosine with other directions")
    others = [c for c in choices(d_model=direction.d_model) if c.direction_id != id_of(direction)]
    if not others:
        st.caption("Nothing to compare with yet: save this one, then choose another cell, label or model.")
        return
    rows = sorted(((direction.cosine(c.direction), c) for c in others), key=lambda row: -abs(row[0]))
    st.dataframe(
        {
            "cosine": [round(value, 3) for value, _ in rows],
            "direction": [choice.title for _, choice in rows],
        },
        hide_index=True,
        column_config={"cosine": st.column_config.NumberColumn(format="%+.2f", width="small")},
    )
    st.caption(f"Two random directions of this width would have about ±{direction.d_model**-0.5:.2f}.")


def draw_lens(direction: Direction, facts: tuple[ModelFacts, ModelFacts]) -> None:
    """Top and bottom tokens through the unembedding of both models (paper, Eq. 2 and Fig. 5)."""
    st.markdown("##### Read through the unembedding")
    columns = st.columns(2)
    # One lens job at a time: a second of this session would cancel the first.
    free = True
    for column, role, fact in zip(columns, ROLES, facts, strict=True):
        with column:
            st.caption(f"{NAMES[role]}: {plain(fact.name)}")
            spec = LensSpec(model=fact.spec, fingerprint=fact.fingerprint, direction=direction, words=LENS_WORDS)
            start = partial(workbench().read_direction, spec, caller())
            lens = obtain(spec, f"extraction:lens:{role}", DirectionLens, start) if free else None
            if lens is not None:
                _show_lens(lens, fact.d_vocab)
            free = lens is not None
    st.caption(
        "The numbers are W_U · v̂; the score is their mean over the vocabulary items that contain “wait” or “but” "
        "(Eq. 2). In the paper the base-derived direction at layer 10 does *not* point at such words, and still steers "
        "best: it is not merely a word."
    )


def _show_lens(lens: DirectionLens, d_vocab: int) -> None:
    st.dataframe(
        {
            "raises": [f"{value:+.2f}  {visible(text)}" for text, value in lens.top],
            "lowers": [f"{value:+.2f}  {visible(text)}" for text, value in lens.bottom],
        },
        hide_index=True,
    )
    if not lens.n_items:
        st.caption("No vocabulary item contains “wait” or “but”.")
        return
    st.caption(f"Score {lens.score:+.3g} over {lens.n_items} items; the best has rank {lens.best_rank} of {d_vocab:,}.")
