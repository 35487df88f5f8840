"""Parts find their characters in the original: the heaviest choice in order, nothing dropped, nothing guessed."""

import itertools
import random

import pytest

from core.importing.alignment import MAX_PARTS, LabelledText, align, squeeze
from core.importing.annotated import parse_annotation


def aligned(original, *texts):
    """[(label, text in the original)] and {number: reason}, the labels counting the texts."""
    found = align([LabelledText(label=str(i), text=text) for i, text in enumerate(texts)], original)
    assert len(found.parts) + len(found.unaligned) == len(texts)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found.parts))
    for part in found.parts:
        assert squeeze(original[part.start : part.end])[0] == squeeze(texts[int(part.label)])[0]
    return (
        [(part.label, original[part.start : part.end]) for part in found.parts],
        {item.number: item.reason for item in found.unaligned},
    )


def test_squeeze_tells_where_each_character_stood():
    text, places = squeeze(" a b\u2003\n c ")
    assert text == "abc"
    assert places.tolist() == [1, 3, 7]
    assert squeeze(" \n")[0] == ""


def test_white_space_does_not_matter_and_is_left_out_at_the_ends():
    assert aligned("First,\n\nwe  add.  Then stop.", " First, we add.\n", "Then\tstop.") == (
        [("0", "First,\n\nwe  add."), ("1", "Then stop.")],
        {},
    )


def test_gaps_are_jumped_and_edited_text_is_listed():
    found, reasons = aligned("A one. B two. C three. D four.", "A one.", "B zwei.", "D four.", "")
    assert found == [("0", "A one."), ("2", "D four.")]
    assert reasons == {1: "not in the text", 3: "empty"}


def test_repeats_are_told_apart_by_their_order():
    found, reasons = aligned("Wait. A. Wait. B. Wait.", "Wait.", "A.", "Wait.", "B.", "Wait.")
    assert [text for _, text in found] == ["Wait.", "A.", "Wait.", "B.", "Wait."]
    assert reasons == {}


def test_a_repeat_is_placed_beside_the_one_neighbour_that_it_touches():
    assert aligned("Wait. A. B. Wait. C.", "Wait.", "C.")[1] == {0: "several places"}
    assert aligned("Intro. Wait. A. B. Wait. C.", "Wait.", "C.")[0] == [("0", "Wait."), ("1", "C.")]
    original = "A. Wait. B. Wait. C."
    (part, *_) = align([LabelledText(label="x", text="A. Wait.")], original).parts
    assert original[part.start : part.end] == "A. Wait."
    found = align([LabelledText(label="0", text="B."), LabelledText(label="1", text="Wait.")], original)
    assert [p.start for p in found.parts] == [9, 12]


def test_a_part_that_fits_twice_with_no_neighbour_to_tell_is_listed():
    assert aligned("A x Wait. y Wait. z B", "A", "Wait.", "B") == (
        [("0", "A"), ("2", "B")],
        {1: "several places"},
    )
    assert aligned("A Wait. y Wait. B", "A", "Wait.", "B")[1] == {1: "several places"}


def test_a_short_part_far_ahead_does_not_carry_the_rest_away():
    original = "One is long enough here. Two is long enough as well. So."
    found, reasons = aligned(original, "So.", "One is long enough here.", "Two is long enough as well.")
    assert [label for label, _ in found] == ["1", "2"]
    assert reasons == {0: "out of order"}


def test_the_same_part_twice_in_the_annotation_is_placed_once():
    found, reasons = aligned("Alpha beta. Gamma.", "Alpha beta.", "Alpha beta.", "Gamma.")
    assert [text for _, text in found] == ["Alpha beta.", "Gamma."]
    assert list(reasons.values()) == ["out of order"]


def test_more_parts_than_are_aligned_are_listed():
    original = "ab " * (MAX_PARTS + 3)
    _, reasons = aligned(original, *["ab"] * (MAX_PARTS + 3))
    assert [reasons.get(MAX_PARTS + k) for k in range(3)] == ["too many parts"] * 3


def heaviest(needles, text):
    """The most characters that any choice of needles covers in order, by trying all."""
    best = 0
    for keep in itertools.product((False, True), repeat=len(needles)):
        at, weight = 0, 0
        for needle in itertools.compress(needles, keep):
            start = text.find(needle, at)
            if start < 0:
                break
            at, weight = start + len(needle), weight + len(needle)
        else:
            best = max(best, weight)
    return best


def test_no_other_choice_of_parts_covers_more():
    for seed in range(300):
        draw = random.Random(seed)
        original = "".join(draw.choices("ab", k=draw.randint(1, 14)))
        texts = ["".join(draw.choices("ab", k=draw.randint(1, 4))) for _ in range(draw.randint(1, 6))]
        found = align([LabelledText(label=str(i), text=text) for i, text in enumerate(texts)], original)
        unclear = sum(len(u.part.text) for u in found.unaligned if u.reason == "several places")
        placed = sum(part.end - part.start for part in found.parts)
        assert placed + unclear == heaviest(texts, original), (original, texts)
        assert len(found.parts) + len(found.unaligned) == len(texts)


def parsed(annotated, original=""):
    found = parse_annotation(annotated, original)
    return [(text.label, text.text) for text in found.texts], [kind for kind, _ in found.notes]


def test_a_chain_is_cut_at_its_tags():
    assert parsed('["deduction"]So.["end-section"]\n\n["backtracking"] Wait.["end-section"]') == (
        [("deduction", "So."), ("backtracking", " Wait.")],
        [],
    )


@pytest.mark.parametrize(
    ("annotated", "texts", "kinds"),
    [
        ('["deduction"]A ["backtracking"]B["end-section"]', ["A ", "B"], ["missing end tag"]),
        ('["deduction"]A["end-section]["backtracking"]B', ["A", "B"], ["missing end tag"]),
        ('["deduction"]A["end-section"] and ["backtracking"]B["end-section"]', ["A", "B"], ["text without label"]),
        ('Sure! ["deduction"]A["end-section"]["end-section"]', ["A"], ["end tag without part"]),
        ("[deduction]A[end-section][“backtracking”]B[“end-section”]", ["A", "B"], []),
        ('["deducton"]A["end-section"]', ["A"], ["unknown label"]),
        ('["deduction", "backtracking"]A["end-section"]', ["A", "A"], []),
        ("no tags at all", [], []),
        ("", [], []),
    ],
)
def test_what_is_odd_about_tags_is_told(annotated, texts, kinds):
    found = parsed(annotated)
    assert [text for _, text in found[0]] == texts
    assert found[1] == kinds


def test_a_mistyped_label_is_kept_and_its_likely_meaning_told():
    found = parse_annotation('["backtraking"]A["end-section"]', "")
    assert found.texts[0].label == "backtraking"
    assert "may stand for backtracking" in found.notes[0][1]


def test_what_looks_like_a_tag_and_stands_in_the_original_is_text():
    original = 'The list is ["a"] and that is it.'
    found = parse_annotation(f'["deduction"]{original}["end-section"]', original)
    assert [(text.label, text.text) for text in found.texts] == [("deduction", original)]
    assert found.notes == ()
