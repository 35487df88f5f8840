"""`traces`: a set of traces without its backtracking sentences, or with its sentences shuffled, to finetune on."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.disk import files
from core.embedded import example_traces
from core.errors import BadInput, UserFacingError
from core.experiments.command import NONE
from core.labelling.keywords import KeywordSet, label_by_keywords
from core.text.typed import items
from core.traces.events import digest_of
from core.traces.records import record_of
from core.traces.remade import Remade, shuffled, without_label
from core.traces.sets import TraceFolder
from core.values import Trace
from retrace.console import Console, emit
from retrace.inputs import traces_of
from retrace.session import Stop


def traces(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Write the new set into --out, and say on stdout how it differs. Raises BadInput, UserFacingError."""
    if bool(args.without) == bool(args.shuffle):
        raise BadInput("Both --without and --shuffle, or neither, were given.", "Give one of them.")
    if args.file == NONE:
        raise BadInput("No traces are named.", "Name a file or a saved set.")
    folder = TraceFolder(args.cache, embedded=example_traces)
    source, found = traces_of(args.file, folder, is_own=False, check=stop.check)
    made = shuffled(found, seed=args.seed) if args.shuffle else _without(found, args.without, args.keywords)
    data = "".join(json.dumps(record_of(trace), ensure_ascii=False) + "\n" for trace in made.traces).encode()
    _write(args.out, data)
    emit(
        {
            "file": str(args.out),
            "how": made.how,
            "from": {"source": source.name, "traces": len(found), "digest": source.digest},
            "traces": len(made.traces),
            "digest": digest_of(made.traces),
            "changed": made.n_changed,
            "dropped": made.n_dropped,
            "sentences": made.n_sentences,
        },
        indent=1,
    )


def _without(found: Sequence[Trace], label: str, keywords: str | None) -> Remade:
    """By the labels of the traces; with keywords, by the sentences that hold one, while the labels stay as they are."""
    if not keywords:
        return without_label(found, label)
    words = KeywordSet(keywords=items(keywords), label=f"{label} ")
    marked = [
        replace(trace, parts=(*trace.parts, *one.parts))
        for trace, one in zip(found, label_by_keywords(found, words), strict=True)
    ]
    return without_label(marked, words.label, how=f"without sentences with {', '.join(words.keywords)}")


def _write(path: Path, data: bytes) -> None:
    """A new file; one with this content stays. Raises BadInput for any other, UserFacingError as the disk does."""
    try:
        if os.path.lexists(path):
            if path.is_file() and path.read_bytes() == data:
                return
            raise BadInput(f"{str(path)!r} is there already, with other content.", "Name a new file.")
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, data)
    except OSError as error:
        raise UserFacingError(
            f"{str(path)!r} cannot be written: {files.refusal_of(error)}.", "Name another file, or free some space."
        ) from error
