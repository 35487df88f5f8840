"""The directions page without any model: list, files in and out, cosines, arithmetic, sets of mean vectors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save as safetensors_bytes
from streamlit.testing.v1 import AppTest

from core.directions import tensor_child, tensors
from core.directions.direction import Direction
from core.directions.exports import FORMATS, export_bytes
from core.directions.folder import direction_bytes
from core.directions.tensors import write_layers
from core.settings import CACHE
from core.workbench import Workbench
from tests.directions.test_mean_vectors import make_means
from tests.directions.test_tensors import Touches, numpy_bytes, torch_bytes
from tests.page_helpers import page_test
from ui.directions.upload import FILE_KEY, VIEW_KEY
from ui.shell.state import workbench

HOSTILE = "![x](https://beacon.example/x.png) <img src=x onerror=alert(1)>"


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Workbench:
    """An own cache folder and no model; files are read in this process."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(tensors, "_run_child", tensor_child.answer)
    monkeypatch.setattr("streamlit.page_link", lambda *args, **kwargs: None)
    monkeypatch.setattr("ui.directions.choices.recorded_directions", tuple)
    workbench.clear()
    return workbench()


def rerun(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def opened(view: str = "Saved") -> AppTest:
    app = page_test("directions")
    app.session_state[VIEW_KEY] = view
    return rerun(app)


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return rerun(app)


def said(app: AppTest) -> str:
    """All that the page says, as it reads: the escapes of markdown removed."""
    blocks = [*app.error, *app.warning, *app.info, *app.success, *app.caption, *app.markdown]
    return " ".join(block.value for block in blocks).replace("\\", "")


def names(bench: Workbench) -> list[str]:
    return [item.direction.name for item in bench.directions.list()]


def uploaded(data: bytes, name: str) -> AppTest:
    app = opened("Import")
    app.file_uploader(key=f"{FILE_KEY}:0").set_value((name, data, ""))
    return rerun(app)


def field(app: AppTest, label: str):
    return next(box for box in (*app.text_input, *app.text_area) if box.label == label)


@pytest.mark.parametrize("view", ["Saved", "Import", "Cosines", "Arithmetic", "Mean vectors"])
def test_every_view_says_what_to_do_when_there_is_nothing(bench, view):
    assert not bench.pair.spec
    app = opened(view)
    assert app.info or any("direction.N" in block.value for block in app.markdown)


def test_rename_note_and_delete(bench, make_direction):
    bench.directions.save(make_direction(32))
    app = opened()
    field(app, "New name").set_value(HOSTILE)
    app = press(app, "Rename")
    assert names(bench) == [HOSTILE]
    field(app, "Note").set_value(HOSTILE)
    app = press(app, "Keep the note")
    assert dict(bench.directions.list()[0].direction.provenance)["note"] == HOSTILE
    assert not any("![x]" in block.value for block in app.markdown)
    assert list(app.dataframe[0].value["note"]) == [HOSTILE]
    field(app, "New name").set_value(" ")
    app = press(app, "Rename")
    assert "new name is empty" in said(app)
    assert names(bench) == [HOSTILE]
    app = press(app, "Yes, delete it")
    assert names(bench) == []
    assert "Nothing is saved yet" in said(app)


def test_a_damaged_file_is_listed_with_its_reason(bench, make_direction):
    direction_id = bench.directions.save(make_direction(32))
    (bench.directions.folder / f"{direction_id}.safetensors").write_bytes(b"damaged")
    app = opened()
    assert "cannot be used" in said(app)
    assert any("damaged" in str(frame.value) for frame in app.dataframe)


def test_layer_0_as_a_control_vector_is_explained(bench, make_direction):
    direction_id = bench.directions.save(make_direction(32, layer=0))
    app = opened()
    app.selectbox(key=f"directions:format:{direction_id}").set_value("gguf")
    assert "no control vector for layer 0" in said(rerun(app))


@pytest.mark.parametrize("to", FORMATS)
def test_every_export_can_be_added_again(bench, make_direction, to):
    direction = dataclasses.replace(make_direction(32, layer=4), source_model="base")
    app = uploaded(export_bytes(direction, to), f"mine.{to}")
    if to == "npy":
        next(box for box in app.number_input if box.label.startswith("Layer")).set_value(4)
    if to in ("npy", "pt"):
        app = press(rerun(app), "Add 1 to the saved directions")
    else:
        app = press(app, "Add to the saved directions")
    assert "Added to the saved directions" in said(app)
    (saved,) = bench.directions.list()
    assert saved.direction.vector.tobytes() == direction.vector.tobytes()
    assert saved.direction.layer == 4
    assert to in ("npy", "pt") or saved.direction == direction


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"not safetensors at all", "cannot be read"),
        (safetensors_bytes({"a": np.ones((2, 3, 4, 5), np.float32)}), "shape [2, 3, 4, 5]"),
        (numpy_bytes(np.arange(3)), "int64 values"),
        (torch_bytes({"x": Touches("/nowhere/at/all")}), "which is code"),
        (direction_bytes(Direction.from_raw(np.ones(4, "f4"), name="x", layer=0))[:-1], "damaged"),
    ],
    ids=["foreign", "shape", "integers", "pickle", "cut"],
)
def test_a_bad_file_is_refused_and_the_list_stays(bench, make_direction, data, sentence):
    bench.directions.save(make_direction(32))
    app = uploaded(data, f"{HOSTILE}.pt")
    assert sentence in said(app)
    assert not any("![x]" in block.value for block in (*app.error, *app.markdown))
    assert len(names(bench)) == 1


