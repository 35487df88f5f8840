"""A file from anybody becomes a direction, a set of means, vectors with open questions, or a sentence."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.directions import exports, tensor_child, tensors
from core.directions.direction import Direction
from core.directions.exports import FORMATS, STORY, export_bytes
from core.directions.folder import direction_bytes, id_of
from core.directions.mean_vectors import MeanVectors
from core.directions.tensors import write_layers
from core.directions.uploads import FoundVectors, make_direction, read_vectors
from core.disk.codec import dump
from core.errors import BadDirection, BadInput
from core.settings import PROJECT
from tests import stored_values as sv
from tests.directions.test_tensors import numpy_bytes, torch_bytes

MEANS_8B = PROJECT.parent / "shared" / "data" / "mean_vectors_deepseek-r1-distill-llama-8b.pt"


@pytest.fixture
def here(monkeypatch):
    """The child's work in this process; tests/test_tensor_files.py holds what the child itself must do."""
    monkeypatch.setattr(tensors, "_run_child", tensor_child.answer)


pytestmark = pytest.mark.usefixtures("here")


def raw_file(tensors: dict[str, np.ndarray], **metadata: str) -> bytes:
    return safetensors.numpy.save(tensors, metadata=metadata or None)


def found(data: bytes, name: str = "my file.pt") -> FoundVectors:
    result = read_vectors(data, name=name)
    assert isinstance(result, FoundVectors)
    return result


def single(data: bytes, **answers: object) -> Direction:
    """The direction of a file with one vector, of the layer that the file tells or else 5."""
    read = found(data)
    (vector,) = read.vectors
    return make_direction(read, vector, layer=5 if vector.layer is None else vector.layer, **answers)


def full_direction(d_model: int = 48, *, layer: int = 3) -> Direction:
    raw = np.random.default_rng(d_model).standard_normal(d_model).astype(np.float32)
    return Direction.from_raw(
        raw,
        name="backtracking <b> · ü",
        layer=layer,
        resid_norm=12.5,
        source_model="base",
        fingerprint="f" * 16,
        provenance=(("label", "backtracking"), ("window", "-13..-8")),
    )


# ---- round trips


@pytest.mark.parametrize("d_model", [2, 3, 48, 4096])
@pytest.mark.parametrize("to", FORMATS)
def test_an_export_comes_back_with_the_same_vector_bit_for_bit(to, d_model):
    direction = full_direction(d_model)
    back = read_vectors(export_bytes(direction, to), name=f"x.{to}")
    if isinstance(back, FoundVectors):
        (vector,) = back.vectors
        assert vector.layer == (3 if to == "pt" else None)
        back = make_direction(back, vector, layer=3)
    assert back.vector.tobytes() == direction.vector.tobytes()
    assert back.layer == 3
    if to in ("safetensors", "gguf"):
        sv.assert_same(back, direction)
    else:
        assert back.norm == 1


@pytest.mark.parametrize("to", ["gguf", "npy", "pt"])
def test_an_export_of_the_raw_difference_keeps_its_length(to):
    direction = full_direction()
    back = read_vectors(export_bytes(direction, to, scale="raw"), name="x")
    if isinstance(back, FoundVectors):
        back = make_direction(back, back.vectors[0], layer=3)
    assert back.norm == pytest.approx(direction.norm, rel=1e-6)
    assert back.vector == pytest.approx(direction.vector, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 600), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_any_unit_vector_survives_the_formats_without_provenance(d_model, seed, scale):
    raw = np.random.default_rng(seed).standard_normal(d_model).astype(np.float32) * np.float32(scale)
    direction = Direction.from_raw(raw, name="v", layer=0)
    assert single(export_bytes(direction, "npy")).vector.tobytes() == direction.vector.tobytes()


