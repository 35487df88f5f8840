"""Agreement of two labellings against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput
from core.labelling.agreement import Place, cohens_kappa, compare
from core.statistics import bootstrap_sums
from core.values import Part, Trace

SENTENCES = ["We add two. ", "Wait, no. ", "It is 4. ", "Hmm, yes. "]
B, D = "backtracking", "deduction"


def trace(labels, *, number=0, sentences=SENTENCES):
    """A trace whose i-th sentence is one part of labels[i], or of none for ""."""
    parts, at = [], 0
    for label, sentence in zip(labels, sentences, strict=True):
        if label:
            parts.append(Part(label=label, start=at, end=at + len(sentence)))
        at += len(sentence)
    return Trace(trace_id=f"t{number}", prompt=f"p{number}", text="".join(sentences), parts=tuple(parts))


REFERENCE = [trace([D, B, D, D]), trace([D, B, B, D], number=1)]
OTHER = [trace(["", B, "", B]), trace(["", B, "", ""], number=1)]


def test_precision_recall_f1_and_kappa_are_those_of_the_confusion_table():
    found = compare(REFERENCE, OTHER)
    assert found.labels == (D, B, "")
    assert found.table.tolist() == [[0, 1, 4], [0, 2, 1], [0, 0, 0]]
    score = found.score(B)
    assert score.precision.mean == pytest.approx(2 / 3)
    assert score.recall.mean == pytest.approx(2 / 3)
    assert score.f1.mean == pytest.approx(2 / 3)
    by_chance = (3 * 3 + 5 * 5) / 64
    assert score.kappa.mean == pytest.approx((6 / 8 - by_chance) / (1 - by_chance))
    assert (score.in_reference, score.in_other, found.left_out, found.unjudged) == (3, 3, 0, 0)


def test_precision_has_the_bootstrap_interval_over_traces():
    rows = np.array([[1.0, 2.0], [1.0, 1.0]])
    found = compare(REFERENCE, OTHER).score(B).precision
    assert found == bootstrap_sums(rows, lambda sums: sums[..., 0] / sums[..., 1])


def test_each_cell_lists_its_sentences():
    found = compare(REFERENCE, OTHER)
    text = REFERENCE[0].text
    (place,) = found.places[D, B]
    assert found.pairs[place.trace] == (REFERENCE[0], OTHER[0])
    assert text[place.start : place.end] == "Hmm, yes."
    assert {cell: len(places) for cell, places in found.places.items()} == {
        (D, B): 1,
        (D, ""): 4,
        (B, B): 2,
        (B, ""): 1,
    }


def test_a_labelling_agrees_fully_with_itself():
    found = compare(REFERENCE, REFERENCE)
    assert found.kappa().mean == 1
    assert all(found.score(label).f1.mean == 1 for label in found.labels)


def test_swapping_the_two_swaps_precision_with_recall_and_keeps_kappa():
    one, two = compare(REFERENCE, OTHER).score(B), compare(OTHER, REFERENCE).score(B)
    assert (one.precision, one.recall, one.f1, one.kappa) == (two.recall, two.precision, two.f1, two.kappa)


def test_kappa_over_all_labels_is_cohens():
    table = np.array([[20.0, 5.0], [10.0, 15.0]])
    assert cohens_kappa(table) == pytest.approx(0.4)
    assert cohens_kappa(np.array([[7.0, 0.0], [0.0, 0.0]])) == 0
    assert compare(REFERENCE, OTHER).kappa().mean == pytest.approx(
        float(cohens_kappa(compare(REFERENCE, OTHER).table.astype(float)))
    )


def test_a_sentence_has_the_label_of_most_of_its_characters():
    text = "Wait, that is wrong."
    mixed = Trace(
        trace_id="m",
        prompt="p0",
        text=text,
        parts=(Part(label=B, start=0, end=6), Part(label=D, start=6, end=20)),
    )
    assert compare([mixed], [replace(mixed, parts=())]).table.tolist() == [[0, 1], [0, 0]]
    short = replace(mixed, parts=(Part(label=B, start=0, end=6),))
    assert compare([short], [mixed]).places == {("", D): (Place(trace=0, start=0, end=20),)}


def test_characters_are_counted_without_white_space():
    found = compare(REFERENCE, OTHER, unit="character")
    assert found.table.sum() == 2 * len("".join("".join(SENTENCES).split()))
    assert found.table[found.labels.index(B), found.labels.index(B)] == 2 * len("Wait,no.")
    (place,) = found.places[D, B]
    assert REFERENCE[0].text[place.start : place.end] == "Hmm, yes."


def test_what_the_reference_does_not_label_can_be_left_out():
    partly = [trace([D, "", D, ""])]
    found = compare(partly, OTHER[:1], only_judged=True)
    assert (found.table.sum(), found.unjudged) == (2, 2)
    assert found.labels == (D, "")


def test_traces_belong_together_by_their_text_not_by_their_order():
    found = compare(REFERENCE, [OTHER[1], trace(["", "", "", ""], number=9), OTHER[0]])
    assert found.table.tolist() == compare(REFERENCE, OTHER).table.tolist()
    assert found.left_out == 1
    twice = compare([REFERENCE[0], REFERENCE[0]], [OTHER[0], trace([B, B, B, B])])
    assert twice.counts.sum(axis=(1, 2)).tolist() == [4, 4]
    assert [other.parts for _, other in twice.pairs] == [OTHER[0].parts, trace([B, B, B, B]).parts]


def test_labellings_of_other_traces_and_unknown_labels_are_refused():
    with pytest.raises(BadInput, match="no trace in common"):
        compare(REFERENCE, [trace([B, B, B, B], number=7)])
    with pytest.raises(BadInput, match="Neither labelling"):
        compare(REFERENCE, OTHER).score("initializing")


def test_of_two_parts_over_one_character_the_first_counts():
    text = "Wait, that is wrong."
    whole, inner = Part(label=B, start=0, end=20), Part(label=D, start=0, end=14)
    plain = Trace(trace_id="m", prompt="p0", text=text)
    for parts, characters in (((whole, inner), {B: 17}), ((inner, whole), {D: 11, B: 6})):
        labelled = replace(plain, parts=parts)
        assert compare([labelled], [plain]).places == {(parts[0].label, ""): (Place(trace=0, start=0, end=20),)}
        found = compare([labelled], [plain], unit="character")
        assert {label: found.table[found.labels.index(label)].sum() for label in found.labels[:-1]} == characters


@pytest.mark.parametrize("labels", [(B, D), (D, B)])
def test_a_sentence_of_two_equal_halves_has_the_label_of_the_first(labels):
    halves = tuple(Part(label=label, start=start, end=start + 2) for label, start in zip(labels, (0, 2), strict=True))
    halved = Trace(trace_id="m", prompt="p0", text="abcd", parts=halves)
    plain = replace(halved, parts=())
    assert list(compare([halved], [plain]).places) == [(labels[0], "")]
    assert list(compare([plain], [halved]).places) == [("", labels[0])]
