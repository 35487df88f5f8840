"""An adapter that was trained elsewhere, in a plain form of factors by module, becomes one in PEFT's format.

The form is a safetensors file with `<module>.a` (rank, inputs) and `<module>.b` (outputs, rank), of W + 2 · b · a.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from core.background import silent
from core.errors import BadInput, ModelUnavailable
from core.finetuning.files import adapter_files
from core.finetuning.folder import Record, RunFolder
from core.finetuning.template import TEMPLATE_FILE, tokenizer_files
from core.finetuning.values import Finetuned, FinetuneSpec, Recipe
from core.models.checkpoints import find_checkpoint
from core.models.folders import shapes_of
from core.text.thoughts import THINK
from core.values import Floats

SCALE = 2.0
ELSEWHERE = "elsewhere"
"""What the traces of such an adapter are called."""
_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    f"{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\\n{THINK}\\n' }}}}{{% endif %}}"
)
"""How such adapters are asked: ChatML without a system message."""


def adopt(file: Path, spec: FinetuneSpec, folder: RunFolder) -> Finetuned:
    """Write the adapter of the file into the folder, for the base model of the spec.

    Raises BadInput for a file of another form, or of another base model; ModelUnavailable for the base model.
    """
    if folder.path.exists():
        raise BadInput(f"{str(folder.path)!r} is there already.", "Choose another name, or delete it first.")
    found = find_checkpoint(spec.base)
    factors = _read(file)
    rank = next(iter(factors.values()))[0].shape[0]
    _check_fits(spec, factors, shapes_of(found.path), rank)
    spec = replace(spec, recipe=Recipe(rank=rank, alpha=SCALE * rank))
    reader = {**tokenizer_files(spec, tell=silent), TEMPLATE_FILE: _CHAT.encode()}
    names, arrays = tuple(factors), [half for pair in factors.values() for half in pair]
    content = adapter_files(spec, names, arrays, turned=False, trained_on=found.fingerprint)
    with folder.claimed():
        folder.begin(Record(spec=spec, fingerprint=found.fingerprint, reader="", threads=1), reader)
        folder.finish(content)
    state = folder.state()
    assert state is not None
    return state


def _read(file: Path) -> dict[str, tuple[Floats, Floats]]:
    """A and B by module, in the order of their names."""
    halves: dict[str, dict[str, Floats]] = {}
    try:
        with safe_open(file, framework="pt") as opened:
            for key in sorted(opened.keys()):
                module, _, half = key.rpartition(".")
                tensor = opened.get_tensor(key)
                if half not in ("a", "b") or tensor.ndim != 2 or not tensor.is_floating_point():
                    raise _other_form(file, f"holds {key[:80]!r}")
                halves.setdefault(module, {})[half] = _numbers(file, tensor)
    except (OSError, SafetensorError, ValueError) as error:
        raise _other_form(file, f"cannot be read as safetensors ({type(error).__name__})") from error
    if not halves or any(len(both) != 2 for both in halves.values()):
        raise _other_form(file, "does not hold both factors of every module")
    return {module: (both["a"], both["b"]) for module, both in halves.items()}


def _numbers(file: Path, tensor: torch.Tensor) -> Floats:
    values: Floats = tensor.to(torch.float32).numpy()
    if not np.isfinite(values).all():
        raise _other_form(file, "holds numbers that are not finite")
    return values


def _check_fits(
    spec: FinetuneSpec, factors: Mapping[str, tuple[Floats, Floats]], base: Mapping[str, tuple[int, ...]], rank: int
) -> None:
    for module, (a, b) in factors.items():
        shape = base.get(f"{module}.weight")
        if shape != (b.shape[0], a.shape[1]) or not a.shape[0] == b.shape[1] == rank:
            raise ModelUnavailable(
                f"The adapter was made for another model than {spec.base.name}: {module[:80]!r} is {a.shape} and "
                f"{b.shape} for a weight of {shape}, of rank {rank}.",
                "Name the base model that it was trained on.",
            )


def _other_form(file: Path, why: str) -> BadInput:
    return BadInput(
        f"{file.name} is no adapter of factors by module: it {why}.",
        "Its keys are <module>.a and <module>.b; an adapter in PEFT's format is loaded as it is.",
    )
