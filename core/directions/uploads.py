"""What an uploaded vector file holds: a direction of ours, a set of mean vectors, or vectors that need a few answers.

Files are not trusted: `core.directions.tensors` reads them, this module finds names, layers and reasons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from core.directions.direction import Direction
from core.directions.exports import STORY, direction_of, retold
from core.directions.folder import MAX_LAYER, MAX_NAME, MAX_NOTE, read_direction_bytes
from core.directions.mean_vectors import MeanVectors, mean_vectors_in
from core.directions.tensors import Key, Kind, TensorFile, check_size, read_tensors
from core.disk import codec
from core.errors import BadDirection, BadInput
from core.text.lines import kept_line
from core.values import AnyArray

IMPORTED = "imported from a file"
_ENDING = re.compile(r"\.(safetensors|pth?|bin|npy|gguf)$")
_LAYER = re.compile(r"(?:direction|layers?|blocks?)[._]?([0-9]{1,3})")


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundVector:
    """One vector of a file: what it is called there, and its layer where the file names it."""

    title: str
    layer: int | None
    vector: AnyArray = field(repr=False)
    """(d_model,) as in the file."""
    in_matrix: bool = False
    """Whether `layer` is the number of a row of a matrix, whose first row may be the embeddings."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundVectors:
    """A file of vectors that leaves something to ask: which of them, of which layer, of which model, meaning what."""

    label: str
    kind: Kind
    vectors: tuple[FoundVector, ...]
    ignored: tuple[str, ...] = ()
    model_hint: str = ""

    @property
    def titles(self) -> tuple[str, ...]:
        """The different titles, in the order of the file."""
        return tuple(dict.fromkeys(vector.title for vector in self.vectors))

    def of(self, title: str) -> tuple[FoundVector, ...]:
        """The vectors of one title."""
        return tuple(vector for vector in self.vectors if vector.title == title)


def read_vectors(data: bytes, *, name: str) -> Direction | MeanVectors | FoundVectors:
    """What an uploaded file holds: a direction of ours, a mean-vector set, or vectors with open questions.

    Reads safetensors, and in a limited child process PyTorch, NumPy and GGUF. Raises BadInput or BadDirection.
    """
    check_size(data)
    label = kept_line(_ENDING.sub("", name), MAX_NAME) or "imported file"
    if codec.is_ours(data):
        return read_direction_bytes(data, name=name)
    file = read_tensors(data, label=label)
    if file.kind == "gguf" and STORY in file.texts and len(file.arrays) == 1:
        ((key, array),) = file.arrays.items()
        return retold(array, file.texts[STORY], layer=_checked_layer(int(key[0])), label=label)
    return mean_vectors_in(file, label=label) or _found(file, label)


def make_direction(
    found: FoundVectors, vector: FoundVector, *, layer: int, name: str = "", source_model: str = "", meaning: str = ""
) -> Direction:
    """A direction of one vector of the file, as the form describes it. Raises BadDirection or BadInput."""
    notes = [("method", IMPORTED), ("file", found.label), ("format", found.kind)]
    notes += [("vector", vector.title)] if vector.title else []
    notes += [("meaning", kept_line(meaning, MAX_NOTE))] if meaning.strip() else []
    whole = " · ".join(part for part in (found.label, vector.title) if part)
    return direction_of(
        vector.vector,
        name=kept_line(name, MAX_NAME) or kept_line(whole, MAX_NAME),
        layer=_checked_layer(layer),
        source_model=kept_line(source_model, MAX_NAME),
        provenance=tuple(notes),
    )


def _checked_layer(layer: int) -> int:
    if not 0 <= layer < MAX_LAYER:
        raise BadInput(
            f"Layer {layer} is not one of 0 to {MAX_LAYER - 1}.", "Layers are counted from 0, block 0 first."
        )
    return layer


def _found(file: TensorFile, label: str) -> FoundVectors:
    vectors: list[FoundVector] = []
    ignored = [f"{_title(key) or 'the tensor'} {reason}" for key, reason in file.ignored]
    for key, array in file.arrays.items():
        try:
            vectors += _vectors_of(key, array, file)
        except ValueError as error:
            ignored.append(f"{_title(key) or 'the tensor'} has {error}")
    if not vectors:
        what = f": {'; '.join(ignored[:3])}" if ignored else ""
        raise BadDirection(
            f"The file {label!r} holds no vector{what}.", "Save one tensor of shape (d_model,) or (n_layers, d_model)."
        )
    return FoundVectors(
        label=label,
        kind=file.kind,
        vectors=tuple(vectors),
        ignored=tuple(kept_line(reason, MAX_NOTE) for reason in ignored),
        model_hint=kept_line(file.texts.get("controlvector.model_hint", ""), MAX_NAME),
    )


def _vectors_of(key: Key, array: AnyArray, file: TensorFile) -> list[FoundVector]:
    """The vectors of one tensor; leading dimensions of 1 do not count. Raises ValueError with what is wrong."""
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim not in (1, 2) or array.shape[-1] < 2:
        raise ValueError(f"shape {list(array.shape)}")
    if array.ndim == 2 and array.shape[0] > MAX_LAYER:
        raise ValueError(f"{array.shape[0]:,} rows, more than a model has layers")
    if array.ndim == 2:
        return [FoundVector(title=_title(key), layer=i, vector=row, in_matrix=True) for i, row in enumerate(array)]
    title, layer = _layer_of(key)
    stated = file.texts.get("layer", "") if file.kind == "safetensors" else ""
    if layer is None and re.fullmatch(r"[0-9]{1,3}", stated):
        layer = int(stated)
    return [FoundVector(title=title, layer=layer, vector=array)]


def _title(key: Key) -> str:
    return kept_line(" · ".join(str(part) for part in key), MAX_NAME)


def _layer_of(key: Key) -> tuple[str, int | None]:
    """Title and layer of a vector under `key`: a last part that is a layer's number leaves the title."""
    if key:
        last = key[-1]
        found = re.fullmatch(r"[0-9]{1,3}", str(last)) or _LAYER.fullmatch(str(last))
        if found:
            return _title(key[:-1]), int(found[found.lastindex or 0])
    return _title(key), None
