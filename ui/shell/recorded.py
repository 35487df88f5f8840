"""In the sidebar, while no model is loaded: what is shown instead, and what it takes to go further."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from core.bundles.manifest import Manifest, Place
from core.bundles.origins import Origins
from core.errors import UserFacingError
from core.remembered import has_torch
from ui.components.safe_text import plain, show_error, size
from ui.shell.opened import Opened
from ui.shell.state import (
    SHOWN_PAIR,
    bundle_shelf,
    check_speaker,
    close_bundle,
    opened_bundle,
    own_workbench,
    remembered_pair,
    workbench,
)


def day(seconds: float) -> str:
    """A date as it stands on badges."""
    return datetime.fromtimestamp(seconds).strftime("%d %b %Y")


def draw_bundle_card(opened: Opened) -> None:
    """The bundle that the session looks at, and the ways out of it."""
    said = opened.manifest
    st.markdown("#### Bundle")
    st.badge(f"RECORDED {day(said.made_at)}", color="orange", icon=":material/inventory_2:")
    st.markdown(f"**{plain(said.title, 120)}**  \n:small[{plain(held(said), 200)}]")
    with st.container(horizontal=True, gap="small"):
        st.button("Merge", icon=":material/merge:", on_click=_merge, args=(opened,), help=MERGE_HELP)
        st.button("Close", icon=":material/close:", on_click=close_bundle)
    _say_merged(opened)
    _choose_pair()


MERGE_HELP = (
    "Everything in it joins the results of this machine, with a note where it came from. Nothing here is replaced: of "
    "equal things one is kept."
)
_MERGED = "bundle:merged"


def _merge(opened: Opened) -> None:
    try:
        check_speaker("Merging a bundle")
        st.session_state[_MERGED] = (opened.digest, bundle_shelf().merge(opened.digest, own_workbench()))
    except UserFacingError as error:
        st.session_state[_MERGED] = (opened.digest, error)


def _say_merged(opened: Opened) -> None:
    digest, found = st.session_state.get(_MERGED, ("", None))
    if digest != opened.digest or found is None:
        return
    if isinstance(found, UserFacingError):
        show_error(found)
        return
    new, same, notes = found
    st.success(f"Merged: {new:,} new, {same:,} were here already.", icon=":material/check_circle:")
    for note in notes:
        st.caption(plain(note, 300))


def came_from(place: Place, key: str) -> str:
    """The merged bundle that something of this machine came from, in words; "" for what was made here."""
    origin = Origins(workbench().store.root).of(place, key) if opened_bundle() is None else None
    return f"from “{origin.title}” of {day(origin.made_at)}" if origin is not None else ""


def held(said: Manifest) -> str:
    """What a bundle holds, in a line."""
    counts = (
        ("experiment", said.count("experiment")),
        ("run", said.count("run")),
        ("direction", said.count("direction")),
        ("mean-vector set", said.count("means")),
        ("trace set", said.count("traces")),
        ("talk", said.count("talk")),
        ("stored value", said.count("value") + said.count("file") + said.count("part")),
    )
    listed = [f"{n:,} {name}{'' if n == 1 else 's'}" for name, n in counts if n]
    return f"{', '.join(listed)} · {size(said.size)}"


def draw_recorded_line() -> None:
    """On every page: that what it shows is recorded, of what, and which models it takes to go further."""
    opened, shown = opened_bundle(), remembered_pair()
    pair = f"**{plain(shown.reasoner.name, 60)}** and **{plain(shown.base.name, 60)}**" if shown else "a pair of models"
    if opened is not None:
        said = opened.manifest
        badge = f"RECORDED {day(said.made_at)}"
        words = f"**{plain(said.title, 40)}**, read-only. To run more, merge and close it, then load {pair} (sidebar)."
    else:
        badge = "RECORDED"
        further = f"load {pair} under **Change models**" if has_torch() else f"torch and {pair} are needed: `make run`"
        words = f"No model is loaded; stored results are shown. To run more, {further}."
    st.markdown(f":orange-badge[{badge}] :small[{words}]")


def draw_recorded_card() -> None:
    """Without a bundle: whose stored results are shown, and how to go further."""
    st.badge("RECORDED", color="orange", icon=":material/inventory_2:")
    _choose_pair()
    if not has_torch():
        st.caption("torch is missing here; `make run` installs the pinned packages.")


def _choose_pair() -> None:
    """The pair whose results are shown; a choice where there are several."""
    found = workbench().remembered.list()
    if not found:
        return
    titles = {pair.fingerprints: f"{pair.reasoner.name} from {pair.base.name}" for pair in reversed(found)}
    if len(titles) > 1:
        if st.session_state.get(SHOWN_PAIR) not in titles:
            st.session_state[SHOWN_PAIR] = found[0].fingerprints
        st.selectbox(
            "Results of", list(titles), format_func=titles.__getitem__, key=SHOWN_PAIR, persist_state="session"
        )
    shown = next((pair for pair in found if pair.fingerprints == st.session_state.get(SHOWN_PAIR)), found[0])
    facts = shown.reasoner
    width = f" · d_model {facts.d_model}" if facts.d_model else ""
    st.markdown(
        f"**{plain(facts.name)}** finetuned from **{plain(shown.base.name)}**  \n:small[{facts.n_layers} layers"
        f"{width} · {facts.spec.precision} · measured on {plain(facts.spec.device)}]"
    )
