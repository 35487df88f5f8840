"""The talk: an ordered list of comparisons and figures to show to a room. The user's data, kept until deleted.

It names runs and experiments and holds none of their texts or numbers. No model, no torch, no page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.disk import files
from core.disk.kept import ITEM_ID, KeptFiles
from core.errors import BadInput, UserFacingError
from core.experiments.values import Figure
from core.text.lines import kept_line, without_surrogates

FOLDER = "talk"
TALK_ID = "0" * 20
"""Under which the one talk of a cache folder is kept."""
MAX_TITLE = 120
MAX_ITEMS = 100
MAX_LANES = 4


@dataclass(frozen=True, kw_only=True)
class TalkLane:
    """A run of a comparison, with what it was called when it was put into the talk."""

    run_id: str
    title: str
    subtitle: str = ""
    reference: int = -1
    """Which lane of the comparison it is compared with; -1 for none."""

    def __post_init__(self) -> None:
        _check(ITEM_ID.fullmatch(self.run_id) is not None, "a lane names no run")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs that belong together, and the question that they answer."""

    question: str
    lanes: tuple[TalkLane, ...]
    keywords: tuple[str, ...] = ()
    """Words that are marked in the texts."""
    recorded_at: float = 0.0
    """When the last of the runs was written, in seconds since 1970; 0 where it is not known."""

    def __post_init__(self) -> None:
        n = len(self.lanes)
        _check(1 <= n <= MAX_LANES, f"a comparison has 1 to {MAX_LANES} lanes")
        _check(all(-1 <= lane.reference < n for lane in self.lanes), "a lane is compared with one that is not there")


@dataclass(frozen=True, kw_only=True)
class ShownFigure:
    """A figure of an experiment."""

    experiment_id: str
    figure: Figure

    def __post_init__(self) -> None:
        _check(ITEM_ID.fullmatch(self.experiment_id) is not None, "a figure names no experiment")


@dataclass(frozen=True, kw_only=True)
class TalkItem:
    """One slide: a comparison or a figure, and its title."""

    title: str
    comparison: Comparison | None = None
    figure: ShownFigure | None = None

    def __post_init__(self) -> None:
        _check((self.comparison is None) != (self.figure is None), "an item is a comparison or a figure")
        _check(len(self.title) <= MAX_TITLE and self.title.isprintable(), "a title is one line")

    @property
    def subject(self) -> tuple[object, ...]:
        """What it shows, by ids alone: two items of one subject are one item under two titles."""
        if self.comparison is not None:
            return tuple(lane.run_id for lane in self.comparison.lanes)
        return (self.figure,)


@dataclass(frozen=True, kw_only=True)
class Talk:
    """The items in their order."""

    items: tuple[TalkItem, ...] = ()

    def __post_init__(self) -> None:
        _check(len(self.items) <= MAX_ITEMS, f"a talk has at most {MAX_ITEMS} items")
        _check(len({item.subject for item in self.items}) == len(self.items), "an item is there twice")

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Every run that an item names, once."""
        lanes = (lane for item in self.items if item.comparison for lane in item.comparison.lanes)
        return tuple(dict.fromkeys(lane.run_id for lane in lanes))

    @property
    def experiment_ids(self) -> tuple[str, ...]:
        """Every experiment that an item names, once."""
        return tuple(dict.fromkeys(item.figure.experiment_id for item in self.items if item.figure))

    def joined(self, other: Talk) -> Talk:
        """This talk, then what the other one has beyond it, as far as there is room."""
        mine = {item.subject for item in self.items}
        return Talk(items=(*self.items, *(i for i in other.items if i.subject not in mine))[:MAX_ITEMS])


def made_item(
    title: str, *, comparison: Comparison | None = None, figure: ShownFigure | None = None, instead: str = ""
) -> TalkItem:
    """An item under a title that anyone wrote; `instead` names it where nothing is left of the title."""
    named = kept_line(without_surrogates(title), MAX_TITLE) or kept_line(without_surrogates(instead), MAX_TITLE)
    return TalkItem(title=named, comparison=comparison, figure=figure)


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


def _check(is_fine: bool, fault: str) -> None:
    if not is_fine:
        raise ValueError(fault)
