"""Presenting: the slides over the whole window while the address says `present=1`, and the pair that they keep.

A page that is presented runs as ever, under the slides: what it shows now is a slide too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core.errors import BadInput, NotAllowed, UserFacingError
from core.sharing.door import sharing
from core.sharing.qr import code_of
from core.talk.items import Talk
from ui.components.stage import Invitation, SaidSlide, Slide, stage
from ui.shell.jobs import is_live
from ui.shell.links import begin_to_present, keep_presenting, presenting, stop_presenting, times_begun
from ui.shell.pairs.linked import linked_pair, load_linked, of_link
from ui.shell.state import LOAD_SLOT, caller, guest, workbench
from ui.talk.current import current_slide, is_written, place_of_current
from ui.talk.slides import slides_of

KEEP = "talk:keep"
"""Whether this session keeps its pair for the talk while it does not present too."""
WITH_LANES = ("", "home", "playground")
"""Pages whose own lanes are the first slide."""
EVERY = 0.25
"""Seconds after which texts that are being written are drawn again."""
LOAD = "load"
ASKS = "It asks for the password, which the speaker tells. Phones must be on the same network."
ALONE = "No network was found, so that no other machine can open this."


def offer_stage() -> None:
    """In the sidebar of every page: the button, which P presses too."""
    with st.sidebar:
        st.button(
            "Present",
            icon=":material/slideshow:",
            shortcut="P",
            on_click=begin_to_present,
            key="talk:present",
            width="stretch",
            help="The talk over the whole window, without it what this page shows. ← → Space + − D B F Esc.",
        )


@contextmanager
def on_stage(page: StreamlitPage) -> Iterator[None]:
    """While the page runs within it, the slides are drawn over it; where nobody presents, nothing is."""
    if not presenting():
        if not st.session_state.get(KEEP):
            workbench().pair_hold.release(caller())
        yield
        return
    keep_presenting()
    with contextlib.suppress(BadInput, NotAllowed):
        workbench().pair_hold.keep(caller())
    place = st.container()
    try:
        yield
    finally:
        with place:
            _draw(with_lanes=page.url_path in WITH_LANES)


def _draw(*, with_lanes: bool) -> None:
    """The texts that are being written are drawn again and again, the rest once."""
    before = _other_pair()
    try:
        talk = workbench().talk.read()
    except UserFacingError as error:
        before, talk = [*before, SaidSlide(title="Talk", text=f"{error.problem} {error.remedy}")], Talk()
    shown = with_lanes or not talk.items
    place = place_of_current(talk) if shown else None
    start = 0 if before or place is None else len(slides_of(workbench(), Talk(items=talk.items[:place])))
    of_talk = slides_of(workbench(), talk)
    if shown and is_written():
        st.fragment(_draw_growing, run_every=EVERY)(before, of_talk)
    else:
        _draw_stage(before, of_talk, start, is_apart=shown and place is None)


def _draw_growing(before: Sequence[Slide], of_talk: Sequence[Slide]) -> None:
    """While texts are being written; what a key or a button changed meanwhile is the whole page's concern."""
    if not presenting() or before != _other_pair():
        st.rerun()
    _draw_stage(before, of_talk, 0, is_apart=True)


def _draw_stage(before: Sequence[Slide], of_talk: Sequence[Slide], start: int, *, is_apart: bool) -> None:
    current = current_slide() if is_apart else None
    slides = [*before, *([current] if current is not None else []), *of_talk]
    stage(
        slides or [SaidSlide(title="Talk", text=_nothing())],
        key="talk:stage",
        theme="dark" if st.context.theme.type == "dark" else "light",
        start=start,
        begun=times_begun(),
        invitation=invitation(),
        on_leave=stop_presenting,
        on_act=_act,
    )


def invitation() -> Invitation | None:
    """How the room gets in, for the speaker of a shared server; never the password."""
    shared = sharing()
    if shared is None or guest():
        return None
    return Invitation(address=shared.url, words=ASKS if shared.url else ALONE, code=code_of(shared.url))


def _other_pair() -> list[Slide]:
    asked = linked_pair()
    if asked is None:
        return []
    reasoner, base, precision = of_link(asked)
    text = f"This link was made with {reasoner} finetuned from {base} in {precision}. Another pair is loaded now."
    action = "" if guest() else "Load the pair of the link"
    return [SaidSlide(title="Another pair", text=text, action=action, name=LOAD)]


def _nothing() -> str:
    if is_live(LOAD_SLOT):
        return "The models are being loaded. This goes on by itself."
    return (
        "There is nothing to present yet. Leave with Esc, run a question on the Steering playground, and press "
        "“Add to the talk” below its lanes."
    )


def _act(name: str) -> None:
    if name == LOAD:
        load_linked(LOAD_SLOT)
