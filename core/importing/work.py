"""A file of traces into a saved set, a short step at a time: whole at the end, or nothing at all.

Each step reads for a few milliseconds and yields, so that other work goes on and a stop leaves no trace of the import.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import BinaryIO

from core.errors import BadInput
from core.importing.forms import read_record
from core.importing.gathering import whole_chats
from core.importing.reader import Found, Layout, find_layout, read_records
from core.importing.readings import Reading, Refused
from core.importing.report import Tally
from core.jobs import Progress
from core.traces.set_files import TraceWriter, checked_name, facts_of
from core.traces.sets import TraceFolder
from core.values import Trace

STEP_SECONDS = 0.02
_HASH_BYTES = 12


class _Importer:
    """Takes records in order; knows the traces so far by their digests only."""

    def __init__(self, writer: TraceWriter, source: str) -> None:
        self.tally = Tally()
        self._writer, self._source = writer, source
        self._whole: dict[bytes, int] = {}
        self._texts: dict[bytes, int] = {}
        self._ids: set[bytes] = set()

    def take(self, found: Found) -> Iterator[None]:
        """Add the record's traces to the set, or note why there are none, in short steps."""
        self.tally.n_records += 1
        if found.fault:
            self.tally.note(found.number, "unreadable", found.fault)
            return
        if found.n_left_out:
            self.tally.note(found.number, "too long", f"a text of {found.n_left_out:,} bytes is left out")
        if found.replaced:
            self.tally.note(found.number, "not UTF-8", "it holds bytes that are not UTF-8, read as �")
        is_cut = bool(found.n_left_out)
        try:
            for reading in read_record(found.value, number=found.number, source=self._source, is_cut=is_cut):
                yield
                if isinstance(reading, Refused):
                    self.tally.note(found.number, reading.kind, reading.reason)
                elif reading:
                    self._add(reading, found.number)
        except Refused as refused:
            self.tally.note(found.number, refused.kind, refused.reason)
            self.tally.n_answers += refused.kind == "no reasoning"

    def _add(self, reading: Reading, number: int) -> None:
        trace, tally = reading.trace, self.tally
        text = _digest(trace.prompt, trace.text)
        whole = _digest(trace.prompt, trace.text, *(f"{p.label}:{p.start}:{p.end}" for p in trace.parts))
        if whole in self._whole:
            reason = f"it repeats record {self._whole[whole]}; read from {reading.fields.reasoning}"
            tally.note(number, "duplicate", reason)
            return
        if text in self._texts:
            tally.note(number, "same text", f"it has the text of record {self._texts[text]}, with other parts")
        self._whole[whole] = number
        self._texts.setdefault(text, number)
        for kind, reason in reading.notes:
            tally.note(number, kind, reason)
        if reading.n_beyond:
            reason = f"{reading.n_beyond:,} parts beyond the first {reading.n_parts - reading.n_beyond:,}"
            tally.note(number, "too many parts", reason, reading.n_beyond)
        tally.n_parts += reading.n_parts
        tally.n_aligned += len(trace.parts)
        tally.n_cut += reading.n_cut
        tally.n_answers += reading.n_answers
        tally.forms[reading.form] += 1
        fields = reading.fields
        tally.read(number, (fields.question, fields.reasoning, fields.labels, ", ".join(fields.unread)))
        self._writer.add(self._named(trace, number))

    def _named(self, trace: Trace, number: int) -> Trace:
        """The trace with an id that no other has."""
        name = trace.trace_id
        if _digest(name) in self._ids:
            name = f"{name} (record {number})"
        self._ids.add(_digest(name))
        return Trace(trace_id=name, prompt=trace.prompt, text=trace.text, parts=trace.parts, source=trace.source)


def import_traces(file: BinaryIO, *, source: str, name: str, folder: TraceFolder) -> Generator[Progress, None, str]:
    """Read the file to its end and keep what is in it as a set called `name`; returns the set's id.

    Closes the file. Raises BadInput when the file holds no usable trace, UserFacingError when the disk is full.
    """
    with closing(file):
        name, set_id = checked_name(name), os.urandom(6).hex()
        n_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        layout = find_layout(file)
        yield Progress(0, n_bytes, f"reading {source}")
        with folder.new(set_id) as writer:
            importer = _Importer(writer, source)
            due = time.monotonic() + STEP_SECONDS
            for done in _steps(importer, file, layout):
                if time.monotonic() >= due:
                    yield Progress(done, n_bytes, _line(importer.tally), importer.tally.n_records)
                    due = time.monotonic() + STEP_SECONDS
            yield Progress(n_bytes, n_bytes, "saving the traces")
            _check_any(importer.tally, source)
            report = importer.tally.freeze(source=source, layout=layout, n_bytes=n_bytes)
            form = next(iter(report.forms))
            writer.finish(facts_of(name=name, source=source, form=form, report=report.to_json()))
    return set_id


def _steps(importer: _Importer, file: BinaryIO, layout: Layout) -> Iterator[int]:
    """Take every record; after each short step, how many bytes are read."""
    for found in whole_chats(read_records(file, layout)):
        yield found.done
        if isinstance(found, Found):
            for _ in importer.take(found):
                yield found.done


def _check_any(tally: Tally, source: str) -> None:
    if tally.forms:
        return
    first = f" Record {tally.problems[0].record}: {tally.problems[0].reason}." if tally.problems else ""
    raise BadInput(
        f"{source} holds no usable trace among its {tally.n_records:,} records.{first}",
        "Choose a file with annotated chains, chat logs, questions and responses, or plain text.",
    )


def _line(tally: Tally) -> str:
    return f"{tally.n_records:,} records read, {tally.n_aligned:,} of {tally.n_parts:,} parts placed"


def _digest(*texts: str) -> bytes:
    found = hashlib.blake2b(digest_size=_HASH_BYTES)
    for text in texts:
        data = text.encode()
        found.update(len(data).to_bytes(8, "big") + data)
    return found.digest()