def test_the_files_are_what_other_tools_expect(tmp_path):
    direction = full_direction()
    array = np.load(io.BytesIO(export_bytes(direction, "npy")), allow_pickle=False)
    assert (array.dtype, array.tobytes()) == (np.float32, direction.vector.tobytes())
    loaded = torch.load(io.BytesIO(export_bytes(direction, "pt")), weights_only=True)
    assert list(loaded) == [3]
    assert loaded[3].numpy().tobytes() == direction.vector.tobytes()
    import gguf

    (tmp_path / "v.gguf").write_bytes(export_bytes(direction, "gguf"))
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    assert reader.fields["general.architecture"].contents() == "controlvector"
    assert reader.fields["controlvector.model_hint"].contents() == "base"
    assert reader.fields["controlvector.layer_count"].contents() == 1
    (tensor,) = reader.tensors
    assert (tensor.name, tensor.tensor_type.name, tensor.shape.tolist()) == ("direction.3", "F32", [48])
    assert tensor.data.tobytes() == direction.vector.tobytes()


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 300), st.integers(0, 2**32 - 1), st.floats(1e-5, 1e5))
def test_a_raw_export_as_gguf_is_restored_to_the_last_bit(d_model, seed, norm):
    rng = np.random.default_rng(seed)
    vector = rng.standard_normal(d_model) * 10 ** rng.uniform(-9, 0, d_model)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    direction = Direction(vector=unit, norm=norm, name="v", layer=3)
    raw = exports._raw(direction)
    rounding = json.loads(json.dumps(exports._rounding(direction, raw)))
    assert exports._restored(raw, norm, rounding).tobytes() == unit.tobytes()


@pytest.mark.parametrize("d_model", [2, 48, 4096])
@pytest.mark.parametrize("scale", ["unit", "raw"])
def test_a_gguf_of_either_length_is_the_same_direction(d_model, scale):
    direction = full_direction(d_model)
    back = read_vectors(export_bytes(direction, "gguf", scale=scale), name="x.gguf")
    sv.assert_same(back, direction)
    assert id_of(back) == id_of(direction)


@pytest.mark.parametrize("scale", ["unit", "raw"])
def test_a_gguf_whose_vector_was_changed_is_refused(scale):
    direction = full_direction()
    data = export_bytes(direction, "gguf", scale=scale)
    vector = direction.vector if scale == "unit" else exports._raw(direction)
    other = vector.copy()
    other[3] = np.nextafter(other[3], np.float32(9))
    changed = data.replace(vector.tobytes(), other.tobytes())
    assert changed != data
    with pytest.raises(BadDirection, match="not the one that Retrace exported"):
        read_vectors(changed, name="x.gguf")


@pytest.mark.parametrize("rounding", [[[0, 5]], [[-1, 1]], [[99, 1]], [[0, 2**40]], [["a", 1]], [1], [[0, 1, 2]]])
def test_a_forged_rounding_is_refused(rounding):
    direction = full_direction()
    story = {"norm": direction.norm, "digest": direction.digest, "scale": "raw", "rounding": rounding}
    data = write_layers("gguf", {3: exports._raw(direction)}, texts={STORY: json.dumps(story)})
    with pytest.raises(BadDirection, match="not the one"):
        read_vectors(data, name="x.gguf")


def test_a_gguf_says_which_layers_its_numbers_are(tmp_path):
    import gguf

    (tmp_path / "v.gguf").write_bytes(export_bytes(full_direction(), "gguf"))
    said = gguf.GGUFReader(tmp_path / "v.gguf").fields["retrace.layers"].contents()
    assert said == "direction.N is added to the output of block N; blocks are counted from 0"


def test_llama_cpp_has_no_control_vector_for_layer_0():
    with pytest.raises(BadInput, match="no control vector for layer 0"):
        export_bytes(full_direction(layer=0), "gguf")


@pytest.mark.parametrize(
    "story",
    [
        "no json",
        "[" * 100_000,
        "[1]",
        json.dumps({"norm": "x", "resid_norm": [], "name": 3, "provenance": {"a": 1}, "source_model": None}),
        json.dumps({"norm": 1e300, "resid_norm": -1, "provenance": [["a"], ["b", 2], 3]}),
        '{"norm": NaN, "resid_norm": Infinity, "name": "\\ud800"}',
        json.dumps({"name": "a\n" + "b" * 5000, "provenance": [["k", "v" * 5000]] * 200}),
    ],
)
def test_a_forged_story_is_used_only_where_it_is_sound(story):
    unit = full_direction().vector
    back = read_vectors(write_layers("gguf", {3: unit}, texts={STORY: story}), name="forged.gguf")
    assert isinstance(back, Direction)
    assert (back.norm, back.resid_norm, back.layer) == (1, 0, 3)
    assert back.vector.tobytes() == unit.tobytes()
    assert 0 < len(back.name) <= 120
    assert len(back.provenance) <= 64
    assert all(len(text) <= 1000 for note in back.provenance for text in note)
    direction_bytes(back)


