"""A tiny pair whose truth is known: one planted direction raises the logit of "wait", in the models that are told to.

Blocks write nothing, so the stream is the token's embedding, S long, plus what is added. Words are drawn from a random
table of transitions; "wait" has a logit of its own, which grows with the share of the planted direction in the stream.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from core.directions.direction import Direction
from core.values import ModelSpec, PairSpec
from tests.tiny_models import allow_root

D_MODEL, LAYER = 96, 1
_TEXT = """
so now we take one two three four five six seven eight nine ten add both then half twice more less sum small large line
side next last first that this gives makes equals about over under from with each part whole number answer step case
find show write read place point back front left right up down again maybe true false
"""
WORDS = tuple(_TEXT.split())
WAIT = "wait"


def planted_pair(
    tmp_path: Path, *, size: float = 8.0, gain: float = 11.0, base_gain: float = 0.0, base_wait: float = -4.0
) -> PairSpec:
    """Base and reasoner with streams `size` long; at about size / 2 the planted direction brings "wait" to 1 in 12."""
    allow_root(tmp_path)
    names = {"base": (base_gain, base_wait), "reasoner": (gain, 0.3)}
    folders = {name: _save(tmp_path / f"{name}-{size:g}", size, *numbers) for name, numbers in names.items()}
    return PairSpec(base=ModelSpec(repo_id=str(folders["base"])), reasoner=ModelSpec(repo_id=str(folders["reasoner"])))


def planted_direction(size: float = 8.0, name: str = "planted", axis: int = -1) -> Direction:
    """The planted direction, or, for another axis, one that no word's embedding or logit knows of."""
    return Direction.from_raw(_axes()[axis].astype(np.float32), name=name, layer=LAYER, resid_norm=size)


def _axes() -> np.ndarray:
    """(D_MODEL, D_MODEL) orthonormal rows: one a word, the last one planted."""
    return np.linalg.qr(np.random.default_rng(5).standard_normal((D_MODEL, D_MODEL)))[0].T


def _save(folder: Path, size: float, gain: float, wait: float) -> Path:
    tokens = ["<|bos|>", "<|eos|>", *(f"▁{word}" for word in (*WORDS, WAIT))]
    rng, axes = np.random.default_rng(1), _axes()
    table = rng.normal(0, 2, (len(tokens), len(tokens)))
    table[:, :2], table[:, -1] = -30.0, wait
    logits = (table.T @ axes[: len(tokens)]) / np.sqrt(D_MODEL)
    logits[-1] += gain * axes[-1] / np.sqrt(D_MODEL)
    config = transformers.LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=D_MODEL,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
        rms_norm_eps=1e-8,
    )
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.from_numpy(size * axes[: len(tokens)]))
        model.lm_head.weight.copy_(torch.from_numpy(logits))
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<|bos|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<|bos|>", "<|eos|>"])
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|eos|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
