"""Two arms over the same prompts."""

from core.runs.arms import first_divergence


def test_first_divergence():
    assert first_divergence([1, 2, 3], [1, 2, 4]) == 2
    assert first_divergence([1, 2], [1, 2, 4]) is None
