"""Tiny random-weight models with real tokenizers, saved as folders that `load_model` reads like any other."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from core.models.loaded import LoadedModel, load_model
from core.settings import MODEL_ROOTS
from core.values import ModelSpec, Precision

Family = Literal["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gpt_neox"]

BOS, EOS, USER, ASSISTANT, THINK, END_THINK = "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>", "<think>", "</think>"
SPECIAL_TOKENS = [BOS, EOS, USER, ASSISTANT, THINK, END_THINK]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SENTENCES = [
    "Wait, let me check this again. The sum of 3 and 4 is 7, so the answer is 7.",
    "First we add the numbers, then we multiply by two. Hmm, that is not right.",
    "But maybe there is another way. Let us try an example with small numbers.",
    "Problem: what is 12 times 5? Solution: 12 times 5 is 60.",
]


@functools.cache
def tiny_tokenizer_json(adds_bos: bool = True) -> str:
    """A byte-level BPE tokenizer of about 350 tokens that reads any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=None, special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    return tokenizer.to_str()


def tiny_folder(
    tmp_path: Path,
    family: Family = "llama",
    *,
    n_layers: int = 3,
    d_model: int = 32,
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
    adds_bos: bool = True,
    context_length: int = 512,
    name: str | None = None,
) -> Path:
    """A saved model under `tmp_path`, which becomes a folder that models may be loaded from.

    Quantised precisions need a `d_model` that is a multiple of 64.
    """
    allow_root(tmp_path)
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path / (name or f"{family}-{n_layers}x{d_model}-{seed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(
            _config(family, n_layers=n_layers, d_model=d_model, context_length=context_length)
        )
    model.save_pretrained(folder)
    save_tokenizer(folder, chat_template, adds_bos)
    return folder


def tiny_loaded(
    tmp_path: Path,
    family: Family = "llama",
    *,
    n_layers: int = 3,
    d_model: int = 32,
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
    context_length: int = 512,
    precision: Precision = "fp32",
    frame_from: LoadedModel | None = None,
) -> LoadedModel:
    """`tiny_folder`, loaded on the CPU."""
    folder = tiny_folder(
        tmp_path,
        family,
        n_layers=n_layers,
        d_model=d_model,
        seed=seed,
        chat_template=chat_template,
        context_length=context_length,
    )
    return load_model(ModelSpec(repo_id=str(folder), precision=precision), frame_from=frame_from)


def allow_root(path: Path) -> None:
    """Add `path` to the folders that models may be loaded from, for this process."""
    roots = os.environ.get(MODEL_ROOTS, "").split(os.pathsep)
    if str(path) not in roots:
        os.environ[MODEL_ROOTS] = os.pathsep.join([*filter(None, roots), str(path)])


def _config(family: Family, *, n_layers: int, d_model: int, context_length: int) -> Any:
    sizes: dict[str, Any] = {
        "vocab_size": 352,
        "hidden_size": d_model,
        "intermediate_size": 2 * d_model,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": context_length,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "initializer_range": 0.1,
    }
    if family != "gpt_neox":
        sizes |= {"num_key_value_heads": 2, "head_dim": d_model // 4}
    return transformers.AutoConfig.for_model(family, **sizes)


def save_tokenizer(folder: Path, chat_template: str | None = CHAT_TEMPLATE, adds_bos: bool = True) -> None:
    """A tiny tokenizer beside the weights."""
    (folder / "tokenizer.json").write_text(tiny_tokenizer_json(adds_bos))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "clean_up_tokenization_spaces": False,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
