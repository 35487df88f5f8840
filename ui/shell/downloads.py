"""A file that is made when its button is pressed."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st


def download(label: str, make: Callable[[], bytes], name: str, mime: str, *, key: str) -> None:
    """A button that hands out what `make` gives; the page is not run again."""
    st.download_button(
        label,
        make,
        file_name=name,
        mime=mime,
        on_click="ignore",
        icon=":material/download:",
        key=f"{key}:{name}",
    )
