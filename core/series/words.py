"""A series in words: when the base model's direction begins to act. Every sentence is of paired tests. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.experiments.verdicts import control_name, with_test
from core.series.numbers import Standing, first_from, standings
from core.series.values import Series


def emergence_sentence(series: Series) -> str:
    """From which checkpoint on the base-derived direction acts, and does more than its controls; or that it never does.

    It acts at a checkpoint where its paired difference to the unsteered text is above 0 and the text is readable.
    """
    found = standings(series)
    if not found:
        return "No checkpoint has been measured yet."
    n, total = series.n_done, len(series.plan.members)
    so_far = "" if series.finished else f"So far, with {n} of {total} checkpoints measured: "
    said = f"{_place(found[-1])}, {_begins(found)}"
    return so_far + said if so_far else said[0].upper() + said[1:]


def _place(last: Standing) -> str:
    chosen = last.chosen
    window = f", window {chosen.window.label}" if chosen.window else ""
    return f"at layer {chosen.layer}{window}, {chosen.coefficient:.3g} unit vectors"


def _begins(found: Sequence[Standing]) -> str:
    start = first_from([one.acts for one in found])
    if start is None:
        return _never(found)
    first = found[start]
    since = f"from {_when(first)} on" if start else f"from the first checkpoint on ({_when(first)})"
    at = f"at {_when(first)}, {with_test(first.effect)}"
    return f"the base model's direction raises the keywords above the unsteered text {since} ({at}){_specific(found)}."


def _specific(found: Sequence[Standing]) -> str:
    start = first_from([one.is_specific for one in found])
    if start is None:
        last = found[-1]
        if last.specific is None or last.strongest is None:
            return "; with what readable controls do, it was not compared"
        beside = f"“{control_name(last.strongest)}”: {with_test(last.specific)}"
        return f"; it is not above the strongest readable control at the end ({beside})"
    first = found[start]
    assert first.specific is not None
    assert first.strongest is not None
    beside = f"“{control_name(first.strongest)}”: {with_test(first.specific)}"
    return f", and above the strongest readable control from {_when(first)} on ({beside})"


def _never(found: Sequence[Standing]) -> str:
    last, acting = found[-1], [one for one in found if one.acts]
    at = f"at {_when(last)}, {with_test(last.effect)}"
    if all(one.effect.finding() == "too little" for one in found):
        return f"there is too little text to say whether the base model's direction ever acts ({at})."
    if last.faults:
        at += f", and the text is not readable: {'; '.join(last.faults)}"
    if acting:
        steps = ", ".join(_when(one) for one in acting)
        return f"the base model's direction does not act at the end ({at}); it did at {steps}."
    return (
        f"the base model's direction never acts: at no checkpoint does it raise the keywords in readable text ({at})."
    )


def _when(one: Standing) -> str:
    return one.measured.member.name
