"""Bundles: results as one file, opened without models, made here, merged."""

from __future__ import annotations

import streamlit as st

from ui.bundles.holds import draw_merged, draw_opened
from ui.bundles.make import draw_make
from ui.bundles.opening import draw_open
from ui.components.safe_text import done
from ui.shell.frame import PURPOSES, require_shell
from ui.shell.state import opened_bundle

require_shell()
st.title("Bundles", anchor=False)
st.write(f"{PURPOSES['bundles']} Every byte is checked when it is opened.")
opened = opened_bundle()
if opened is not None:
    draw_opened(opened)
    st.stop()
left, right = st.columns(2, gap="large")
with left:
    st.subheader("Open", anchor=False)
    draw_open()
with right:
    st.subheader("Make", anchor=False)
    done(draw_make)
draw_merged()
