"""How often an experiment calls a direction specific that is none: python -m benchmarks.specificity.

In every simulated experiment the direction under test is one more random direction: its true rate is drawn as theirs
are. Keywords per question are overdispersed as real ones (a gamma-Poisson per question, shared by all arms, since runs
are paired by question), words are 120 a text. The share of "specific: yes" should stay at or below 5%.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from core.experiments.statistics import null_of
from core.experiments.values import Choice, Kind, Outcome, Plan, Point, TraceSource
from core.experiments.verdicts import ticks
from core.runs.questions import Example
from core.statistics import wilson
from core.values import ModelSpec, PairSpec

WORDS, CONTROLS = 120, 20
SPREADS = (0.0, 0.3, 0.8)
"""Standard deviation of the log rate between random directions: none does anything, or some do by chance."""
MEAN_RATE, CLUMPING = 0.005, 1.0
"""Keywords per word, and the variance of a question's own factor."""


def null_experiment(rng: np.random.Generator, n: int, spread: float) -> Outcome:
    """An outcome in which nothing sets the direction apart from its controls."""
    questions = rng.gamma(1 / CLUMPING, CLUMPING, n)
    rates = MEAN_RATE * np.exp(rng.normal(0, spread, CONTROLS + 1))
    kinds: list[Kind] = ["direction"]
    kinds += ["random"] * CONTROLS
    points = [_point("unsteered", 0.0, rng.poisson(MEAN_RATE * WORDS * questions))]
    points += [
        _point(kind, 1.0, rng.poisson(rate * WORDS * questions), name=f"{kind} {i}")
        for i, (kind, rate) in enumerate(zip(kinds, rates, strict=True))
    ]
    model = ModelSpec(repo_id="simulated")
    plan = Plan(
        pair=PairSpec(base=model, reasoner=model),
        traces=TraceSource(kind="none"),
        layers=(0,),
        choose=(Example(prompt="a"), Example(prompt="b")),
        report=tuple(Example(prompt=str(i)) for i in range(n)),
    )
    choice = Choice(layer=0, window=None, coefficient=1.0, readable=True, n_compared=1)
    return Outcome(plan=plan, choice=choice, reported=tuple(points))


def _point(kind: Kind, coefficient: float, hits: np.ndarray, name: str = "unsteered") -> Point:
    return Point(
        target="reasoner",
        kind=kind,
        name=name,
        source="base" if kind == "direction" else None,
        layer=0,
        window=None,
        match="norm",
        half="report",
        coefficient=coefficient,
        resid_norm=1.0,
        raw_norm=1.0,
        hits=tuple(hits.tolist()),
        words=(WORDS,) * len(hits),
        repetition=(0.1,) * len(hits),
        nll=(1.0,) * len(hits),
        no_evidence=0,
    )


def false_positives(n_experiments: int, n: int, spread: float, seed: int = 0) -> tuple[int, int]:
    """("specific" ticks, experiments whose direction lies above 95% of the random ones) of so many null experiments."""
    rng = np.random.default_rng((seed, n, round(10 * spread)))
    ticked = high = 0
    for _ in range(n_experiments):
        outcome = null_experiment(rng, n, spread)
        ticked += next(tick.state for tick in ticks(outcome) if tick.name == "specific") == "yes"
        null = null_of(outcome)
        high += null is not None and any(share.below.mean > 0.95 for share in null.shares)
    return ticked, high


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line per number of questions and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1000)
    total = parser.parse_args(arguments).experiments
    for n in (16, 64):
        for spread in SPREADS:
            ticked, high = false_positives(total, n, spread)
            share = wilson(ticked, total)
            print(
                f"{n} questions, spread {spread:g}: specific in {ticked} of {total} null experiments "
                f"({share.mean:.1%}, 95% {share.low:.1%} to {share.high:.1%}); above 95% of the random: {high}"
            )


if __name__ == "__main__":
    main()