# ---- foreign files


def test_an_export_of_ours_comes_back_exactly():
    sv.assert_same(read_vectors(direction_bytes(sv.direction()), name="file.safetensors"), sv.direction())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_foreign_vector_gets_its_norm_and_the_files_name(dtype):
    direction = single(raw_file({"x<b>": np.array([3, 4, 0], dtype)}, layer="7"))
    assert (direction.name, direction.layer, direction.norm) == ("my file · x<b>", 7, 5.0)
    assert direction.vector == pytest.approx([0.6, 0.8, 0])
    assert ("method", "imported from a file") in direction.provenance


def test_a_bfloat16_vector_is_read():
    bits = (np.array([3, 4], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"v": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    assert single(len(header).to_bytes(8, "little") + header + bits).norm == 5.0


def test_the_forms_answers_are_on_record():
    direction = single(numpy_bytes(np.array([0, 2], "f4")), name=" A\nname ", source_model="llama", meaning="probe <b>")
    assert (direction.name, direction.layer, direction.source_model, direction.norm) == ("A name", 5, "llama", 2)
    assert direction.provenance == (
        ("method", "imported from a file"),
        ("file", "my file"),
        ("format", "npy"),
        ("meaning", "probe <b>"),
    )
    for layer in (-1, 1000):
        read = found(numpy_bytes(np.array([0, 2], "f4")))
        with pytest.raises(BadInput, match="Layer"):
            make_direction(read, read.vectors[0], layer=layer)


@pytest.mark.parametrize("lead", [(), (1,), (1, 1)])
def test_a_matrix_has_one_vector_per_layer(lead):
    array = np.arange(1, 13, dtype=np.float32).reshape(*lead, 3, 4)
    for data in (numpy_bytes(array), torch_bytes(torch.from_numpy(array)), raw_file({"": array})):
        read = found(data)
        assert [(v.title, v.layer, v.in_matrix) for v in read.vectors] == [("", i, True) for i in range(3)]
        for i, vector in enumerate(read.vectors):
            assert np.array_equal(vector.vector, array.reshape(3, 4)[i])


@pytest.mark.parametrize(
    ("keys", "layers"),
    [
        ([1, 12], [1, 12]),
        (["3", "7"], [3, 7]),
        (["layer_3", "layer.7"], [3, 7]),
        (["layers.4", "block9"], [4, 9]),
        (["layer_a", "probe12"], [None, None]),
        (["blocks.4.hook_resid_pre", "x4"], [3, None]),
    ],
)
def test_layers_are_read_from_keys_that_name_one(keys, layers):
    read = found(torch_bytes({key: torch.tensor([3.0, 4.0]) for key in keys}))
    assert [v.layer for v in read.vectors] == layers
    left = {key.removeprefix("blocks.4.") for key in keys if isinstance(key, str)}
    assert {v.title for v in read.vectors} == ({""} if None not in layers else left)


VEC = np.array([3.0, 4.0], np.float32)
NAMED = {
    "model.layers.12": 12,
    "layers.12.": 12,
    "layer_12": 12,
    "layer 12": 12,
    "L12": 12,
    "transformer.h.12": 12,
    "blocks.12.hook_resid_post": 12,
    "model.layers.12.output": 12,
    "blocks.12.hook_resid_pre": 11,
    "resid_pre_12": 11,
    "model.layers.12.input": 11,
    "hidden_states.12": 11,
    "blocks.0.hook_resid_pre": None,
    "blocks.12.hook_resid_mid": None,
    "blocks.12.hook_attn_out": None,
    "model.layers.12.mlp": None,
    "layer_12_to_14_layer_16": None,
    "layer_1234": None,
    "l2_norm": None,
    "probe12": None,
}


@pytest.mark.parametrize("key", NAMED)
def test_the_layer_that_a_tensors_name_means(key):
    for data in (raw_file({key: VEC}), torch_bytes({"vectors": {key: torch.from_numpy(VEC)}})):
        (vector,) = found(data).vectors
        assert vector.layer == NAMED[key]
        assert np.array_equal(vector.vector, VEC)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("blocks.12.hook_resid_pre", "what goes into block 12: the output of block 11, so layer 11 is offered."),
        ("blocks.0.hook_resid_pre", "the embeddings: that is no layer here. Choose a layer."),
        ("blocks.12.hook_resid_mid", "between the attention and the MLP of block 12: that is no layer here."),
        ("blocks.12.hook_mlp_out", "what a part of block 12 works on, not the residual stream after it."),
        ("blocks.12.hook_resid_post", ""),
    ],
)
def test_another_point_of_the_stream_is_said(key, sentence):
    (vector,) = found(raw_file({key: VEC})).vectors
    assert sentence in vector.note
    assert bool(sentence) == bool(vector.note)


