"""The talk: an ordered list of comparisons and figures to show to a room. The user's data, kept until deleted.

It names runs and experiments and holds none of their texts or numbers. No model, no torch, no page.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.disk.kept import ITEM_ID
from core.experiments.values import Figure
from core.text.lines import kept_line, without_surrogates

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


def _check(is_fine: bool, fault: str) -> None:
    if not is_fine:
        raise ValueError(fault)
