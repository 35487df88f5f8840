"""JSON in slices: the same values however the bytes come, and bounds that hold before any parser reads."""

import json

import pytest

from core.text.json_slices import (
    DOCUMENTS,
    ITEMS,
    MAX_DEPTH,
    MAX_MARKS,
    MAX_TEXT_BYTES,
    WHOLE,
    Slicer,
    as_slice,
    parsed,
)

LIMIT = 1 << 25


def cut(data, level, *, size=7, **options):
    """The values as JSON, or the faults, and the slicer."""
    slicer = Slicer(level, limit=LIMIT, **options)
    found = [piece for k in range(0, len(data), size) for piece in slicer.feed(data[k : k + size])]
    rest = slicer.rest()
    return [piece.fault or bytes(piece.data).decode().strip() for piece in [*found, *([rest] if rest else [])]], slicer


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_items_and_documents(size):
    values = [{"a": 'x"],\\'}, 7, "q,]", [1, [2]], None, {"b": {}}, []]
    found, slicer = cut(json.dumps(values).encode(), ITEMS, size=size)
    assert [json.loads(text) for text in found] == values
    assert not slicer.is_open
    documents = [{"a": 1}, [2], {"b": "}{"}]
    found, _ = cut("\n".join(json.dumps(d, indent=2) for d in documents).encode(), DOCUMENTS, size=size)
    assert [json.loads(text) for text in found] == documents


@pytest.mark.parametrize("size", [1, 1000])
def test_a_list_of_a_known_name_stands_for_its_object_unless_that_is_a_record_itself(size):
    options = {"containers": frozenset({"data"}), "unless": frozenset({"question"}), "size": size}
    assert cut(b'{"n": 1, "data": [{"a": 1}, {"b": "]"}], "z": [3]} {"c": 1}', DOCUMENTS, **options)[0] == [
        '{"a": 1}',
        '{"b": "]"}',
        '{"c": 1}',
    ]
    for whole in ('{"question": "q", "data": [{"a": 1}]}', '{"data": ["a"]}', '{"x": {"data": [{"a": 1}]}}'):
        assert cut(whole.encode(), DOCUMENTS, **options)[0] == [whole]


@pytest.mark.parametrize("level", [WHOLE, DOCUMENTS, ITEMS])
@pytest.mark.parametrize("nest", [("[", "]"), ('{"a":', "}")])
def test_brackets_nested_too_deeply_are_a_fault_and_what_follows_is_read(level, nest):
    deep = f'[{{"a": {nest[0] * 5000}1{nest[1] * 5000}}}, {{"b": 1}}]'.encode()
    found, slicer = cut(deep, level, size=1000)
    assert str(MAX_DEPTH) in found[0]
    assert found[1:] == (['{"b": 1}'] if level == ITEMS else [])
    assert level == WHOLE or not slicer.is_open


def test_long_texts_and_lists_of_numbers_are_left_out():
    value = {"a": "x" * (MAX_TEXT_BYTES + 1), "b": list(range(1000)), "c": [1, 2, "d"], "e": 'f"'}
    found = as_slice(json.dumps(value).encode(), limit=LIMIT)
    assert parsed(found.data.decode()) == {"a": None, "b": [], "c": [1, 2, "d"], "e": 'f"'}
    assert found.n_left_out == MAX_TEXT_BYTES + 1


def test_too_many_values_and_too_many_bytes_are_faults():
    assert f"{MAX_MARKS:,}" in as_slice(b"[" + b"{}," * MAX_MARKS + b"1]", limit=LIMIT).fault
    assert "longer" in as_slice(b"x" * 100, limit=99).fault


def test_numbers_that_are_none_read_as_null():
    assert parsed('[NaN, Infinity, -Infinity, "NaN", 1.5]') == [None, None, None, "NaN", 1.5]
