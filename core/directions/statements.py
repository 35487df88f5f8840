"""What a tensor file says of layers beside its tensors: texts, numbers, lists, JSON. Knows no vector's meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.directions.layer_names import FACTS, Place, json_of, places_stated
from core.directions.tensors import Key, TensorFile

MAX_DEPTH = 4


class Statements:
    """The places that a file states, by the path that they are stated for; the empty path is the whole file."""

    def __init__(self, file: TensorFile) -> None:
        self._names = {str(key[-1]): key for key in file.arrays if key}
        self._by_path: dict[Key, tuple[Place, ...]] = {}
        for path, name, value in [*self._header(file), *_beside(file)]:
            for about, said in self._about(path, name, value):
                self._by_path.setdefault(about, said)

    def of(self, key: Key) -> tuple[Key, tuple[Place, ...]]:
        """What is stated for the tensor, or else for the nearest container that holds it, with that path."""
        for length in range(len(key), -1, -1):
            if key[:length] in self._by_path:
                return key[:length], self._by_path[key[:length]]
        return (), ()

    def _about(self, path: Key, name: str, value: object) -> Iterator[tuple[Key, tuple[Place, ...]]]:
        if isinstance(value, dict) and FACTS.fullmatch(name):
            for tensor, item in value.items():
                if str(tensor) in self._names and (said := places_stated(name, item)):
                    yield self._names[str(tensor)], said
        elif said := places_stated(name, value):
            yield path, said

    def _header(self, file: TensorFile) -> Iterator[tuple[Key, str, object]]:
        for name, text in file.texts.items():
            value = json_of(text)
            yield (), name.rpartition(".")[2], value if isinstance(value, dict) else text
            yield from _inside(self._names.get(name, ()), value, 0)
            for tensor, key in self._names.items():
                rest = name.removeprefix(tensor) if name.startswith(tensor) else name.removesuffix(tensor)
                if rest != name:
                    yield key, rest.strip("._-/: "), text


def _inside(path: Key, value: object, depth: int) -> Iterator[tuple[Key, str, object]]:
    if isinstance(value, dict) and depth < MAX_DEPTH:
        for name, item in value.items():
            yield path, str(name), item
            yield from _inside(path, item, depth + 1)


def _beside(file: TensorFile) -> Iterator[tuple[Key, str, object]]:
    """Numbers and texts by their path; the items of a list together, those of a mapping by name."""
    groups: dict[Key, dict[str | int, object]] = {}
    for key, value in [*file.numbers.items(), *file.notes.items()]:
        if key:
            yield key[:-1], str(key[-1]), value
            if isinstance(value, str):
                yield from _inside(key[:-1], json_of(value), 0)
            groups.setdefault(key[:-1], {})[key[-1]] = value
    for path, items in groups.items():
        if path and re.fullmatch(FACTS, str(path[-1])):
            listed = list(items) == list(range(len(items)))
            yield path[:-1], str(path[-1]), list(items.values()) if listed else items
