"""Large passes: kept layer by layer, unrounded while they run and in half precision when they are done."""

import itertools
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from core.disk.store import Store
from core.errors import BadInput
from core.extraction import keeping, moments
from core.extraction.contrast import contrast, mean_activation, reliability_curve
from core.extraction.layers import ExactLayer, Growing, Unfinished
from core.extraction.moments import NEGATIVES, WEIGHTINGS, MomentsSpec, bytes_needed, is_large, single_offsets
from core.extraction.passes import record_moments
from core.extraction.shelf import KIND, UNFINISHED, MomentShelf, OnDisk
from core.extraction.work import record
from core.jobs import finish
from core.values import ModelSpec, Window
from tests.extraction.test_moments import LABELS, WINDOWS, moments_spec
from tests.extraction.test_passes import make_traces
from tests.processes import Forked
from tests.stored_values import assert_same
from tests.tiny_models import tiny_loaded

ALL_NEGATIVES = (*NEGATIVES, "position")


@pytest.fixture
def large(monkeypatch):
    """Every pass counts as large, and keeps what it has after every trace."""
    monkeypatch.setattr(moments, "WHOLE_BYTES", 0)
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(keeping, "KEEP_SHARE", float("inf"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return tiny_loaded(tmp_path_factory.mktemp("model"))


TRACES = make_traces(12)


def spec_of(loaded):
    return moments_spec(loaded, TRACES, shuffled="backtracking")


def recorded(loaded, shelf, traces=TRACES):
    finish(record(lambda model, fingerprint: loaded, shelf, [spec_of(loaded)], traces))
    return shelf.get(spec_of(loaded))


@pytest.fixture(scope="module")
def exact(loaded):
    *_, found = record_moments(loaded, TRACES, spec_of(loaded))
    return found


def numbers_of(found, label, negatives, weighting):
    """Unit vectors, separations and reliabilities of every window and layer."""
    made = contrast(found, label, negatives=negatives, weighting=weighting)
    unit = made.vectors / np.linalg.norm(made.vectors, axis=-1, keepdims=True)
    return unit.astype(np.float64), made.separation, made.reliability, made.norms


def assert_close(got, want, label, negatives, weighting):
    """Every window: cosine, separation, reliability and norm within a thousandth."""
    (unit, separation, reliability, norms), (unit0, separation0, reliability0, norms0) = (
        numbers_of(found, label, negatives, weighting) for found in (got, want)
    )
    assert np.nanmax(1 - (unit * unit0).sum(-1)) < 1e-3
    assert np.array_equal(np.isfinite(unit), np.isfinite(unit0))
    assert np.nanmax(np.abs(separation - separation0)) < 1e-3
    assert np.nanmax(np.abs(reliability - reliability0)) < 1e-3
    assert np.nanmax(np.abs(norms / norms0 - 1)) < 1e-3


@pytest.mark.parametrize(("label", "negatives"), list(itertools.product(LABELS, ALL_NEGATIVES)))
def test_half_precision_is_enough_for_every_window(loaded, exact, tmp_path, large, label, negatives):
    recorded(loaded, MomentShelf(Store(tmp_path)))
    found = MomentShelf(Store(tmp_path)).get(spec_of(loaded))
    assert isinstance(found, OnDisk)
    for weighting in WEIGHTINGS:
        assert_close(found, exact, label, negatives, weighting)
    layer = found.spec.layers[-1]
    means = [mean_activation(of, layer) for of in (found, exact)]
    assert np.linalg.norm(means[0] - means[1]) < 1e-4 * np.linalg.norm(means[1])
    curves = [reliability_curve(of, label, layer=layer, window=WINDOWS[0]) for of in (found, exact)]
    assert np.allclose(curves[0].cosine, curves[1].cosine, atol=1e-3)


@dataclass(frozen=True)
class UnroundedLayer:
    """A layer in float64: float32 squares of a component of 1000 hide a spread of 0.01."""

    exact: ExactLayer

    def positive(self, weighting, row):
        return (self.exact.per_trace, self.exact.per_token)[weighting][row]

    def squares(self, row):
        return self.exact.squares[row]

    def negative(self, weighting, row, negatives):
        return self.exact.by_kind()[weighting, row, negatives]

    def all_squares(self):
        return self.exact.all_squares


class Unrounded(Growing):
    def layer(self, i):
        return UnroundedLayer(self.exact(i))


def massive(d=64, rows=3, folds=4, n=200, seed=0):
    """A pass whose residual stream has components a thousand times the others, the same at every token, and other
    components with a hundredth of the others' spread."""
    rng = np.random.default_rng(seed)
    windows, labels = single_offsets(-2, 1), tuple("abc"[:rows])
    base = rng.standard_normal(d)
    base[:3] = [1000.0, -800.0, 300.0]
    size = np.where(np.arange(d) % 7 == 0, 0.01, 1.0)
    shift = 0.1 * rng.standard_normal((rows, len(windows), d)) * size
    tokens = rng.standard_normal((folds, rows, len(windows), n, d)) * size + base + shift[None, :, :, None]
    background = rng.standard_normal((folds, 8 * n, d)) * size + base
    per_token = tokens.sum(3).transpose(1, 0, 2, 3)
    negative = np.broadcast_to(background.sum(1)[:, None], (folds, 2 * rows * 3, d))
    layer = ExactLayer(
        per_trace=per_token / 2,
        per_token=per_token,
        squares=(tokens**2).sum((0, 3)),
        negative=negative.copy(),
        all_squares=(background**2).sum((0, 1)),
        norms=np.ones(1),
    )
    counts = np.full((2, rows, folds, len(windows)), n)
    counts[0] //= 2
    spec = MomentsSpec(
        model=ModelSpec(repo_id="m"),
        fingerprint="f",
        traces_digest="t",
        labels=labels,
        windows=windows,
        layers=(0,),
        folds=folds,
    )
    return Growing(
        spec=spec,
        counts=counts,
        negative_counts=np.full((2, rows, 3, folds), 8 * n),
        norms=np.ones(1, np.float32),
        events=np.full(rows, n),
        n_traces=n,
        n_tokens=folds * 8 * n,
        width=d,
        read=lambda i: layer,
    )


@pytest.mark.parametrize("seed", range(3))
def test_half_precision_is_enough_where_some_components_are_a_thousand_times_the_others(tmp_path, large, seed):
    growing = massive(seed=seed)
    shelf = MomentShelf(Store(tmp_path))
    assert shelf.put(growing)
    for label, negatives, weighting in itertools.product("abc", ALL_NEGATIVES, WEIGHTINGS):
        assert_close(shelf.get(growing.spec), Unrounded(**vars(growing)), label, negatives, weighting)


def test_what_grows_as_layers_is_the_pass_in_memory_when_it_ends(loaded, exact, large):
    *_, growing = record_moments(loaded, TRACES, spec_of(loaded))
    assert isinstance(growing, Unfinished)
    assert_same(growing.whole(), exact)
    made = [contrast(of, "deduction", negatives="same") for of in (growing, exact)]
    assert_same(made[0].vectors, made[1].vectors)


def same_on_disk(one, other):
    """Every byte of the layers but the time they were written."""
    for i in range(len(one.spec.layers)):
        assert_same(one.layer(i).kept, other.layer(i).kept)
        for row in range(len(one.spec.rows)):
            assert_same(one.layer(i).read(row), other.layer(i).read(row))


@pytest.mark.parametrize("stopped_after", [1, 6, 11])
def test_a_stopped_large_pass_goes_on_and_ends_with_the_same_sums(loaded, tmp_path, large, stopped_after):
    shelf, spec = MomentShelf(Store(tmp_path / "a")), spec_of(loaded)
    work = record(lambda model, fingerprint: loaded, shelf, [spec], TRACES)
    for _ in range(stopped_after):
        next(work)
    work.close()
    assert shelf.unfinished(spec).n_traces == stopped_after
    assert shelf.unfinished_bytes() > 0
    read = [progress.done for progress in record(lambda m, f: loaded, shelf, [spec], TRACES)]
    assert read[0] == stopped_after + 1
    assert shelf.unfinished(spec) is None
    assert shelf.unfinished_bytes() == 0
    same_on_disk(shelf.get(spec), recorded(loaded, MomentShelf(Store(tmp_path / "b"))))


def test_a_pass_that_was_killed_while_it_kept_goes_on_and_ends_with_the_same_sums(loaded, tmp_path, large):
    spec = spec_of(loaded)
    for n in range(3):
        log = tmp_path / f"{n}.log"
        function, folder = "tests.extraction.test_layers:keep_for_ever", loaded.spec.repo_id
        child = Forked(function, str(tmp_path / "a"), folder, env=os.environ, log=log)
        until = time.monotonic() + 120
        while not log.exists() or log.stat().st_size < 7:
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.001)
        child.kill()
        child.wait()
    shelf = MomentShelf(Store(tmp_path / "a"))
    left = shelf.unfinished(spec)
    assert left is not None
    assert 1 <= left.n_traces <= len(TRACES)
    assert not list((tmp_path / "a").rglob("*.tmp"))
    same_on_disk(recorded(loaded, shelf), recorded(loaded, MomentShelf(Store(tmp_path / "b"))))


def keep_for_ever(root: str, folder: str) -> None:
    """Begin the pass again and again and never end it, a dot for each trace that is kept; for killing."""
    from core.models.loaded import load_model
    from tests.tiny_models import allow_root

    moments.WHOLE_BYTES, keeping.KEEP_SECONDS, keeping.KEEP_SHARE = 0, 0.0, float("inf")
    allow_root(Path(folder))
    loaded, shelf = load_model(ModelSpec(repo_id=folder)), MomentShelf(Store(Path(root)))
    for _ in range(1000):
        for item in record_moments(loaded, TRACES[:-1], spec_of(loaded), keep=shelf.put_unfinished):
            sys.stdout.write("." if isinstance(item, int) else "")
            sys.stdout.flush()


@pytest.mark.parametrize("name", ["layer-000.safetensors", "layer-000-000.safetensors"])
def test_a_layer_that_is_damaged_or_gone_is_a_sentence(loaded, tmp_path, large, name):
    found = recorded(loaded, MomentShelf(Store(tmp_path)))
    path = next((tmp_path / "files" / KIND).rglob(name))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(BadInput, match="layer 0"):
            contrast(MomentShelf(Store(tmp_path)).get(found.spec), "backtracking")
        path.unlink(missing_ok=True)


def test_a_layer_of_another_pass_is_not_taken_for_one_of_this(loaded, tmp_path, large):
    found = recorded(loaded, MomentShelf(Store(tmp_path)))
    zero, one = (next((tmp_path / "files" / KIND).rglob(f"layer-00{n}.safetensors")) for n in (0, 1))
    zero.write_bytes(one.read_bytes())
    with pytest.raises(BadInput, match="layer 0"):
        contrast(MomentShelf(Store(tmp_path)).get(found.spec), "backtracking")


def test_sums_of_layers_are_counted_freed_and_cleared(loaded, tmp_path, large):
    store = Store(tmp_path)
    shelf = MomentShelf(store)
    found = recorded(loaded, shelf)
    work = record_moments(loaded, TRACES, replace(found.spec, seed=9), keep=shelf.put_unfinished)
    next(work)
    work.close()
    places = {kind: tmp_path / "files" / kind for kind in (KIND, UNFINISHED)}
    on_disk = {k: sum(p.stat().st_size for p in place.rglob("*") if p.is_file()) for k, place in places.items()}
    assert {k: n for k, n in store.taken().items() if k} == on_disk
    assert store.size_bytes() >= sum(on_disk.values())
    shelf.free_unfinished()
    assert (shelf.unfinished_bytes(), shelf.finished_bytes()) == (0, on_disk[KIND])
    shelf.free_finished()
    assert shelf.get(found.spec) is None
    assert not list((tmp_path / "files" / KIND).iterdir())


def test_the_store_is_trimmed_without_what_stopped_passes_left(loaded, tmp_path, large):
    store = Store(tmp_path, limit_bytes=1000)
    shelf = MomentShelf(store)
    work = record_moments(loaded, TRACES, spec_of(loaded), keep=shelf.put_unfinished)
    next(work)
    work.close()
    kept = shelf.unfinished_bytes()
    assert kept > store.limit_bytes
    store.put("judged_batch", 1, spec_of(loaded))
    assert shelf.unfinished_bytes() == kept


def test_without_room_an_older_stage_makes_way_and_what_does_not_fit_is_said(loaded, tmp_path, large, monkeypatch):
    store = Store(tmp_path)
    shelf, spec = MomentShelf(store), spec_of(loaded)
    need = bytes_needed(spec, loaded.d_model).unfinished // 2
    rooms = [need - 1, -10 * need]
    work = record_moments(loaded, TRACES, spec, keep=shelf.put_unfinished)
    next(work)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "room", lambda self: rooms.pop(0))
        next(work)
        assert shelf.unfinished(spec).n_traces == 2
        assert store.warning is None
        next(work)
        assert "do not fit on the disk" in store.warning
    assert shelf.unfinished(spec).n_traces == 2, "what was there is there still"
    work.close()
    assert shelf.unfinished(spec).n_traces == 3
    assert store.warning is None


