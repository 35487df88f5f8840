"""Going on from a token of a completion: other steering, other sampling, an edited beginning. No model, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.runs.values import Generation, GenerationSpec
from core.values import SamplingSpec


def fork_spec(
    parent: Generation,
    at: int,
    *,
    steering: tuple[SteeringSpec, ...] | None = None,
    sampling: SamplingSpec | None = None,
    prefix: Sequence[int] | None = None,
) -> GenerationSpec:
    """The spec of a run that keeps the first `at` tokens of `parent` and goes on from there.

    Without further arguments it goes on as the parent did. Other steering begins at the fork; what the parent's did
    before it stays. An edited `prefix` takes the place of the kept tokens. Raises BadInput for a token that is not
    there, or an `at` that leaves nothing to write.
    """
    if not 0 <= at <= len(parent.token_ids):
        raise BadInput(
            f"The run has {len(parent.token_ids)} tokens; it cannot go on from number {at}.",
            "Choose one of its tokens.",
        )
    spec = parent.spec
    kept = tuple(parent.token_ids[:at]) if prefix is None else tuple(prefix)
    sampling = sampling or spec.sampling
    if len(kept) >= sampling.max_new_tokens:
        raise BadInput(
            f"The run to go on from has {len(kept)} tokens already, and the limit is {sampling.max_new_tokens}.",
            "Allow more new tokens, or go on from an earlier one.",
        )
    program = spec.steering
    if steering is not None and steering != program:
        n_prompt = len(spec.prompt.token_ids)
        past = [edit for old in program if (edit := until(old, n_prompt, len(kept))) is not None]
        program = (*past, *(edit for new in steering if (edit := after(new, n_prompt, len(kept))) is not None))
    return replace(spec, prefix=kept, sampling=sampling, steering=program)


def until(edit: SteeringSpec, n_prompt: int, n_kept: int) -> SteeringSpec | None:
    """The edit cut off at the n_kept-th token of the completion; None where nothing of it is left."""
    where = edit.positions
    if where.region == "prompt":
        return edit
    stop = n_kept if where.region != "all" else n_prompt + n_kept
    if where.stop is not None and where.stop <= stop:
        return edit
    return replace(edit, positions=replace(where, stop=stop)) if stop > where.start else None


def after(edit: SteeringSpec, n_prompt: int, n_kept: int) -> SteeringSpec | None:
    """The edit from the n_kept-th token of the completion on; None where nothing of it is left.

    Every n-th position and a ramp are then counted from there.
    """
    where = edit.positions
    if where.region == "prompt":
        return None
    begin = n_kept if where.region != "all" else n_prompt + n_kept
    if where.stop is not None and where.stop <= begin:
        return None
    return replace(edit, positions=replace(where, start=max(where.start, begin)))