def test_a_vector_that_is_no_direction_is_refused_when_it_is_added(bench):
    app = uploaded(numpy_bytes(np.full(8, np.nan, np.float32)), "nan.npy")
    assert "NaN" in said(press(app, "Add 1 to the saved directions"))
    assert names(bench) == []


def test_a_matrix_asks_for_its_layers_and_what_row_0_is(bench):
    app = uploaded(numpy_bytes(np.eye(5, 8, dtype=np.float32) * 2), "matrix.npy")
    assert "5 vectors" in said(app)
    assert "No layer is chosen" in said(press(app, "Add to the saved directions"))
    app.radio(key="vectors:first").set_value("embeddings")
    app = rerun(app)
    app.multiselect(key="vectors:layers:1").set_value([0, 2])
    app = rerun(app)
    field(app, "Model that it belongs to").set_value("llama")
    press(app, "Add 2 to the saved directions")
    saved = {item.direction.layer: item.direction for item in bench.directions.list()}
    assert sorted(saved) == [0, 2]
    for layer, direction in saved.items():
        assert direction.norm == 2
        assert direction.vector.argmax() == layer + 1
        assert (direction.source_model, direction.name) == ("llama", f"matrix · layer {layer}")


def layer_box(app: AppTest):
    return next(box for box in app.number_input if box.label.startswith("Layer"))


def kept_layers(bench: Workbench) -> dict[int, float]:
    """Layer and norm of the saved directions."""
    return {item.direction.layer: item.direction.norm for item in bench.directions.list()}


def test_without_a_stated_layer_none_is_taken(bench):
    app = uploaded(numpy_bytes(np.full(4, 2, np.float32)), "mine.npy")
    assert layer_box(app).value is None
    app = press(app, "Add 1 to the saved directions")
    assert "No layer is chosen" in said(app)
    assert names(bench) == []
    layer_box(app).set_value(7)
    press(rerun(app), "Add 1 to the saved directions")
    assert kept_layers(bench) == {7: 4}


@pytest.mark.parametrize(
    ("tensor", "metadata", "name", "layer", "sentence"),
    [
        ("v", {"layer": "12"}, "mine", 12, "Layer 12 is what the file says."),
        ("model.layers.12", None, "mine", 12, "Layer 12 is what the file says."),
        ("v", None, "steering_vector_layer-12", 12, "Layer 12 is what the file says."),
        ("blocks.12.hook_resid_pre", None, "mine", 11, "the output of block 11, so layer 11 is offered."),
        ("blocks.12.hook_resid_mid", None, "mine", None, "that is no layer here. Choose a layer."),
        ("v", {"layer": "3"}, "mine_L9", None, "The file names different layers"),
    ],
)
def test_the_layer_that_the_file_states_is_offered(bench, tensor, metadata, name, layer, sentence):
    app = uploaded(safetensors_bytes({tensor: np.ones(4, np.float32)}, metadata), f"{name}.safetensors")
    assert layer_box(app).value == layer
    assert sentence in said(app)
    app = press(app, "Add 1 to the saved directions")
    assert list(kept_layers(bench)) == ([] if layer is None else [layer])


def test_several_vectors_of_stated_layers_are_chosen_together(bench):
    vectors = {f"v{i}": np.full(4, i, np.float32) for i in (1, 2, 3)}
    app = uploaded(safetensors_bytes(vectors, {"layers": "10, 12, 14"}), "three.safetensors")
    app.multiselect(key="vectors:layers:stated").set_value([10, 14])
    press(rerun(app), "Add 2 to the saved directions")
    assert kept_layers(bench) == {10: 2, 14: 6}


@pytest.mark.parametrize(("first", "layers"), [("blocks", [0, 1, 2]), ("embeddings", [0, 1])])
def test_nothing_is_taken_for_the_first_row_of_a_matrix(bench, first, layers):
    app = uploaded(numpy_bytes(np.ones((3, 1, 8), np.float32)), "matrix.npy")
    assert app.radio(key="vectors:first").value is None
    assert not app.multiselect
    app.radio(key="vectors:first").set_value(first)
    app = rerun(app)
    assert app.multiselect[0].options == [str(layer) for layer in layers]
    assert app.multiselect[0].value == []


def test_rows_that_count_no_layers_get_the_layer_that_is_typed(bench):
    rows = np.ones((3, 8), np.float32) * np.array([[1], [2], [3]], np.float32)
    app = uploaded(numpy_bytes(rows), "probes.npy")
    app.radio(key="vectors:first").set_value("neither")
    app = rerun(app)
    app.number_input(key="vectors:row").set_value(2)
    layer_box(app).set_value(5)
    press(rerun(app), "Add 1 to the saved directions")
    assert kept_layers(bench) == {5: pytest.approx(3 * 8**0.5)}


