"""Trying a guess: the arithmetic of one check, and which guess comes first and next.

A guess is one integer (for a pair, the smaller number). Nothing here writes prose beyond the arithmetic itself.
"""

from dataclasses import dataclass
from random import Random

from demo.problems import Problem, first_multiple

FIRST_GUESS_DISTANCE = (0, 1, 2, 3, 4, 5)
LEAP_CHANCE = 0.5
FIRST_GUESS_WEIGHTS = (0.17, 0.17, 0.18, 0.18, 0.18, 0.12)


@dataclass(frozen=True)
class Check:
    """One tried guess, the answer that it stands for, what was computed, and what was wanted."""

    guess: int
    as_answer: str
    work: str
    result: int
    wanted: int
    quantity: str
    direction: str

    @property
    def passed(self) -> bool:
        return self.result == self.wanted


def check_guess(problem: Problem, guess: int) -> Check:
    """Compute what the guess gives; `direction` says where to look if it fails."""
    if problem.family == "pair":
        total, wanted = problem.numbers
        other = total - guess
        work = f"{total} minus {guess} is {other}, and {other} minus {guess} is {other - guess}."
        direction = "larger" if other - guess > wanted else "smaller"
        return Check(guess, f"{guess} and {other}", work, other - guess, wanted, "difference", direction)
    if problem.family == "equation":
        factor, offset, wanted = problem.numbers
        product = factor * guess
        work = f"{factor} times {guess} is {product}, and {product} plus {offset} is {product + offset}."
        direction = "larger" if product + offset < wanted else "smaller"
        return Check(guess, str(guess), work, product + offset, wanted, "total", direction)
    _, _, divisor, wanted = problem.numbers
    work = f"{guess} divided by {divisor} leaves remainder {guess % divisor}."
    return Check(guess, str(guess), work, guess % divisor, wanted, "remainder", "larger")


def first_guess(problem: Problem, rng: Random) -> int:
    """A guess near the answer; for multiples, the first candidate."""
    if problem.family == "multiple":
        factor, bound, _, _ = problem.numbers
        return first_multiple(factor, bound)
    answer, highest = _answer_value(problem), _highest_guess(problem)
    distance = rng.choices(FIRST_GUESS_DISTANCE, FIRST_GUESS_WEIGHTS)[0]
    options = [g for g in (answer - distance, answer + distance) if 1 <= g <= highest]
    return rng.choice(options) if options else answer


def next_guess(problem: Problem, check: Check) -> int:
    """The guess after a failed one: one step on."""
    if problem.family == "multiple":
        return check.guess + problem.numbers[0]
    return check.guess + (1 if _answer_value(problem) > check.guess else -1)


def guess_after_turn(problem: Problem, check: Check, rng: Random, *, failed: bool) -> int:
    """The guess after a turn, often straight to the answer; one that had not failed yet is taken up again.

    A multiple goes on step by step in any case: what is leapt over is never tried again.
    """
    if not failed and (check.passed or problem.family == "multiple"):
        return check.guess
    if problem.family != "multiple" and rng.random() < LEAP_CHANCE:
        return _answer_value(problem)
    return next_guess(problem, check)


def _answer_value(problem: Problem) -> int:
    return int(problem.answer.split()[0])


def _highest_guess(problem: Problem) -> int:
    if problem.family == "pair":
        return (problem.numbers[0] - 1) // 2
    return 15
