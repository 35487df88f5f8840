"""What a running generation has written so far, so that a killed process loses none of it. No cache, no torch.

One log per run: a header with the specs, then a line per token, each with its checksum. The process that writes a log
holds its file lock; a log whose lock is free and that has no final line belongs to a run that was interrupted.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import logging
import os
import re
import threading
import time
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.disk import codec, files
from core.runs.values import Generation, GenerationSpec, StopReason

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
SUFFIX = ".jsonl"
FORMAT = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InterruptedRun:
    """A run whose process ended before it did: what its lanes had written, when it began, and the caller's notes."""

    run_id: str
    generations: tuple[Generation, ...]
    started_at: float
    meta: dict[str, str]


class RunLog:
    """The log of one run, written as it goes. Safe to use from any thread; a fault of the disk only ends the log."""

    def __init__(self, path: Path, fd: int | None) -> None:
        self._path = path
        self._fd = fd
        self._left = False
        self._lock = threading.Lock()

    def append(self, token_id: int, piece: str, *, lane: int = 0) -> None:
        """Note one token of a lane; it is with the operating system when this returns."""
        self._write([lane, int(token_id), piece])

    def finish(self, stop_reason: StopReason) -> None:
        """The run has ended and its results are kept elsewhere: the log goes, unless it was left."""
        if self._left:
            return
        self._write({"stop": stop_reason})
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.close()

    def leave(self) -> None:
        """The process ends before the run: its log stays, whatever becomes of the run until then."""
        self._left = True
        self.close()

    def close(self) -> None:
        """Let go of the log without an end: from now on its run counts as interrupted."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _write(self, record: object) -> None:
        line = _line(record)
        with self._lock:
            if self._fd is None:
                return
            try:
                _write_all(self._fd, line)
            except OSError as error:
                log.warning("A run is no longer logged: %s", error.strerror)
                os.close(self._fd)
                self._fd = None


class RunJournal:
    """The logs under `root`/runs."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root).absolute() / "runs"
        self._begun: weakref.WeakSet[RunLog] = weakref.WeakSet()
        self._sweep()

    def begin(self, run_id: str, specs: tuple[GenerationSpec, ...], *, meta: dict[str, str] | None = None) -> RunLog:
        """Start the log of a run with one lane per spec. Raises ValueError for a bad or used id.

        A fault of the disk is no error: the run goes on without a log.
        """
        path = self._path(run_id)
        header = {
            "format": FORMAT,
            "run_id": run_id,
            "started_at": time.time(),
            "meta": dict(meta or {}),
            "specs": [base64.b64encode(codec.dump(spec)).decode("ascii") for spec in specs],
        }
        try:
            files.private_folder(self.folder)
            fd = _new_log(path)
        except FileExistsError:
            raise ValueError(f"The run {run_id!r} has a log already.") from None
        except OSError as error:
            log.warning("A run is not logged: %s", error.strerror)
            return RunLog(path, None)
        run_log = RunLog(path, fd)
        self._begun.add(run_log)
        run_log._write(header)
        return run_log

    def leave(self) -> None:
        """The process ends: the runs that are not at their end count as interrupted."""
        for run_log in list(self._begun):
            run_log.leave()

    def interrupted(self) -> list[InterruptedRun]:
        """The runs that ended with their process, newest first."""
        runs = []
        for path in self._logs():
            with contextlib.suppress(OSError):
                data = _read_unlocked(path)
                run = _interrupted_run(path.stem, data, path.lstat().st_mtime) if data else None
                if run is not None:
                    runs.append(run)
        return sorted(runs, key=lambda run: run.started_at, reverse=True)

    def discard(self, run_id: str) -> bool:
        """Delete the log of an interrupted run; False when there is none or it still runs. ValueError: a bad id."""
        try:
            return files.remove_if_unlocked(self._path(run_id))
        except OSError:
            return False

    def _path(self, run_id: str) -> Path:
        if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
            raise ValueError("A run id is made of 1 to 80 letters, digits, '-' and '_'.")
        return self.folder / f"{run_id}{SUFFIX}"

    def _logs(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return [p for p in sorted(self.folder.glob(f"*{SUFFIX}")) if RUN_ID.fullmatch(p.stem)]
        return []

    def _sweep(self) -> None:
        """Remove logs of ended processes that hold nothing: no complete header, or a final line."""
        for path in self._logs():
            with contextlib.suppress(OSError):
                data = _read_unlocked(path)
                if data is not None and (b"\n" not in data or _has_ended(_records(data))):
                    files.remove_if_unlocked(path)


def _line(record: object) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _records(data: bytes) -> list[Any]:
    """The records up to the first line that is torn or damaged."""
    records = []
    for line in data.split(b"\n")[:-1]:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            break
        records.append(json.loads(text))
    return records


def _has_ended(records: list[Any]) -> bool:
    return bool(records) and isinstance(records[-1], dict) and "stop" in records[-1]


def _new_log(path: Path) -> int:
    """A new locked log. Raises FileExistsError, OSError."""
    while True:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        # A sweep in another process may have removed the empty log between these two calls.
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)


def _read_unlocked(path: Path) -> bytes | None:
    """The log's bytes; None while its process is alive. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return files.read_regular(path) if files.try_lock(fd, shared=True) else None
    finally:
        os.close(fd)


def _interrupted_run(run_id: str, data: bytes, ended_at: float) -> InterruptedRun | None:
    """The run of an unlocked log; None when the log ended, or does not hold a run that this version can read."""
    try:
        records = _records(data)
        if not records or _has_ended(records) or records[0]["format"] != FORMAT:
            return None
        header = records[0]
        specs = [codec.load(GenerationSpec, base64.b64decode(text, validate=True)) for text in header["specs"]]
        lanes: list[tuple[list[int], list[str]]] = [([], []) for _ in specs]
        for lane, token_id, piece in records[1:]:
            lanes[lane][0].append(int(token_id))
            lanes[lane][1].append(str(piece))
        started_at = float(header["started_at"])
        meta = {str(k): str(v) for k, v in header["meta"].items()}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        log.warning("The log of a run cannot be read (%s).", type(error).__name__)
        return None
    generations = tuple(
        Generation(
            spec=spec,
            token_ids=tuple(ids),
            pieces=tuple(pieces),
            stop_reason="interrupted",
            seconds=max(0.0, ended_at - started_at),
        )
        for spec, (ids, pieces) in zip(specs, lanes, strict=True)
    )
    return InterruptedRun(run_id=run_id, generations=generations, started_at=started_at, meta=meta)
