"""Numbers, choices and lists as people type them: read, shown, and refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.text.typed import counts, items, one_of, real, reals, show_counts, show_reals, span, whole


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0), min_size=1, unique=True))
def test_numbers_are_shown_as_they_are_read(numbers):
    assert reals(show_reals(numbers)) == tuple(dict.fromkeys(numbers))


@given(st.lists(st.integers(0, 999), min_size=1, max_size=50, unique=True))
def test_counts_keep_their_order(numbers):
    assert counts(show_counts(numbers)) == tuple(numbers)


def test_ranges_are_short():
    assert show_counts([0, 1, 2, 3, 7]) == "0-3,7"
    assert counts("0-3, 7") == (0, 1, 2, 3, 7)
    assert show_reals([0.2, 4.0, -8]) == "0.2,4,-8"


@pytest.mark.parametrize(("text", "read"), [("-13..-8", (-13, -8)), ("-3", (-3, -3)), ("0..4", (0, 4))])
def test_a_span_has_both_its_ends(text, read):
    assert span(text) == read


@pytest.mark.parametrize(
    "read",
    [
        lambda: items(" , "),
        lambda: items(",".join(map(str, range(5000)))),
        lambda: whole("4.5"),
        lambda: whole("²"),
        lambda: real("nan"),
        lambda: real("inf"),
        lambda: reals("1;2"),
        lambda: counts("3-1"),
        lambda: counts("-1"),
        lambda: counts("0-999999"),
        lambda: span("-13--8"),
        lambda: one_of("fp8", ("fp32", "bf16")),
    ],
)
def test_other_text_is_refused(read):
    with pytest.raises(BadInput):
        read()
