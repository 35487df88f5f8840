"""Steps of loading a model from a checked folder: device, memory, config, tokenizer, weights.

Every refusal of the libraries underneath becomes a sentence. Knows neither frames nor decoder blocks.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from core import settings
from core.background import Tell
from core.errors import ModelUnavailable, OutOfMemory, UserFacingError
from core.jobs import Work
from core.models.adapters import Adapter
from core.models.checkpoints import Checkpoint, available_memory, estimate_folder
from core.models.merging import load_merged
from core.models.packed_attention import use_packed_attention
from core.models.shapes import check_report
from core.tokens.frames import start_token
from core.tokens.tokenizer import FastTokenizer
from core.values import QUANTISED, ModelSpec, Precision, T

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

WORKING_TOKENS = 2048
_LOADING = threading.Lock()
_LOOK_EVERY = 0.05
Alone = Callable[[], AbstractContextManager[None]]
"""Keeps all other work from a step while its block lasts."""


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


def memory_needed(spec: ModelSpec, checkpoint: Checkpoint) -> int:
    """Bytes of the weights, of merging, and of a working length of cached tokens.

    Raises ModelUnavailable as `find_checkpoint` does.
    """
    estimate = estimate_folder(checkpoint.path, spec.precision, checkpoint.adapter)
    tokens = min(WORKING_TOKENS, estimate.context_length or WORKING_TOKENS)
    room = tokens * estimate.kv_bytes_per_token
    return estimate.merging_bytes + max(estimate.peak_bytes, estimate.weights_bytes + room)


def weights_bytes(spec: ModelSpec, checkpoint: Checkpoint) -> int:
    """Bytes of the weights alone. Raises ModelUnavailable as `find_checkpoint` does."""
    return estimate_folder(checkpoint.path, spec.precision, checkpoint.adapter).weights_bytes


def check_memory(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raise ModelUnavailable unless weights and a working length of cached tokens fit the free memory."""
    need, have = memory_needed(spec, checkpoint), available_memory(spec.device)
    if need > have:
        raise ModelUnavailable(
            f"{spec.name} in {spec.precision} needs about {need / 1e9:.1f} GB on {spec.device}, "
            f"and {have / 1e9:.1f} GB are free.",
            _smaller(spec.precision),
        )


def _smaller(precision: Precision) -> str:
    lower = {"fp32": "bf16, int8 or nf4", "bf16": "int8 or nf4", "int8": "nf4"}.get(precision)
    return f"Choose {lower}, or a smaller model." if lower else "Choose a smaller model, or free memory first."


def use_threads(number: int | None) -> int:
    """Threads for CPU work in the calling thread and those that it starts, None for all; returns the number.

    All are those that the environment allows (`core.settings.cpu_threads`), else one for every core.
    """
    torch.set_num_threads(number or settings.cpu_threads() or psutil.cpu_count(logical=False) or 1)
    return torch.get_num_threads()


def on_threads(work: Work[T], number: int | None = None) -> Work[T]:
    """The work, each step of it on its own threads: `number` at first (None: as now), then what it sets itself."""
    own = number or torch.get_num_threads()
    try:
        while True:
            before = torch.get_num_threads()
            torch.set_num_threads(own)
            try:
                progress = next(work)
            except StopIteration as stop:
                ended: T = stop.value
                return ended
            finally:
                own = torch.get_num_threads()
                torch.set_num_threads(before)
            yield progress
    finally:
        work.close()


def free_memory() -> None:
    """Give back what models took that nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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


def load_weights(
    spec: ModelSpec, folder: Path, config: PreTrainedConfig, adapter: Adapter | None = None
) -> PreTrainedModel:
    """The model on its device, in evaluation mode, the adapter merged; raises ModelUnavailable or OutOfMemory."""
    load = AutoModelForCausalLM.from_pretrained if adapter is None else partial(load_merged, adapter)
    softcapped = getattr(config, "attn_logit_softcapping", None) is not None
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        model, report = load(
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
    except UserFacingError:
        raise
    except Exception as error:
        raise ModelUnavailable(
            f"{spec.name} could not be loaded in {spec.precision} on {spec.device} ({type(error).__name__}).",
            "Choose another precision or device, or a model that the installed transformers version supports.",
        ) from error
    check_report(spec.name, report)
    use_packed_attention(model)
    return model.eval().requires_grad_(False)


@contextmanager
def told_loading(spec: ModelSpec, tell: Tell, alone: Alone) -> Iterator[None]:
    """Tell how much of the weights is loaded within the block, weight by weight.

    What comes before the first weight, while torch's default type of numbers is another one for the whole process, is
    done alone. One load at a time: they would share that type, and the hook that tells.
    """

    def watched(factory: Callable[..., object], args: tuple[Any, ...], options: dict[str, Any]) -> object:
        if options.get("desc") != "Loading weights":
            return factory(*args, **options)
        before.close()
        return _told(args[0], f"Loading the weights of {spec.name} in {spec.precision}", tell)

    with _one_at_a_time(tell), ExitStack() as before:
        previous = transformers_logging.set_tqdm_hook(watched)
        try:
            before.enter_context(alone())
            yield
        finally:
            transformers_logging.set_tqdm_hook(previous)


@contextmanager
def _one_at_a_time(tell: Tell) -> Iterator[None]:
    while not _LOADING.acquire(timeout=_LOOK_EVERY):
        tell("Waiting for another load to end")
    try:
        yield
    finally:
        _LOADING.release()


def _told(weights: Collection[T], message: str, tell: Tell) -> Iterator[T]:
    for n_loaded, weight in enumerate(weights):
        tell(message, n_loaded / len(weights))
        yield weight


def prepare_loading(spec: ModelSpec, config: PreTrainedConfig) -> None:
    """Import what building the model will need, so that it is alone for a short time only."""
    MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if spec.precision in ("int8", "nf4"):
        importlib.import_module("bitsandbytes")


def _quantisation(precision: Precision) -> BitsAndBytesConfig | None:
    return BitsAndBytesConfig(**QUANTISED[precision]) if precision in QUANTISED else None


def not_a_decoder(found: str) -> ModelUnavailable:
    """The error for a model without the blocks that steering needs."""
    return ModelUnavailable(
        f"{found} is not a decoder-only language model whose blocks Retrace can find.",
        "Choose a causal language model such as Llama, Qwen, Mistral, Gemma or GPT-NeoX.",
    )
