"""One model of a pair at a time on a card: asking for it, whether there is room for one, how long a change takes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core import settings
from core.memory.cards import is_movable, on_one_card
from core.models.checkpoints import PairNeed
from core.values import PairSpec
from ui.components.safe_text import size
from ui.shell.state import workbench

_HELP = (
    "The other model waits in the computer's memory and takes its place when a run needs it; the run says so. That "
    "leaves the card room for longer texts and larger batches. Where it has no room for both it is done anyway."
)
_NOT_MOVABLE = "Not with int8 and NF4: what bitsandbytes quantised for a card does not safely leave it."


def ask_one_at_a_time(pair: PairSpec) -> bool | None:
    """Whether the models are to share their card; None where they are not on one."""
    if not on_one_card(pair):
        return None
    can = is_movable(pair)
    asked = st.checkbox(
        "One model at a time on the card",
        value=settings.one_at_a_time(),
        key="pair_one_at_a_time",
        disabled=not can,
        help=_HELP if can else _NOT_MOVABLE,
    )
    return asked and can


def fits_one(found: PairNeed, needs: Sequence[int], free: int) -> bool:
    """Whether the card has room for one model, by what each needs with its cache, and the computer for the other."""
    waiting = max(found.base.weights_bytes, found.reasoner.weights_bytes)
    computer = found.computer_bytes + workbench().pair.memory_taken("cpu")
    may_share = on_one_card(found.pair) and is_movable(found.pair)
    return may_share and max(needs) <= free and waiting <= computer


def say_one_fits(found: PairNeed) -> None:
    """That both do not fit, and what happens then."""
    waiting = max(found.base.weights_bytes, found.reasoner.weights_bytes)
    st.info(
        "Both do not fit on the card together. One model at a time will be there; the other waits in "
        f"{size(waiting)} of the computer's memory, of which {size(found.computer_bytes)} are free.",
        icon=":material/swap_horiz:",
    )


def draw_moves() -> None:
    """That the loaded models share a card, and how long they took to change places the last time."""
    moves = workbench().pair.moves
    if moves is None:
        return
    took = f" They last changed places in {moves.seconds:.1f} s." if moves.seconds is not None else ""
    st.caption(
        f"One model at a time is on the card; the other waits in {size(moves.n_bytes)} of the computer's memory.{took}"
    )
