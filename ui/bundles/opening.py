"""Opening a bundle that is dropped on the page."""

from __future__ import annotations

import streamlit as st

from ui.components.safe_text import done
from ui.shell.state import open_bundle_file

FILE_KEY, MAX_MB = "bundles:file", 200


def draw_open() -> None:
    """The place to drop a file; a whole bundle is shown at once, another is refused with the reason."""
    file = st.file_uploader(
        "Drop a .retrace file here", type=["retrace"], key=FILE_KEY, max_upload_size=MAX_MB, accept_multiple_files=False
    )
    st.caption(
        "It is checked and shown read-only, apart from the results of this machine; no model is needed. A larger one: "
        "`python -m retrace open FILE`."
    )
    if file is not None and done(lambda: open_bundle_file(file)):
        st.rerun()
