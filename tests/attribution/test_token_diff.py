"""What two token sequences share, in order."""

import pytest

from core.attribution.token_diff import align_tokens, runs


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((1, 2, 3), (1, 2, 3), [(0, 0), (1, 1), (2, 2)]),
        ((1, 2, 3), (1, 9, 3), [(0, 0), (1, None), (None, 1), (2, 2)]),
        ((1, 2), (), [(0, None), (1, None)]),
        ((), (5,), [(None, 0)]),
        ((1, 2, 3), (2, 3, 4), [(0, None), (1, 0), (2, 1), (None, 2)]),
    ],
)
def test_shared_tokens_share_a_column_and_every_token_has_one(a, b, expected):
    found = align_tokens(a, b)
    assert found == expected
    assert [i for i, _ in found if i is not None] == list(range(len(a)))
    assert [j for _, j in found if j is not None] == list(range(len(b)))
    assert all(a[i] == b[j] for i, j in found if i is not None and j is not None)


def test_runs_are_half_open():
    assert runs((0, 1, 4, 6, 7)) == [(0, 2), (4, 5), (6, 8)]
    assert runs(()) == []
