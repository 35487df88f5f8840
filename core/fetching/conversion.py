"""A GGUF file of the Llama architecture becomes a model folder: bf16 safetensors, config, tokenizer, chat template.

Weights are dequantised tensor by tensor; rows of q and k go back from llama.cpp's order to transformers'. The file is
one whose digest is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from core.background import Tell
from core.errors import UserFacingError

_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_SIZES = {
    "num_hidden_layers": "llama.block_count",
    "hidden_size": "llama.embedding_length",
    "intermediate_size": "llama.feed_forward_length",
    "num_attention_heads": "llama.attention.head_count",
    "num_key_value_heads": "llama.attention.head_count_kv",
    "head_dim": "llama.rope.dimension_count",
    "max_position_embeddings": "llama.context_length",
    "vocab_size": "llama.vocab_size",
    "rope_theta": "llama.rope.freq_base",
    "rms_norm_eps": "llama.attention.layer_norm_rms_epsilon",
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}
_CONTROL, _USER_DEFINED = 3, 4
"""Kinds of tokens that are no ordinary text."""
_SPLITS_DIGITS = "smollm"
"""Name of the way to cut texts: every digit by itself, before the words."""


def write_model(gguf: Path, folder: Path, tell: Tell) -> None:
    """Write the model into the folder. Raises UserFacingError for a file of another form."""
    reader = GGUFReader(gguf)
    told = {name: field.contents() for name, field in reader.fields.items()}
    if told.get("general.architecture") != "llama" or told.get("tokenizer.ggml.pre") != _SPLITS_DIGITS:
        raise UserFacingError(
            f"{gguf.name} holds a model of another kind than expected.", "Fetch the package in the version named."
        )
    config: dict[str, Any] = {name: told[key] for name, key in _SIZES.items()}
    config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "bfloat16"}
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    state = {}
    for i, tensor in enumerate(reader.tensors):
        tell("Dequantising the weights", i / len(reader.tensors))
        name, part = _name(tensor.name)
        weight = dequantize(tensor.data, tensor.tensor_type)
        weight = _in_halves(weight, heads[part]) if part in heads else weight
        state[name] = torch.from_numpy(np.array(weight)).to(torch.bfloat16)
    config["tie_word_embeddings"] = "lm_head.weight" not in state
    tell("writing the model")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    _write_tokenizer(told, folder)


def _write_tokenizer(told: Mapping[str, Any], folder: Path) -> None:
    """Tokenizer and chat template, as the header of the file tells them."""
    tokens: list[str] = told["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in told["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = told["tokenizer.ggml.token_type"]
    marks = [t for t, kind in zip(tokens, kinds, strict=True) if kind in (_CONTROL, _USER_DEFINED)]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in marks])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    described: dict[str, Any] = {n: tokens[told[f"tokenizer.ggml.{key}_token_id"]] for n, key in special.items()}
    described |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(described, indent=1), "utf-8")
    (folder / "chat_template.jinja").write_text(told["tokenizer.chat_template"], "utf-8")


def _name(gguf: str) -> tuple[str, str]:
    """(name in transformers, part of a block or nothing) of a tensor."""
    stem, _, kind = gguf.rpartition(".")
    if stem in _ENDS:
        return f"{_ENDS[stem]}.{kind}", ""
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{_PARTS[part]}.{kind}", part


def _in_halves(weight: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """Rows of each head, first members of all rotated pairs before the second ones; llama.cpp alternates them."""
    rows, columns = weight.shape
    return weight.reshape(n_heads, rows // n_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