FILE_NAMES = {
    "steering_vector_layer-12.safetensors": 12,
    "l12.pt": 12,
    "L12.npy": 12,
    "Llama-3.1-8B_layer12_coeff-4.npz": 12,
    "refusal.blocks.12.hook_resid_pre.npy": 11,
    "qwen2.5-7b.npy": None,
    "v12.npy": None,
    "layers_10_and_layer_14.npy": None,
    "l2_normalised.npy": None,
}


@pytest.mark.parametrize("name", FILE_NAMES)
def test_the_layer_that_a_files_name_means(name):
    (vector,) = found(numpy_bytes(VEC), name).vectors
    assert (vector.layer, vector.in_matrix) == (FILE_NAMES[name], False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "beside",
    [
        {"layer": 12},
        {"layer": "12"},
        {"layer_idx": 12.0},
        {"layers": [12]},
        {"layer_ids": torch.tensor([12])},
        {"layer": torch.tensor(12)},
        {"hook_point": "blocks.12.hook_resid_post"},
        {"hook_name": "blocks.13.hook_resid_pre"},
        {"module": "model.layers.12"},
        {"config": {"layer": 12}, "layer": 12},
        {"meta": '{"hook": {"hook_layer": 12}}'},
    ],
    ids=str,
)
def test_the_layer_beside_a_vector_is_offered(beside, dtype):
    (vector,) = found(torch_bytes({"vector": torch.tensor([3.0, 4.0], dtype=dtype), **beside})).vectors
    assert (vector.layer, vector.in_matrix) == (12, False)


def test_the_layer_beside_each_of_several_vectors_is_its_own():
    value = {name: {"vector": torch.ones(2) * n, "layer": n} for name, n in (("a", 10), ("b", 12))}
    assert {v.title: v.layer for v in found(torch_bytes(value)).vectors} == {"a · vector": 10, "b · vector": 12}


STATED = ["10, 12, 14", "[10, 12, 14]", "10 12 14", "(10,12,14)", '["10", "12", "14"]']


@pytest.mark.parametrize("layers", STATED)
@pytest.mark.parametrize("name", ["layers", "layer_ids", "layer_indices", "layer"])
def test_stated_layers_are_those_of_the_rows_and_of_the_vectors(name, layers):
    rows = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    several = {f"v{i}": row for i, row in zip((2, 9, 10), rows, strict=True)}
    for data in (
        raw_file({"v": rows}, **{name: layers}),
        raw_file({"v": rows[:, None]}, **{name: layers}),
        raw_file(several, **{name: layers}),
        raw_file({str(i): row for i, row in enumerate(rows)}, **{name: layers}),
        raw_file({"v": rows}, config=json.dumps({name: [10, 12, 14]})),
        torch_bytes({"v": torch.from_numpy(rows), name: [10, 12, 14]}),
        torch_bytes({"v": list(torch.from_numpy(rows)), name: torch.tensor([10, 12, 14])}),
        torch_bytes({"v": list(torch.from_numpy(rows)), "meta": {name: layers}, name: layers}),
    ):
        read = found(data)
        assert {v.layer: v.vector.tolist() for v in read.vectors} == dict(
            zip((10, 12, 14), rows.tolist(), strict=True)
        ), data[:200]
        assert not any(v.in_matrix for v in read.vectors)


