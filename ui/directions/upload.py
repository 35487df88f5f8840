"""A vector file from anywhere: what it holds, the questions that it leaves open, and keeping what is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.directions.direction import Direction
from core.directions.folder import MAX_NAME, MAX_NOTE
from core.directions.mean_vectors import MeanVectors
from core.directions.tensors import MAX_UPLOAD_BYTES, READABLE
from core.directions.uploads import FoundVectors, make_direction, read_vectors
from core.errors import BadInput, UserFacingError
from ui.components.safe_text import plain, show_error
from ui.directions.layers import ANSWERS, Chosen, ask_layers
from ui.shell.notice import act
from ui.shell.state import workbench

FILE_KEY = "directions:file"
VIEW_KEY = "directions:view"
_READ = "directions:read"
_ROUND = "directions:file:round"
Held: TypeAlias = Direction | MeanVectors | FoundVectors | UserFacingError
"""What a file holds, or why it cannot be read."""
MEANINGS = ("difference of means", "mean activation", "probe", "principal component", "dictionary feature", "unknown")


def draw_upload() -> None:
    """The uploader, and below it what the chosen file needs."""
    file = st.file_uploader(
        "A file with vectors",
        type=[*READABLE, "pth"],
        max_upload_size=MAX_UPLOAD_BYTES >> 20,
        key=f"{FILE_KEY}:{st.session_state.get(_ROUND, 0)}",
        help="Nothing in a file is ever run: a .pt file that asks for code is refused.",
    )
    if file is None:
        st.session_state.pop(_READ, None)
        _explain()
        return
    read = _read(file.file_id, file)
    if isinstance(read, UserFacingError):
        show_error(read)
    elif isinstance(read, Direction):
        _ask_export(read)
    elif isinstance(read, MeanVectors):
        _ask_means(read)
    else:
        _ask_vectors(read)


def _explain() -> None:
    st.markdown(
        "| file | what is read |\n|---|---|\n"
        "| `.safetensors` | an export of this app with all it knows, or any tensors of shape (d_model,) or "
        "(n_layers, d_model) |\n"
        "| `.pt` | a tensor, or dicts and lists of tensors: {layer: vector} of steering-vectors, and sets of mean "
        'vectors {label: {"mean", "count"}} |\n'
        "| `.npy`, `.npz` | arrays of shape (d_model,) or (n_layers, d_model), also with an axis for positions |\n"
        "| `.gguf` | a control vector of llama.cpp or repeng; they add `direction.N` to the output of block N |\n\n"
        "A layer that the file states, in a tensor's name, beside it or in its own name (`layers.12`, `layer=12`, "
        "`L12.pt`), is offered. Otherwise it must be chosen. Layer 12 is the output of block 12, counted from 0.\n"
    )


def _read(file_id: str, file: UploadedFile) -> Held:
    """What the file holds; it is read once, and no answer about another file is kept."""
    known: tuple[str, Held] | None = st.session_state.get(_READ)
    if known is None or known[0] != file_id:
        for key in [key for key in st.session_state if str(key).startswith(ANSWERS)]:
            del st.session_state[key]
        with st.spinner("Reading the file"):
            try:
                found: Held = read_vectors(file.getvalue(), name=file.name)
            except UserFacingError as error:
                found = error
        known = st.session_state[_READ] = (file_id, found)
    return known[1]


def _done(action: Callable[[], object], notice: str, *, view: str = "Saved") -> None:
    """Keep what was chosen and show it in its view; the uploader starts anew."""

    def keep() -> None:
        action()
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
        st.session_state.pop(_READ, None)

    act(keep, notice, then=(VIEW_KEY, view))


def _ask_export(direction: Direction) -> None:
    st.markdown(
        f"A direction exported by this app: **{plain(direction.name)}**, layer {direction.layer}, "
        f"{direction.d_model} dimensions, raw norm {direction.norm:.4g}."
    )
    if st.button("Add to the saved directions", type="primary", icon=":material/bookmark_add:"):
        _done(lambda: workbench().directions.save(direction), "Added to the saved directions.")


def _ask_means(means: MeanVectors) -> None:
    left_out = [value for key, value in means.provenance if key == "left out"]
    st.markdown(
        f"A set of mean vectors: **{len(means.labels)} labels**, {means.n_layers} layers, {means.d_model:,} dimensions."
    )
    if left_out:
        st.warning(f"Left out: {plain('; '.join(left_out))}.", icon=":material/warning:")
    with st.form("means:keep", border=False):
        name, model = st.columns(2)
        named = name.text_input("Name of the set", means.name, max_chars=MAX_NAME)
        source = model.text_input("Model that the means were taken in", "", max_chars=MAX_NAME)
        if st.form_submit_button("Keep the set", type="primary"):
            _done(
                lambda: workbench().mean_vectors.save(means, name=named, source_model=source),
                "The set is kept until you delete it.",
                view="Mean vectors",
            )


def _ask_vectors(found: FoundVectors) -> None:
    st.markdown(f"{_content(found)} The file does not say everything about them; please fill in the rest.")
    if found.ignored:
        st.caption(f"Not used: {plain('; '.join(found.ignored))}.")
    title, chosen = ask_layers(found)
    with st.form("vectors:keep", border=False):
        left, right = st.columns(2)
        first = " · ".join(part for part in (found.label, title) if part)
        name = left.text_input("Name", first[:MAX_NAME], max_chars=MAX_NAME)
        model = right.text_input("Model that it belongs to", found.model_hint, max_chars=MAX_NAME)
        meaning = left.selectbox(
            "What it is", MEANINGS, index=None, placeholder="Choose, or type your own", accept_new_options=True
        )
        more = right.text_input("More about it", "", max_chars=MAX_NOTE // 2)
        if st.form_submit_button(f"Add {len(chosen) or ''} to the saved directions".replace("  ", " "), type="primary"):
            about = ": ".join(part for part in (meaning or "", more) if part)
            _done(lambda: _keep(found, chosen, name, model, about), "Added to the saved directions.")


def _content(found: FoundVectors) -> str:
    if any(len(tensor.layouts) > 1 for tensor in found.tensors):
        shapes = dict.fromkeys(" × ".join(f"{n:,}" for n in tensor.array.shape) for tensor in found.tensors)
        return f"**Vectors** in tensors of {', '.join([*shapes][:4])} numbers."
    count = len(found.vectors)
    return f"**{count:,} vector{'s' if count > 1 else ''}** of {found.vectors[0].vector.shape[0]:,} dimensions."


def _keep(found: FoundVectors, chosen: Chosen, name: str, model: str, meaning: str) -> None:
    for vector, _ in chosen:
        vector.check()
    placed = [(vector, layer) for vector, layer in chosen if layer is not None]
    if not placed or len(placed) < len(chosen):
        raise BadInput("No layer is chosen.", "Choose at least one layer, then press Add again.")
    several = len(placed) > 1
    directions = [
        make_direction(
            found,
            vector,
            layer=layer,
            name=f"{name} · layer {layer}" if several and name.strip() else name,
            source_model=model,
            meaning=meaning,
        )
        for vector, layer in placed
    ]
    for direction in directions:
        workbench().directions.save(direction)
