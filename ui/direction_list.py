"""The saved directions: a table, then rename, export and delete for the chosen one; upload; files that are broken."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import streamlit as st

from core.direction_files import MAX_LAYER, MAX_NAME, MAX_UPLOAD_BYTES, SavedDirection, direction_bytes
from core.direction_files import read_direction_bytes as read_file
from core.errors import BadInput, UserFacingError
from core.pair import ModelFacts
from ui.direction_card import file_name
from ui.state import workbench
from ui.text import plain, show_error

PICK_KEY = "directions:picked"
_NOTICE = "directions:notice"


def draw_list(facts: ModelFacts | None) -> None:
    """Everything about saved directions; `facts` of the loaded model tell which ones fit it."""
    st.subheader("Saved directions", anchor=False)
    _show_notice()
    saved = workbench().directions.list()
    if saved:
        _table(saved, facts)
        _actions({item.direction_id: item for item in saved})
    else:
        st.info("Nothing is saved yet. Extract above, choose a cell of the map and press **Save**.", icon="🧭")
    _broken()
    _upload(facts)


def _table(saved: list[SavedDirection], facts: ModelFacts | None) -> None:
    def fits(item: SavedDirection) -> str:
        if facts is None:
            return ""
        return "yes" if not _misfit(item, facts) else "no"

    st.dataframe(
        {
            "name": [item.direction.name for item in saved],
            "found in": [item.direction.source_model or "unknown" for item in saved],
            "layer": [item.direction.layer for item in saved],
            "window": [dict(item.direction.provenance).get("window", "") for item in saved],
            "raw norm": [round(item.direction.norm, 3) for item in saved],
            "fits": [fits(item) for item in saved],
            "saved": [datetime.datetime.fromtimestamp(item.saved_at) for item in saved],
        },
        hide_index=True,
        column_config={
            "name": st.column_config.TextColumn(width="medium"),
            "fits": st.column_config.TextColumn(help="Whether it has the loaded pair's d_model and one of its layers."),
            "saved": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        },
    )


def _misfit(item: SavedDirection, facts: ModelFacts) -> bool:
    return item.direction.d_model != facts.d_model or item.direction.layer >= facts.n_layers


def _actions(saved: dict[str, SavedDirection]) -> None:
    pick, rename, export, delete = st.columns([5, 2, 2, 2], vertical_alignment="bottom")
    picked = pick.selectbox(
        "Change, export or delete",
        list(saved),
        format_func=lambda i: saved[i].direction.name,
        key=PICK_KEY,
    )
    direction = saved[picked].direction
    with rename.popover("Rename", width="stretch"), st.form(f"directions:rename:{picked}", border=False):
        name = st.text_input("New name", direction.name, max_chars=MAX_NAME, key=f"directions:name:{picked}")
        if st.form_submit_button("Rename", type="primary"):
            _act(lambda: workbench().directions.rename(picked, name), "Renamed.")
    export.download_button(
        "Export",
        direction_bytes(direction),
        file_name=file_name(direction),
        mime="application/octet-stream",
        on_click="ignore",
        width="stretch",
    )
    with delete.popover("Delete", width="stretch"):
        st.markdown(f"Delete **{plain(direction.name)}** for good? Export it first if you may want it back.")
        if st.button("Yes, delete it", type="primary", key=f"directions:delete:{picked}"):
            _act(lambda: workbench().directions.delete(picked), "Deleted.")


def _act(action: Callable[[], object], notice: str) -> None:
    """Run a change of the list and start over with a notice, or show why it failed."""
    try:
        action()
    except UserFacingError as error:
        show_error(error)
        return
    st.session_state[_NOTICE] = notice
    st.rerun()


def _show_notice() -> None:
    notice = st.session_state.pop(_NOTICE, None)
    if notice:
        st.success(notice, icon="✅")


def _broken() -> None:
    broken = workbench().directions.broken()
    if broken:
        st.warning("Some files in the folder of directions cannot be used; they were left as they are.", icon="⚠️")
        st.dataframe({"file": [n for n, _ in broken], "reason": [r for _, r in broken]}, hide_index=True)


def _upload(facts: ModelFacts | None) -> None:
    with (
        st.expander("Add a direction from a file", icon="📄"),
        st.form("directions:upload", clear_on_submit=True, border=False),
    ):
        file = st.file_uploader(
            "A .safetensors file with one vector of d_model numbers",
            type=["safetensors"],
            max_upload_size=MAX_UPLOAD_BYTES >> 20,
            key="directions:file",
        )
        layer = st.number_input(
            "Layer, if the file does not say", 0, MAX_LAYER - 1, facts.n_layers // 3 if facts else 0
        )
        if not st.form_submit_button("Add"):
            return
        if file is None:
            show_error(BadInput("No file was chosen.", "Choose a .safetensors file, then press Add."))
            return
        _act(lambda: _keep(file.getvalue(), file.name, int(layer)), "Added to the list.")


def _keep(data: bytes, name: str, layer: int) -> None:
    workbench().directions.save(read_file(data, name=name, layer=layer))