def test_layers_by_the_names_of_tensors():
    rows = {"a": VEC, "b": VEC * 2}
    for metadata in (
        {"layers": '{"a": 10, "b": 12}'},
        {"a.layer": "10", "b.layer": "12"},
        {"a": '{"layer": 10}', "b_layer": "12"},
    ):
        assert {v.title: v.layer for v in found(raw_file(rows, **metadata)).vectors} == {"a": 10, "b": 12}


def test_layers_that_do_not_match_the_vectors_are_said_and_not_taken():
    read = found(raw_file({"v": np.ones((3, 4), np.float32)}, layers="10, 12"))
    assert all(v.in_matrix for v in read.vectors)
    assert "names the layers 10, 12, but not one for each vector" in read.vectors[0].note
    (vector,) = found(raw_file({"layer_3": VEC}, layer="7")).vectors
    assert vector.layer is None
    assert "different layers: “layer_3”; “layer: 7”" in vector.note
    (vector,) = found(numpy_bytes(VEC), "layer_9.npy").vectors
    assert vector.layer == 9
    (vector,) = found(raw_file({"v": VEC}, layer="7"), "layer_9.safetensors").vectors
    assert vector.layer is None


@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 4), (1, 3, 4), (3, 4, 1), (1, 3, 1, 4)])
def test_axes_of_length_1_do_not_count(shape):
    rows = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    read = found(numpy_bytes(rows.reshape(shape)))
    assert [(v.layer, v.in_matrix, v.vector.tolist()) for v in read.vectors] == [
        (i, True, row.tolist()) for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1), (1, 4, 1)])
def test_one_vector_has_no_layer_unless_the_file_names_it(shape):
    array = np.arange(1, 5, dtype=np.float32).reshape(shape)
    (vector,) = found(numpy_bytes(array)).vectors
    assert (vector.layer, vector.in_matrix, vector.vector.tolist()) == (None, False, [1, 2, 3, 4])


@pytest.mark.parametrize(("shape", "layouts"), [((3, 8), 1), ((8, 3), 2), ((5, 5), 2), ((4000, 3), 1)])
def test_a_matrix_is_read_by_rows_or_by_columns(shape, layouts):
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    (tensor,) = found(numpy_bytes(array)).tensors
    assert len(tensor.layouts) == layouts
    for layout, rows in (("rows", array), ("columns", array.T)):
        if layout in tensor.layouts:
            vectors = tensor.vectors(layout)
            assert np.array_equal([v.vector for v in vectors], rows)
            assert [v.layer for v in vectors] == list(range(len(rows)))


def test_a_third_axis_is_a_question():
    array = np.random.default_rng(0).standard_normal((2, 3, 8)).astype(np.float32)
    (tensor,) = found(torch_bytes({"mean_diffs": torch.from_numpy(array)})).tensors
    assert tensor.layouts == ("second", "first")
    assert (tensor.others("second"), tensor.others("first")) == (2, 3)
    assert np.array_equal([v.vector for v in tensor.vectors("second", at=1)], array[1])
    assert np.array_equal([v.vector for v in tensor.vectors("first", at=2)], array[:, 2])


