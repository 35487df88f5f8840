"""Equations of the sums of one pass, and of what follows from them without another."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.disk import codec
from core.disk.store import Store
from core.errors import BadDirection, BadInput
from core.extraction import keeping
from core.extraction.contrast import MIN_TRACES, _fitted_noise, contrast, cosine_map, mean_activation, reliability_curve
from core.extraction.direction_sets import extract_directions
from core.extraction.moments import (
    NEGATIVES,
    WEIGHTINGS,
    Moments,
    MomentsSpec,
    bytes_needed,
    largest_folds,
    single_offsets,
)
from core.extraction.passes import record_moments
from core.extraction.shelf import MomentShelf
from core.extraction.values import ExtractionSpec
from core.extraction.work import record
from core.forward.hooks import run_decoder
from core.jobs import finish
from core.models.loaded import encode_text, load_model
from core.models.pair import DEMO_PAIR
from core.traces.events import digest_of, find_events, label_of_tokens
from core.values import PAPER_WINDOW, Part, Trace, Window
from tests.extraction.test_passes import make_traces
from tests.stored_values import assert_same
from tests.tiny_models import tiny_loaded

WINDOWS = (PAPER_WINDOW, *single_offsets(-9, 3))
LABELS = ("backtracking", "deduction")


def moments_spec(loaded, traces, **fields):
    fields = {"labels": LABELS, "windows": WINDOWS, "layers": tuple(range(loaded.n_layers)), **fields}
    return MomentsSpec(model=loaded.spec, fingerprint=loaded.fingerprint, traces_digest=digest_of(traces), **fields)


def recorded(loaded, traces, **fields):
    *progress, moments = record_moments(loaded, traces, moments_spec(loaded, traces, **fields))
    assert progress == list(range(1, len(traces) + 1))
    return moments


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return tiny_loaded(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def traces():
    return make_traces(12)


@pytest.fixture(scope="module")
def moments(loaded, traces):
    return recorded(loaded, traces, shuffled="backtracking")


def text_activations(loaded, trace, layers):
    """(n_layers, seq, d_model) float64 of the text's positions, with its events' finder and its tokens' labels."""
    reading = encode_text(loaded, trace.prompt, trace.text)
    kept = {}
    run_decoder(loaded, torch.tensor([reading.token_ids]), layers, lambda layer, h: kept.__setitem__(layer, h[0]))
    stacked = np.stack([kept[layer].double().numpy() for layer in layers])[:, reading.text_start :]
    return stacked, reading


def naive(loaded, traces, label, windows, layers, negatives, weighting):
    """Eq. 3 written out with all hidden states kept: (n_layers, n_windows, d_model) in float64."""
    inside, outside = [[] for _ in windows], []
    for trace in traces:
        hidden, reading = text_activations(loaded, trace, layers)
        labels = np.array(label_of_tokens(trace, reading.spans))
        events = [e.position for e in find_events(trace, label, spans=reading.spans, text_start=0)]
        for j, window in enumerate(windows):
            places = sorted({e + o for e in events for o in range(window.start, window.stop)})
            places = [p for p in places if 0 <= p < hidden.shape[1]]
            inside[j].append(hidden[:, places])
        keep = {
            "all": np.ones(len(labels), bool),
            "other": (labels != "") & (labels != label),
            "same": np.full(len(labels), bool(events)),
        }[negatives]
        outside.append(hidden[:, keep])
    return np.stack([mean_of(group, weighting) for group in inside], axis=1) - mean_of(outside, weighting)[:, None]


def mean_of(groups, weighting):
    """(n_layers, d_model): groups are (n_layers, k, d_model) per trace."""
    filled = [group for group in groups if group.shape[1]]
    if not filled:
        return np.full((groups[0].shape[0], groups[0].shape[2]), np.nan)
    if weighting == "trace":
        return np.mean([group.mean(1) for group in filled], axis=0)
    return np.concatenate(filled, axis=1).mean(1)


