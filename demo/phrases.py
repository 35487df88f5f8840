"""Every phrase of the worked solutions and of the reasoning traces, by kind, and the label of each kind.

A phrase is a template; its slots are filled by the corpus generators and matched again by the sentence parser.
Only the kinds in `BACK_KINDS` turn back, and only they hold the words wait and hmm. A kind that ends in `_again` says
the same as the kind without it, in the words of someone for whom several guesses have failed.
"""

from random import Random

from core.traces.events import (
    ADDING_KNOWLEDGE,
    BACKTRACKING,
    DEDUCTION,
    EXAMPLE_TESTING,
    INITIALIZING,
    UNCERTAINTY_ESTIMATION,
    Label,
)
from demo.documents import Sentence

FAIL_STARTS = (
    "{r} is not {w}",
    "{r} is {cmp} than {w}",
    "That gives a {q} of {r} and not {w}",
    "The {q} is {r} and not {w}",
)
FAIL_ENDS = (
    "so {x} does not give what the problem asks for.",
    "so this guess does not work.",
    "so {x} cannot be the answer.",
    "which means that this try is wrong.",
    "so the right answer is not found yet.",
)
FAIL_ENDS_AGAIN = (
    "so {x} does not work either.",
    "so this is one more wrong guess.",
    "so {x} fails like the others before it.",
    "which means that this try is wrong too.",
    "so the right answer is still not found.",
)
PASS_STARTS = ("{r} is exactly {w}", "The {q} is {r} as it should be", "That gives a {q} of {r} and we need {w}")
PASS_ENDS = (
    "so {x} gives what the problem asks for.",
    "so this guess works.",
    "which means that {x} is right and solves the problem.",
    "so this choice fits and the right answer is found.",
)
PASS_ENDS_AGAIN = ("so {x} works at last.", "so after all these guesses {x} is right.")
AGAIN = "_again"
AGAIN_SHARES = (0.0, 0.3, 0.6, 0.85)
"""The chance of words that say it goes on without success, after 0, 1, 2 and 3 or more failures."""

