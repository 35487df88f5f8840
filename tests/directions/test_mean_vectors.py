"""Mean-vector sets: read from the published layout, compared label by label, kept until deleted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.directions.direction import Direction
from core.directions.mean_vectors import MeanVectorFolder, MeanVectors, mean_vectors_in
from core.directions.tensors import TensorFile
from core.disk.codec import dump
from core.errors import BadDirection, BadInput
from tests.stored_values import assert_same


def make_means(*, n_layers: int = 3, d_model: int = 8, name: str = "set", **fields) -> MeanVectors:
    rng = np.random.default_rng(d_model)
    return MeanVectors(
        name=name,
        labels=("overall", "backtracking", "deduction"),
        means=rng.standard_normal((3, n_layers, d_model)).astype(np.float32),
        counts=np.array([9, 4, 5]),
        **fields,
    )


def file_of(**labels: tuple[np.ndarray, object]) -> TensorFile:
    return TensorFile(
        kind="pt",
        arrays={(label, "mean"): mean for label, (mean, _) in labels.items()},
        numbers={(label, "count"): count for label, (_, count) in labels.items() if count is not None},
        texts={},
    )


def test_the_published_layout_is_read():
    means = make_means()
    read = mean_vectors_in(
        file_of(**{label: (means.means[i], means.counts[i]) for i, label in enumerate(means.labels)}), label="f"
    )
    assert read.labels == means.labels
    assert read.counts.tolist() == [9, 4, 5]
    assert read.means.tobytes() == means.means.tobytes()
    assert read.provenance == (("file", "f"),)


def test_other_files_are_no_set():
    ones = np.ones((2, 4), np.float32)
    for arrays in (
        {},
        {("v",): ones},
        {("a", "mean"): ones[0]},
        {("a", "mean"): ones, ("a", "std"): ones},
        {("a", "b", "mean"): ones},
    ):
        assert mean_vectors_in(TensorFile(kind="pt", arrays=arrays, numbers={}, texts={}), label="f") is None


def test_a_label_without_a_finite_mean_is_left_out_and_named():
    ones = np.ones((2, 4), np.float32)
    read = mean_vectors_in(file_of(a=(ones, 3), b=(ones * np.nan, 0)), label="f")
    assert read.labels == ("a",)
    assert ("left out", "b: NaN") in read.provenance
    with pytest.raises(BadDirection, match="Every mean"):
        mean_vectors_in(file_of(b=(ones * np.nan, 0)), label="f")


@pytest.mark.parametrize("count", [None, -1, 1e300, float("nan")])
def test_an_unknown_count_is_0(count):
    read = mean_vectors_in(file_of(a=(np.ones((2, 4), np.float32), count)), label="f")
    assert read.counts.tolist() == [0]


def test_means_of_different_models_are_refused():
    with pytest.raises(BadInput, match=r"\[2, 4\], \[3, 4\]"):
        mean_vectors_in(file_of(a=(np.ones((2, 4), "f4"), 1), b=(np.ones((3, 4), "f4"), 1)), label="f")
    with pytest.raises(BadInput, match="shapes"):
        mean_vectors_in(file_of(a=(np.ones((2000, 4), "f4"), 1)), label="f")


def test_two_labels_of_one_name_are_refused():
    ones = np.ones((2, 4), np.float32)
    with pytest.raises(BadInput, match="different names"):
        mean_vectors_in(file_of(**{"a\n": (ones, 1), "a": (ones, 1)}), label="f")


def test_cosines_are_those_of_the_differences():
    means = make_means()
    rows = means.means.astype(np.float64)
    for minus, others in (("overall", (1, 2)), ("deduction", (0, 1)), ("", (0, 1, 2))):
        cosines = means.cosines(minus)
        base = rows[means.labels.index(minus)] if minus else np.zeros_like(rows[0])
        for layer in range(3):
            for i, a in enumerate(others):
                for j, b in enumerate(others):
                    x, y = rows[a, layer] - base[layer], rows[b, layer] - base[layer]
                    want = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
                    assert cosines[layer, i, j] == pytest.approx(want, abs=1e-12)


def test_the_matrix_agrees_with_the_directions():
    means = make_means(source_model="8B")
    a, b = (means.direction(label, layer=1) for label in ("backtracking", "deduction"))
    assert a.cosine(b) == pytest.approx(means.cosines("overall")[1, 0, 1], abs=1e-6)
    assert (a.layer, a.source_model, a.name) == (1, "8B", "backtracking − overall · 8B · layer 1")
    assert dict(a.provenance)["count"] == "4"
    assert dict(a.provenance)["count of overall"] == "9"


def test_a_label_equal_to_the_subtracted_one_has_no_direction():
    means = make_means()
    means.means[1] = means.means[0]
    assert np.isnan(means.cosines("overall")[:, 0]).all()
    with pytest.raises(BadDirection, match="norm 0"):
        means.direction("backtracking", layer=0)


@pytest.mark.parametrize(("share", "there"), [(0.5, False), (0.99, False), (1.01, True), (100, True)])
def test_a_difference_that_is_only_rounding_is_no_direction(share, there):
    means = make_means(d_model=64)
    overall = means.means[0, 1].astype(np.float64)
    step = 64 * 2.0**-23 * np.linalg.norm(overall)
    far = np.zeros(64)
    far[np.abs(overall).argmin()] = 1
    wide = dataclasses.replace(means, means=means.means.astype(np.float64))
    wide.means[1, 1] = overall + share * step * far
    size = np.linalg.norm(wide.means[1, 1])
    assert (np.linalg.norm(wide.means[1, 1] - overall) > 64 * 2.0**-23 * size) == there
    assert np.isfinite(wide.cosines("overall")[1, 0, 1]) == there
    if there:
        assert wide.direction("backtracking", layer=1).norm == pytest.approx(share * step, rel=1e-6)
    else:
        with pytest.raises(BadDirection, match="is rounding beside a mean norm"):
            wide.direction("backtracking", layer=1)


def test_what_is_not_there_is_named():
    means = make_means()
    for act in (
        lambda: means.direction("x", layer=0),
        lambda: means.direction("backtracking", layer=3),
        lambda: means.direction("backtracking", layer=-1),
        lambda: means.cosines("x"),
    ):
        with pytest.raises(BadInput):
            act()


def test_a_set_is_there_after_a_restart_until_it_is_deleted(tmp_path):
    folder = MeanVectorFolder(tmp_path / "cache")
    assert folder.list() == []
    set_id = folder.save(make_means(), name=" My\nset ", source_model="llama")
    again = MeanVectorFolder(tmp_path / "cache")
    (kept,) = again.list()
    assert (kept.item_id, kept.value.name, kept.value.source_model) == (set_id, "My set", "llama")
    assert_same(again.load(set_id).means, make_means().means)
    assert again.save(make_means(name="other name")) == set_id
    assert len(again.list()) == 1
    assert (tmp_path / "cache" / "mean_vectors").stat().st_mode & 0o777 == 0o700
    again.delete(set_id)
    assert again.list() == []
    for act in (again.load, again.delete):
        with pytest.raises(BadInput, match="no saved mean-vector set"):
            act(set_id)


def test_a_damaged_set_is_named_and_left_alone(tmp_path):
    folder = MeanVectorFolder(tmp_path)
    set_id = folder.save(make_means())
    path = folder.folder / f"{set_id}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert folder.list() == []
    ((name, reason),) = folder.broken()
    assert name == path.name
    assert "damaged" in reason
    assert path.exists()
    with pytest.raises(BadInput, match=r"damaged\. Delete it, and import it again"):
        folder.load(set_id)


def test_a_set_written_anew_with_other_means_under_its_name_is_refused(tmp_path):
    folder = MeanVectorFolder(tmp_path)
    set_id = folder.save(make_means())
    path = folder.folder / f"{set_id}.safetensors"
    other = make_means()
    other.means[1] *= 2
    path.write_bytes(dump(other, key=set_id))
    assert folder.list() == []
    assert "changed outside this app" in folder.broken()[0][1]
    assert path.exists()


def test_a_set_of_other_number_types_is_there_after_saving(tmp_path):
    folder = MeanVectorFolder(tmp_path)
    means = make_means()
    wide = dataclasses.replace(means, means=means.means.astype(np.float64), counts=means.counts.astype(np.int32))
    assert folder.save(wide) == folder.save(means)
    assert len(folder.list()) == 1


def test_values_check_their_shapes():
    for changes in (
        {"means": np.zeros((2, 3, 8), np.float32)},
        {"means": np.zeros((3, 8), np.float32)},
        {"counts": np.array([1, 2])},
        {"labels": ("a", "a", "b")},
    ):
        with pytest.raises(BadInput):
            MeanVectors(
                **{"name": "n", "labels": ("a", "b", "c"), "means": np.zeros((3, 2, 4), "f4"), "counts": np.zeros(3)}
                | changes
            )
    with pytest.raises(BadDirection, match="NaN"):
        MeanVectors(name="n", labels=("a",), means=np.full((1, 1, 2), np.nan, np.float32), counts=np.array([1]))


def test_a_direction_of_a_set_is_a_direction():
    assert isinstance(make_means().direction("backtracking", layer=2, minus=""), Direction)
