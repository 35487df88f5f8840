"""The table of labellers against GPT-4o: what it counts, and that the one in docs/ is the one the command writes."""

import json

import pytest

from benchmarks.labeller_report import DATA, OUT, PATTERN, read_chains, report

CHAIN = "We add two. Wait, is it so? Hmm, no: go back. It is 4."
ANNOTATED = (
    '["deduction"]We add two.["end-section"]["uncertainty-estimation"]Wait, is it so?["end-section"]'
    '["backtracking"]Hmm, no: go back.["end-section"]["deduction"]It is 4.["end-section"]'
    '["deduction"]This is not in the chain.["end-section"]'
)


def rows_of(document, name):
    """The cells of each table's row with that name."""
    lines = [line for line in document.splitlines() if line.startswith(f"| {name} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_rows_are_the_counts_and_scores_of_their_file(tmp_path):
    record = {"task_id": "a", "problem": "2 + 2?", "reasoning_chain": CHAIN, "annotated_chain": ANNOTATED}
    for name in ("one", "two_words"):
        (tmp_path / f"{name}_annotated_chains.json").write_text(json.dumps([record, record | {"problem": "3?"}]))
    files = [read_chains(path) for path in sorted(tmp_path.glob(PATTERN))]
    document = report(files)
    splitter, paper, longer = rows_of(document, "two words")
    assert splitter == ["two words", "2", "8", "10", "80.0%", "100.0%", "100.0%"]
    assert paper[:3] == ["two words", "2", "4"]
    assert [cell.split()[0] for cell in paper[3:7]] == ["50.0", "100.0", "66.7", "0.50"]
    assert longer == paper
    assert rows_of(document, "all")[0][1:4] == ["4", "16", "20"]


@pytest.mark.slow
def test_the_document_is_what_the_command_writes():
    paths = sorted(DATA.glob(PATTERN))
    if not paths:
        pytest.skip(f"no {PATTERN} in {DATA}")
    assert OUT.read_text("utf-8") == report([read_chains(path) for path in paths])
    assert len(rows_of(OUT.read_text("utf-8"), "all")) == 3