def relative_error(got, want):
    return (np.linalg.norm(got - want, axis=-1) / np.linalg.norm(want, axis=-1)).max()


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_neox"])
def test_one_pass_equals_naive_means_for_every_layer_offset_label_negative_and_weighting(family, tmp_path):
    model, traces = tiny_loaded(tmp_path, family), make_traces(7)
    moments = recorded(model, traces)
    layers = moments.spec.layers
    for label, negatives, weighting in itertools.product(LABELS, NEGATIVES, WEIGHTINGS):
        got = contrast(moments, label, negatives=negatives, weighting=weighting)
        want = naive(model, traces, label, WINDOWS, layers, negatives, weighting)
        assert relative_error(got.vectors, want) <= 1e-5, (label, negatives, weighting)


def test_second_moments_equal_naive_ones(loaded, traces, moments):
    row, j = moments.row("deduction"), WINDOWS.index(Window(start=-2, stop=-1))
    total = 0.0
    for trace in traces:
        hidden, reading = text_activations(loaded, trace, (1,))
        events = find_events(trace, "deduction", spans=reading.spans, text_start=0)
        total = total + (hidden[0, [e.position - 2 for e in events if e.position >= 2]] ** 2).sum(0)
    assert np.allclose(moments.squares[row, 1, j], total, rtol=1e-5)


@pytest.mark.parametrize("role", ["base", "reasoner"])
def test_one_pass_equals_naive_means_on_the_embedded_pair(role):
    from core.embedded import example_traces

    traces = example_traces()[:6]
    reasoner = load_model(DEMO_PAIR.reasoner)
    model = load_model(DEMO_PAIR.base, frame_from=reasoner) if role == "base" else reasoner
    labels = tuple(sorted({part.label for trace in traces for part in trace.parts}))
    windows = single_offsets(-12, 4)
    moments = recorded(model, traces, labels=labels, windows=windows)
    for label in labels:
        if len([t for t in traces if any(p.label == label for p in t.parts)]) < MIN_TRACES:
            continue
        got = contrast(moments, label)
        want = naive(model, traces, label, windows, moments.spec.layers, "all", "trace")
        there = got.counts[:, 0] > 0
        assert relative_error(got.vectors[:, there], want[:, there]) <= 1e-5, label


def test_a_window_of_the_pass_is_the_union_and_another_the_mean_over_its_offsets(moments):
    exact = contrast(moments, "deduction", windows=(PAPER_WINDOW,))
    assert exact.composed == ()
    window = Window(start=-4, stop=-1)
    composed = contrast(moments, "deduction", windows=(window,))
    singles = contrast(moments, "deduction", windows=single_offsets(-4, -2))
    assert composed.composed == (window,)
    assert np.allclose(composed.vectors[:, 0], singles.vectors.mean(1), atol=1e-6)
    assert "over offsets" in dict(composed.at(1, window).provenance).values()


def test_mean_over_offsets_equals_the_union_where_windows_neither_leave_the_text_nor_overlap(loaded, traces):
    """One event per trace, behind the first ten tokens: every offset then has the same traces, once each."""
    one = []
    for trace in traces:
        late = [p for p in trace.parts if p.label == "backtracking" and p.start > 40]
        one.append(replace(trace, parts=tuple(late[:1])))
    window = Window(start=-5, stop=-1)
    moments = recorded(loaded, one, labels=("backtracking",), windows=(window, *single_offsets(-5, -2)))
    union = contrast(moments, "backtracking", windows=(window,))
    trimmed = replace(moments.spec, windows=single_offsets(-5, -2))
    mean = contrast(
        replace(
            moments,
            spec=trimmed,
            sums=moments.sums[..., 1:, :],
            counts=moments.counts[..., 1:],
            squares=moments.squares[:, :, 1:],
        ),
        "backtracking",
        windows=(window,),
    )
    assert mean.composed == (window,)
    assert np.allclose(union.vectors, mean.vectors, atol=1e-6)


def test_an_offset_outside_every_trace_marks_its_column_alone(loaded, traces):
    far = Window(start=-900, stop=-899)
    moments = recorded(loaded, traces, windows=(far, PAPER_WINDOW))
    found = contrast(moments, "backtracking")
    assert np.isnan(found.vectors[:, 0]).all()
    assert np.isfinite(found.vectors[:, 1]).all()
    assert found.counts[0].tolist() == [0, 0]
    with pytest.raises(BadInput, match="outside every trace"):
        found.at(1, far)
    with pytest.raises(BadInput, match="outside every trace"):
        contrast(moments, "backtracking", windows=(far,))


