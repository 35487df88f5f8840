"""Finetuning: a base model and traces become a reasoning model, and both a pair for every other page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.finetuning.jobs import KIND
from core.finetuning.values import Course
from core.jobs import Snapshot
from ui.components.safe_text import done
from ui.finetuning.course import draw_course
from ui.finetuning.emergence import draw_running as draw_measured
from ui.finetuning.form import SLOT, draw_form
from ui.finetuning.kept import draw_kept
from ui.finetuning.recorded import draw_recorded
from ui.finetuning.zoo import draw_zoos
from ui.shell.frame import PURPOSES, require_shell
from ui.shell.jobs import is_live, take_ended
from ui.shell.state import is_recorded, take_over, workbench


def draw_running(snapshot: Snapshot[Any]) -> None:
    """How the running finetune goes."""
    if isinstance(snapshot.progress.partial, Course):
        draw_course(snapshot.progress.partial, key="finetune:running")


require_shell()
st.title("Finetuning", anchor=False)
st.write(PURPOSES["finetuning"])
if is_recorded():
    st.info("Finetuning needs the models.", icon=":material/inventory_2:")
    draw_recorded(is_open=True)
    st.stop()
take_over(SLOT, KIND)
ended = take_ended(SLOT, render=draw_running)
if ended is not None and ended.state == "done":
    st.success(
        "The adapter is finished. Load it below; then every page works on the new pair.", icon=":material/check:"
    )
if ended is not None and ended.state == "cancelled":
    st.info("Stopped; its steps are kept. **Go on** below takes it up where it was.", icon=":material/pause:")
draw_measured()
if not is_live(SLOT):
    done(draw_form)
    st.subheader("On this machine", anchor=False)
done(draw_kept)
done(lambda: draw_recorded(is_open=not workbench().finetunes.list()))
done(draw_zoos)
