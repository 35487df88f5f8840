"""Foreign text: repaired, cut to be kept, shortened to be shown."""

import pytest

from core.text.lines import kept_line, shown_line, without_surrogates

TEXT = " One\n\ttwo\x00 three\u202e four \ud800"


def test_a_repaired_text_is_otherwise_the_same():
    assert without_surrogates(TEXT) == TEXT.replace("\ud800", "?")
    with pytest.raises(TypeError):
        without_surrogates(7)


def test_both_lines_hold_printable_characters_alone():
    assert kept_line(TEXT, 80) == shown_line(TEXT, 80) == "One two three four"


def test_a_kept_line_is_cut_and_a_shown_line_says_so():
    assert kept_line(TEXT, 9) == "One two t"
    assert shown_line(TEXT, 9) == "One two …"
    assert kept_line(TEXT, 8) == "One two"


@pytest.mark.parametrize("cut", [kept_line, shown_line])
def test_cutting_twice_changes_nothing(cut):
    for limit in range(1, 20):
        assert cut(cut(TEXT, limit), limit) == cut(TEXT, limit)
