"""An imported set of mean vectors: cosines between its labels by layer, and directions made of it."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.directions.mean_vectors import OVERALL, MeanVectors
from core.disk.kept import Kept
from core.errors import BadInput
from core.forward.edits import PAPER_DEPTH
from core.traces.events import BACKTRACKING
from ui.components.safe_text import plain
from ui.directions.saved import draw_broken
from ui.shell.notice import act
from ui.shell.state import workbench

SET_KEY, LAYER_KEY, MINUS_KEY, LABEL_KEY = "means:set", "means:layer", "means:minus", "means:label"


def draw_sets() -> None:
    """The sets that were kept, and the chosen one."""
    sets = {kept.item_id: kept for kept in workbench().mean_vectors.list()}
    draw_broken(list(workbench().mean_vectors.broken()))
    if not sets:
        st.info(
            "No set of mean vectors is kept yet. Under **Import**, choose a `.pt` file of "
            '{label: {"mean": (n_layers, d_model), "count": int}}, as Venhoff and others publish them.',
            icon=":material/calculate:",
        )
        return
    if st.session_state.get(SET_KEY) not in sets:
        st.session_state[SET_KEY] = next(iter(sets))
    picked = st.selectbox(
        "Set", list(sets), format_func=lambda i: sets[i].value.name, key=SET_KEY, persist_state="session"
    )
    _draw(sets[picked])


def _draw(kept: Kept[MeanVectors]) -> None:
    means = kept.value
    source = f" · {plain(means.source_model)}" if means.source_model else ""
    st.caption(f"{len(means.labels)} labels · {means.n_layers} layers · {means.d_model:,} dimensions{source}")
    minus, layer = _ask(means, kept.item_id)
    names = means.others(minus)
    if len(names) < 2:
        st.info("One label alone has no cosines. Import a set with more labels.", icon=":material/calculate:")
        return
    cosines = _cosines(kept.item_id, means, minus)
    matrix, table = st.columns([3, 2], gap="large")
    with matrix:
        from ui.components.cosine_chart import cosine_table, draw_heatmap, draw_over_layers

        st.markdown(f"##### Cosines at layer {layer}")
        draw_heatmap(names, cosines[layer], key="means:matrix")
        if st.toggle("Show the cosines as a table", key="means:table"):
            st.dataframe(cosine_table(names, cosines[layer]), width="stretch")
    with table:
        st.markdown("##### Samples in each mean")
        _counts(means, minus, layer)
        _make(means, names, layer, minus)
    label, _ = st.columns([3, 2], gap="large")
    with label:
        st.markdown("##### Over the layers")
        preferred = BACKTRACKING if BACKTRACKING in names else names[0]
        if st.session_state.get(LABEL_KEY) not in names:
            st.session_state[LABEL_KEY] = preferred
        row = names.index(st.selectbox("Cosine of this label with the others", names, key=LABEL_KEY))
        others = [i for i in range(len(names)) if i != row]
        draw_over_layers([names[i] for i in others], cosines[:, row, others], layer=layer, key="means:lines")
    _delete(kept)


def _ask(means: MeanVectors, set_id: str) -> tuple[str, int]:
    """What is subtracted, "" for nothing, and the layer."""
    left, right = st.columns([2, 3], gap="large")
    options = sorted(means.labels, key=lambda label: label != OVERALL)
    subtracted = left.selectbox(
        "Subtract the mean of",
        [*options, ""],
        format_func=lambda label: label or "nothing: compare the means themselves",
        key=f"{MINUS_KEY}:{set_id}",
        persist_state="session",
        help="A direction of a label is its mean minus this one. The means themselves are all alike: they share what "
        "every token has.",
    )
    last = means.n_layers - 1
    if last == 0:
        return subtracted, 0
    key = f"{LAYER_KEY}:{set_id}"
    st.session_state.setdefault(key, round(PAPER_DEPTH * means.n_layers))
    layer = right.slider("Layer", 0, last, key=key, persist_state="session", help="0 is the output of block 0.")
    return subtracted, int(layer)


@st.cache_data(show_spinner=False, max_entries=8)
def _cosines(set_id: str, _means: MeanVectors, minus: str) -> NDArray[np.float64]:
    return _means.cosines(minus)


def _counts(means: MeanVectors, minus: str, layer: int) -> None:
    lengths = dict(zip(means.others(minus), np.linalg.norm(means.differences(minus)[:, layer], axis=-1), strict=True))
    st.dataframe(
        {
            "label": list(means.labels),
            "samples": [f"{n:,}" if n else "unknown" for n in means.counts.tolist()],
            "norm": [f"{lengths[label]:.3f}" if label in lengths else "" for label in means.labels],
        },
        hide_index=True,
        column_config={
            "samples": st.column_config.TextColumn(
                help="As the file says; labels may count other things than overall."
            ),
            "norm": st.column_config.TextColumn(help=f"Length of the difference at layer {layer}."),
        },
    )


def _make(means: MeanVectors, names: tuple[str, ...], layer: int, minus: str) -> None:
    with st.form("means:make"):
        st.markdown(f"Make directions of layer {layer}: {plain(f'label − {minus}' if minus else 'label')}")
        default = [BACKTRACKING] if BACKTRACKING in names else []
        labels = st.multiselect("Labels", names, default, placeholder="Choose labels")
        if st.form_submit_button("Add to the saved directions", type="primary", icon=":material/bookmark_add:"):
            act(lambda: _keep(means, labels, layer, minus), f"{len(labels)} added to the saved directions.")


def _keep(means: MeanVectors, labels: list[str], layer: int, minus: str) -> None:
    if not labels:
        raise BadInput("No label is chosen.", "Choose at least one.")
    for direction in [means.direction(label, layer=layer, minus=minus) for label in labels]:
        workbench().directions.save(direction)


def _delete(kept: Kept[MeanVectors]) -> None:
    with st.popover("Delete this set", icon=":material/delete:"):
        st.markdown(f"Delete **{plain(kept.value.name)}** for good? Directions that were made of it stay.")
        if st.button("Yes, delete it", type="primary", key=f"means:delete:{kept.item_id}"):
            act(lambda: workbench().mean_vectors.delete(kept.item_id), "Deleted.")
