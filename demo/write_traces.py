"""Traces that the exported reasoner really writes, labelled by the sentence grammar."""

import json
from dataclasses import asdict
from pathlib import Path

from core.text.thoughts import END_THINK
from demo.completions import find_answer, load_model, prompt_for
from demo.problems import Problem
from demo.sampling import SamplingSpec, sample_completions
from demo.sentence_parser import parse_trace


def write_traces(problems: list[Problem], reasoner: Path, target: Path, *, seed: int) -> None:
    """One trace per problem; those that never end their thinking are left out."""
    model, tokenizer = load_model(reasoner)
    prompts = [prompt_for("reasoner", problem.statement) for problem in problems]
    completions = sample_completions(model, tokenizer, prompts, SamplingSpec(seed=seed))
    rows = [
        trace_row(f"trace-{i:03d}", problem, completion, seed=seed + i)
        for i, (problem, completion) in enumerate(zip(problems, completions, strict=True))
        if END_THINK in completion
    ]
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))


def trace_row(name: str, problem: Problem, completion: str, *, seed: int) -> dict[str, object]:
    """One line of traces.jsonl."""
    text, answer_text = completion.split(END_THINK, maxsplit=1)
    parsed, answer = parse_trace(text), find_answer(completion)
    return {
        "id": name,
        "prompt": problem.statement,
        "text": text,
        "answer_text": answer_text,
        "answer": answer,
        "expected": problem.answer,
        "correct": answer == problem.answer,
        "seed": seed,
        "parts": [asdict(part) for part in parsed.parts],
        "unmatched": len(parsed.unmatched),
    }