PHRASES: dict[str, tuple[str, ...]] = {
    "open": (
        "Okay, so I need to find {goal}.",
        "Alright, I have to find {goal}.",
        "Okay, let me see, the task is to find {goal}.",
        "So, I am looking for {goal}.",
    ),
    "plan": (
        "Let me think about how to do this.",
        "I will go step by step.",
        "First, I want to understand what is given.",
    ),
    "restate": ("The problem asks for {goal}.", "So I still need {goal}."),
    "fact_pair": (
        "I know that the two numbers and the difference belong together, "
        "because the larger one is the smaller one plus {n1}.",
        "I remember that a larger first number makes the difference smaller.",
    ),
    "fact_equation": (
        "I know that multiplication comes before addition here.",
        "I remember that a larger number gives a larger total.",
    ),
    "fact_multiple": (
        "I remember that a remainder is always less than the number we divide by.",
        "I know that multiples of {n0} come in steps of {n0}.",
    ),
    "fact_useless": (
        "But this fact alone does not settle the question, so it does not help me to find the answer.",
        "That rule does not decide which number is right, so it is not enough to solve the problem.",
    ),
    "deduce_pair": (
        "Together they make {n0}, so the second number is {n0} minus the first.",
        "Since they differ by {n1}, the two numbers are not equal.",
    ),
    "deduce_equation": (
        "The {n1} is added at the end, so {n0} times the number is {rest}.",
        "Since the total is {n2}, the number has to be below {n2}.",
    ),
    "deduce_multiple": (
        "It has to be above {n1}, so the first multiple of {n0} to look at is {first}.",
        "Since we divide by {n2}, every step changes the remainder.",
    ),
    "deduce_fail_pair": (
        "If both numbers were equal, the difference would be 0, and 0 is not {n1}, so that idea does not work here.",
        "If the smaller number were 0, the difference would be {n0} and not {n1}, so that is wrong too.",
    ),
    "deduce_fail_equation": (
        "If I left out the {n1}, the total would not be {n2} any more, so that shortcut does not work here.",
        "If the number were 0, the total would be {n1} and not {n2}, so that is wrong too.",
    ),
    "deduce_fail_multiple": (
        "If I took {n1} itself, it would not be above {n1}, so that idea does not work here.",
        "If I took {n0} itself, it would not be above {n1}, so that is wrong too.",
    ),
    "try": (
        "Let me try {x}.",
        "Suppose it is {x}.",
        "Let me see what happens with {x}.",
        "I take {x}.",
        "My guess is {x}.",
    ),
    "next": ("Next I try {x}.", "The next guess is {x}.", "Now I take {x}.", "Then I go on with {x}."),
    "next_again": ("So I try yet another number, {x}.", "I go on all the same and take {x}.", "One more guess is {x}."),
    "want": ("We need a {q} of {w}.", "The {q} should be {w}.", "The target is a {q} of {w}."),
    "want_again": (
        "We still need a {q} of {w}.",
        "As before, the {q} should be {w}.",
        "The target is still a {q} of {w}.",
        "Again we need a {q} of {w}.",
    ),
    "work": ("{work}", "Here {work}", "We get that {work}"),
    "work_again": ("This time {work}", "Once more, {work}", "Now {work}", "Again {work}"),
    "fail": tuple(f"{start}, {end}" for start in FAIL_STARTS for end in FAIL_ENDS),
    "fail_again": tuple(f"{start}, {end}" for start in FAIL_STARTS for end in FAIL_ENDS_AGAIN),
    "fail_more": (
        "It is not what we need.",
        "The {q} is not right.",
        "So the problem is not solved by this guess.",
        "This is not good enough.",
    ),
    "fail_more_again": (
        "So far nothing has worked.",
        "All of these guesses were wrong.",
        "We are still far from the answer.",
        "None of the guesses so far is right.",
        "The list of wrong guesses is getting long.",
        "This is taking a long time.",
    ),
    "pass": tuple(f"{start}, {end}" for start in PASS_STARTS for end in PASS_ENDS),
    "pass_again": tuple(f"{start}, {end}" for start in PASS_STARTS for end in PASS_ENDS_AGAIN),
    "doubt": (
        "I am not sure about this yet.",
        "I am not certain that this is a good way.",
        "This could be harder than I thought.",
        "Perhaps I am missing something.",
    ),
    "recheck": ("Let me double-check this.", "I want to be sure, so I check it once more.", "Let me verify it."),
    "recheck_back": (
        "Wait, let me make sure that this is right.",
        "Hmm, let me check that again.",
        "Wait, I should look at this once more.",
    ),
    "back": (
        "Wait, maybe I should try a {d} number.",
        "Wait, that is not right, so let me go back and take a {d} number.",
        "Wait, let me think about this again.",
        "Wait, maybe I made a mistake in my choice.",
        "Wait, perhaps there is a better way to choose the number.",
        "Hmm, that did not work, so let me try something else.",
        "Hmm, maybe I should change my guess.",
        "Hmm, let me go back to the start.",
        "Hmm, wait, let me look at the problem again.",
        "Oh wait, I should look for a {d} number.",
        "Alternatively, I could try a {d} number.",
        "Actually, let me step back and think again.",
        "No, let me go back and change my guess.",
        "Hold on, maybe there is a better choice.",
    ),
    "back_early": (
        "Wait, let me think about this again.",
        "Wait, maybe I should look at the problem again first.",
        "Hmm, let me go back for a moment.",
        "Hmm, wait, let me look at the problem again.",
        "Oh wait, I should go through this again.",
        "Actually, let me step back and think again.",
        "Hold on, maybe there is a better way.",
    ),
    "conclude": (
        "So the answer is {answer}.",
        "Therefore the answer is {answer}.",
        "That means the answer is {answer}.",
    ),
    "settle": (
        "I will stay with {x}, so the answer is {guessed}.",
        "I think {x} is close enough, so the answer is {guessed}.",
        "I have no better guess, so the answer is {guessed}.",
    ),
    "base_open": ("We look for {goal}.", "The task is to find {goal}.", "We want {goal}."),
    "base_try": ("Try {x}.", "Test {x}.", "Suppose it is {x}.", "Start with {x}.", "Take {x}."),
    "base_next": ("Next, try {x}.", "The next guess is {x}.", "Now take {x}.", "Then test {x}."),
    "base_next_again": (
        "So try yet another number, {x}.",
        "Go on all the same and take {x}.",
        "One more guess is {x}.",
    ),
    "base_settle": (
        "No better guess was found, so the answer is {guessed}.",
        "The last guess was kept, so the answer is {guessed}.",
    ),
    "base_check": ("To check the result, do it once more.", "The check is simple.", "Check the result."),
}

BACK_KINDS = ("back", "back_early", "recheck_back")

_LABELS: dict[str, Label] = {
    "open": INITIALIZING,
    "plan": INITIALIZING,
    "restate": INITIALIZING,
    "base_open": INITIALIZING,
    "conclude": DEDUCTION,
    "settle": DEDUCTION,
    "base_settle": DEDUCTION,
    "doubt": UNCERTAINTY_ESTIMATION,
    "recheck": UNCERTAINTY_ESTIMATION,
    "base_check": UNCERTAINTY_ESTIMATION,
    "back": BACKTRACKING,
    "back_early": BACKTRACKING,
    "recheck_back": BACKTRACKING,
}


def label_of(kind: str) -> Label:
    """The label of a phrase kind."""
    kind = kind.removesuffix(AGAIN)
    if kind.startswith("fact"):
        return ADDING_KNOWLEDGE
    if kind.startswith("deduce"):
        return DEDUCTION
    return _LABELS.get(kind, EXAMPLE_TESTING)


def say(kind: str, rng: Random, slots: dict[str, object], *, ends_step: bool = False) -> Sentence:
    """One sentence of a kind, in a phrasing drawn at random."""
    return Sentence(rng.choice(PHRASES[kind]).format(**slots), kind, ends_step)


def say_after(failures: int, kind: str, rng: Random, slots: dict[str, object], *, ends_step: bool = False) -> Sentence:
    """The same, in the `_again` words of the kind the more often the more guesses have failed."""
    weary = rng.random() < AGAIN_SHARES[min(failures, len(AGAIN_SHARES) - 1)]
    return say(kind + AGAIN if weary and kind + AGAIN in PHRASES else kind, rng, slots, ends_step=ends_step)
