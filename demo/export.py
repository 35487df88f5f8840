"""Writing a trained pair as two folders that from_pretrained loads, and the record of how it was trained."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM

from demo.build_tokenizer import save_tokenizer


def export_pair(models: dict[str, LlamaForCausalLM], tokenizer: Tokenizer, folder: Path) -> None:
    """Save both models in bf16 with their tokenizers; only the reasoner's tokenizer has a chat template."""
    for name, model in models.items():
        config = model.config
        model.generation_config = GenerationConfig(
            bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
            do_sample=True,
            temperature=0.7,
            max_new_tokens=512,
        )
        model.to("cpu", torch.bfloat16).save_pretrained(folder / name)
        save_tokenizer(tokenizer, folder / name, chat=name == "reasoner")


def write_log(run: Path, target: Path) -> None:
    """Gather the recipe and both loss curves of a run in one file."""
    log: dict[str, object] = {"recipe": json.loads((run / "recipe.json").read_text())}
    for name in ("base", "reasoner"):
        rows = [json.loads(line) for line in (run / name / "curve.jsonl").read_text().splitlines()]
        log[name] = {"tokens": rows[-1]["tokens"], "seconds": rows[-1]["seconds"], "curve": rows}
    lines = json.dumps(log).replace('{"step"', '\n{"step"')
    target.write_text(lines + "\n")
