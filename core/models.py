"""A `ModelSpec` becomes a loaded model: weights in the precision asked for, tokenizer, frame and decoder blocks.

Knows neither hooks nor generation. Whoever runs the model holds `LoadedModel.lock` for each forward.
"""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from core.chat_frame import ChatFrame, control_tokens, load_frame, plain_frame, start_token
from core.checkpoints import Progress, available_memory, estimate_folder, find_checkpoint
from core.encoding import Encoder, Reading
from core.errors import ModelUnavailable, OutOfMemory, UserFacingError
from core.values import ModelSpec, Precision, Prompt

WORKING_TOKENS = 2048
DEFAULT_CONTEXT = 2048

_LAYERS = ("layers", "h", "blocks")
_FINAL_NORMS = ("norm", "final_layer_norm", "final_layernorm", "ln_f", "norm_f")


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedModel:
    """A model in evaluation mode without gradients, with what reading and steering it needs.

    `decoder` runs without `unembed`; `layers` are its blocks in order, `final_norm` follows the last one.
    """

    spec: ModelSpec
    fingerprint: str
    model: Any
    tokenizer: Any
    frame: ChatFrame
    encoder: Encoder
    layers: tuple[nn.Module, ...]
    decoder: nn.Module
    final_norm: nn.Module
    unembed: nn.Module
    n_layers: int
    d_model: int
    d_vocab: int
    context_length: int
    eos_ids: frozenset[int]
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """For display."""
        return self.spec.name

    @property
    def device(self) -> torch.device:
        """Where token ids must be."""
        return self._embedding.device

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of the residual stream; quantised weights have another."""
        return self._embedding.dtype

    @property
    def _embedding(self) -> torch.Tensor:
        weight: torch.Tensor = self.model.get_input_embeddings().weight
        return weight


def load_model(
    spec: ModelSpec, *, progress: Progress | None = None, frame_from: LoadedModel | None = None
) -> LoadedModel:
    """Find, check and load `spec`; with `frame_from` it reads the text of that model without its special tokens.

    Raises ModelUnavailable where the files, the device or the memory do not allow it, OutOfMemory where the device
    ran out while loading.
    """
    tell = progress or (lambda _: None)
    transformers_logging.disable_progress_bar()
    check_device(spec)
    checkpoint = find_checkpoint(spec, progress=tell)
    tell(f"Checking the memory for {spec.name}")
    _check_memory(spec, checkpoint.path)
    config = _load_config(checkpoint.path)
    tell(f"Loading the tokenizer of {spec.name}")
    tokenizer = _load_tokenizer(checkpoint.path)
    frame = _frame_for(tokenizer, frame_from)
    tell(f"Loading the weights of {spec.name} in {spec.precision}")
    model = _load_weights(spec, checkpoint.path, config)
    return _assemble(spec, checkpoint.fingerprint, model, tokenizer, frame)


def unload(loaded: LoadedModel) -> None:
    """Free the memory of `loaded`; it cannot be used afterwards."""
    with loaded.lock:
        device = loaded.device
        for module in loaded.model.modules():
            module._parameters.clear()
            module._buffers.clear()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def encode_prompt(loaded: LoadedModel, question: str) -> Prompt:
    """The rendered question and its token ids; raises BadInput for an empty, unreadable or overlong one."""
    return loaded.encoder.prompt(loaded.frame, question)


def encode_text(loaded: LoadedModel, question: str, text: str) -> Reading:
    """Question and answer text as the model reads them in one go; raises BadInput as `encode_prompt` does."""
    return loaded.encoder.reading(loaded.frame, question, text)


def pieces(loaded: LoadedModel, token_ids: tuple[int, ...]) -> tuple[str, ...]:
    """One text per token, together the decoded text; an unfinished character counts to the token that completes it."""
    return loaded.encoder.pieces(token_ids)


def check_device(spec: ModelSpec) -> None:
    """Raise ModelUnavailable where this machine lacks `spec.device`, or the precision does not work on it."""
    kind = spec.device.split(":")[0]
    try:
        index = torch.device(spec.device).index or 0
    except RuntimeError:
        kind, index = "", 0
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and index < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(kind, False):
        usable = [k for k, here in present.items() if here]
        raise ModelUnavailable(
            f"There is no device {spec.device!r} on this machine.", f"Choose one of: {', '.join(usable)}."
        )
    if spec.precision in ("int8", "nf4") and kind == "mps":
        raise ModelUnavailable("int8 and nf4 do not work on the mps device.", "Choose bf16 or fp32 there, or the CPU.")


def _check_memory(spec: ModelSpec, folder: Path) -> None:
    estimate = estimate_folder(folder, spec.precision)
    tokens = min(WORKING_TOKENS, estimate.context_length or WORKING_TOKENS)
    need, have = estimate.weights_bytes + tokens * estimate.kv_bytes_per_token, available_memory(spec.device)
    if need > have:
        raise ModelUnavailable(
            f"{spec.name} in {spec.precision} needs about {need / 1e9:.1f} GB on {spec.device}, "
            f"and {have / 1e9:.1f} GB are free.",
            _smaller(spec.precision),
        )


def _smaller(precision: Precision) -> str:
    lower = {"fp32": "bf16, int8 or nf4", "bf16": "int8 or nf4", "int8": "nf4"}.get(precision)
    return f"Choose {lower}, or a smaller model." if lower else "Choose a smaller model, or free memory first."


def _load_config(folder: Path) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise ModelUnavailable(
            f"The model's config.json is not understood ({type(error).__name__}).",
            "Choose a model that the installed transformers version supports.",
        ) from error
    names = config.architectures or []
    if config.is_encoder_decoder or not any("CausalLM" in n or n.endswith("LMHeadModel") for n in names):
        raise _not_a_decoder(", ".join(names) or str(config.model_type))
    return config


def _load_tokenizer(folder: Path) -> Any:
    """tokenizer.json is taken as it stands: a tokenizer class may rebuild parts of it in its own way."""
    kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").exists() else AutoTokenizer
    try:
        tokenizer = kind.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
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
    return tokenizer


def _frame_for(tokenizer: Any, frame_from: LoadedModel | None) -> ChatFrame:
    if frame_from is None:
        return load_frame(tokenizer)
    theirs = frame_from.tokenizer.bos_token
    opens_with_bos = bool(theirs) and frame_from.frame.prefix.startswith(theirs)
    bos = start_token(tokenizer) or ((tokenizer.bos_token or "") if opens_with_bos else "")
    return plain_frame(frame_from.frame, control_tokens(frame_from.tokenizer), bos)


def _load_weights(spec: ModelSpec, folder: Path, config: Any) -> Any:
    softcapped = getattr(config, "attn_logit_softcapping", None) is not None
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32 if spec.precision == "fp32" else torch.bfloat16,
            attn_implementation="eager" if softcapped else "sdpa",
            quantization_config=_quantisation(spec.precision),
            device_map={"": spec.device},
            output_loading_info=True,
        )
    except UserFacingError:
        raise
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


def _assemble(spec: ModelSpec, fingerprint: str, model: Any, tokenizer: Any, frame: ChatFrame) -> LoadedModel:
    decoder = model.base_model
    layers = next((x for n in _LAYERS if isinstance(x := getattr(decoder, n, None), nn.ModuleList)), None)
    norm = next((x for n in _FINAL_NORMS if isinstance(x := getattr(decoder, n, None), nn.Module)), None)
    unembed, config = model.get_output_embeddings(), model.config
    if layers is None or norm is None or unembed is None or len(layers) != config.num_hidden_layers:
        raise _not_a_decoder(type(model).__name__)
    d_vocab = int(unembed.weight.shape[0])
    if max(tokenizer.get_vocab().values(), default=0) >= d_vocab:
        raise ModelUnavailable(
            f"The tokenizer knows more tokens than the {d_vocab} that the model has.",
            "Use the tokenizer files that came with these weights.",
        )
    context_length = int(getattr(config, "max_position_embeddings", None) or DEFAULT_CONTEXT)
    return LoadedModel(
        spec=spec,
        fingerprint=fingerprint,
        model=model,
        tokenizer=tokenizer,
        frame=frame,
        encoder=Encoder(tokenizer, context_length),
        layers=tuple(layers),
        decoder=decoder,
        final_norm=norm,
        unembed=unembed,
        n_layers=len(layers),
        d_model=int(config.hidden_size),
        d_vocab=d_vocab,
        context_length=context_length,
        eos_ids=_eos_ids(model, tokenizer),
    )


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found: set[int] = set()
    for ids in (model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id):
        found.update(ids if isinstance(ids, list | tuple) else [ids] if ids is not None else [])
    return frozenset(found)


def _not_a_decoder(found: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"{found} is not a decoder-only language model whose blocks Retrace can find.",
        "Choose a causal language model such as Llama, Qwen, Mistral, Gemma or GPT-NeoX.",
    )
