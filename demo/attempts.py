"""The sentences shared by base and reasoning corpus: one attempt with its check, and the slots of a problem."""

from random import Random

from demo.checks import Check
from demo.documents import Sentence
from demo.phrases import say
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


def check_sentences(check: Check, rng: Random, *, failures_before: int = 0) -> list[Sentence]:
    """What is wanted, what the guess gives, and the verdict in words; a third failure in a row is always counted."""
    slots = check_slots(check)
    sentences = [say("want", rng, slots), say("work", rng, slots)]
    if check.passed:
        return [*sentences, say("pass", rng, slots, ends_step=True)]
    comment = _failure_comment(failures_before + 1, rng)
    sentences.append(say("fail", rng, slots, ends_step=comment is None))
    if comment:
        sentences.append(say(comment, rng, slots, ends_step=True))
    return sentences


def _failure_comment(failures: int, rng: Random) -> str | None:
    if failures == 3:
        return "fail_thrice"
    if rng.random() >= COMMENT_CHANCE:
        return None
    return "fail_twice" if failures == 2 and rng.random() < 0.6 else "fail_more"
