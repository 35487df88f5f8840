"""The layers of an uploaded file's vectors: what the file says is offered, what it does not say is asked."""

from __future__ import annotations

import streamlit as st

from core.directions.folder import MAX_LAYER
from core.directions.found import LAYOUTS, FoundTensor, FoundVector
from core.directions.uploads import PRODUCERS, FoundVectors
from ui.components.safe_text import plain
from ui.shell.state import pair_facts

Chosen = list[tuple[FoundVector, int | None]]
"""Vectors with the layers that they are kept under; None where the person has not said it yet."""
ANSWERS = "vectors:"
"""What the keys of all answers about a file begin with."""
LAYER = "Layer (block whose output it belongs to, from 0)"
_FIRST_ROW = {
    "blocks": "the output of block 0",
    "embeddings": "the embeddings (hidden_states[0])",
    "neither": "neither: the rows do not count layers",
}


def ask_layers(found: FoundVectors) -> tuple[str, Chosen]:
    """The title of the tensor that is looked at, and the chosen vectors with their layers."""
    known = _each_of_a_layer(found)
    if known:
        title, vectors = "", known
    else:
        title = found.titles[0]
        if len(found.titles) > 1:
            title = st.selectbox(
                "Tensor", found.titles, format_func=lambda t: t or "without a name", key="vectors:title"
            )
        vectors = _ask_layout(found.named(title))
    for note in dict.fromkeys(vector.note for vector in vectors if vector.note):
        st.info(plain(note), icon=":material/layers:")
    if not vectors:
        return title, []
    _compare_width(vectors[0])
    if found.kind == "gguf":
        return title, _ask_producer(vectors)
    return title, _ask_rows(vectors) if vectors[0].in_matrix else _ask_stated(vectors)


def _each_of_a_layer(found: FoundVectors) -> tuple[FoundVector, ...]:
    """The vectors where several tensors have one each, of different layers that the file names; else none."""
    vectors = found.vectors
    layers = {vector.layer for vector in vectors if not vector.in_matrix}
    several = len(found.titles) > 1 and len(layers) == len(vectors) and None not in layers
    return vectors if several and len({vector.vector.shape for vector in vectors}) == 1 else ()


def _ask_layout(tensors: tuple[FoundTensor, ...]) -> tuple[FoundVector, ...]:
    if len(tensors) > 1 or len(tensors[0].layouts) == 1:
        return tuple(vector for tensor in tensors for vector in tensor.vectors())
    tensor = tensors[0]
    shape = " × ".join(f"{n:,}" for n in tensor.array.shape)
    layout = st.radio(
        f"How to read the {shape} numbers",
        tensor.layouts,
        index=None,
        format_func=LAYOUTS.__getitem__,
        key=f"vectors:layout:{tensor.title}",
    )
    if layout is None:
        st.caption("The file does not say which axis is d_model and which one counts layers. Choose.")
        return ()
    others = tensor.others(layout)
    at = 0
    if others > 1:
        at = int(st.number_input(f"Place on the other axis (0 to {others - 1})", 0, others - 1, 0, key="vectors:at"))
    return tensor.vectors(layout, at=at)


def _compare_width(vector: FoundVector) -> None:
    facts, width = pair_facts(), vector.vector.shape[0]
    if facts and width != facts[0].d_model:
        st.caption(
            f"The loaded pair has d_model {facts[0].d_model:,}: vectors of {width:,} dimensions can be kept, "
            "but cannot be used with it."
        )


def _ask_producer(vectors: tuple[FoundVector, ...]) -> Chosen:
    """llama.cpp's own tool numbers its vectors one above the block that they come from; the file does not tell."""
    producer = st.radio(
        "Who wrote the file",
        list(PRODUCERS),
        index=None,
        format_func=lambda name: PRODUCERS[name][0],
        key="vectors:producer",
        help="llama.cpp and repeng both add direction.N to the output of block N when they steer. A vector of "
        "cvector-generator is so applied one block above the one that it was taken from.",
    )
    if producer is None:
        st.caption("The file does not say who wrote it, and its numbers mean different layers. Choose.")
        return []
    shift = PRODUCERS[producer][1]
    by_layer = {vector.layer - shift: vector for vector in vectors if vector.layer is not None}
    return _pick({layer: vector for layer, vector in by_layer.items() if layer >= 0}, key=f"producer:{shift}")


def _ask_rows(vectors: tuple[FoundVector, ...]) -> Chosen:
    """Rows of a matrix: what its first one is decides which layers they are."""
    facts, n = pair_facts(), len(vectors)
    first = st.radio(
        "Row 0 is",
        list(_FIRST_ROW),
        index=None,
        format_func=_FIRST_ROW.__getitem__,
        horizontal=True,
        key="vectors:first",
        help="A file from hidden_states of Transformers has one row more than the model has layers.",
    )
    if facts and n in (facts[0].n_layers, facts[0].n_layers + 1):
        more = "as many rows as" if n == facts[0].n_layers else "one row more than"
        st.caption(f"The file has {more} the loaded pair has layers ({facts[0].n_layers}).")
    if first is None:
        return []
    if first == "neither":
        row = int(st.number_input(f"Row (0 to {n - 1})", 0, n - 1, 0, key="vectors:row"))
        return [(vectors[row], _type_layer(None, key="row"))]
    shift = 1 if first == "embeddings" else 0
    return _pick({i - shift: vector for i, vector in enumerate(vectors) if i >= shift}, key=str(shift))


def _ask_stated(vectors: tuple[FoundVector, ...]) -> Chosen:
    by_layer = {vector.layer: vector for vector in vectors if vector.layer is not None}
    if len(vectors) > 1 and len(by_layer) == len(vectors):
        return _pick(by_layer, key="stated")
    vector = vectors[0]
    if len(vectors) > 1:
        number = int(st.number_input(f"Vector (0 to {len(vectors) - 1})", 0, len(vectors) - 1, 0, key="vectors:number"))
        vector = vectors[number]
    if vector.layer is not None and not vector.note:
        st.caption(f"Layer {vector.layer} is what the file says.")
    return [(vector, _type_layer(vector.layer, key=f"{vector.title}:{vector.layer}"))]


def _type_layer(offered: int | None, *, key: str) -> int | None:
    layer = st.number_input(
        LAYER, 0, MAX_LAYER - 1, offered, step=1, placeholder="Type the layer", key=f"vectors:layer:{key}"
    )
    return None if layer is None else int(layer)


def _pick(by_layer: dict[int, FoundVector], *, key: str) -> Chosen:
    titles = {vector.title for vector in by_layer.values()}
    picked = st.multiselect(
        "Layers",
        list(by_layer),
        list(by_layer) if len(by_layer) == 1 else [],
        format_func=lambda layer: f"{layer} · {by_layer[layer].title}" if len(titles) > 1 else str(layer),
        key=f"vectors:layers:{key}",
        placeholder="Choose layers",
    )
    return [(by_layer[layer], layer) for layer in picked]
