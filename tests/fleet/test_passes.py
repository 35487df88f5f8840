"""A pass in parts: whoever reads which traces, in whatever order they are put together, the sums are those of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.disk.store import Store
from core.errors import BadInput
from core.extraction import moments
from core.extraction.merging import Material, merged, shares, sums_of
from core.extraction.moments import Moments, MomentsSpec, single_offsets
from core.extraction.passes import record_moments
from core.extraction.shelf import MomentShelf
from core.fleet.foreman import Foreman
from core.fleet.member import Member
from core.fleet.passes import gather
from core.jobs import finish
from core.models.loaded import load_model
from core.traces.events import digest_of
from core.values import PAPER_WINDOW, Trace
from tests.extraction.test_passes import make_traces
from tests.fleet.local_hands import LocalHands
from tests.tiny_models import tiny_loaded

UNREADABLE = Trace(trace_id="long", prompt="Q?", text="so " * 4000, parts=())


def spec_of(loaded, traces):
    return MomentsSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        traces_digest=digest_of(traces),
        labels=("backtracking", "deduction"),
        windows=(PAPER_WINDOW, *single_offsets(-4, 2)),
        layers=(0, 2),
        shuffled="backtracking",
    )


def traces_of(n):
    found = make_traces(n)
    return (*found[: n // 2], UNREADABLE, *found[n // 2 :])


def material_of(loaded, traces):
    return Material(traces=tuple(traces), frame=loaded.frame)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return tiny_loaded(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def parts_of(loaded):
    """The parts of n workers, gathered once."""
    traces, known = traces_of(9), {}
    spec = spec_of(loaded, traces)

    def parts(n):
        if n not in known:
            known[n] = [sums_of(loaded, material_of(loaded, traces), spec, share) for share in shares(len(traces), n)]
        return known[n]

    *_, whole = record_moments(loaded, traces, spec)
    return parts, whole


def same(found: Moments, whole: Moments):
    assert (found.n_traces, found.n_tokens, set(found.skipped)) == (whole.n_traces, whole.n_tokens, set(whole.skipped))
    for name in ("counts", "negative_counts", "events"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    for name in ("sums", "squares", "negative_sums", "all_squares", "norms"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-6, atol=1e-6)
    assert found.exact is None


@given(st.sampled_from([1, 2, 3, 7]), st.data())
@settings(max_examples=30, deadline=None)
def test_parts_in_any_order_come_to_what_one_pass_gathers(parts_of, n, data):
    parts, whole = parts_of
    assert len(parts(n)) == n
    same(merged(data.draw(st.permutations(parts(n)))), whole)
    assert whole.skipped


@given(st.integers(1, 40), st.integers(1, 12))
def test_shares_hold_every_trace_once(n_traces, n):
    found = shares(n_traces, n)
    assert [i for share in found for i in range(share.start, share.stop)] == list(range(n_traces))
    assert len(found) == min(n, n_traces)
    lengths = [share.stop - share.start for share in found]
    assert max(lengths) - min(lengths) <= 1


def test_parts_of_different_passes_are_not_put_together(parts_of):
    parts, _ = parts_of
    other = replace(parts(2)[1], spec=replace(parts(2)[1].spec, seed=7))
    with pytest.raises(ValueError, match="different passes"):
        merged([parts(2)[0], other])


def test_where_no_trace_can_be_read_it_is_said(loaded):
    traces = (UNREADABLE, replace(UNREADABLE, trace_id="too"))
    spec = spec_of(loaded, traces)
    with pytest.raises(BadInput, match="None of the traces can be read"):
        merged([sums_of(loaded, material_of(loaded, traces), spec, share) for share in shares(2, 2)])


def test_workers_put_on_the_shelf_what_one_process_gathers_though_one_is_lost(parts_of, loaded, tmp_path):
    _, whole = parts_of
    losses = []

    def is_lost(worker, ticket, task):
        losses.append(ticket)
        return losses.count(ticket) == 1 and len(losses) in (2, 5)

    hands = LocalHands(2, lambda: Member(held=loaded), is_lost)
    shelf = MomentShelf(Store(tmp_path))
    traces = traces_of(9)
    finish(gather(Foreman(hands), shelf, whole.spec, material_of(loaded, traces), d_model=loaded.d_model))
    found = shelf.get(whole.spec)
    assert isinstance(found, Moments)
    same(found, whole)
    assert len(losses) > sum(hands.done.values()) > 1
    hands.done.clear()
    finish(gather(Foreman(hands), shelf, whole.spec, material_of(loaded, traces), d_model=loaded.d_model))
    assert not hands.done, "sums that lie on the shelf were gathered again"


def test_sums_that_are_kept_by_layer_are_left_to_one_process(parts_of, loaded, tmp_path, monkeypatch):
    _, whole = parts_of
    material = material_of(loaded, traces_of(9))
    monkeypatch.setattr(moments, "WHOLE_BYTES", 10)
    hands = LocalHands(2, lambda: Member(held=loaded))
    finish(gather(Foreman(hands), MomentShelf(Store(tmp_path)), whole.spec, material, d_model=loaded.d_model))
    assert not hands.done
    with pytest.raises(BadInput, match="too large to be gathered in parts"):
        sums_of(loaded, material, whole.spec, shares(9, 1)[0])


def test_a_base_model_that_is_loaded_alone_reads_as_it_does_beside_its_reasoning_model(loaded, tmp_path):
    traces = make_traces(4)
    beside = tiny_loaded(tmp_path, seed=3, chat_template=None, frame_from=loaded)
    alone = load_model(beside.spec)
    assert beside.frame != alone.frame
    spec = spec_of(beside, traces)
    *_, whole = record_moments(beside, traces, spec)
    same(merged([sums_of(alone, material_of(beside, traces), spec, share) for share in shares(4, 2)]), whole)