def test_layers_and_labels_of_a_pass_do_not_change_each_other(loaded, traces, moments):
    alone = recorded(loaded, traces, labels=("backtracking",), layers=(1,), windows=(PAPER_WINDOW,))
    whole = contrast(moments, "backtracking").at(1, PAPER_WINDOW)
    assert contrast(moments, "backtracking", layers=(1,), windows=(PAPER_WINDOW,)).at(1, PAPER_WINDOW) == whole
    assert contrast(alone, "backtracking").at(1, PAPER_WINDOW) == whole


def test_reliability_is_the_cosine_of_the_directions_of_the_even_and_the_odd_traces(loaded, traces, moments):
    found = contrast(moments, "deduction")
    halves = [contrast(recorded(loaded, traces[k::2]), "deduction").vectors for k in (0, 1)]
    want = (halves[0] * halves[1]).sum(-1) / np.linalg.norm(halves, axis=-1).prod(0)
    assert np.allclose(found.reliability, want, atol=1e-5)


def test_separation_is_measured_on_traces_that_the_direction_was_not_made_of(loaded, traces):
    folds = 4
    found = contrast(recorded(loaded, traces, folds=folds), "deduction", windows=(PAPER_WINDOW,))
    spread_of = contrast(recorded(loaded, traces, folds=folds), "deduction", windows=(PAPER_WINDOW,))
    scores = []
    for k in range(folds):
        held = [t for i, t in enumerate(traces) if i % folds == k]
        rest = [t for i, t in enumerate(traces) if i % folds != k]
        unit = naive(loaded, rest, "deduction", (PAPER_WINDOW,), (1,), "all", "trace")[0, 0]
        unit /= np.linalg.norm(unit)
        gap = naive(loaded, held, "deduction", (PAPER_WINDOW,), (1,), "all", "trace")[0, 0] @ unit
        scores.append(gap / np.sqrt((unit**2) @ variance(loaded, traces, 1)))
    assert found.separation[1, 0] == pytest.approx(np.mean(scores), rel=1e-3)
    low, high = found.separation_interval[:, 1, 0]
    assert low < found.separation[1, 0] < high
    half = 3.182 * np.std(scores, ddof=1) / np.sqrt(folds)
    assert high - low == pytest.approx(2 * half, rel=1e-2)
    assert spread_of.separation.tolist() == found.separation.tolist()


def variance(loaded, traces, layer):
    """(d_model,) mean of the variances of D+ and of all tokens."""
    inside, everything = [], []
    for trace in traces:
        hidden, reading = text_activations(loaded, trace, (layer,))
        events = [e.position for e in find_events(trace, "deduction", spans=reading.spans, text_start=0)]
        places = sorted({e + o for e in events for o in range(PAPER_WINDOW.start, PAPER_WINDOW.stop) if e + o >= 0})
        inside.append(hidden[0, places])
        everything.append(hidden[0])
    return (np.concatenate(inside).var(0) + np.concatenate(everything).var(0)) / 2


def planted(loaded, *, strength, folds=8, n=64):
    """Moments of a direction plus noise that falls with the number of traces: 1 layer, 1 window."""
    rng = np.random.default_rng(0)
    d, window = 400, Window(start=0, stop=1)
    truth = strength * np.ones(d) / np.sqrt(d)
    spec = moments_spec(loaded, make_traces(2), labels=("a",), windows=(window,), layers=(0,), folds=folds)
    per_fold = n // folds
    sums = np.zeros((2, 1, folds, 1, 1, d), np.float32)
    for k in range(folds):
        sums[:, 0, k, 0, 0] = (truth + rng.standard_normal((per_fold, d))).sum(0)
    counts = np.full((2, 1, folds, 1), per_fold)
    return Moments(
        spec=spec,
        sums=sums,
        counts=counts,
        squares=np.full((1, 1, 1, d), n, np.float32),
        negative_sums=np.zeros((2, 1, 3, folds, 1, d), np.float32),
        negative_counts=np.full((2, 1, 3, folds), per_fold),
        all_squares=np.full((1, d), n, np.float32),
        norms=np.ones(1, np.float32),
        events=np.array([n]),
        n_traces=n,
        n_tokens=n,
    )


