"""Sampling many completions at once, each row with its own random generator."""

from dataclasses import dataclass

import torch
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerFast

SHRINK_AT = 0.7


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
    """The new token ids of each prompt; rows leave the batch when they end, in groups, so that long rows run alone."""
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    ids, mask, cache = inputs["input_ids"], inputs["attention_mask"], DynamicCache(config=model.config)
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    open_rows = set(rows)
    for _ in range(spec.max_new_tokens):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.size(1) :]
        output = model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        logits = output.logits[:, -1].float()
        logits[:, list(spec.banned)] = -torch.inf
        chosen = [_choose(logits[k], spec.temperature, generators[row]) for k, row in enumerate(rows)]
        for row, token in zip(rows, chosen, strict=True):
            if token == tokenizer.eos_token_id:
                open_rows.discard(row)
            elif row in open_rows:
                written[row].append(token)
        if not open_rows:
            break
        ids, mask = torch.tensor(chosen)[:, None], torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        if len(open_rows) <= SHRINK_AT * len(rows):
            kept = torch.tensor([k for k, row in enumerate(rows) if row in open_rows])
            cache.batch_select_indices(kept)
            ids, mask, rows = ids[kept], mask[kept], [row for row in rows if row in open_rows]
    return written


def _choose(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
