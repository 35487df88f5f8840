"""The folder of a finetune: the finished adapter, in `run/` what goes on after a stop, in `checkpoints/` those before.

Every file is there whole or not at all. The adapter's config is written last of all: before, it is no adapter.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.disk import codec, files
from core.disk.fields import decode
from core.errors import BadInput, UserFacingError
from core.finetuning.values import Course, Finetuned, FinetuneSpec
from core.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from core.text.lines import shown_line
from core.values import Floats

log = logging.getLogger(__name__)

RUN, CHECKPOINTS = "run", "checkpoints"
_RECORD, _STATE = f"{RUN}/finetune.json", f"{RUN}/state.safetensors"
_STEP, REPORT = "step-{:06d}", "report.html"
_OWN = {RUN, CHECKPOINTS, ADAPTER_CONFIG, ADAPTER_WEIGHTS, REPORT, "README.md", "chat_template.jinja", ".DS_Store"}
_MAX_RECORD, _MAX_HEAD = 1 << 20, 1 << 26


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a folder's finetune was begun with."""

    spec: FinetuneSpec
    fingerprint: str
    """Of the base model."""
    reader: str
    """sha256 of the reasoning model's tokenizer with its template."""
    threads: int
    """CPU threads: sums depend on how they are shared out."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """All that a finetune goes on from."""

    course: Course
    names: tuple[str, ...]
    factors: tuple[Floats, ...]
    means: tuple[Floats, ...]
    squares: tuple[Floats, ...]


class RunFolder:
    """One finetune's folder, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def record(self) -> Record | None:
        """What it was begun with; None where nothing was. Raises BadInput where that cannot be read."""
        if not (self.path / _RECORD).exists():
            return None
        try:
            said = json.loads(files.read_regular(self.path / _RECORD, limit=_MAX_RECORD))
            found: Record = decode(Record, said, "", {})
            return found
        except UserFacingError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BadInput(
                f"The finetune in {str(self.path)!r} cannot be read ({type(error).__name__}).",
                "Begin it again in another folder.",
            ) from error

    def kept(self) -> Kept | None:
        """Where it stopped; None where no step was kept. Raises BadInput for damaged bytes."""
        path = self.path / _STATE
        if not path.exists():
            return None
        try:
            return codec.load(Kept, files.read_regular(path), key=_STATE)
        except (OSError, codec.CorruptValue) as error:
            raise BadInput(
                f"What the finetune in {str(self.path)!r} would go on from is damaged.",
                "Begin it again in another folder; its checkpoints can still be loaded.",
            ) from error

    @property
    def is_finished(self) -> bool:
        """Whether the adapter is there."""
        return (self.path / ADAPTER_CONFIG).exists() and (self.path / ADAPTER_WEIGHTS).exists()

    def state(self) -> Finetuned | None:
        """How it stands, None where nothing was begun. Raises BadInput."""
        record = self.record()
        if record is None:
            return None
        return Finetuned(spec=record.spec, folder=str(self.path), course=self._course(), finished=self.is_finished)

    def _course(self) -> Course:
        """How far it is, without reading the factors; of a damaged file, nothing."""
        try:
            with (self.path / _STATE).open("rb") as file:
                head = file.read(8)
                return codec.peek(Course, head + file.read(min(int.from_bytes(head, "little"), _MAX_HEAD)), "course")
        except (OSError, codec.CorruptValue):
            return Course()

    def check(self, spec: FinetuneSpec) -> Record | None:
        """The record of the same finetune, None where the folder is new.

        Raises BadInput where it holds another one, or other things.
        """
        if not os.path.lexists(self.path):
            return None
        if not self.path.is_dir():
            raise BadInput(f"{str(self.path)!r} is no folder.", "Name a new folder.")
        record = self.record()
        if record is None:
            others = [n for n in os.listdir(self.path) if not files.UNFINISHED.fullmatch(n) and n not in _OWN]
            others = sorted(n for n in others if "token" not in n)
            if others or self.is_finished:
                name = shown_line(others[0] if others else ADAPTER_CONFIG, 80)
                raise BadInput(f"The folder {str(self.path)!r} holds other things, {name!r} among them.", _NEW)
        elif record.spec.asked != spec.asked:
            raise BadInput(
                f"The folder {str(self.path)!r} holds another finetune: {_differences(record.spec, spec)}.",
                "Name a new folder, or ask for the same as before to go on with it.",
            )
        return record

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder, made where it is missing, against other runs. One that nothing is put into is not left.

        Raises BadInput, UserFacingError.
        """
        is_new = not self.path.exists()
        with _told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not files.try_lock(fd):
                raise BadInput(
                    f"The finetune in {str(self.path)!r} is being run already.", "Wait for its end, or stop it first."
                )
            for place in (self.path, self.path / RUN, self.path / CHECKPOINTS):
                files.remove_unfinished(place)
            yield
        finally:
            if is_new:
                with contextlib.suppress(OSError):
                    self.path.rmdir()
            os.close(fd)

    def begin(self, record: Record, tokenizer: Mapping[str, bytes]) -> None:
        """Write what the finetune is, and its tokenizer. Raises UserFacingError when the disk refuses it."""
        said = dataclasses.asdict(record)
        with _told(self.path):
            (self.path / RUN).mkdir(exist_ok=True)
            files.write_whole(self.path / _RECORD, json.dumps(said, indent=1).encode())
            self._write(self.path, tokenizer)

    def keep(self, kept: Kept) -> None:
        """Write what to go on from. Raises UserFacingError when the disk refuses it."""
        with _told(self.path):
            files.write_whole(self.path / _STATE, codec.dump(kept, key=_STATE))

    def keep_checkpoint(self, step: int, content: Mapping[str, bytes]) -> None:
        """Write an adapter beside the finished one, unless it is there. Raises UserFacingError."""
        place = self.path / CHECKPOINTS / _STEP.format(step)
        if not place.exists():
            with _told(self.path), files.whole_folder(place) as folder:
                self._write(folder, content)

    def finish(self, content: Mapping[str, bytes]) -> None:
        """Write the finished adapter. Raises UserFacingError when the disk refuses it."""
        with _told(self.path):
            self._write(self.path, content)

    def put_report(self, page: bytes) -> Path:
        """Write how it went beside the adapter, and return the file. Raises UserFacingError."""
        with _told(self.path):
            files.write_whole(self.path / REPORT, page)
        return self.path / REPORT

    def checkpoints(self) -> tuple[tuple[int, Path], ...]:
        """(steps, folder) of every adapter that was kept on the way, in order."""
        found = [(re.fullmatch(r"step-(\d{6,})", p.name), p) for p in (self.path / CHECKPOINTS).glob("step-*")]
        return tuple(sorted((int(match[1]), path) for match, path in found if match))

    @staticmethod
    def _write(folder: Path, content: Mapping[str, bytes]) -> None:
        for name, data in content.items():
            files.write_whole(folder / name, data)


_NEW = "Name a new folder."


class FinetuneFolder:
    """The finetunes of the app, a folder each under `root`/finetunes."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root).absolute() / "finetunes"

    def place(self, name: str) -> RunFolder:
        """The folder of the finetune of that name."""
        return RunFolder(self.folder / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "finetune"))

    def list(self) -> tuple[Finetuned, ...]:
        """All that can be read, the latest first."""
        found = []
        for path in sorted(self.folder.glob("*/"), key=_changed, reverse=True):
            try:
                state = RunFolder(path).state()
            except UserFacingError as error:
                log.warning("a finetune is left out: %s", error)
                continue
            if state is not None:
                found.append(state)
        return tuple(found)

    def delete(self, folder: str) -> None:
        """Delete a finetune with its checkpoints. Raises BadInput where it is in use, UserFacingError."""
        path = Path(folder)
        if path.parent != self.folder or not path.is_dir():
            raise BadInput("There is no such finetune.", "Choose one from the list.")
        with _told(path), RunFolder(path).claimed():
            (path / ADAPTER_CONFIG).unlink(missing_ok=True)
            shutil.rmtree(path)


def _changed(path: Path) -> float:
    with contextlib.suppress(OSError):
        return (path / _RECORD).stat().st_mtime
    return 0.0


def _differences(before: FinetuneSpec, now: FinetuneSpec) -> str:
    """What was asked for before and what now, where they differ."""
    old, new = (_flat(spec.asked) for spec in (before, now))
    return "; ".join(f"{name} was {old[name]}, now {new[name]}" for name in old if old[name] != new[name])


def _flat(asked: Mapping[str, object]) -> dict[str, object]:
    recipe = asked["recipe"]
    assert isinstance(recipe, dict)
    return {**{name: value or "its own" for name, value in asked.items() if name != "recipe"}, **recipe}


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the disk refuses becomes a sentence."""
    try:
        yield
    except OSError as error:
        raise UserFacingError(
            f"The finetune in {str(path)!r} cannot be kept: {files.refusal_of(error)}.",
            "Free some space or check the rights, then begin it again: it goes on from what was kept.",
        ) from error
