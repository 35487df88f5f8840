"""What an uploaded vector file holds: a direction of ours, a set of mean vectors, or vectors that need a few answers.

Files are not trusted: `core.directions.tensors` reads them, this module finds names, layers and reasons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.directions.direction import Direction
from core.directions.exports import STORY, direction_of, retold
from core.directions.folder import MAX_LAYER, MAX_NAME, MAX_NOTE, read_direction_bytes
from core.directions.found import FoundTensor, FoundVector, agreed, fault_of, squeezed
from core.directions.layer_names import Place, place_in_key, place_in_name
from core.directions.mean_vectors import MeanVectors, mean_vectors_in
from core.directions.statements import Statements
from core.directions.tensors import Key, Kind, TensorFile, check_size, read_tensors
from core.disk import codec
from core.errors import BadDirection, BadInput
from core.text.lines import kept_line
from core.values import AnyArray

IMPORTED = "imported from a file"
Producer = Literal["at block", "after block"]
PRODUCERS: dict[Producer, tuple[str, int]] = {
    "at block": ("repeng, Retrace: `direction.N` is the output of block N", 0),
    "after block": ("llama.cpp's cvector-generator: `direction.N` was taken from the output of block N − 1", 1),
}
"""Who writes control vectors: in words, and how far their number lies above the block that the vector was taken from.

llama.cpp and repeng add `direction.N` to the output of block N, whoever wrote it.
"""
_ENDING = re.compile(r"\.(safetensors|pth?|bin|np[yz]|gguf)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundVectors:
    """A file of vectors that leaves something to ask: which of them, of which layer, of which model, meaning what."""

    label: str
    kind: Kind
    tensors: tuple[FoundTensor, ...]
    ignored: tuple[str, ...] = ()
    model_hint: str = ""

    @property
    def vectors(self) -> tuple[FoundVector, ...]:
        """All vectors, each tensor in its likely layout."""
        return tuple(vector for tensor in self.tensors for vector in tensor.vectors())

    @property
    def titles(self) -> tuple[str, ...]:
        """The different titles, in the order of the file."""
        return tuple(dict.fromkeys(tensor.title for tensor in self.tensors))

    def named(self, title: str) -> tuple[FoundTensor, ...]:
        """The tensors of one title."""
        return tuple(tensor for tensor in self.tensors if tensor.title == title)

    def of(self, title: str) -> tuple[FoundVector, ...]:
        """The vectors of one title, each tensor in its likely layout."""
        return tuple(vector for tensor in self.named(title) for vector in tensor.vectors())


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
    return mean_vectors_in(file, label=label) or _found(file, label, name)


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


def _found(file: TensorFile, label: str, name: str) -> FoundVectors:
    tensors: list[FoundTensor] = []
    ignored = [f"{_title(key) or 'the tensor'} {reason}" for key, reason in file.ignored]
    for key, array in _arrays(file).items():
        if fault := fault_of(array):
            ignored.append(f"{_title(key) or 'the tensor'} {fault}")
        else:
            tensors.append(FoundTensor(key=key, title=_title(key), array=array))
    if not tensors:
        what = f": {'; '.join(ignored[:3])}" if ignored else ""
        raise BadDirection(
            f"The file {label!r} holds no vector{what}.", "Save one tensor of shape (d_model,) or (n_layers, d_model)."
        )
    stated, of_name = Statements(file), place_in_name(_ENDING.sub("", name))
    return FoundVectors(
        label=label,
        kind=file.kind,
        tensors=tuple(_placed(tensor, tensors, stated, of_name) for tensor in tensors),
        ignored=tuple(kept_line(reason, MAX_NOTE) for reason in ignored),
        model_hint=kept_line(file.texts.get("controlvector.model_hint", ""), MAX_NAME),
    )


def _arrays(file: TensorFile) -> dict[Key, AnyArray]:
    """The arrays without axes of length 1; the vectors of a list, which nobody named, as one matrix."""
    arrays = {key: squeezed(array) for key, array in file.arrays.items()}
    for path in file.lists:
        items = {key: array for key, array in arrays.items() if key[:-1] == path and key != path}
        if items and {(array.shape, array.ndim) for array in items.values()} == {(next(iter(items.values())).shape, 1)}:
            for key in items:
                del arrays[key]
            arrays[path] = squeezed(np.stack(list(items.values())))
    return arrays


def _placed(tensor: FoundTensor, tensors: list[FoundTensor], stated: Statements, of_name: Place | None) -> FoundTensor:
    """The tensor with the layers that its group states, or else its own name, its own entries and the file's name."""
    own, title = _place_of(tensor.key)
    path, said = stated.of(tensor.key)
    peers = sorted((t for t in tensors if t.key[: len(path)] == path), key=lambda t: _order(t.key))
    if len(said) == len(peers) > 1 and tensor.array.ndim == 1:
        layer, note = agreed([said[peers.index(tensor)]])
        note = note or "The layers that the file names are taken in the order of its vectors."
        return replace(tensor, title=title if own else tensor.title, layers=(layer,), note=note)
    tensor = replace(tensor, title=title)
    if len(said) > 1:
        if tensor.array.ndim > 1 and len(said) in tensor.array.shape:
            notes = dict.fromkeys(place.note for place in said if place.note)
            return replace(tensor, layers=tuple(place.layer for place in said), note=" ".join([*notes][:2]))
        listed = ", ".join(str(place.number) for place in said[:20])
        return replace(tensor, note=f"The file names the layers {listed}, but not one for each vector.")
    places = [own] if own else []
    if not own or len(tensors) == 1:
        places += [*said, *([of_name] if of_name else [])]
    layer, note = agreed(places)
    return replace(tensor, layers=() if layer is None else (layer,), note=note)


def _place_of(key: Key) -> tuple[Place | None, str]:
    """The place that a tensor's path names, the last part first, and its title without it."""
    for i in range(len(key) - 1, -1, -1):
        place, rest = place_in_key(str(key[i]))
        if place:
            return place, _title((*key[:i], *((rest,) if rest else ()), *key[i + 1 :]))
    return None, _title(key)


def _order(key: Key) -> list[tuple[int, str]]:
    """Sorts names by the numbers in them, so that v10 follows v9."""
    parts = re.split(r"([0-9]+)", _title(key))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _title(key: Key) -> str:
    return kept_line(" · ".join(str(part) for part in key), MAX_NAME)
