"""What a report holds for every record, and what becomes of one that is damaged or old."""

from __future__ import annotations

import pytest

from core.errors import BadInput
from core.importing.report import MAX_GROUPS, MAX_LISTED, MAX_RANGES, Tally, report_from_json


def frozen(tally):
    return tally.freeze(source="s", layout="JSON Lines", n_bytes=1)


def test_it_comes_back_from_json():
    tally = Tally(n_records=3, n_cut=5, n_answers=1)
    tally.read(1, ("q", "r", "", "answer"))
    tally.note(2, "no text", "why")
    report = frozen(tally)
    assert report_from_json(report.to_json()) == report


def test_records_of_the_same_fields_are_one_row_with_ranges():
    tally = Tally()
    for record in (1, 2, 3, 5, 5, 8, 9):
        tally.read(record, ("q", "r", "", ""))
    tally.read(4, ("q", "other", "", ""))
    rows = frozen(tally).fields
    assert [(row.reasoning, row.n_traces, row.records) for row in rows] == [("r", 7, "1–3, 5, 8–9"), ("other", 1, "4")]


def test_its_size_is_bounded():
    tally = Tally()
    for k in range(1000):
        tally.read(2 * k, ("q", "r", "", ""))
        tally.read(k, ("q", f"r{k}", "", ""))
        tally.note(k, "no text", "why", 3)
    report = frozen(tally)
    assert len(report.fields) <= MAX_GROUPS + 1
    assert sum(row.n_traces for row in report.fields) == 2000
    assert report.fields[0].records.count(",") <= MAX_RANGES
    assert report.fields[0].records.endswith("…")
    assert (report.kinds["no text"], len(report.problems)) == (3000, MAX_LISTED)


def test_a_report_from_before_the_fields_is_read():
    old = frozen(Tally()).to_json()
    for name in ("n_cut", "n_answers", "fields"):
        del old[name]
    assert report_from_json(old) == frozen(Tally())


GOOD = frozen(Tally()).to_json()


@pytest.mark.parametrize(
    "damaged",
    [{}, {"source": "s"}, [], None, *(GOOD | bad for bad in ({"problems": 3}, {"forms": []}, {"fields": [{}]}))],
)
def test_a_damaged_report_is_a_sentence(damaged):
    with pytest.raises(BadInput, match="report"):
        report_from_json(damaged)
