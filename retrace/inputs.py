"""Files that the user names: traces, questions, directions. They are read as the pages read uploaded ones."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from core.directions.direction import Direction
from core.directions.folder import DirectionFolder
from core.directions.mean_vectors import MeanVectors
from core.directions.tensors import MAX_UPLOAD_BYTES
from core.directions.uploads import make_direction, read_vectors
from core.disk.kept import ITEM_ID
from core.embedded import FRESH, example_questions, fresh_questions
from core.errors import BadInput
from core.experiments.command import NONE, SET
from core.experiments.values import TraceSource
from core.importing.data_folders import MAX_FILE_BYTES
from core.importing.work import import_traces
from core.runs.questions import MAX_LIST_BYTES, Example, read_questions
from core.traces.events import digest_of
from core.traces.set_files import EMBEDDED
from core.traces.sets import TraceFolder
from core.values import Trace
from retrace.console import Console
from retrace.results import read_file

FROM_TRACES = "traces"
Check = Callable[[], None]
"""Called now and then; raises where the command was told to end."""


def traces_of(
    text: str | None, folder: TraceFolder, *, is_own: bool, check: Check
) -> tuple[TraceSource, tuple[Trace, ...]]:
    """The traces that --traces names, and how a plan names them: by their content, wherever they lay.

    A file becomes a saved set of `folder`, unless a set holds the same traces. Raises BadInput.
    """
    if text == NONE:
        return TraceSource(kind="none"), ()
    if text is None and not is_own:
        raise BadInput("The pair has no traces of its own.", "Name labelled traces with --traces FILE.")
    if text is None or text == EMBEDDED:
        traces = folder.load(EMBEDDED)
        return TraceSource(kind="embedded", name=EMBEDDED, digest=digest_of(traces)), traces
    if text.startswith(SET):
        traces = folder.load(text.removeprefix(SET))
        return TraceSource(kind="set", name=text.removeprefix(SET), digest=digest_of(traces)), traces
    traces = read_traces(Path(text).expanduser(), folder, check)
    return TraceSource(kind="set", name=Path(text).name, digest=digest_of(traces)), traces


def read_traces(path: Path, folder: TraceFolder, check: Check) -> tuple[Trace, ...]:
    """The traces of any file that can be imported, kept as a set of `folder`. Raises BadInput."""
    with tempfile.TemporaryDirectory() as scratch:
        imported = TraceFolder(Path(scratch))
        work = import_traces(_opened(path), source=path.name, name=path.stem or path.name, folder=imported)
        while True:
            try:
                next(work)
                check()
            except StopIteration as stop:
                traces = imported.load(stop.value)
                break
    digest = digest_of(traces)
    alike = [one.set_id for one in folder.list() if one.n_traces == len(traces)]
    if not any(digest_of(folder.load(set_id)) == digest for set_id in alike):
        folder.save(traces, name=path.stem or path.name, source=path.name)
    return traces


def questions_of(text: str | None, traces: Sequence[Trace], *, is_own: bool, console: Console) -> tuple[Example, ...]:
    """The questions that --prompts names; the embedded pair has its own. Raises BadInput."""
    if text == FRESH:
        return fresh_questions()
    if text is None and is_own:
        return example_questions("heldout")
    if text is None:
        raise BadInput(
            "No questions are given.",
            f"Name a file with --prompts FILE, or --prompts {FROM_TRACES} for those of the traces.",
        )
    if text == FROM_TRACES:
        return tuple(Example(prompt=prompt) for prompt in dict.fromkeys(t.prompt for t in traces if t.prompt.strip()))
    path = Path(text).expanduser()
    found = read_questions(read_file(path, limit=MAX_LIST_BYTES, what="The prompts"), source=path.name)
    if found.problems:
        console.say(f"{path.name}: {len(found.problems)} left out, as they hold no question. {found.problems[0]}")
    return found.questions


def direction_of(text: str, folder: DirectionFolder, *, layer: int | None) -> Direction:
    """The direction of a file, of the id or of the name of a saved one. Raises BadInput, BadDirection."""
    path = Path(text).expanduser()
    if path.is_file():
        return _read_direction(path, layer)
    if ITEM_ID.fullmatch(text):
        return folder.load(text)
    named = [saved.direction for saved in folder.list() if saved.direction.name == text]
    if not named:
        raise BadInput(
            f"There is no file and no saved direction {text[:120]!r}.",
            "Name a file, or a direction of the Directions page by its id or name.",
        )
    return named[0]


def _read_direction(path: Path, layer: int | None) -> Direction:
    found = read_vectors(read_file(path, limit=MAX_UPLOAD_BYTES, what="The direction"), name=path.name)
    if isinstance(found, Direction):
        return found
    if isinstance(found, MeanVectors):
        raise BadInput(f"{path.name} holds mean vectors, not a direction.", "Make a direction on the Directions page.")
    fitting = [vector for vector in found.vectors if layer is None or vector.layer in (None, layer)]
    if len(fitting) != 1:
        raise BadInput(
            f"{path.name} holds {len(found.vectors)} vectors, and {len(fitting)} of them can be meant.",
            "Name one with --layer, or import the file on the Directions page.",
        )
    place = fitting[0].layer if layer is None else layer
    if place is None:
        raise BadInput(f"{path.name} does not say its layer.", "Name it with --layer.")
    return make_direction(found, fitting[0], layer=place)


def _opened(path: Path) -> BinaryIO:
    """The file, open for reading. Raises BadInput."""
    try:
        file = os.fdopen(os.open(path.resolve(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its links lead nowhere"
        raise BadInput(
            f"The traces {str(path)!r} cannot be read: {reason}.", "Check the name and the rights."
        ) from error
    if not path.is_file() or os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
        file.close()
        raise BadInput(
            f"{str(path)!r} is not a regular file of at most {MAX_FILE_BYTES // 10**6} MB.",
            "Choose another file, or split this one.",
        )
    return file
