"""Rounded where the sums are, as on a card, a layer is the one that is rounded in the computer's memory."""

import numpy as np
import pytest

from core.disk.store import Store
from core.extraction import moments, packs, passes
from core.extraction.layers import Growing, halved
from core.extraction.passes import record_moments
from core.extraction.shelf import MomentShelf
from tests.extraction.test_moments import moments_spec
from tests.extraction.test_passes import make_traces
from tests.tiny_models import tiny_loaded

TRACES = make_traces(12)


@pytest.fixture
def growing(tmp_path, monkeypatch):
    """A large pass that takes the way of a card."""
    monkeypatch.setattr(moments, "WHOLE_BYTES", 0)
    for module in (packs, passes):
        monkeypatch.setattr(module, "tokens_at_once", lambda device: 300)
    loaded = tiny_loaded(tmp_path)
    *_, found = record_moments(loaded, TRACES, moments_spec(loaded, TRACES, shuffled="backtracking"))
    assert isinstance(found, Growing)
    return found


def arrays_of(value):
    return {name: array for name, array in vars(value).items() if isinstance(array, np.ndarray)}


def assert_rounded_alike(found, expected):
    for name, array in arrays_of(expected).items():
        other = arrays_of(found)[name]
        assert (other.dtype, other.shape) == (array.dtype, array.shape)
        step = np.finfo(array.dtype).eps
        np.testing.assert_allclose(other.astype(np.float64), array.astype(np.float64), rtol=2 * step, atol=step / 8)


def test_every_layer_is_rounded_alike_in_both_places(growing):
    for i in range(len(growing.spec.layers)):
        shared, rows = growing.halved(i)
        expected, expected_rows = halved(growing.exact(i), growing)
        assert_rounded_alike(shared, expected)
        assert len(rows) == len(expected_rows) == len(growing.spec.rows)
        for row, expected_row in zip(rows, expected_rows, strict=True):
            assert_rounded_alike(row, expected_row)


def test_what_is_kept_of_a_pass_on_a_card_is_read_again(growing, tmp_path):
    shelf, taken = MomentShelf(Store(tmp_path / "store")), []
    halve = growing.halve
    object.__setattr__(growing, "halve", lambda i: taken.append(i) or halve(i))
    assert shelf.put(growing)
    assert taken == list(range(len(growing.spec.layers)))
    found = MomentShelf(Store(tmp_path / "store")).get(growing.spec)
    for i in range(len(growing.spec.layers)):
        for row in range(len(growing.spec.rows)):
            exact = growing.exact(i)
            for weighting, sums in enumerate((exact.per_trace, exact.per_token)):
                kept = found.layer(i).positive(weighting, row)
                assert np.abs(kept - sums[row]).max() <= 1e-3 * np.abs(sums[row]).max() + 1e-6
