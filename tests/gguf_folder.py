"""A GGUF file of the Llama architecture rewritten as a model folder: bf16 safetensors, config and tokenizer.

Quantised weights are dequantised; the rows of q and k go back from llama.cpp's order to transformers'.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import save_file
from transformers import AutoTokenizer

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


def write_folder(gguf: Path, folder: Path) -> Path:
    """Write the model of `gguf` into `folder`. Raises ValueError for another architecture, KeyError for its tensors."""
    reader = GGUFReader(gguf)
    config = _config(reader)
    folder.mkdir(parents=True, exist_ok=True)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    state = {}
    for tensor in reader.tensors:
        name, part = _name(tensor.name)
        weight = dequantize(tensor.data, tensor.tensor_type)
        if part in heads:
            weight = _in_halves(weight, heads[part])
        state[name] = torch.from_numpy(np.array(weight)).to(torch.bfloat16)
    config["tie_word_embeddings"] = "lm_head.weight" not in state
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    return folder


def _config(reader: GGUFReader) -> dict[str, object]:
    def told(name: str) -> object:
        return reader.fields[name].contents()

    if told("general.architecture") != "llama":
        raise ValueError(f"the architecture is {told('general.architecture')}, not llama")
    sizes = {
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
    fixed = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "bfloat16"}
    return {**fixed, **{name: told(key) for name, key in sizes.items()}}


def _name(gguf: str) -> tuple[str, str]:
    """(name in transformers, part of a block or nothing) of a tensor."""
    stem, _, kind = gguf.rpartition(".")
    if stem in _ENDS:
        return f"{_ENDS[stem]}.{kind}", ""
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{_PARTS[part]}.{kind}", part


def _in_halves(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows of each head, first members of all rotated pairs before the second ones; llama.cpp alternates them."""
    rows, columns = weight.shape
    return weight.reshape(n_heads, rows // n_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
