"""One tensor of a file as vectors: which axis is d_model, which one counts layers, and what is known of the layers.

Knows no file. Axes of length 1 do not count: (n_layers, 1, d_model) is (n_layers, d_model), (d_model, 1) is (d_model,).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.directions.exports import direction_of
from core.directions.folder import MAX_LAYER
from core.directions.layer_names import Place
from core.directions.tensors import Key
from core.values import AnyArray

Layout = Literal["vector", "rows", "columns", "second", "first"]
LAYOUTS: dict[Layout, str] = {
    "vector": "one vector",
    "rows": "every row is a vector",
    "columns": "every column is a vector",
    "second": "the second axis counts layers, the first one something else, such as positions",
    "first": "the first axis counts layers, the second one something else, such as positions",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundVector:
    """One vector of a file: what it is called there, and its layer where the file tells it."""

    title: str
    layer: int | None
    vector: AnyArray = field(repr=False)
    """(d_model,) as in the file."""
    in_matrix: bool = False
    """Whether `layer` is only the number of a row, whose first may be block 0 or the embeddings."""
    note: str = ""
    """What to know of the layer, such as that the file names another point of the stream."""

    def check(self) -> None:
        """Raise BadDirection where no direction can be made of it: NaN, zero, too long."""
        direction_of(self.vector, name=self.title or "of the file", layer=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundTensor:
    """One tensor of a file with its layouts, and what is stated of its layers."""

    key: Key
    title: str
    array: AnyArray = field(repr=False)
    """(d_model,), or two or three axes of which one is d_model."""
    layers: tuple[int | None, ...] = ()
    """Of every vector where as many are stated; one where the file names one layer; else none."""
    note: str = ""

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The ways to read it, the likely one first; more than one is a question."""
        shape = self.array.shape
        if len(shape) == 1:
            return ("vector",)
        open_: tuple[tuple[Layout, bool], ...] = (
            ("rows", shape[0] <= MAX_LAYER),
            ("columns", shape[1] <= MAX_LAYER and shape[0] >= shape[1]),
        )
        if len(shape) == 3:
            open_ = (("second", shape[1] <= MAX_LAYER), ("first", shape[0] <= MAX_LAYER))
        return tuple(layout for layout, there in open_ if there)

    def others(self, layout: Layout) -> int:
        """How many matrices the axis that is neither layers nor d_model holds."""
        return {"second": self.array.shape[0], "first": self.array.shape[1]}[layout] if self.array.ndim == 3 else 1

    def vectors(self, layout: Layout | None = None, *, at: int = 0) -> tuple[FoundVector, ...]:
        """The vectors of a layout, the likely one by default; `at` is the place on the axis that is no layer's."""
        layout = layout or self.layouts[0]
        if layout == "vector":
            return (self._vector(self.array, self.layers[0] if self.layers else None),)
        matrix = self.array.T if layout == "columns" else self.array
        if layout in ("second", "first"):
            matrix = self.array[at] if layout == "second" else self.array[:, at]
        if len(self.layers) == len(matrix):
            return tuple(self._vector(row, layer) for row, layer in zip(matrix, self.layers, strict=True))
        return tuple(self._vector(row, i, in_matrix=True) for i, row in enumerate(matrix))

    def _vector(self, vector: AnyArray, layer: int | None, *, in_matrix: bool = False) -> FoundVector:
        return FoundVector(title=self.title, layer=layer, vector=vector, in_matrix=in_matrix, note=self.note)


def fault_of(array: AnyArray) -> str:
    """Why an array holds no vectors, as the second half of a sentence; "" where it does."""
    shape = array.shape
    if array.ndim not in (1, 2, 3) or min(shape, default=0) < 2:
        return f"has shape {list(shape)}"
    if array.ndim > 1 and not FoundTensor(key=(), title="", array=array).layouts:
        return f"has {shape[0]:,} rows, more than a model has layers"
    return ""


def squeezed(array: AnyArray) -> AnyArray:
    """The array without its axes of length 1; one number keeps an axis."""
    return array.squeeze() if array.size > 1 else array.reshape(-1)


def agreed(places: list[Place]) -> tuple[int | None, str]:
    """The layer that all places name, and what to know of it; none where they name different ones."""
    layers = {place.layer for place in places}
    if len(layers) > 1:
        said = "; ".join(dict.fromkeys(f"“{place.words}”" for place in places))
        return None, f"The file names different layers: {said}. Choose the layer."
    return (layers.pop() if layers else None), next((place.note for place in places if place.note), "")
