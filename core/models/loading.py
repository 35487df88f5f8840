"""Steps of loading a model from a checked folder: device, memory, config, tokenizer, weights.

Every refusal of the libraries underneath becomes a sentence. Knows neither frames nor decoder blocks.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerFast

from core.errors import ModelUnavailable, OutOfMemory
from core.models.checkpoints import available_memory, estimate_folder
from core.models.frames import start_token
from core.models.packed_attention import use_packed_attention
from core.models.tokenizer import FastTokenizer
from core.values import ModelSpec, Precision

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

WORKING_TOKENS = 2048


def present_devices() -> tuple[str, ...]:
    """What models can run on here, best first: graphics cards, Apple's, the CPU."""
    n_cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cards = [f"cuda:{i}" if i else "cuda" for i in range(n_cards)]
    return *cards, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"


def check_device(spec: ModelSpec) -> None:
    """Raise ModelUnavailable where this machine lacks `spec.device`, or the precision does not work on it."""
    present = present_devices()
    if re.sub(r"(?<=.):0$", "", spec.device) not in present:
        raise ModelUnavailable(
            f"There is no device {spec.device!r} on this machine.", f"Choose one of: {', '.join(present)}."
        )
    if spec.precision in ("int8", "nf4") and spec.device.startswith("mps"):
        raise ModelUnavailable("int8 and nf4 do not work on the mps device.", "Choose bf16 or fp32 there, or the CPU.")


def check_memory(spec: ModelSpec, folder: Path) -> None:
    """Raise ModelUnavailable unless weights and a working length of cached tokens fit the free memory."""
    estimate = estimate_folder(folder, spec.precision)
    tokens = min(WORKING_TOKENS, estimate.context_length or WORKING_TOKENS)
    need = max(estimate.peak_bytes, estimate.weights_bytes + tokens * estimate.kv_bytes_per_token)
    have = available_memory(spec.device)
    if need > have:
        raise ModelUnavailable(
            f"{spec.name} in {spec.precision} needs about {need / 1e9:.1f} GB on {spec.device}, "
            f"and {have / 1e9:.1f} GB are free.",
            _smaller(spec.precision),
        )


def _smaller(precision: Precision) -> str:
    lower = {"fp32": "bf16, int8 or nf4", "bf16": "int8 or nf4", "int8": "nf4"}.get(precision)
    return f"Choose {lower}, or a smaller model." if lower else "Choose a smaller model, or free memory first."


def load_config(folder: Path) -> PreTrainedConfig:
    """The config of a causal language model; raises ModelUnavailable for any other."""
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise ModelUnavailable(
            f"The model's config.json is not understood ({type(error).__name__}).",
            "Choose a model that the installed transformers version supports.",
        ) from error
    names = [str(n) for n in config.architectures or []]
    if config.is_encoder_decoder or not any(n.endswith(("ForCausalLM", "LMHeadModel")) for n in names):
        raise not_a_decoder(", ".join(names) or str(config.model_type))
    return config


def load_tokenizer(folder: Path) -> FastTokenizer:
    """tokenizer.json is taken as it stands: a tokenizer class may rebuild parts of it in its own way."""
    kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").exists() else AutoTokenizer
    try:
        tokenizer: FastTokenizer = kind.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise ModelUnavailable(
            f"The model's tokenizer cannot be read ({type(error).__name__}).",
            "Choose a repository or folder with a tokenizer.json that the installed tokenizers version reads.",
        ) from error
    if not tokenizer.is_fast:
        raise ModelUnavailable(
            "The model has only a slow tokenizer, which cannot tell where its tokens lie in the text.",
            "Choose a repository or folder with a tokenizer.json.",
        )
    if _config_adds_bos(folder) and tokenizer.bos_token and not start_token(tokenizer):
        tokenizer.add_bos_token = True
    return tokenizer


def _config_adds_bos(folder: Path) -> bool:
    """Whether tokenizer_config.json asks for a start token; transformers 5 leaves this to tokenizer.json alone."""
    try:
        found = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("add_bos_token") is True


def load_weights(spec: ModelSpec, folder: Path, config: PreTrainedConfig) -> PreTrainedModel:
    """The model on its device, in evaluation mode; raises ModelUnavailable or OutOfMemory."""
    softcapped = getattr(config, "attn_logit_softcapping", None) is not None
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32 if spec.precision == "fp32" else torch.bfloat16,
            attn_implementation="eager" if softcapped else None,
            quantization_config=_quantisation(spec.precision),
            device_map={"": spec.device},
            output_loading_info=True,
        )
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{spec.device} ran out of memory while loading {spec.name} in {spec.precision}.", _smaller(spec.precision)
        ) from None
    except Exception as error:
        raise ModelUnavailable(
            f"{spec.name} could not be loaded in {spec.precision} on {spec.device} ({type(error).__name__}).",
            "Choose another precision or device, or a model that the installed transformers version supports.",
        ) from error
    absent = len(report["missing_keys"]) + len(report["mismatched_keys"])
    if absent:
        raise ModelUnavailable(
            f"{absent} weights of {spec.name} are missing or of another shape than config.json says.",
            "Fetch the model's files again; these do not belong together.",
        )
    use_packed_attention(model)
    return model.eval().requires_grad_(False)


def _quantisation(precision: Precision) -> BitsAndBytesConfig | None:
    if precision == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if precision == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return None


def not_a_decoder(found: str) -> ModelUnavailable:
    """The error for a model without the blocks that steering needs."""
    return ModelUnavailable(
        f"{found} is not a decoder-only language model whose blocks Retrace can find.",
        "Choose a causal language model such as Llama, Qwen, Mistral, Gemma or GPT-NeoX.",
    )