def test_an_archive_of_numpy_arrays_is_read():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, steer=VEC, layer=12, note="by hand", other=np.arange(3.0) + 1)
    read = found(buffer.getvalue(), "x.npz")
    assert read.kind == "npz"
    assert {v.title: (v.layer, v.vector.tolist()) for v in read.vectors} == {
        "steer": (12, [3, 4]),
        "other": (12, [1, 2, 3]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{"layer_10": VEC, "blocks.12.hook_resid_pre": VEC})
    assert {v.layer for v in found(buffer.getvalue()).vectors} == {10, 11}


def test_a_list_of_vectors_is_a_matrix_whose_rows_nobody_named():
    read = found(torch_bytes([torch.ones(2) * n for n in (1, 2, 3)]))
    assert [(v.title, v.layer, v.in_matrix, v.vector[0]) for v in read.vectors] == [
        ("", i, True, i + 1) for i in range(3)
    ]


def test_nested_dicts_become_titles_with_layers():
    value = {"happy": {0: torch.ones(2), 1: torch.ones(2)}, "sad": torch.ones(3, 2), "bias": torch.ones(1)}
    read = found(torch_bytes(value))
    assert read.titles == ("happy", "sad")
    assert [v.layer for v in read.of("happy")] == [0, 1]
    assert [v.layer for v in read.of("sad")] == [0, 1, 2]
    assert read.ignored == ("bias has shape [1]",)


def test_a_control_vector_of_several_layers_keeps_their_numbers():
    layers = {il: np.full(4, il, np.float32) for il in (1, 2, 31)}
    read = found(write_layers("gguf", layers, texts={"controlvector.model_hint": "llama"}))
    assert [(v.layer, v.title) for v in read.vectors] == [(1, ""), (2, ""), (31, "")]
    assert read.model_hint == "llama"
    direction = make_direction(read, read.vectors[2], layer=31)
    assert (direction.norm, direction.layer) == (62, 31)


@pytest.mark.parametrize(
    ("vector", "problem"),
    [
        ([np.nan, 1], "NaN"),
        ([np.inf, 1], "infinite"),
        ([0, 0], "norm 0"),
        ([1e-9, 0], "norm 1e-09"),
        ([1e7, 0], r"norm 1e\+07"),
        ([1], "shape"),
        ([], "shape"),
    ],
)
def test_bad_vectors_are_refused_by_name(vector, problem):
    array = np.array(vector, np.float32)
    for data in (raw_file({"v": array}), numpy_bytes(array), torch_bytes(torch.from_numpy(array))):
        with pytest.raises(BadDirection, match=problem):
            single(data)


def test_overflow_integers_and_shapes_are_refused():
    with pytest.raises(BadDirection, match="infinite"):
        single(raw_file({"v": np.array([1e300, 1])}))
    with pytest.raises(BadDirection, match="int64"):
        single(raw_file({"v": np.array([1, 2])}))
    with pytest.raises(BadDirection, match="int64"):
        single(torch_bytes(torch.arange(3)))
    with pytest.raises(BadInput, match="BOOL"):
        single(raw_file({"v": np.array([True, False])}))
    with pytest.raises(BadDirection, match=r"shape \[2, 2, 2, 2\]"):
        single(numpy_bytes(np.ones((2, 2, 2, 2), np.float32)))
    with pytest.raises(BadDirection, match="2,000 rows"):
        single(numpy_bytes(np.ones((2000, 2000), np.float32)))
    with pytest.raises(BadDirection, match="holds no vector"):
        single(raw_file({}))
    with pytest.raises(BadDirection, match="holds no vector"):
        single(torch_bytes({}))


def test_a_damaged_export_is_not_taken_for_a_foreign_file():
    for data in (direction_bytes(sv.direction())[:-1], direction_bytes(sv.direction())[:-1] + b"\xff"):
        with pytest.raises(BadInput, match="cannot be read as a direction"):
            read_vectors(data, name="x")
    with pytest.raises(BadInput, match="cannot be read as a direction"):
        read_vectors(dump(sv.generation()), name="x")


def test_a_forged_vector_in_an_export_is_named():
    bad = dataclasses.replace(sv.direction(), vector=sv.direction().vector.copy())
    bad.vector[0] = np.nan
    with pytest.raises(BadDirection, match="NaN"):
        read_vectors(direction_bytes(bad), name="f")


# ---- published means


@pytest.mark.skipif(not MEANS_8B.exists(), reason="the published mean vectors of the 8B model are not on this machine")
def test_the_published_means_of_the_8b_model_are_a_set():
    data = MEANS_8B.read_bytes()
    means = read_vectors(data, name=MEANS_8B.name)
    assert isinstance(means, MeanVectors)
    expected = torch.load(io.BytesIO(data), weights_only=True)
    assert means.labels == tuple(expected)
    assert means.means.shape == (7, 32, 4096)
    for row, (label, entry) in enumerate(expected.items()):
        assert means.counts[row] == entry["count"]
        assert means.means[row].tobytes() == entry["mean"].numpy().tobytes()
        if label != "overall":
            raw = entry["mean"][10].double() - expected["overall"]["mean"][10].double()
            direction = means.direction(label, layer=10)
            assert direction.norm == pytest.approx(float(raw.norm()), rel=1e-6)
            assert direction.vector * direction.norm == pytest.approx(raw.numpy(), abs=1e-6)
    cosines = means.cosines("overall")
    assert cosines.shape == (32, 6, 6)
    assert np.diagonal(cosines, axis1=1, axis2=2) == pytest.approx(1)
