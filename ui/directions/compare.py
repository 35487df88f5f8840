"""Several directions at once: their cosines, and arithmetic between two of them with its cosines as one types."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import streamlit as st

from core.directions.algebra import minus, orthogonalised, plus, times
from core.directions.direction import Direction
from core.directions.folder import MAX_NAME
from core.errors import BadInput
from core.text.lines import kept_line
from ui.components.safe_text import plain, tried
from ui.directions.choices import Choice, choices
from ui.shell.notice import act
from ui.shell.state import workbench

Operation = Literal["plus", "minus", "times", "without"]

MAX_COMPARED = 24
FIRST_COMPARED = 6
WIDTH_KEY, PICKED_KEY = "directions:width", "directions:compared"
LEFT_KEY, RIGHT_KEY, OPERATION_KEY = "directions:left", "directions:right", "directions:operation"
FACTOR_KEY = "directions:factor"
_OPERATIONS: dict[Operation, str] = {"plus": "v + k · w", "minus": "v − w", "times": "k · v", "without": "v without w"}
_MEANING: dict[Operation, str] = {
    "plus": "The sum of the raw vectors, the second one weighted.",
    "minus": "What the first raw vector has beyond the second.",
    "times": "A multiple of the raw vector: its norm changes, its direction only with the sign of k.",
    "without": "v minus its projection on w: the part of v that is orthogonal to w.",
}


def draw_cosines() -> None:
    """A multiselect over directions of one d_model, the heatmap between them, and its table."""
    by_id = {choice.direction_id: choice for choice in choices()}
    every = [choice.direction.d_model for choice in by_id.values()]
    widths = sorted(dict.fromkeys(every), key=lambda width: every.count(width) < 2)
    if len(by_id) < 2:
        st.info(
            "There are fewer than two directions. Extract and save some, or import a file.", icon=":material/explore:"
        )
        return
    width = widths[0]
    if len(widths) > 1:
        width = st.selectbox("d_model", widths, key=WIDTH_KEY, persist_state="session")
    fitting = [i for i, choice in by_id.items() if choice.direction.d_model == width]
    picked = st.multiselect(
        "Directions",
        fitting,
        fitting[:FIRST_COMPARED],
        format_func=lambda i: by_id[i].title,
        max_selections=MAX_COMPARED,
        key=f"{PICKED_KEY}:{width}",
        persist_state="session",
    )
    if len(picked) < 2:
        st.info("Choose two or more directions.", icon=":material/explore:")
        return
    _matrix([by_id[i] for i in picked])
    st.caption(
        f"1 is the same direction, 0 unrelated, −1 opposite. Two random directions of {width:,} dimensions have about "
        f"±{width**-0.5:.2f}. Directions of different layers live in different residual streams: compare with care."
    )


def _matrix(picked: list[Choice]) -> None:
    from ui.components.cosine_chart import cosine_table, draw_heatmap

    units = np.stack([choice.direction.vector.astype(np.float64) for choice in picked])
    cosines, names = units @ units.T, [choice.title for choice in picked]
    numbers = [str(n) for n in range(1, len(picked) + 1)]
    chart, key = st.columns([3, 2], gap="large")
    with chart:
        draw_heatmap(names, cosines, key="directions:matrix", numbered=True)
    key.dataframe(
        {"": numbers, "direction": names, "layer": [choice.direction.layer for choice in picked]},
        hide_index=True,
        column_config={"": st.column_config.TextColumn(width=20), "layer": st.column_config.NumberColumn(width=50)},
    )
    if st.toggle("Show the cosines as a table", key="directions:matrix:table"):
        st.dataframe(cosine_table([f"{n} · {name}" for n, name in zip(numbers, names, strict=True)], cosines))


def draw_arithmetic() -> None:
    """Two directions and an operation; the result with its norm and cosines, and a button that saves it."""
    by_id = {choice.direction_id: choice for choice in choices()}
    if not by_id:
        st.info("There is no direction yet. Extract and save one, or import a file.", icon=":material/explore:")
        return
    operation = _ask_operation()
    first, second = st.columns(2)
    with first:
        left = _pick("v", LEFT_KEY, by_id)
    with second:
        fitting = {i: c for i, c in by_id.items() if c.direction.d_model == left.d_model}
        right = None if operation == "times" else _pick("w", RIGHT_KEY, fitting)
    factor = 1.0
    if operation in ("plus", "times"):
        factor = (first if operation == "plus" else second).number_input(
            "k", value=1.0, step=0.5, format="%g", key=FACTOR_KEY, persist_state="session"
        )
    result = tried(lambda: combined(left, right, operation, factor))
    if result is None:
        return
    _show(result, left, right)
    name = st.text_input("Name", result.name, max_chars=MAX_NAME, key=f"directions:result:{result.digest}")
    if st.button("Save the result", type="primary", icon=":material/bookmark_add:"):
        act(lambda: _save(result, name), "Saved. It is kept until you delete it.")


def combined(left: Direction, right: Direction | None, operation: Operation, factor: float) -> Direction:
    """The result of the operation. Raises BadDirection or BadInput."""
    if operation == "times" or right is None:
        return times(left, factor)
    if operation == "plus":
        return plus(left, right, weight=factor)
    return minus(left, right) if operation == "minus" else orthogonalised(left, right)


def _ask_operation() -> Operation:
    picked = st.segmented_control(
        "Operation",
        list(_OPERATIONS),
        format_func=_OPERATIONS.__getitem__,
        required=True,
        default="without",
        key=OPERATION_KEY,
        persist_state="session",
    )
    operation: Operation = picked
    st.caption(_MEANING[operation])
    return operation


def _pick(symbol: str, key: str, by_id: dict[str, Choice]) -> Direction:
    ids = list(by_id)
    if st.session_state.get(key) not in by_id:
        st.session_state[key] = _first(by_id) if symbol == "v" else ids[min(1, len(ids) - 1)]
    picked = st.selectbox(symbol, ids, format_func=lambda i: by_id[i].title, key=key, persist_state="session")
    return by_id[picked].direction


def _first(by_id: dict[str, Choice]) -> str:
    """The newest direction that another one can be combined with."""
    widths = [choice.direction.d_model for choice in by_id.values()]
    return next((i for i, c in by_id.items() if widths.count(c.direction.d_model) > 1), next(iter(by_id)))


def _show(result: Direction, left: Direction, right: Direction | None) -> None:
    values = {"raw norm of v": f"{left.norm:.4g}"}
    if right is not None:
        values |= {"raw norm of w": f"{right.norm:.4g}", "cosine v, w": f"{left.cosine(right):+.3f}"}
    values |= {"raw norm of the result": f"{result.norm:.4g}", "cosine result, v": f"{result.cosine(left):+.3f}"}
    if right is not None:
        values["cosine result, w"] = f"{result.cosine(right):+.3f}"
    with st.container(horizontal=True, gap="medium"):
        for label, value in values.items():
            st.metric(label, value.replace("-", "−"), width="content")
    if right is not None and left.layer != right.layer:
        st.caption(
            f"v is of layer {left.layer} and w of layer {right.layer}; the result counts as one of layer {left.layer}."
        )
    if right is not None and left.fingerprint != right.fingerprint:
        st.caption(
            f"They were found in different models ({plain(left.source_model or 'unnamed')} and "
            f"{plain(right.source_model or 'unnamed')})."
        )


def _save(result: Direction, name: str) -> None:
    cleaned = kept_line(name, MAX_NAME)
    if not cleaned:
        raise BadInput("The direction's name is empty.", "Type a name, then save again.")
    workbench().directions.save(replace(result, name=cleaned))
