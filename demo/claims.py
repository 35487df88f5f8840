"""What a study says about the claims, one by one, whichever way it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.runs.coherence import MAX_NLL_ABOVE_BASELINE, MAX_REPETITION_FACTOR
from demo.steering_study import readable

RIGHT, TURNING, WORSE, BASE_KEYWORDS, TIMES, BASE_STEERED = 85.0, 30.0, 10.0, 0.05, 3.0, 0.1
"""The goals: % right, % of traces that turn, points lost without turning, % of words, times, % of words."""
Row = dict[str, Any]


def claims(seed: Row) -> list[Row]:
    """One row per claim: what is claimed, whether it holds, and the numbers."""
    base, free, banned = seed["accuracy"]
    lost = free["right"][0] - banned["right"][0]
    said = seed["ordinary_text"]["keywords"][0]
    return [
        _claim(f"The reasoner solves at least {RIGHT:.0f}% of held-out problems", free["right"][0] >= RIGHT)
        | {"found": percent(free["right"])},
        _claim(f"At least {TURNING:.0f}% of its traces turn back", free["turning"][0] >= TURNING)
        | {"found": percent(free["turning"])},
        _claim(f"It is at least {WORSE:.0f} points worse when it may not turn back", lost >= WORSE)
        | {"found": f"{percent(banned['right'])}, {abs(lost):.1f} points {'less' if lost >= 0 else 'more'}"},
        _claim(
            f"Under {BASE_KEYWORDS}% of the base model's words in solutions are wait or hmm; its stories use them",
            base["keywords"][0] < BASE_KEYWORDS < said,
        )
        | {"found": f"{base['keywords'][0]:.3f}% in solutions, {said:.2f}% in everyday stories"},
        _raises(seed, "dose_response", "chosen", "at the pair's own layer and window"),
        _raises(seed, "dose_response_at_paper_window", "chosen_at_paper_window", "at the paper's window"),
        _base_stays(seed),
        _controls_below(seed),
    ]


def _claim(text: str, holds: bool) -> Row:
    return {"claim": text, "holds": bool(holds)}


def percent(values: Sequence[float], digits: int = 1) -> str:
    """A share in percent with its interval."""
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{mean}% [{low}, {high}]"


def line_of(rows: Sequence[Row], source: str, target: str) -> list[Row]:
    """The points of one curve of the 2×2, by dose."""
    return [row for row in rows if (row["source"], row["target"]) == (source, target)]


def steered_row(seed: Row, curve: str, choice: str, source: str = "base", target: str = "reasoner") -> tuple[Row, Row]:
    """The baseline and the chosen dose of one curve, as reported on other prompts than those that chose it."""
    rows = line_of(seed[curve], source, target)
    share = seed[choice]["share"]
    return rows[0], next(row for row in rows if row["share"] == share)


def _raises(seed: Row, curve: str, choice: str, where: str) -> Row:
    zero, row = steered_row(seed, curve, choice)
    times = row["keywords"][0] / max(zero["keywords"][0], 1e-9)
    clear = row["keywords"][1] > zero["keywords"][2]
    holds = times >= TIMES and clear and readable(row, zero)
    found = (
        f"{percent(zero['keywords'], 2)} → {percent(row['keywords'], 2)}, {times:.1f} times, at layer "
        f"{seed[choice]['layer']}, NLL {row['nll'][0] - zero['nll'][0]:+.2f}, "
        f"repetition × {row['repetition'] / max(zero['repetition'], 1e-9):.2f}"
    )
    text = f"The base-derived direction makes the reasoner say wait or hmm {TIMES:.0f} times as often, {where}"
    return _claim(f"{text}, in readable text", holds) | {"found": found}


def _base_stays(seed: Row) -> Row:
    share, worst = seed["chosen"]["share"], []
    for source in ("base", "reasoner"):
        rows = line_of(seed["dose_response"], source, "base")
        worst += [row for row in rows if row["share"] <= share]
    highest = max(row["keywords"][0] for row in worst)
    empty = sum(row["no_evidence"] for row in worst)
    nll = max(row["nll"][0] for row in worst) - worst[0]["nll"][0]
    written = empty <= sum(row["prompts"] for row in worst) / 10
    holds = highest < BASE_STEERED and written and nll <= MAX_NLL_ABOVE_BASELINE
    found = f"at most {highest:.3f}% up to the chosen dose, NLL {nll:+.2f}, {empty} texts without evidence"
    return _claim(f"Neither direction brings the base model to {BASE_STEERED}%, and its text stays readable", holds) | {
        "found": found
    }


def _controls_below(seed: Row) -> Row:
    zero, row = steered_row(seed, "dose_response", "chosen")
    low = row["keywords"][1]
    above = [control for control in seed["controls"] if control["keywords"][2] >= low]
    strongest = max(seed["controls"], key=lambda control: control["keywords"][0])
    random = [control["keywords"][0] for control in seed["controls"] if control["control"].startswith("random")]
    beaten = sum(value < row["keywords"][0] for value in random)
    found = (
        f"strongest: {strongest['control']}, {percent(strongest['keywords'], 2)}; stronger than {beaten} of "
        f"{len(random)} random directions; not below: {', '.join(_name(control, zero) for control in above) or 'none'}"
    )
    return _claim("Every control's interval lies below the base-derived direction's", not above) | {"found": found}


def _name(control: Row, baseline: Row) -> str:
    return str(control["control"]) + ("" if readable(control, baseline) else " (its text is not readable)")


LIMITS = (
    f"Readable: NLL at most {MAX_NLL_ABOVE_BASELINE} nats above the baseline, repetition at most "
    f"{MAX_REPETITION_FACTOR:.0f} times its."
)
