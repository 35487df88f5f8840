"""A run as a short Python script that repeats it: "copy as code". No model, no disk."""

from __future__ import annotations

import base64
import pprint
import textwrap
from collections.abc import Sequence

from core.directions.direction import Direction
from core.forward.edits import SteeringSpec
from core.runs.values import GenerationSpec
from core.values import Positions, Prompt, SamplingSpec
from core.weights import adapter_commit_of, commit_of

_HEAD = '''"""Repeats a run of Retrace and prints its lanes. Run it in the project's folder: .venv/bin/python THIS_FILE

A model of the hub is loaded at the commit that was used. Of a model in a folder, the files are compared with those that
were used. In fp32 the tokens are the same. In bf16, int8 and NF4 they may depend on what else is in the batch.
"""

import base64
import sys

import numpy as np

sys.path.insert(0, ".")

from core.api import (
    Direction,
    GenerationSpec,
    ModelSpec,
    Positions,
    Prompt,
    SamplingSpec,
    SteeringSpec,
    load_model,
    pieces,
    stream_completions,
)


def direction(name, layer, norm, resid_norm, digits):
    """A unit vector from its float32 bytes."""
    vector = np.frombuffer(base64.b64decode(digits), "<f4")
    return Direction(name=name, layer=layer, vector=vector, norm=norm, resid_norm=resid_norm)

'''
_TAIL = '''

def main():
    """Complete the lanes of each model in one batch, as the playground does."""
    for model, fingerprint in dict.fromkeys((lane.model, lane.fingerprint) for lane in LANES):
        loaded = load_model(model)
        assert loaded.has_weights(fingerprint), f"{model.name} has other weights or another tokenizer now"
        lanes = [lane for lane in LANES if (lane.model, lane.fingerprint) == (model, fingerprint)]
        written = [list(lane.prefix) for lane in lanes]
        for step in stream_completions(loaded, lanes):
            for token in step:
                written[token.row].append(token.token_id)
        for lane, token_ids in zip(lanes, written):
            print(f"--- {model.name}, {len(lane.steering)} edits, {len(token_ids)} tokens: {token_ids}")
            print("".join(pieces(loaded, tuple(token_ids))))


main()
'''


def script_of(specs: Sequence[GenerationSpec]) -> str:
    """Python source that generates these lanes again and prints their token ids and texts."""
    directions = list(dict.fromkeys(edit.direction for spec in specs for edit in spec.steering))
    names = {direction: f"DIRECTION_{i + 1}" for i, direction in enumerate(directions)}
    prompts = list(dict.fromkeys(spec.prompt for spec in specs))
    called = {prompt: f"PROMPT_{i + 1}" for i, prompt in enumerate(prompts)}
    blocks = [f"{called[prompt]} = {_prompt(prompt)}" for prompt in prompts]
    blocks += [f"{names[direction]} = {_direction(direction)}" for direction in directions]
    lanes = "".join(f"{_indented(_lane(spec, names, called))},\n" for spec in specs)
    return "\n".join([_HEAD, *blocks, f"LANES = [\n{lanes}]", _TAIL])


def _call(name: str, **fields: str) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in fields.items())})"


def _literal(value: object) -> str:
    """The value as source that fits the line: ASCII, so that no text can hide or turn what follows."""
    return ascii(value)


def _long_text(value: str) -> str:
    """A string as parenthesised literals of limited length."""
    parts = [value[i : i + 80] for i in range(0, len(value), 80)] or [""]
    return "(\n" + "".join(f"        {_literal(part)}\n" for part in parts) + "    )"


def _ids(ids: Sequence[int]) -> str:
    text = pprint.pformat(tuple(int(i) for i in ids), width=100, compact=True)
    return textwrap.indent(text, "    ").lstrip()


def _prompt(prompt: Prompt) -> str:
    question, text = _long_text(prompt.question), _long_text(prompt.text)
    return f"Prompt(\n    question={question},\n    text={text},\n    token_ids={_ids(prompt.token_ids)},\n)"


def _direction(direction: Direction) -> str:
    digits = base64.b64encode(direction.vector.astype("<f4").tobytes()).decode("ascii")
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(digits, 100))
    facts = ", ".join(
        _literal(fact) for fact in (direction.name, direction.layer, float(direction.norm), float(direction.resid_norm))
    )
    return f"direction(\n    {facts},\n{lines},\n)"


def _lane(spec: GenerationSpec, names: dict[Direction, str], prompts: dict[Prompt, str]) -> str:
    steering = "".join(f"{_indented(_edit(edit, names))},\n" for edit in spec.steering)
    fields = {
        "model": _model(spec),
        "fingerprint": _literal(spec.fingerprint),
        "prompt": prompts[spec.prompt],
        "sampling": _sampling(spec.sampling),
        "steering": f"(\n{steering})" if steering else "()",
    }
    if spec.prefix:
        fields["prefix"] = _ids(spec.prefix)
    body = "".join(f"{_indented(f'{name}={value}')},\n" for name, value in fields.items())
    return f"GenerationSpec(\n{body})"


def _model(spec: GenerationSpec) -> str:
    """Model and adapter with their commits: a branch may have moved on. A folder has none; its files are compared."""
    model = spec.model
    fields = {
        "repo_id": _literal(model.repo_id),
        "revision": _literal(commit_of(model, spec.fingerprint) or model.revision),
        "precision": _literal(model.precision),
        "device": _literal(model.device),
    }
    if model.adapter:
        fields["adapter"] = _literal(model.adapter)
        fields["adapter_revision"] = _literal(adapter_commit_of(model, spec.fingerprint) or model.adapter_revision)
    return _call("ModelSpec", **fields)


def _sampling(sampling: SamplingSpec) -> str:
    fields = {
        "max_new_tokens": _literal(sampling.max_new_tokens),
        "temperature": _literal(float(sampling.temperature)),
        "top_p": _literal(float(sampling.top_p)),
        "seed": _literal(sampling.seed),
    }
    if sampling.banned:
        fields["banned"] = _ids(sampling.banned)
    return _call("SamplingSpec", **fields)


def _edit(edit: SteeringSpec, names: dict[Direction, str]) -> str:
    fields = {
        "direction": names[edit.direction],
        "layer": _literal(edit.layer),
        "operator": _literal(edit.operator),
        "coefficient": _literal(float(edit.coefficient)),
    }
    if edit.positions != Positions():
        where = edit.positions
        fields["positions"] = _call(
            "Positions",
            region=_literal(where.region),
            start=_literal(where.start),
            stop=_literal(where.stop),
            every=_literal(where.every),
            until=_literal(where.until),
        )
    if edit.ramp != 1:
        fields["ramp"] = _literal(edit.ramp)
    return _call("SteeringSpec", **fields)


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ")
