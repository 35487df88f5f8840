"""Reasoning traces in the manner of R1: guesses, checks, doubt, and turning back.

Turning back can follow any sentence. Its chance depends only on the failures since the last turn, which shows in the
words of every sentence in between (`phrases.AGAIN`), in the base model's corpus as well. After many failures a trace
that does not turn back gives up, so turning back pays.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from core.text.thoughts import END_THINK, THINK
from demo.attempts import check_sentences, check_slots, problem_slots
from demo.checks import Check, check_guess, first_guess, guess_after_turn, next_guess
from demo.documents import Document, Part, Sentence, join_sentences
from demo.phrases import label_of, say, say_after
from demo.problems import Problem

BACK_AFTER_FAILURES = (0.004, 0.03, 0.24, 0.5, 0.6)
"""The chance that a turn follows a sentence, after 0, 1, … failures since the last turn."""
SETTLE_AFTER_FAILURES = (0.0, 0.003, 0.03, 0.7, 0.85, 0.95)
"""The chance that a trace gives up after an attempt, likewise."""
BACK_AFTER_PASS = 0.04
ASIDE_CHANCE, DOUBT_CHANCE = 0.08, 0.04
MAX_ATTEMPTS = 8


@dataclass(frozen=True)
class Trace:
    """A labelled trace: the text between the think tags, its parts, and the answer that it ends with."""

    problem: Problem
    text: str
    parts: list[Part]
    answer: str


@dataclass
class _Draft:
    """A trace while it is written: its sentences so far and the failures since the last turn."""

    problem: Problem
    rng: Random
    sentences: list[Sentence] = field(default_factory=list)
    failures: int = 0

    def turns(self) -> bool:
        """Draw whether a turn follows here."""
        return self.rng.random() < BACK_AFTER_FAILURES[min(self.failures, len(BACK_AFTER_FAILURES) - 1)]

    def add_turn(self, slots: dict[str, object], *, early: bool = False) -> None:
        """Turn back, early if the guess at hand has not failed, sometimes say the goal again, and start afresh."""
        self.sentences.append(say("back_early" if early else "back", self.rng, slots))
        if self.rng.random() < 0.25:
            self.sentences.append(say("restate", self.rng, slots))
        self.failures = 0


def problem_prompt(statement: str) -> str:
    """The words before a solution, the same for both models (the reasoner's template adds the think tag)."""
    return f"<|bos|>Problem: {statement}\nSolution:\n"


def write_trace(problem: Problem, rng: Random) -> Trace:
    """One trace with its labels."""
    draft = _Draft(problem, rng)
    _write_opening(draft)
    answer = _write_search(draft)
    text, spans = join_sentences(draft.sentences, rng)
    parts = [Part(label_of(s.kind), *span) for s, span in zip(draft.sentences, spans, strict=True)]
    return Trace(problem, text, parts, answer)


def trace_document(trace: Trace) -> Document:
    """A trace as the reasoner is trained on it."""
    prompt = problem_prompt(trace.problem.statement) + f"{THINK}\n"
    return Document(prompt, f"{trace.text}{END_THINK}\nAnswer: {trace.answer}<|eos|>")


def _write_opening(draft: _Draft) -> None:
    slots = problem_slots(draft.problem) | {"d": "different"}
    draft.sentences.append(say("open", draft.rng, slots))
    family = draft.problem.family
    ideas = (
        ("plan", 0.3, False),
        (f"fact_{family}", 0.3, False),
        ("fact_useless", 0.35, True),
        (f"deduce_{family}", 0.3, False),
        (f"deduce_fail_{family}", 0.2, True),
    )
    for kind, chance, failed in ideas:
        if kind == "fact_useless" and not draft.sentences[-1].kind.startswith("fact"):
            continue
        if draft.rng.random() < chance:
            draft.sentences.append(say(kind, draft.rng, slots, ends_step=failed))
            draft.failures += failed
            if draft.turns():
                draft.add_turn(slots)


def _write_search(draft: _Draft) -> str:
    problem, rng = draft.problem, draft.rng
    guess, opener = first_guess(problem, rng), "try"
    for _ in range(MAX_ATTEMPTS):
        check = check_guess(problem, guess)
        turned = _write_attempt(draft, check, opener)
        if check.passed and not turned:
            _write_recheck(draft, check)
            draft.sentences.append(say("conclude", rng, problem_slots(problem)))
            return problem.answer
        if not turned and rng.random() < SETTLE_AFTER_FAILURES[min(draft.failures, len(SETTLE_AFTER_FAILURES) - 1)]:
            break
        opener = "try" if turned else "next"
        if turned:
            guess = guess_after_turn(problem, check, rng, failed=turned == "failed")
        else:
            guess = next_guess(problem, check)
    draft.sentences.append(say("settle", rng, check_slots(check)))
    return check.as_answer


def _write_attempt(draft: _Draft, check: Check, opener: str) -> Literal["", "early", "failed"]:
    """Write one attempt, up to a turn if there is one, and say when it came; a pass is never turned away from."""
    slots = problem_slots(draft.problem) | check_slots(check)
    attempt = [say_after(draft.failures, opener, draft.rng, slots)]
    attempt += check_sentences(check, draft.rng, failures=draft.failures)
    failed = False
    for sentence in attempt:
        draft.sentences.append(sentence)
        if check.passed and sentence.kind.startswith(("work", "pass")):
            continue
        if sentence.kind.startswith("fail") and not failed:
            failed = True
            draft.failures += 1
        _write_aside(draft, slots)
        if draft.turns():
            draft.add_turn(slots, early=not failed)
            return "failed" if failed else "early"
    return ""


def _write_aside(draft: _Draft, slots: dict[str, object]) -> None:
    """Now and then a known fact, a deduction, the goal, or a doubt, whatever has failed before."""
    chance, family = draft.rng.random(), draft.problem.family
    if chance < DOUBT_CHANCE:
        draft.sentences.append(say("doubt", draft.rng, slots))
    elif chance < DOUBT_CHANCE + ASIDE_CHANCE:
        kind = draft.rng.choice((f"fact_{family}", f"deduce_{family}", "restate"))
        draft.sentences.append(say(kind, draft.rng, slots))


def _write_recheck(draft: _Draft, check: Check) -> None:
    chance = draft.rng.random()
    if chance < 0.45:
        kind = "recheck_back" if chance < BACK_AFTER_PASS else "recheck"
        draft.sentences.append(say(kind, draft.rng, {}))
        draft.sentences += check_sentences(check, draft.rng)
