"""Number problems of three families, and the split into training and held-out problems.

A problem is fixed by its family and its numbers; the wording is drawn freely. The split looks only at family and
numbers, so a held-out problem never occurs in training under another wording.
"""

import zlib
from dataclasses import dataclass
from random import Random
from typing import Literal

Family = Literal["pair", "equation", "multiple"]
FAMILIES: tuple[Family, ...] = ("pair", "equation", "multiple")

NAMES = {"Mia": "She", "Anna": "She", "Lena": "She", "Sara": "She", "Tom": "He", "Ben": "He", "Paul": "He", "Max": "He"}
ITEMS = ("pens", "cards", "apples", "books", "cups", "toys")
SMALL_THINGS = ("marbles", "coins", "stones", "stamps", "nuts")
HELDOUT_SHARE = 5


@dataclass(frozen=True)
class Problem:
    """A problem: its numbers in the family's order, its wording, the goal in a few words, and the answer."""

    family: Family
    numbers: tuple[int, ...]
    statement: str
    goal: str
    answer: str


def is_heldout(family: Family, numbers: tuple[int, ...]) -> bool:
    """True for the fifth of all problems that training never sees."""
    return zlib.crc32(f"{family} {numbers}".encode()) % HELDOUT_SHARE == 0


def draw_problem(rng: Random, *, heldout: bool = False) -> Problem:
    """A problem of the training part, or of the held-out part."""
    family = rng.choice(FAMILIES)
    numbers = _NUMBERS[family](rng)
    while is_heldout(family, numbers) != heldout:
        numbers = _NUMBERS[family](rng)
    statement, goal = _WORDINGS[family](numbers, rng)
    return Problem(family, numbers, statement, goal, solve(family, numbers))


def solve(family: Family, numbers: tuple[int, ...]) -> str:
    """The answer as it is written after "Answer:"."""
    if family == "pair":
        total, difference = numbers
        small = (total - difference) // 2
        return f"{small} and {total - small}"
    if family == "equation":
        factor, offset, total = numbers
        return str((total - offset) // factor)
    return str(_first_fit(*numbers))


def first_multiple(factor: int, bound: int) -> int:
    """The smallest multiple of factor above bound."""
    return (bound // factor + 1) * factor


def _first_fit(factor: int, bound: int, divisor: int, remainder: int) -> int:
    value = first_multiple(factor, bound)
    while value % divisor != remainder:
        value += factor
    return value


def _draw_pair(rng: Random) -> tuple[int, ...]:
    small = rng.randint(2, 15)
    difference = rng.randint(1, 16)
    return (2 * small + difference, difference)


def _draw_equation(rng: Random) -> tuple[int, ...]:
    factor, value, offset = rng.randint(2, 7), rng.randint(2, 12), rng.randint(1, 12)
    return (factor, offset, factor * value + offset)


def _draw_multiple(rng: Random) -> tuple[int, ...]:
    factor, divisor = rng.randint(3, 9), rng.choice((3, 4, 5, 5))
    while factor % divisor == 0 or (factor % 2 == 0 and divisor == 4):
        factor = rng.randint(3, 9)
    return (factor, rng.randint(10, 50), divisor, rng.randrange(divisor))


def _word_pair(numbers: tuple[int, ...], rng: Random) -> tuple[str, str]:
    total, difference = numbers
    plain = f"two numbers that add up to {total} and differ by {difference}"
    name, things = rng.choice(list(NAMES)), rng.choice(SMALL_THINGS)
    wordings = (
        (f"Find {plain}.", plain),
        (
            f"Two boxes hold {total} {things} together. One box holds {difference} more than the other. "
            f"How many {things} are in each box?",
            f"two numbers of {things} that add up to {total} and differ by {difference}",
        ),
        (
            f"{name} has {total} {things} in two bags. One bag has {difference} more than the other. "
            f"How many {things} are in each bag?",
            f"two numbers of {things} that add up to {total} and differ by {difference}",
        ),
    )
    return rng.choice(wordings)


def _word_equation(numbers: tuple[int, ...], rng: Random) -> tuple[str, str]:
    factor, offset, total = numbers
    name, items = rng.choice(list(NAMES)), rng.choice(ITEMS)
    wordings = (
        (
            f"Find the number x such that {factor} times x plus {offset} is {total}.",
            f"the number x such that {factor} times x plus {offset} is {total}",
        ),
        (
            f"{name} buys some {items} for {factor} coins each and a bag for {offset} coins. "
            f"{NAMES[name]} pays {total} coins. How many {items} are there?",
            f"the number of {items} such that {factor} times it plus {offset} is {total}",
        ),
    )
    return rng.choice(wordings)


def _word_multiple(numbers: tuple[int, ...], rng: Random) -> tuple[str, str]:
    factor, bound, divisor, remainder = numbers
    plain = (
        f"the smallest multiple of {factor} above {bound} that leaves remainder {remainder} when divided by {divisor}"
    )
    things = rng.choice(SMALL_THINGS)
    wordings = (
        (f"Find {plain}.", plain),
        (
            f"A box holds more than {bound} {things}. They fill rows of {factor} exactly, and in rows of {divisor} "
            f"there are {remainder} left over. What is the smallest number of {things}?",
            plain,
        ),
    )
    return rng.choice(wordings)


_NUMBERS = {"pair": _draw_pair, "equation": _draw_equation, "multiple": _draw_multiple}
_WORDINGS = {"pair": _word_pair, "equation": _word_equation, "multiple": _word_multiple}