@pytest.mark.parametrize(("layout", "at"), [("second", 1), ("first", 2)])
def test_an_axis_of_positions_is_asked_for(bench, layout, at):
    array = np.random.default_rng(0).standard_normal((2, 3, 8)).astype(np.float32)
    app = uploaded(numpy_bytes(array), "mean_diffs.npy")
    assert "which one counts layers" in said(app)
    app.radio(key="vectors:layout:").set_value(layout)
    app = rerun(app)
    app.number_input(key="vectors:at").set_value(at)
    app.radio(key="vectors:first").set_value("blocks")
    app = rerun(app)
    app.multiselect(key="vectors:layers:0").set_value([1])
    press(rerun(app), "Add 1 to the saved directions")
    want = array[1, 1] if layout == "second" else array[1, 2]
    (saved,) = bench.directions.list()
    assert saved.direction.layer == 1
    assert saved.direction.vector * saved.direction.norm == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(("producer", "layer"), [("at block", 12), ("after block", 11)])
def test_who_wrote_a_control_vector_decides_its_layer(bench, producer, layer):
    app = uploaded(write_layers("gguf", {12: np.full(4, 2, np.float32)}), "control.gguf")
    assert app.radio(key="vectors:producer").value is None
    assert "its numbers mean different layers" in said(app)
    assert "No layer is chosen" in said(press(app, "Add to the saved directions"))
    app.radio(key="vectors:producer").set_value(producer)
    press(rerun(app), "Add 1 to the saved directions")
    assert kept_layers(bench) == {layer: 4}


def test_two_directions_are_compared_and_combined(bench, make_direction):
    for seed in range(3):
        bench.directions.save(make_direction(32, seed=seed, layer=seed, norm=2.0))
    bench.directions.save(make_direction(48, seed=9))
    app = opened("Cosines")
    app.toggle(key="directions:matrix:table").set_value(True)
    app = rerun(app)
    table = app.dataframe[1].value
    assert table.shape == (3, 3)
    assert np.diag(table.to_numpy()) == pytest.approx(1)
    app = opened("Arithmetic")
    v, w = (next(b for b in app.selectbox if b.label == s) for s in "vw")
    assert v.value != w.value
    assert bench.directions.load(v.value).d_model == 32
    by_name = {item.direction.name: item for item in bench.directions.list()}
    v.set_value(by_name["random 0"].direction_id)
    app = rerun(app)
    next(b for b in app.selectbox if b.label == "w").set_value(by_name["random 1"].direction_id)
    app = rerun(app)
    shown = {metric.label: metric.value for metric in app.metric}
    cosine = by_name["random 0"].direction.cosine(by_name["random 1"].direction)
    assert shown["cosine v, w"].replace("−", "-") == f"{cosine:+.3f}"
    assert float(shown["cosine result, w"].replace("−", "-")) == 0
    app = press(app, "Save the result")
    saved = next(i.direction for i in bench.directions.list() if i.direction.name == "random 0 without random 1")
    assert abs(saved.cosine(by_name["random 1"].direction)) < 1e-6


def test_a_zero_result_is_explained(bench, make_direction):
    bench.directions.save(make_direction(32))
    app = opened("Arithmetic")
    assert "is zero: its parts cancel" in said(app)
    app.segmented_control(key="directions:operation").set_value("times")
    app = rerun(app)
    app.number_input(key="directions:factor").set_value(0.0)
    assert "zero vector" in said(rerun(app))


def test_a_set_of_means_from_file_to_direction_without_a_model(bench):
    means = make_means(n_layers=4, d_model=16)
    value = {
        label: {"mean": means.means[i].tolist(), "count": int(means.counts[i])} for i, label in enumerate(means.labels)
    }
    import torch

    for entry in value.values():
        entry["mean"] = torch.tensor(entry["mean"])
    app = uploaded(torch_bytes(value), "means.pt")
    assert "3 labels" in said(app)
    field(app, "Model that the means were taken in").set_value(HOSTILE)
    app = press(app, "Keep the set")
    assert "The set is kept" in said(app)
    assert app.segmented_control(key=VIEW_KEY).value == "Mean vectors"
    assert not bench.pair.spec
    assert list(app.dataframe[0].value["samples"]) == ["9", "4", "5"]
    app.slider[0].set_value(3)
    app = rerun(app)
    app.toggle(key="means:table").set_value(True)
    app = rerun(app)
    table = app.dataframe[0].value
    assert table.to_numpy() == pytest.approx(means.cosines("overall")[3], abs=1e-3)
    app = press(app, "Add to the saved directions")
    (saved,) = bench.directions.list()
    assert saved.direction.layer == 3
    assert saved.direction.digest == means.direction("backtracking", layer=3).digest
    app = press(app, "Yes, delete it")
    assert bench.mean_vectors.list() == []
    assert len(names(bench)) == 1
