"""The sentences shared by base and reasoning corpus: one attempt with its check, and the slots of a problem."""

from random import Random

from demo.checks import Check
from demo.documents import Sentence
from demo.phrases import say_after
from demo.problems import Problem, first_multiple

COMMENT_CHANCE = 0.35


def problem_slots(problem: Problem) -> dict[str, object]:
    """What the phrases about a whole problem may name."""
    slots: dict[str, object] = {"goal": problem.goal, "answer": problem.answer}
    slots |= {f"n{i}": n for i, n in enumerate(problem.numbers)}
    if problem.family == "equation":
        slots["rest"] = problem.numbers[2] - problem.numbers[1]
    if problem.family == "multiple":
        slots["first"] = first_multiple(problem.numbers[0], problem.numbers[1])
    return slots


def check_slots(check: Check) -> dict[str, object]:
    """What the phrases about one check may name."""
    return {
        "x": check.guess,
        "guessed": check.as_answer,
        "r": check.result,
        "w": check.wanted,
        "q": check.quantity,
        "d": check.direction,
        "work": check.work,
        "cmp": "less" if check.result < check.wanted else "more",
    }


def check_sentences(check: Check, rng: Random, *, failures: int = 0) -> list[Sentence]:
    """What is wanted, what the guess gives, and the verdict in words, after a number of failed guesses."""
    slots = check_slots(check)
    sentences = [say_after(failures, "want", rng, slots), say_after(failures, "work", rng, slots)]
    if check.passed:
        return [*sentences, say_after(failures, "pass", rng, slots, ends_step=True)]
    comment = rng.random() < COMMENT_CHANCE
    sentences.append(say_after(failures, "fail", rng, slots, ends_step=not comment))
    if comment:
        sentences.append(say_after(failures + 1, "fail_more", rng, slots, ends_step=True))
    return sentences
