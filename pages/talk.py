"""The talk: comparisons and figures in their order, presented to a room or taken away as one file."""

from __future__ import annotations

import streamlit as st

from ui.components.safe_text import tried
from ui.shell.frame import PURPOSES, require_shell
from ui.shell.links import write_link
from ui.shell.notice import show_failure
from ui.shell.state import workbench
from ui.talk.listing import PLACE, draw_bar, draw_damaged, draw_items, draw_none

require_shell()
st.title("Talk", anchor=False)
st.write(PURPOSES["talk"])
show_failure(PLACE)
talk = tried(lambda: workbench().talk.read())
if talk is None:
    draw_damaged()
    st.stop()
draw_bar(talk)
if talk.items:
    draw_items(talk)
else:
    draw_none()
write_link({})