def test_the_reliability_curve_rises_as_its_formula_says(loaded):
    strength, d = 8.0, 400
    curve = reliability_curve(planted(loaded, strength=strength), "a", layer=0, window=Window(start=0, stop=1))
    assert curve.traces == (8.0, 16.0, 24.0, 32.0)
    noise = d / strength**2
    for n, cosine in zip(curve.traces, curve.cosine, strict=True):
        assert cosine == pytest.approx(n / (n + noise), abs=0.06)
    assert curve.predicted == pytest.approx(64 / (64 + noise), abs=0.03)
    assert curve.traces_for(curve.predicted) == pytest.approx(64)
    assert all(low <= c <= high for low, c, high in zip(curve.low, curve.cosine, curve.high, strict=True))


def test_one_size_that_happens_to_disagree_does_not_decide_the_fit():
    sizes = np.array([3.0, 6.0, 9.0, 12.0])
    exact = sizes / (sizes + 20)
    assert np.isclose(_fitted_noise(sizes, exact), 20, rtol=1e-2)
    assert 20 < _fitted_noise(sizes, np.array([0.0, *exact[1:]])) < 24


def test_noise_alone_has_no_reliability(loaded):
    curve = reliability_curve(planted(loaded, strength=0.0), "a", layer=0, window=Window(start=0, stop=1))
    assert max(map(abs, curve.cosine)) < 0.1
    assert curve.predicted < 0.2


def test_a_map_has_cosine_one_with_itself(moments):
    found = contrast(moments, "backtracking")
    assert np.allclose(cosine_map(found, found), 1, atol=1e-6)
    with pytest.raises(BadInput):
        cosine_map(found, contrast(moments, "backtracking", windows=(PAPER_WINDOW,)))


