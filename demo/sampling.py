"""Sampling many completions at once, each row with its own random generator."""

from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True)
class SamplingSpec:
    """How to sample."""

    temperature: float = 0.7
    max_new_tokens: int = 600
    batch: int = 64
    seed: int = 0
    banned: tuple[int, ...] = ()


def sample_completions(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str], spec: SamplingSpec
) -> list[str]:
    """The completion of every prompt, special tokens kept, the end token left out; row i uses seed + i."""
    texts: list[str] = []
    for first in range(0, len(prompts), spec.batch):
        rows = prompts[first : first + spec.batch]
        tokens = _sample_batch(model, tokenizer, rows, spec, seed=spec.seed + first)
        texts += [tokenizer.decode(row) for row in tokens]
    return texts


@torch.no_grad()
def _sample_batch(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str], spec: SamplingSpec, *, seed: int
) -> list[list[int]]:
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    ids, mask, end = inputs["input_ids"], inputs["attention_mask"], tokenizer.eos_token_id
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    rows: list[list[int]] = [[] for _ in prompts]
    open_rows, cache = set(range(len(prompts))), None
    for _ in range(spec.max_new_tokens):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.size(1) :]
        output = model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        logits, cache = output.logits[:, -1].float(), output.past_key_values
        logits[:, list(spec.banned)] = -torch.inf
        chosen = torch.tensor([_choose(row, spec.temperature, g) for row, g in zip(logits, generators, strict=True)])
        for i in list(open_rows):
            if chosen[i] == end:
                open_rows.discard(i)
            else:
                rows[i].append(int(chosen[i]))
        if not open_rows:
            break
        ids, mask = chosen[:, None], torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
    return rows


def _choose(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
