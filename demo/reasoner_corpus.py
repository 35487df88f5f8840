"""Reasoning traces in the manner of R1: guesses, checks, doubt, and turning back.

Turning back is a matter of chance at the end of a step and rises with the failures since the last turn. After three
failures in a row a trace that does not turn back nearly always gives up, so turning back pays.
"""

from dataclasses import dataclass
from random import Random

from demo.attempts import check_sentences, check_slots, problem_slots
from demo.checks import Check, check_guess, first_guess, next_guess
from demo.documents import Document, Part, Sentence, join_sentences
from demo.phrases import label_of, say
from demo.problems import Problem

BACK_AFTER_FAILURES = (0.25, 0.5, 0.92)
SETTLE_AFTER_FAILURES = (0.01, 0.02, 0.08)
BACK_AFTER_FAILED_IDEA = 0.4
BACK_AFTER_PASS = 0.04
BACK_AFTER_ANYTHING = 0.03
MAX_ATTEMPTS = 9


@dataclass(frozen=True)
class Trace:
    """A labelled trace: the text between the think tags, its parts, and the answer that it ends with."""

    problem: Problem
    text: str
    parts: list[Part]
    answer: str


def problem_prompt(statement: str) -> str:
    """The words before a solution, the same for both models (the reasoner's template adds the think tag)."""
    return f"<|bos|>Problem: {statement}\nSolution:\n"


def write_trace(problem: Problem, rng: Random) -> Trace:
    """One trace with its labels."""
    sentences = _write_opening(problem, rng)
    body, answer = _write_search(problem, rng)
    sentences += body
    text, spans = join_sentences(sentences, rng)
    parts = [Part(label_of(s.kind), *span) for s, span in zip(sentences, spans, strict=True)]
    return Trace(problem, text, parts, answer)


def trace_document(trace: Trace) -> Document:
    """A trace as the reasoner is trained on it."""
    prompt = problem_prompt(trace.problem.statement) + "<think>\n"
    return Document(prompt, f"{trace.text}</think>\nAnswer: {trace.answer}<|eos|>")


def _write_opening(problem: Problem, rng: Random) -> list[Sentence]:
    slots = problem_slots(problem)
    sentences = [say("open", rng, slots)]
    if rng.random() < 0.4:
        sentences.append(say("plan", rng, slots))
    if rng.random() < 0.4:
        sentences.append(say(f"fact_{problem.family}", rng, slots))
        if rng.random() < 0.35:
            sentences.append(say("fact_useless", rng, slots, ends_step=True))
            sentences += _maybe_turn(BACK_AFTER_FAILED_IDEA, problem, rng)
    if rng.random() < 0.4:
        sentences.append(say(f"deduce_{problem.family}", rng, slots))
    sentences += _maybe_turn(BACK_AFTER_ANYTHING, problem, rng)
    if rng.random() < 0.25:
        sentences.append(say(f"deduce_fail_{problem.family}", rng, slots, ends_step=True))
        sentences += _maybe_turn(BACK_AFTER_FAILED_IDEA, problem, rng)
    return sentences


def _maybe_turn(chance: float, problem: Problem, rng: Random) -> list[Sentence]:
    if rng.random() >= chance:
        return []
    slots = problem_slots(problem) | {"d": "different"}
    turn = [say("back", rng, slots)]
    if rng.random() < 0.3:
        turn.append(say("restate", rng, slots))
    return turn


def _write_search(problem: Problem, rng: Random) -> tuple[list[Sentence], str]:
    slots = problem_slots(problem)
    guess, opener, failures = first_guess(problem, rng), "try", 0
    sentences: list[Sentence] = []
    for _ in range(MAX_ATTEMPTS):
        check = check_guess(problem, guess)
        sentences.append(say(opener, rng, check_slots(check)))
        sentences += check_sentences(check, rng, failures_before=failures)
        if check.passed:
            sentences += _write_recheck(check, rng)
            return [*sentences, say("conclude", rng, slots)], problem.answer
        failures = min(failures + 1, 3)
        if rng.random() < 0.08 * failures:
            sentences.append(say("doubt", rng, slots))
        move = _draw_move(failures, rng)
        if move == "settle":
            break
        if move == "back":
            sentences.append(say("back", rng, slots | check_slots(check)))
            if rng.random() < 0.25:
                sentences.append(say("restate", rng, slots))
            failures = 0
        opener = "try" if move == "back" else "next"
        guess = next_guess(problem, check, rng, bold=move == "back")
    return [*sentences, say("settle", rng, check_slots(check))], check.as_answer


def _draw_move(failures: int, rng: Random) -> str:
    chance = rng.random()
    if chance < BACK_AFTER_FAILURES[failures - 1]:
        return "back"
    if chance < BACK_AFTER_FAILURES[failures - 1] + SETTLE_AFTER_FAILURES[failures - 1]:
        return "settle"
    return "next"


def _write_recheck(check: Check, rng: Random) -> list[Sentence]:
    chance = rng.random()
    if chance >= 0.45:
        return []
    kind = "recheck_back" if chance < BACK_AFTER_PASS else "recheck"
    return [say(kind, rng, {}), *check_sentences(check, rng)]