def test_the_mean_activation_is_that_of_eq_3(loaded, traces, moments):
    want = np.mean([text_activations(loaded, trace, (2,))[0][0].mean(0) for trace in traces], axis=0)
    assert np.allclose(mean_activation(moments, 2), want, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_had_from_the_sums_is_refused_with_a_remedy(loaded, traces, moments):
    cases = [
        (lambda: contrast(moments, "initializing"), "was not gathered"),
        (lambda: contrast(moments, "deduction", windows=(Window(start=-30, stop=-20),)), "beyond the offsets"),
        (lambda: mean_activation(moments, 9), "Layer 9"),
        (lambda: contrast(recorded(loaded, traces, labels=("none",)), "none"), "No part of these 12 traces"),
        (lambda: moments_spec(loaded, traces, labels=()), "no label"),
        (lambda: moments_spec(loaded, traces, folds=3), "3 folds"),
        (lambda: recorded(loaded, traces, layers=(7,)), "layers 0 to 2"),
    ]
    for action, named in cases:
        with pytest.raises(BadInput) as caught:
            action()
        assert named in caught.value.problem
        assert caught.value.remedy


def test_two_parts_that_begin_in_one_token_count_once(loaded):
    text = "Hmm, that is not right. " * 6
    once = [Trace(trace_id=str(i), prompt="p", text=text, parts=(Part(label="b", start=48, end=60),)) for i in range(2)]
    twice = [replace(t, parts=(*t.parts, Part(label="b", start=48, end=70))) for t in once]
    found = [contrast(recorded(loaded, t, labels=("b",)), "b") for t in (once, twice)]
    assert np.allclose(found[0].vectors, found[1].vectors, atol=1e-6)
    assert np.array_equal(found[0].counts, found[1].counts)


def test_the_memory_that_is_promised_is_the_memory_of_the_arrays(moments):
    need = bytes_needed(moments.spec, moments.d_model)
    assert need.kept == pytest.approx(moments.nbytes, rel=0.05)
    assert need.kept < need.memory < 4 * need.kept
    assert largest_folds((8, 4, 2), (900, 500, 260), 600) == 4
    assert largest_folds((8, 4, 2), (900, 500, 260), 100) == 2


def test_a_stopped_pass_goes_on_where_it_was(loaded, traces, moments, tmp_path):
    shelf, spec = MomentShelf(Store(tmp_path)), moments.spec
    read = []

    def run():
        work = record(lambda model, fingerprint: loaded, shelf, [spec], traces)
        for progress in work:
            read.append(progress.done)
            if len(read) == 5:
                work.close()

    run()
    assert shelf.get(spec) is None
    assert shelf.unfinished(spec).n_traces == 5
    run()
    assert read == list(range(1, len(traces) + 1))
    whole = MomentShelf(Store(tmp_path)).get(spec)
    assert shelf.unfinished(spec) is None
    assert_same(whole, moments)
    run()
    assert len(read) == len(traces)


@pytest.fixture
def impatient(monkeypatch):
    """A pass that keeps what it has after every trace."""
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(keeping, "KEEP_SHARE", math.inf)


@pytest.mark.parametrize("killed_after", [1, 5, 11])
def test_a_killed_pass_goes_on_and_ends_with_the_same_sums_to_the_bit(
    loaded, traces, moments, tmp_path, impatient, killed_after
):
    shelf, spec = MomentShelf(Store(tmp_path)), moments.spec
    kept = {}
    work = record_moments(loaded, traces, spec, keep=lambda found: kept.update(data=codec.dump(found, key="k")))
    for _ in range(killed_after):
        next(work)
    left = codec.load(Moments, kept["data"], key="k")
    assert left.n_traces == killed_after
    work.close()
    shelf.put_unfinished(left)
    finish(record(lambda model, fingerprint: loaded, shelf, [spec], traces))
    whole = MomentShelf(Store(tmp_path)).get(spec)
    assert_same(whole, moments)
    assert whole.exact is None
    assert shelf.unfinished(spec) is None


def test_what_a_pass_gathers_is_on_disk_before_it_ends(loaded, traces, moments, tmp_path, impatient):
    shelf, spec = MomentShelf(Store(tmp_path)), moments.spec
    for progress in record(lambda model, fingerprint: loaded, shelf, [spec], traces):
        assert MomentShelf(Store(tmp_path)).unfinished(spec).n_traces == progress.done


def test_sums_are_kept_twice_a_minute_and_seldom_where_that_takes_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(keeping.time, "monotonic", lambda: now[0])
    kept = []

    def keep():
        kept.append(now[0])
        now[0] += 3.0

    keeper = keeping.Keeper(keep)
    while now[0] < 200:
        keeper.look()
        now[0] += 1.0
    assert kept == [30.0, 93.0, 156.0]


def test_sums_of_an_older_version_or_without_room_are_gone_on_from(loaded, traces, moments, tmp_path, monkeypatch):
    shelf, spec = MomentShelf(Store(tmp_path)), moments.spec
    work = record_moments(loaded, traces, spec, keep=shelf.put_unfinished)
    for _ in range(6):
        next(work)
    work.close()
    half = shelf.unfinished(spec)
    assert half.nbytes > 2 * moments.nbytes
    room = property(lambda self: half.nbytes - 1)
    monkeypatch.setattr(MomentShelf, "largest_file", room)
    shelf.put_unfinished(half)
    rounded = shelf.unfinished(spec)
    assert_same(rounded, replace(half, exact=None))
    finish(record(lambda model, fingerprint: loaded, shelf, [spec], traces))
    assert np.allclose(shelf.get(spec).sums, moments.sums, rtol=1e-5, atol=1e-4)
    assert np.array_equal(shelf.get(spec).counts, moments.counts)


def test_sums_too_large_for_the_disk_stay_in_memory(moments, tmp_path):
    shelf = MomentShelf(Store(tmp_path, limit_bytes=1000))
    assert not shelf.put(moments)
    assert shelf.get(moments.spec) is moments
    assert MomentShelf(Store(tmp_path, limit_bytes=1000)).get(moments.spec) is None


def test_the_shelf_lets_go_of_the_oldest_sums(moments, tmp_path, monkeypatch):
    monkeypatch.setattr("core.extraction.shelf.IN_MEMORY", 0)
    shelf = MomentShelf(Store(tmp_path, limit_bytes=1000))
    several = [replace(moments, spec=replace(moments.spec, seed=seed)) for seed in range(3)]
    for one in several:
        shelf.put(one)
    assert [shelf.get(one.spec) is one for one in several] == [False, True, True]


@pytest.mark.parametrize("noise", [3.0, 10.0, 40.0])
def test_each_group_size_counts_in_the_fit_by_its_traces(noise):
    """At the least sum of n·r², with r = n/(n+c) − cosine, the sum of n·r·dr/dc = −n²·r/(n+c)² is 0."""
    sizes = np.array([10.0, 30.0])
    pull = (sizes / (sizes + noise)) ** 2
    residuals = 0.05 * np.array([1.0, -pull[0] / pull[1]])
    assert _fitted_noise(sizes, sizes / (sizes + noise) - residuals) == pytest.approx(noise, rel=2e-3)


def test_equal_means_are_no_direction(loaded, traces):
    """The window is the whole text and D− is its mean: D+ = D− but for the order of the sums."""
    whole = Window(start=0, stop=500)
    begun = [replace(trace, parts=(Part(label="backtracking", start=0, end=3),)) for trace in traces]
    found = contrast(recorded(loaded, begun, labels=("backtracking",), windows=(whole,)), "backtracking")
    assert (found.counts[0, 1], found.differs.any()) == (found.n_tokens, False)
    assert (found.norms < 64 * 2.0**-23 * found.resid_norms[:, None]).all()
    assert np.isnan(cosine_map(found, found)).all()
    for layer in found.spec.layers:
        with pytest.raises(BadDirection, match="D\\+ and D− are the same"):
            found.at(layer, whole)


@pytest.mark.parametrize(("share", "there"), [(0.99, False), (1.01, True)])
def test_the_least_difference_is_64_steps_of_float32_of_the_residual_norm(moments, share, there):
    found = contrast(moments, "backtracking")
    unit = np.zeros(found.vectors.shape[-1], np.float32)
    unit[0] = 1
    vectors = found.vectors.copy()
    vectors[1, 0] = unit * np.float32(share * 64 * 2.0**-23 * float(found.resid_norms[1]))
    made = replace(found, vectors=vectors)
    assert made.differs[1, 0] == there
    assert made.differs[0].all()
    if there:
        assert made.at(1, found.spec.windows[0]).vector.tolist() == unit.tolist()
    else:
        with pytest.raises(BadDirection, match="is rounding beside a mean norm"):
            made.at(1, found.spec.windows[0])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_position_matched_negatives_are_the_same_window_around_other_events(loaded, traces, moments, weighting):
    """Written out: a direction against D+ of the other label is the difference of both labels' means."""
    layers = moments.spec.layers
    got = contrast(moments, "backtracking", negatives="position", weighting=weighting)
    ours, theirs = (naive(loaded, traces, label, WINDOWS, layers, "all", weighting) for label in LABELS)
    assert relative_error(got.vectors, ours - theirs) <= 1e-4
    mirrored = contrast(moments, "deduction", negatives="position", weighting=weighting)
    assert np.allclose(mirrored.vectors, -got.vectors, atol=1e-5)
    assert dict(got.at(1, PAPER_WINDOW).provenance)["negatives"] == "position"


def test_position_matched_negatives_pool_all_other_labels(loaded, traces):
    """Three labels, per token: the others' tokens are one set, so that the label with more of them counts more."""
    three = tuple(
        replace(trace, parts=tuple(replace(p, label="other") if k % 3 == 2 else p for k, p in enumerate(trace.parts)))
        for trace in traces
    )
    moments = recorded(loaded, three, labels=(*LABELS, "other"), windows=single_offsets(-2, 1))
    got = contrast(moments, "backtracking", negatives="position", weighting="token")
    rows = [moments.row("deduction"), moments.row("other")]
    sums, counts = moments.sums[1, rows].sum((0, 1)), moments.counts[1, rows].sum((0, 1))
    own = moments.sums[1, 0].sum(0) / moments.counts[1, 0].sum(0)[:, None]
    assert counts.min() > 0
    assert np.allclose(got.vectors, own - sums / counts[:, None], atol=1e-5)


def test_position_matched_negatives_need_another_label(loaded, traces):
    alone = recorded(loaded, traces, labels=("backtracking",), shuffled="backtracking")
    for label in alone.spec.rows:
        with pytest.raises(BadInput, match="No other label"):
            contrast(alone, label, negatives="position")


def test_an_extraction_of_one_label_gathers_the_others_where_it_needs_them(loaded, traces, moments):
    spec = ExtractionSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        traces_digest=digest_of(traces),
        windows=WINDOWS,
        layers=(1, 2),
        negatives="position",
    )
    *_, found = extract_directions(loaded, traces, spec)
    want = contrast(moments, "backtracking", layers=(1, 2), negatives="position")
    assert np.allclose(found.vectors, want.vectors, atol=1e-5, equal_nan=True)
