"""The problems that come with the pair: examples for the app, held-out problems for measuring, and those for traces.

All are drawn from the part of the problems that training never sees; no two of the three sets share a problem.
"""

import json
from pathlib import Path
from random import Random

from demo.problems import FAMILIES, Family, Problem, draw_problem

EXAMPLES_PER_FAMILY, HELDOUT, TRACES = 4, 768, 400


def draw_prompt_sets() -> tuple[list[Problem], list[Problem], list[Problem]]:
    """Examples, held-out problems and trace problems: the same for every training seed."""
    rng, taken = Random("prompts 0"), set[str]()
    keep = _draw_examples(rng, taken)
    numbers = {(problem.family, problem.numbers) for problem in keep}
    rest: list[Problem] = []
    while len(rest) < HELDOUT + TRACES:
        problem = draw_problem(rng, heldout=True)
        if problem.statement not in taken and (problem.family, problem.numbers) not in numbers:
            taken.add(problem.statement)
            rest.append(problem)
    return keep, rest[:HELDOUT], rest[HELDOUT:]


def write_prompts(target: Path) -> None:
    """Write prompts.json."""
    examples, heldout, _ = draw_prompt_sets()
    content = {"examples": [_entry(p) for p in examples], "heldout": [_entry(p) for p in heldout]}
    target.write_text(json.dumps(content).replace('{"prompt"', '\n{"prompt"') + "\n")


def _draw_examples(rng: Random, taken: set[str]) -> list[Problem]:
    kept: list[Problem] = []
    counts: dict[Family, int] = dict.fromkeys(FAMILIES, 0)
    while len(kept) < EXAMPLES_PER_FAMILY * len(FAMILIES):
        problem = draw_problem(rng, heldout=True)
        if counts[problem.family] < EXAMPLES_PER_FAMILY and problem.statement not in taken:
            counts[problem.family] += 1
            taken.add(problem.statement)
            kept.append(problem)
    return kept


def _entry(problem: Problem) -> dict[str, str]:
    return {"prompt": problem.statement, "answer": problem.answer, "family": problem.family}
