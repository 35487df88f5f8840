"""Controls for a direction: what should do less than it does (paper, Fig. 4). No model, no torch, no disk.

Every control is a Direction with the layer and the norm of the one that it is a control of, so that one coefficient
means the same for all of them, and its provenance says what it is and of what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.directions import algebra
from core.directions.direction import MIN_NORM, Direction
from core.errors import BadDirection, BadInput, UserFacingError
from core.extraction.contrast import contrast, mean_activation
from core.extraction.moments import SHUFFLED, Gathered
from core.extraction.values import DirectionSet, Negatives, Weighting
from core.traces.events import BACKTRACKING
from core.values import Part, Trace, Window

CONTROL, CONTROL_OF, CONTROL_OF_NAME = "control", "control_of", "control_of_name"
DEFAULT_RANDOM = 3


def random_controls(direction: Direction, k: int, seed: int = 0) -> tuple[Direction, ...]:
    """k Gaussian directions of the same norm; number i is the same for every k, and seeds share none of them.

    Raises BadInput for k below 1.
    """
    if k < 1:
        raise BadInput(f"{k} random controls were asked for.", "Ask for 1 or more.")
    rows = [np.random.default_rng((seed, i)).standard_normal(direction.d_model) for i in range(k)]
    return tuple(
        _control(direction, row, f"random {i + 1}", f"Gaussian, seed {seed}, number {i}") for i, row in enumerate(rows)
    )


def sign_flip(direction: Direction) -> Direction:
    """The opposite direction."""
    return _control(direction, -direction.vector, "sign flip", "the opposite direction")


def orthogonalised(direction: Direction, against: Direction) -> Direction:
    """The direction without its component along `against`: v − (v·û) û, with the norm that is left of it.

    Raises BadDirection when the two have different widths, or when nothing is left.
    """
    rest, cosine = algebra.orthogonalised(direction, against), direction.cosine(against)
    how = f"{against.name} projected out (cosine {cosine:.3f}, kept {rest.norm / direction.norm:.3f})"
    made = _control(direction, rest.vector, f"without {_label_of(against)}", how)
    return replace(made, norm=rest.norm)


def nearest_projected_out(direction: Direction, others: Sequence[Direction]) -> Direction:
    """The direction without the component along the other one that it resembles most. Raises BadInput for no others."""
    if not others:
        raise BadInput("There is no other direction to project out.", "Extract with two labels or more.")
    return orthogonalised(direction, max(others, key=lambda other: abs(direction.cosine(other))))


def label_controls(
    moments: Gathered,
    layer: int,
    window: Window,
    exclude: str,
    *,
    negatives: Negatives = "all",
    weighting: Weighting = "trace",
) -> tuple[Direction, ...]:
    """The direction of every other label at the same layer and window; labels with too few events are left out.

    Shuffled events count as a label. Their norms are their own; `matched` gives them another's.
    """
    found = []
    for label in moments.spec.rows:
        if label == exclude:
            continue
        try:
            one = contrast(moments, label, windows=(window,), layers=(layer,), negatives=negatives, weighting=weighting)
            found.append(one.at(layer, window))
        except UserFacingError:
            continue
    return tuple(found)


def overall_mean(moments: Gathered, direction: Direction) -> Direction:
    """The mean activation over all tokens at the direction's layer, as a direction of its norm."""
    mean = mean_activation(moments, direction.layer)
    return _control(direction, mean, "overall mean", "mean activation over all tokens")


def position_matched(moments: Gathered, found: DirectionSet, direction: Direction, window: Window) -> Direction | None:
    """The direction against the same window around other labels' events, norm matched; None where there are none.

    What is left of a direction near an event without "a part begins here", which every label's direction has in it.
    """
    spec = found.spec
    try:
        other = contrast(
            moments,
            spec.label,
            windows=(window,),
            layers=(direction.layer,),
            negatives="position",
            weighting=spec.weighting,
        ).at(direction.layer, window)
    except UserFacingError:
        return None
    return _control(direction, other.vector, "position matched", f"{other.name}, against the place of other events")


