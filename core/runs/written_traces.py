"""Traces that a loaded model writes: a list of questions in, completions asked for, their reasoning out.

Knows no model: completions are made by `workbench.generate_set`, or steered ones as the cells of an experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.runs.cells import DoseCell
from core.runs.values import Generation, GenerationSpec
from core.text.thoughts import END_THINK, split_thought
from core.values import ModelSpec, Prompt, SamplingSpec, Trace


@dataclass(frozen=True, kw_only=True)
class GeneratedTraces:
    """The reasoning of a list of completions."""

    traces: tuple[Trace, ...]
    n_cut_off: int
    """Traces that reached the token limit before the reasoning was closed."""
    n_empty: int
    """Completions without any reasoning; they give no trace."""


def generation_specs(
    prompts: Sequence[Prompt], *, model: ModelSpec, fingerprint: str, sampling: SamplingSpec
) -> tuple[GenerationSpec, ...]:
    """One unsteered completion per prompt; the seed of prompt i is `sampling.seed + i`."""
    return tuple(
        GenerationSpec(
            model=model,
            fingerprint=fingerprint,
            prompt=prompt,
            sampling=replace(sampling, seed=sampling.seed + i),
        )
        for i, prompt in enumerate(prompts)
    )


def traces_of(generations: Iterable[Generation]) -> GeneratedTraces:
    """The reasoning of each completion as a trace without labels; what follows `</think>` is left out."""
    traces, n_cut_off, n_empty = [], 0, 0
    for number, generation in enumerate(generations, start=1):
        thought, _ = split_thought(generation.text)
        if not thought.strip():
            n_empty += 1
            continue
        n_cut_off += generation.stop_reason != "eos" and END_THINK not in generation.text
        traces.append(
            Trace(
                trace_id=f"{number}-seed{generation.spec.sampling.seed}",
                prompt=generation.spec.prompt.question,
                text=thought,
                source=f"written by {generation.spec.model.name}",
            )
        )
    return GeneratedTraces(traces=tuple(traces), n_cut_off=n_cut_off, n_empty=n_empty)


def traces_of_cell(cell: DoseCell, *, arm_name: str = "") -> tuple[Trace, ...]:
    """The reasoning of a cell's completions as traces without labels, with what was done to the model in their source.

    `arm_name` says in words what is added; "" takes the direction's name. Completions without reasoning give none. The
    ids of different cells differ: they hold question, seed, dose, layer and the direction's digest.
    """
    spec, direction = cell.spec, cell.spec.direction
    if direction is None:
        done, suffix = "unsteered", "unsteered"
    else:
        added = "" if spec.operator == "add" else f" ({spec.operator})"
        name = f"{arm_name or direction.name} {direction.digest[:8]}"
        done = f"steered with {name}{added}, coefficient {spec.coefficient:g}, layer {spec.layer}"
        suffix = f"{direction.digest[:8]}-{spec.operator}-{spec.coefficient:g}-layer{spec.layer}"
    traces = []
    for i, (prompt, text) in enumerate(zip(spec.prompts, cell.texts, strict=True)):
        thought, seed = split_thought(text)[0], spec.sampling.seed + i
        if thought.strip():
            traces.append(
                Trace(
                    trace_id=f"{spec.model.name}-seed{seed}-{suffix}",
                    prompt=prompt.question,
                    text=thought,
                    source=f"written by {spec.model.name}, {done}, seed {seed}",
                )
            )
    return tuple(traces)