def test_8b_is_kept_in_a_fraction_of_the_disk_that_float32_takes():
    spec = MomentsSpec(
        model=ModelSpec(repo_id="m"),
        fingerprint="f",
        traces_digest="t",
        labels=tuple("abcdef"),
        windows=single_offsets(-40, 10),
        layers=tuple(range(32)),
        folds=8,
    )
    need = bytes_needed(spec, 4096)
    assert is_large(spec, 4096)
    assert not is_large(replace(spec, layers=(0,), windows=(Window(start=-13, stop=-7),)), 4096)
    assert 1.3e9 < need.kept < 1.6e9
    assert need.unfinished == 2 * 4 * need.kept
    assert need.memory < 6.3e9


def test_a_large_pass_without_room_is_refused_before_its_first_forward(loaded, tmp_path, large, monkeypatch):
    shelf, spec = MomentShelf(Store(tmp_path)), spec_of(loaded)
    monkeypatch.setattr(Store, "room", lambda self: 1000)
    with pytest.raises(BadInput, match=r"while it runs, so that it can be stopped and go on.* are free"):
        next(record(lambda model, fingerprint: loaded, shelf, [spec], TRACES))
    monkeypatch.undo()
    monkeypatch.setattr(moments, "WHOLE_BYTES", 0)
    small = MomentShelf(Store(tmp_path / "small", limit_bytes=1000))
    with pytest.raises(BadInput, match="results may take"):
        next(record(lambda model, fingerprint: loaded, small, [spec], TRACES))


def test_the_limit_follows_the_disk_or_what_is_set(tmp_path, monkeypatch):
    free = {"bytes": 10 << 40}
    usage = type("Usage", (), {"free": property(lambda self: free["bytes"])})()
    monkeypatch.setattr("core.disk.files.shutil.disk_usage", lambda place: usage)
    assert Store(tmp_path).limit_bytes == pytest.approx(5 << 40, rel=1e-6)
    free["bytes"] = 1 << 20
    assert Store(tmp_path).limit_bytes == 2 << 30
    for text, want in {"1.5": 1_500_000_000, "0": 2 << 30, "many": 2 << 30, "nan": 2 << 30, "inf": 2 << 30}.items():
        monkeypatch.setenv("RETRACE_STORE_GB", text)
        assert Store(tmp_path).limit_bytes == want
