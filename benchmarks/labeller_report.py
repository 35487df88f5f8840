"""Sentence splitter and keyword labeller against the labels that GPT-4o gave (compare paper, Table C.1).

python -m benchmarks.labeller_report [FOLDER of *_annotated_chains.json] writes docs/labellers.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.importing.forms import read_record
from core.importing.reader import Found, find_layout, read_records
from core.importing.readings import Reading
from core.labelling.agreement import Unit, compare
from core.labelling.keywords import EXTENDED_KEYWORDS, KeywordSet, label_by_keywords
from core.statistics import Interval
from core.text.sentences import split_sentences
from core.traces.events import BACKTRACKING
from core.values import Trace

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "traces"
OUT = ROOT / "docs" / "labellers.md"
PATTERN = "*_annotated_chains.json"
SETS = {"The paper's two words": KeywordSet(), "A longer list": KeywordSet(keywords=EXTENDED_KEYWORDS)}

_HEAD = """# Labellers against GPT-4o

Written by `make labeller-report`. The traces are {n} annotated chains of DeepSeek-R1-Distill-Llama-8B (500 new tokens
each, so cut off); the reference is GPT-4o's labels, each part aligned to the original trace by characters. Brackets are
95% intervals by bootstrap over traces.

## Sentences

A good splitter lets every part of the reference begin where one of its sentences begins, and puts no sentence across
two labels. Neither is quite possible: GPT-4o sometimes cuts in mid-sentence, and mends what it copies.
"""
_SCORES = """
## {title}

Every sentence with one of these is called backtracking: {keywords}. A sentence of the reference has the label that most
of its characters have; sentences to which GPT-4o gave none are left out.
"""
_TAIL = """
## How to read this

The paper's Table C.1 has F1 from 54% to 65% for wait and hmm, on completions of other prompts, steered and not, which
were labelled anew. Here the two words find {recall:.0%} of what GPT-4o calls backtracking. Of the sentences that hold
one of them it calls {others:.0%} something else, most often {most}: "Wait, is that always true?" is a doubt, and
not yet a turn. So a rate of keywords follows backtracking, but does not count it. The longer list was put together by
reading, not fitted to these numbers.
"""


@dataclass(frozen=True)
class Chains:
    """The records of one file, or of all of them."""

    name: str
    traces: tuple[Trace, ...]
    n_parts: int
    """Parts of the reference, those included that stand nowhere in their trace."""


def read_chains(path: Path) -> Chains:
    """The traces of an annotated file, with the parts that can be aligned."""
    traces: list[Trace] = []
    n_parts = 0
    with path.open("rb") as file:
        for found in read_records(file, find_layout(file)):
            if not isinstance(found, Found):
                continue
            for reading in read_record(found.value, number=found.number, source=path.name):
                if isinstance(reading, Reading):
                    traces.append(reading.trace)
                    n_parts += reading.n_parts
    return Chains(path.name.removesuffix(PATTERN[1:]).replace("_", " "), tuple(traces), n_parts)


def report(files: Sequence[Chains]) -> str:
    """The whole document."""
    every = Chains("all", tuple(t for chains in files for t in chains.traces), sum(c.n_parts for c in files))
    lines = [_HEAD.format(n=len(every.traces))]
    lines += _table(
        ("file", "traces", "sentences", "parts", "aligned", "begin a sentence", "sentences in one label"),
        (_splitter_row(chains) for chains in (*files, every)),
    )
    for title, keywords in SETS.items():
        lines.append(_SCORES.format(title=title, keywords=", ".join(keywords.keywords)))
        head = ("file", "reference", "found", "precision %", "recall %", "F1 %", "Cohen's κ", "F1 % by characters")
        lines += _table(head, (_score_row(chains, keywords) for chains in (*files, every)))
    return "\n".join(lines) + "\n" + _reading(every)


def _reading(every: Chains) -> str:
    found = compare(every.traces, label_by_keywords(every.traces, KeywordSet()), only_judged=True)
    score = found.score(BACKTRACKING)
    column = found.table[:, found.labels.index(BACKTRACKING)]
    by_label = dict(zip(found.labels, column.tolist(), strict=True))
    most = max((label for label in by_label if label != BACKTRACKING), key=by_label.__getitem__)
    return _TAIL.format(recall=score.recall.mean, others=1 - score.precision.mean, most=most)


def _splitter_row(chains: Chains) -> Iterator[str]:
    begins = n_sentences = whole = labelled = 0
    for trace in chains.traces:
        spans = split_sentences(trace.text)
        starts = {start for start, _ in spans}
        begins += sum(part.start in starts for part in trace.parts)
        n_sentences += len(spans)
        for start, end in spans:
            labels = {part.label for part in trace.parts if part.start < end and part.end > start}
            labelled += bool(labels)
            whole += len(labels) == 1
    n_aligned = sum(len(trace.parts) for trace in chains.traces)
    yield from (chains.name, f"{len(chains.traces)}", f"{n_sentences:,}", f"{chains.n_parts:,}")
    yield from (f"{n_aligned / chains.n_parts:.1%}", f"{begins / n_aligned:.1%}", f"{whole / labelled:.1%}")


def _score_row(chains: Chains, keywords: KeywordSet) -> Iterator[str]:
    found = label_by_keywords(chains.traces, keywords)
    units: tuple[Unit, Unit] = ("sentence", "character")
    by_sentence, by_character = (
        compare(chains.traces, found, unit=unit, only_judged=True).score(BACKTRACKING) for unit in units
    )
    yield from (chains.name, f"{by_sentence.in_reference:,}", f"{by_sentence.in_other:,}")
    yield from map(_percent, (by_sentence.precision, by_sentence.recall, by_sentence.f1))
    kappa = by_sentence.kappa
    yield f"{kappa.mean:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]"
    yield _percent(by_character.f1)


def _percent(share: Interval) -> str:
    return f"{100 * share.mean:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _table(head: Sequence[str], rows: Iterator[Iterator[str]]) -> list[str]:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def main() -> None:
    """Read the files, write the document and say where it is."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    paths = sorted(folder.glob(PATTERN))
    if not paths:
        raise SystemExit(f"No {PATTERN} in {folder}: name a folder that holds such files.")
    OUT.write_text(report([read_chains(path) for path in paths]), "utf-8")
    print(f"{OUT.relative_to(ROOT)} is written from {len(paths)} files.")


if __name__ == "__main__":
    main()