def matched(control: Direction, direction: Direction) -> Direction:
    """`control` with the norm of `direction`, marked as a control of it."""
    return _control(direction, control.vector, _label_of(control), f"{control.name}, norm matched")


def control_set(
    moments: Gathered,
    found: DirectionSet,
    direction: Direction,
    window: Window,
    *,
    k: int = DEFAULT_RANDOM,
    seed: int = 0,
) -> tuple[Direction, ...]:
    """All controls of a direction of `found`, all with its norm but the last, from which something is taken away.

    Random, overall mean, sign flip, other labels, shuffled events, position-matched negatives, and without the label
    that it resembles most, unless nothing is left then, as of position-matched directions of two labels.
    """
    spec = found.spec
    others = label_controls(
        moments, direction.layer, window, spec.label, negatives=spec.negatives, weighting=spec.weighting
    )
    labels = [other for other in others if not _label_of(other).startswith(SHUFFLED)]
    controls = [*random_controls(direction, k, seed), overall_mean(moments, direction), sign_flip(direction)]
    controls += [matched(other, direction) for other in others]
    placed = position_matched(moments, found, direction, window) if spec.negatives != "position" else None
    controls += [placed] if placed is not None else []
    with suppress(UserFacingError):
        controls.append(nearest_projected_out(direction, labels))
    return tuple(controls)


def is_control_of(control: Direction, direction: Direction) -> bool:
    """Whether the provenance of one names the other."""
    return dict(control.provenance).get(CONTROL_OF) == direction.digest


def shuffled_events(traces: Sequence[Trace], seed: int = 0, label: str = BACKTRACKING) -> tuple[Trace, ...]:
    """The traces with the parts of `label` moved to random words of their text, as many as before, others unchanged.

    A direction that is about the events, and not about reasoning texts as such, is not found at these places. Where a
    trace has fewer words than parts, it keeps as many parts as words.
    """
    return tuple(_shuffled(trace, seed, label) for trace in traces)


def with_shuffled(traces: Sequence[Trace], seed: int, label: str) -> tuple[tuple[Part, ...], ...]:
    """For every trace, the moved parts alone, named as the shuffled label."""
    moved = shuffled_events(traces, seed, label)
    return tuple(
        tuple(replace(part, label=SHUFFLED + label) for part in trace.parts if part.label == label) for trace in moved
    )


def _shuffled(trace: Trace, seed: int, label: str) -> Trace:
    parts = [part for part in trace.parts if part.label == label]
    kept = [part for part in trace.parts if part.label != label]
    text = trace.text
    words = [i for i, c in enumerate(text) if not c.isspace() and (i == 0 or text[i - 1].isspace())]
    digest = hashlib.sha256(f"{seed}\n{label}\n{text}".encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    starts: list[int] = rng.choice(words, size=min(len(parts), len(words)), replace=False).tolist() if words else []
    moved = [
        Part(label=label, start=start, end=min(start + part.end - part.start, len(text)))
        for start, part in zip(sorted(starts), parts, strict=False)
    ]
    return replace(trace, parts=tuple(sorted([*kept, *moved], key=lambda part: (part.start, part.end))))


def _label_of(direction: Direction) -> str:
    return dict(direction.provenance).get("label") or direction.name


def _control(direction: Direction, vector: NDArray[np.floating], kind: str, how: str) -> Direction:
    length = np.linalg.norm(vector.astype(np.float64))
    if not length > MIN_NORM:
        raise BadDirection(f"The control {kind!r} has no direction.", "Choose another window or label.")
    return Direction(
        name=f"control · {kind} · of {direction.name}",
        layer=direction.layer,
        vector=(vector.astype(np.float64) / length).astype(np.float32),
        norm=direction.norm,
        resid_norm=direction.resid_norm,
        source_model=direction.source_model,
        fingerprint=direction.fingerprint,
        provenance=(
            ("method", f"control: {how}"),
            (CONTROL, kind),
            (CONTROL_OF, direction.digest),
            (CONTROL_OF_NAME, direction.name),
            *(note for note in direction.provenance if note[0] == "window"),
        ),
    )
