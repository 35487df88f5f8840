"""Where the talk of a cache folder is kept, and how it is changed: one session at a time, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.disk import files
from core.disk.kept import KeptFiles
from core.errors import BadInput, UserFacingError
from core.talk.items import MAX_ITEMS, Talk, TalkItem, made_item

FOLDER = "talk"
TALK_ID = "0" * 20
"""Under which the one talk of a cache folder is kept."""


class TalkFolder:
    """The talk under `root`/talk. Safe to use from any thread; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self._kept = KeptFiles(Path(root).absolute() / FOLDER, Talk, noun="talk", again="add its items again")

    def read(self) -> Talk:
        """The talk, empty where none is kept. Raises BadInput where it is damaged, UserFacingError as the disk does."""
        try:
            return self._kept.get(TALK_ID).value
        except BadInput:
            if not (self._kept.folder / f"{TALK_ID}.safetensors").exists():
                return Talk()
            raise

    def add(self, item: TalkItem) -> bool:
        """Put an item at the end; False where one of its subject is there. Raises BadInput, UserFacingError."""

        def added(talk: Talk) -> Talk:
            if item.subject in {other.subject for other in talk.items}:
                return talk
            if len(talk.items) >= MAX_ITEMS:
                raise BadInput(f"The talk has {MAX_ITEMS} items, the most that it may have.", "Remove one first.")
            return replace(talk, items=(*talk.items, item))

        return self._change(added)

    def rename(self, item: TalkItem, title: str) -> None:
        """Give an item another title; an empty one changes nothing. Raises as `add`."""

        def named(kept: TalkItem) -> TalkItem:
            return made_item(title, comparison=kept.comparison, figure=kept.figure, instead=kept.title)

        self._change(lambda talk: replace(talk, items=tuple(named(i) if _is(i, item) else i for i in talk.items)))

    def move(self, item: TalkItem, by: int) -> None:
        """Move an item by so many places, as far as there are any; one that is gone stays gone. Raises as `add`."""

        def moved(talk: Talk) -> Talk:
            at = next((place for place, i in enumerate(talk.items) if _is(i, item)), None)
            if at is None:
                return talk
            others = [*talk.items[:at], *talk.items[at + 1 :]]
            others.insert(min(max(at + by, 0), len(others)), talk.items[at])
            return replace(talk, items=tuple(others))

        self._change(moved)

    def remove(self, item: TalkItem) -> None:
        """Take an item out; what it shows is kept. Raises as `add`."""
        self._change(lambda talk: replace(talk, items=tuple(i for i in talk.items if not _is(i, item))))

    def clear(self) -> None:
        """Begin an empty talk, whatever is kept. Raises UserFacingError."""
        self._kept.put(TALK_ID, Talk(), title="talk")

    def _change(self, change: Callable[[Talk], Talk]) -> bool:
        """Read, change and write while no other process does; whether anything was changed."""
        try:
            files.private_folder(self._kept.folder)
            with files.locked_folder(self._kept.folder):
                before = self.read()
                after = change(before)
                if after != before:
                    self._kept.put(TALK_ID, after, title="talk")
                return after != before
        except OSError as error:
            raise UserFacingError(
                f"The talk could not be changed: {files.refusal_of(error)}.",
                "Free some space or check the rights of the cache folder, then try again.",
            ) from error


def _is(one: TalkItem, other: TalkItem) -> bool:
    return one.subject == other.subject
