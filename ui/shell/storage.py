"""What takes how much of the disk, what it may take, and a button for each part that can be made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from core.disk.files import bytes_below
from core.extraction.shelf import KIND, UNFINISHED
from core.settings import STORE
from ui.components.safe_text import size
from ui.shell.state import workbench

OWN = {
    "directions": "Saved directions",
    "mean_vectors": "Mean vectors",
    "traces": "Traces",
    "history": "Kept runs",
    "comparisons": "Pinned comparisons",
    "experiments": "Experiments",
    "series": "Curves over checkpoints, and pairs side by side",
    "finetunes": "Finetunes",
    "models": "Fetched models",
}
"""Folders of what the user owns, which only its own page deletes."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something that takes space and can be made again."""

    name: str
    n_bytes: int
    free: Callable[[], object]
    then: str
    """What follows from freeing it."""


def draw_storage() -> None:
    """One line with the sum, which opens to the parts."""
    store = workbench().store
    taken = store.taken()
    total = sum(taken.values())
    with st.popover(f"Results kept on this machine: {size(total)}", width="stretch", icon=":material/database:"):
        st.caption(
            f"Results may take {size(store.limit_bytes)}, the oldest make way first (`{STORE}`). "
            f"The disk has {size(store.room())} free."
        )
        for part in _parts(taken):
            _draw(part)
        for folder, name in OWN.items():
            n_bytes = bytes_below(store.root / folder)
            if n_bytes:
                st.caption(f"{name}: {size(n_bytes)}, kept until you delete them")


def _parts(taken: dict[str, int]) -> list[Part]:
    shelf = workbench().moments
    found = [
        Part(
            name="Stopped passes",
            n_bytes=taken.get(UNFINISHED, 0),
            free=shelf.free_unfinished,
            then="A stopped extraction then begins anew.",
        ),
        Part(
            name="Sums of extractions",
            n_bytes=taken.get(KIND, 0),
            free=shelf.free_finished,
            then="Another window or label then needs another pass. Saved directions stay.",
        ),
        Part(
            name="All results",
            n_bytes=sum(taken.values()),
            free=_clear,
            then="What was measured is then measured again when it is asked for. What you saved stays.",
        ),
    ]
    return [part for part in found if part.n_bytes]


def _clear() -> None:
    workbench().moments.free_finished()
    workbench().store.clear()


def _draw(part: Part) -> None:
    name, button = st.columns([3, 2], vertical_alignment="center")
    name.markdown(f"{part.name}: **{size(part.n_bytes)}**")
    key = f"storage:{part.name}"
    if st.session_state.get(key):
        st.caption(part.then)
        st.button("Yes, free it", key=f"{key}:yes", type="primary", on_click=_freed, args=(key, part.free))
    button.button("Free", key=f"{key}:ask", on_click=_asked, args=(key,), width="stretch")


def _asked(key: str) -> None:
    st.session_state[key] = not st.session_state.get(key)


def _freed(key: str, free: Callable[[], object]) -> None:
    st.session_state[key] = False
    free()
