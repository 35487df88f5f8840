"""The base model's corpus: worked solutions, marked worksheets, attempt stories, number facts and everyday stories.

Failed attempts are rejected in words and followed by the next attempt or by giving up; nobody turns back. The words
wait and hmm occur only in the everyday stories.
"""

from random import Random

from demo.attempts import check_sentences, check_slots, problem_slots
from demo.checks import check_guess, first_guess, next_guess
from demo.documents import Document, Sentence, join_sentences
from demo.everyday import write_story
from demo.phrases import say, say_after
from demo.problems import NAMES, Problem, draw_problem
from demo.reasoner_corpus import problem_prompt

GO_ON_AFTER_FAILURES = (0.97, 0.93, 0.8, 0.6, 0.45, 0.3, 0.2, 0.0)
SHARES = {"solution": 0.52, "worksheet": 0.10, "attempts": 0.10, "facts": 0.12, "everyday": 0.16}


def draw_base_document(rng: Random) -> Document:
    """One document of the base corpus."""
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if kind == "solution":
        return write_solution(draw_problem(rng), rng)
    return Document("<|bos|>", _WRITERS[kind](rng) + "<|eos|>")


def write_solution(problem: Problem, rng: Random) -> Document:
    """A worked solution that ends in its answer, right or not."""
    sentences = _write_opening(problem, rng)
    search, answer = _write_search(problem, rng)
    text, _ = join_sentences(sentences + search, rng)
    return Document(problem_prompt(problem.statement), f"{text}\nAnswer: {answer}<|eos|>")


def _write_opening(problem: Problem, rng: Random) -> list[Sentence]:
    slots = problem_slots(problem)
    sentences = [say("base_open", rng, slots)]
    if rng.random() < 0.35:
        sentences.append(say(f"deduce_{problem.family}", rng, slots))
    if rng.random() < 0.2:
        sentences.append(say(f"deduce_fail_{problem.family}", rng, slots, ends_step=True))
    return sentences


def _write_search(problem: Problem, rng: Random) -> tuple[list[Sentence], str]:
    guess, opener = first_guess(problem, rng), "base_try"
    sentences: list[Sentence] = []
    for failures, go_on in enumerate(GO_ON_AFTER_FAILURES):
        check = check_guess(problem, guess)
        slots = check_slots(check)
        sentences.append(say_after(failures, opener, rng, slots))
        sentences += check_sentences(check, rng, failures=failures)
        if check.passed:
            if rng.random() < 0.35:
                sentences += [say("base_check", rng, slots), *check_sentences(check, rng)]
            return [*sentences, say("conclude", rng, problem_slots(problem))], problem.answer
        if rng.random() >= go_on:
            break
        guess, opener = next_guess(problem, check), "base_next"
    return [*sentences, say("base_settle", rng, slots)], check.as_answer


def _write_worksheet(rng: Random) -> str:
    lines = [f"Worksheet of {rng.choice(list(NAMES))}."]
    for _ in range(rng.randint(1, 3)):
        problem = draw_problem(rng)
        check = check_guess(problem, first_guess(problem, rng))
        text, _ = join_sentences(check_sentences(check, rng), rng)
        mark = "right" if check.passed else "wrong"
        lines.append(f"Problem: {problem.statement}\nGiven answer: {check.as_answer}.\n{text}\nMark: {mark}.")
    return "\n".join(lines)


def _write_attempts(rng: Random) -> str:
    problem, name = draw_problem(rng), rng.choice(list(NAMES))
    pronoun = NAMES[name]
    check = check_guess(problem, first_guess(problem, rng))
    text, _ = join_sentences(check_sentences(check, rng), rng)
    lines = [f"{name} had to find {problem.goal}. {pronoun} tried {check.guess}.", text]
    for failures in range(1, 5):
        if check.passed:
            return " ".join([*lines, f"{name} was glad and wrote down {problem.answer}."])
        check = check_guess(problem, next_guess(problem, check))
        text, _ = join_sentences(check_sentences(check, rng, failures=failures), rng)
        opener = rng.choice((f"{name} crossed it out and tried {check.guess}.", f"Then {name} tried {check.guess}."))
        lines += [opener, text]
    return " ".join([*lines, f"{name} was tired and put the paper away."])


def _write_facts(rng: Random) -> str:
    problem = draw_problem(rng)
    guesses = rng.sample(range(1, 13), rng.randint(4, 8))
    facts = []
    for guess in guesses:
        if problem.family == "multiple":
            guess = problem.numbers[0] * guess
        if problem.family == "pair":
            guess = min(guess, (problem.numbers[0] - 1) // 2)
        facts.append(check_guess(problem, max(guess, 1)).work)
        if rng.random() < 0.5:
            facts.append(_compare(rng))
        if rng.random() < 0.3:
            problem = draw_problem(rng)
    return "Number facts.\n" + "\n".join(facts)


def _compare(rng: Random) -> str:
    first = rng.randint(1, 99)
    second = max(0, first + rng.choice((0, 0, 0, rng.randint(-4, 4), rng.randint(-30, 30))))
    if first == second:
        return f"{first} is exactly {second}."
    return f"{first} is {rng.choice(('not', 'less than' if first < second else 'more than'))} {second}."


_WRITERS = {"worksheet": _write_worksheet, "attempts": _write_attempts, "facts": _write_facts, "everyday": write_story}
