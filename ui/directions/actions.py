"""One saved direction: what is known of it; rename, note, export in a chosen format, delete."""

from __future__ import annotations

import streamlit as st

from core.directions.direction import Direction
from core.directions.exports import FORMATS, Format, Scale, check_exportable, export_bytes, file_name
from core.directions.folder import MAX_NAME, MAX_NOTE, NOTE, SavedDirection
from ui.components.safe_text import done, plain
from ui.shell.notice import act
from ui.shell.state import workbench

PICK_KEY = "directions:picked"
_SCALES: dict[Scale, str] = {"unit": "unit vector", "raw": "raw difference"}
_USE: dict[Format, str] = {
    "safetensors": "Everything about the direction comes back when the file is imported here. Any tool that reads "
    "safetensors opens it.",
    "gguf": "For `--control-vector-scaled` of llama.cpp and for repeng, numbered as both apply it: `direction.N` is "
    "added to the output of block N. (llama.cpp's cvector-generator numbers its own vectors one higher.) Imported "
    "here, everything comes back.",
    "npy": "The bare vector: the importer must name its layer, model and meaning.",
    "pt": "A dict {layer: tensor}, for `SteeringVector(torch.load(file, weights_only=True))` of steering-vectors.",
}


def draw_actions(saved: list[SavedDirection]) -> None:
    """A select box over the saved directions, what can be done with the chosen one, and its provenance."""
    by_id = {item.direction_id: item for item in saved}
    if st.session_state.get(PICK_KEY) not in by_id:
        st.session_state[PICK_KEY] = saved[0].direction_id
    picked = st.selectbox(
        "Direction", list(by_id), format_func=lambda i: by_id[i].direction.name, key=PICK_KEY, persist_state="session"
    )
    direction = by_id[picked].direction
    with st.container(horizontal=True, gap="small"):
        with st.popover("Export", icon=":material/download:"):
            _export(direction, picked)
        with st.popover("Rename", icon=":material/edit:"), st.form(f"directions:rename:{picked}", border=False):
            name = st.text_input("New name", direction.name, max_chars=MAX_NAME, key=f"directions:name:{picked}")
            if st.form_submit_button("Rename", type="primary"):
                act(lambda: workbench().directions.rename(picked, name), "Renamed.")
        with st.popover("Note", icon=":material/sticky_note_2:"), st.form(f"directions:note:{picked}", border=False):
            written = dict(direction.provenance).get(NOTE, "")
            note = st.text_area("Note", written, max_chars=MAX_NOTE, key=f"directions:note:text:{picked}")
            if st.form_submit_button("Keep the note", type="primary"):
                act(lambda: workbench().directions.annotate(picked, note), "The note is kept.")
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"Delete **{plain(direction.name)}** for good? Export it first if you may want it back.")
            if st.button("Yes, delete it", type="primary", key=f"directions:delete:{picked}"):
                act(lambda: workbench().directions.delete(picked), "Deleted.")
    _provenance(direction)


def _export(direction: Direction, picked: str) -> None:
    key = f"directions:format:{picked}"
    to = st.selectbox("Format", list(FORMATS), format_func=FORMATS.__getitem__, key=key)
    scale: Scale = "unit"
    if to != "safetensors":
        chosen = st.radio(
            "Length",
            list(_SCALES),
            format_func=lambda scale: _SCALES[scale],
            horizontal=True,
            key=f"directions:scale:{picked}",
            help="With the unit vector the other tool's coefficient means what it means here; with the raw difference "
            f"1 there is {direction.norm:.3g} here.",
        )
        scale = chosen
    st.caption(_USE[to])
    if not done(lambda: check_exportable(direction, to)):
        return
    st.download_button(
        "Download",
        lambda: export_bytes(direction, to, scale=scale),
        file_name=file_name(direction, f".{to}"),
        mime="application/octet-stream",
        on_click="ignore",
        type="primary",
        icon=":material/download:",
        key=f"directions:download:{picked}:{to}:{scale}",
    )


def _provenance(direction: Direction) -> None:
    st.markdown("##### Where it comes from")
    rows = [
        ("found in", direction.source_model or "unknown"),
        ("layer", f"{direction.layer} (the output of block {direction.layer})"),
        ("d_model", f"{direction.d_model}"),
        ("raw norm", f"{direction.norm:.6g}"),
        ("mean residual norm there", f"{direction.resid_norm:.6g}" if direction.resid_norm else "unknown"),
        ("fingerprint of the model", direction.fingerprint or "unknown"),
        *direction.provenance,
    ]
    st.dataframe(
        {"": [key for key, _ in rows], "value": [value for _, value in rows]},
        hide_index=True,
        height="content",
        column_config={"": st.column_config.TextColumn(width=190), "value": st.column_config.TextColumn()},
    )
