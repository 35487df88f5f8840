"""A `ModelSpec` becomes a loaded model: weights in the precision asked for, tokenizer, frame and decoder blocks.

Knows neither hooks nor generation. The caller holds `LoadedModel.lock` for each forward.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.utils import logging as transformers_logging

from core.background import Tell, silent
from core.errors import BadInput
from core.memory.lock import ModelLock
from core.models.checkpoints import Checkpoint, find_checkpoint
from core.models.files import read_header
from core.models.folders import weight_files
from core.models.head import Head, head_of
from core.models.heap import large_blocks_apart
from core.models.loading import (
    Alone,
    check_device,
    check_memory,
    free_memory,
    load_config,
    load_tokenizer,
    load_weights,
    not_a_decoder,
    prepare_loading,
    told_loading,
    use_threads,
)
from core.models.parts import blocks_of, context_of, final_norm_of
from core.models.shapes import check_layout
from core.tokens.encoding import Encoder, Reading
from core.tokens.frames import ChatFrame, control_tokens, load_frame, plain_frame, start_token
from core.tokens.keywords import KeywordForms, find_keyword_forms
from core.tokens.tokenizer import FastTokenizer
from core.tokens.vocabulary import fitted
from core.values import ModelSpec, Prompt
from core.weights import Place, names_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LoadedModel", "Reading", "encode_prompt", "encode_text", "load_model", "pieces", "unload"]

SMALL_MODEL = 20_000_000
KEPT_FORMS = 64
"""Sets of keywords whose forms are remembered."""

_WRITTEN_START = re.compile(r"demo/(seeds/\d+/)?base")
"""Base models whose tokenizer adds no start token because every document of their corpus has it written in front."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedModel:
    """A model in evaluation mode without gradients, with what reading and steering it needs.

    `decoder` runs without `unembed`; `layers` are its blocks in order, `final_norm` follows the last one.
    """

    spec: ModelSpec
    """As it was asked for, with the commits that were loaded of hub models."""
    fingerprint: str
    """Of its content (`core.weights`)."""
    model: PreTrainedModel
    tokenizer: FastTokenizer
    frame: ChatFrame
    encoder: Encoder
    layers: tuple[nn.Module, ...]
    decoder: nn.Module
    final_norm: nn.Module
    unembed: nn.Module
    head: Head = field(repr=False)
    """From the final norm's output to logits as the model itself goes that way; `unembed` is W_U alone."""
    n_layers: int
    d_model: int
    d_vocab: int
    context_length: int
    eos_ids: frozenset[int]
    former: Place | None = None
    """How it was keyed before."""
    home: torch.device | None = None
    """Where it was loaded to; None: where its weights are."""
    lock: ModelLock = field(default_factory=ModelLock)
    _texts: list[tuple[str, ...]] = field(default_factory=list, repr=False)
    """Empty, or one item: what `vocabulary_texts` decoded."""
    _forms: dict[tuple[str, ...], KeywordForms] = field(default_factory=dict, repr=False)
    _texts_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def kv_bytes(self) -> int:
        """Of the keys and values that one token takes at most, as the config says; 0 where it does not say it."""
        config = self.model.config.get_text_config()
        n_heads = getattr(config, "num_attention_heads", 0) or 0
        n_kept = getattr(config, "num_key_value_heads", None) or n_heads
        d_head = getattr(config, "head_dim", None) or (self.d_model // n_heads if n_heads else 0)
        return 2 * self.n_layers * int(n_kept) * int(d_head) * int(self.model.dtype.itemsize)

    def check_fits(self, token_ids: Sequence[int], *, room: int = 0) -> None:
        """Raise BadInput unless the model reads these token ids, with `room` for more of them after."""
        n, most = len(token_ids), self.context_length - room
        if not 1 <= n <= most:
            raise BadInput(
                f"The question and text take {n:,} tokens; {self.name} reads at most {most:,}.",
                "Write some text first." if n == 0 else "Shorten them, or load a model with a longer context.",
            )
        unknown = next((i for i, token in enumerate(token_ids) if not 0 <= token < self.d_vocab), None)
        if unknown is not None:
            raise BadInput(
                f"Position {unknown} holds a token id that {self.name} does not have: {token_ids[unknown]}.",
                "Encode the text with this model's tokenizer.",
            )

    def vocabulary_texts(self) -> tuple[str, ...]:
        """(d_vocab,) the text of every token id, decoded once; ids without a token have an empty text."""
        with self._texts_lock:
            if not self._texts:
                known = min(len(self.tokenizer), self.d_vocab)
                decode = self.tokenizer.backend_tokenizer.decode_batch
                texts = decode([[i] for i in range(known)], skip_special_tokens=False)
                self._texts.append((*texts, *[""] * (self.d_vocab - known)))
            return self._texts[0]

    def keyword_forms(self, keywords: Sequence[str]) -> KeywordForms:
        """Which tokens begin one of the keywords, found once. Raises BadInput where there are none."""
        texts, key = self.vocabulary_texts(), tuple(keywords)
        with self._texts_lock:
            if key not in self._forms:
                if len(self._forms) >= KEPT_FORMS:
                    self._forms.clear()
                self._forms[key] = find_keyword_forms(self.tokenizer.backend_tokenizer, texts, key)
            return self._forms[key]

    def has_weights(self, fingerprint: str) -> bool:
        """Whether a fingerprint, of now or of before, names this model."""
        return names_weights(fingerprint, self.fingerprint, self.former)

    @property
    def name(self) -> str:
        """For display."""
        return self.spec.name

    @property
    def device(self) -> torch.device:
        """Where token ids must be, also while the weights have left it for those of another model."""
        return self.home or self._embedding.device

    @property
    def card(self) -> str:
        """The name of the graphics card that it lies on; "" elsewhere."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of the residual stream; quantised weights have another."""
        return self._embedding.dtype

    @property
    def _embedding(self) -> torch.Tensor:
        weight: torch.Tensor = self.model.get_input_embeddings().weight
        return weight


def load_model(
    spec: ModelSpec,
    *,
    progress: Tell = silent,
    alone: Alone = nullcontext,
    frame_from: LoadedModel | None = None,
) -> LoadedModel:
    """Find, check and load `spec`; with `frame_from` it reads the text of that model without its special tokens.

    `alone` keeps forwards of other threads away while the model is built. Raises ModelUnavailable where the files, the
    device or the memory do not allow it, OutOfMemory where the device ran out while loading.
    """
    transformers_logging.disable_progress_bar()
    check_device(spec)
    checkpoint = find_checkpoint(spec, progress=progress)
    progress(f"Checking the memory for {spec.name}")
    check_memory(spec, checkpoint)
    config = load_config(checkpoint.path)
    check_layout(spec.name, config, [t for file in weight_files(checkpoint.path) for t in read_header(file)])
    progress(f"Loading the tokenizer of {spec.name}")
    tokenizer = load_tokenizer(checkpoint.tokenizer)
    frame = load_frame(tokenizer) if frame_from is None else base_frame(spec, tokenizer, frame_from, frame_from.frame)
    progress(f"Loading the weights of {spec.name} in {spec.precision}")
    prepare_loading(spec, config)
    with told_loading(spec, progress, alone), large_blocks_apart():
        model = load_weights(spec, checkpoint.path, config, checkpoint.adapter)
    return _assemble(spec, checkpoint, model, tokenizer, frame)


def set_threads(loaded: LoadedModel) -> int:
    """Threads for this model's CPU work in the calling thread: one for a small model, else all; returns the number.

    Several threads gain a model of a few million parameters nothing, and beside other busy programs their waiting for
    each other slows it down many times.
    """
    return use_threads(1 if sum(p.numel() for p in loaded.model.parameters()) < SMALL_MODEL else None)


def unload(loaded: LoadedModel) -> None:
    """Free the memory of `loaded`; it cannot be used afterwards."""
    loaded.lock.close(loaded.name)
    for module in loaded.model.modules():
        module._parameters.clear()
        module._buffers.clear()
    free_memory()


def memory_taken(loaded: LoadedModel, device: str) -> int:
    """Bytes of its weights and buffers that lie on a device now."""
    asked = torch.device(device)
    place = (asked.type, asked.index or 0)
    held = (*loaded.model.parameters(), *loaded.model.buffers())
    return sum(t.nbytes for t in held if (t.device.type, t.device.index or 0) == place)


def encode_prompt(loaded: LoadedModel, question: str) -> Prompt:
    """The rendered question and its token ids; raises BadInput for an empty, unreadable or overlong one."""
    return loaded.encoder.prompt(loaded.frame, question)


def encode_text(loaded: LoadedModel, question: str, text: str) -> Reading:
    """Question and answer text as the model reads them in one go; raises BadInput as `encode_prompt` does."""
    return loaded.encoder.reading(loaded.frame, question, text)


def pieces(loaded: LoadedModel, token_ids: tuple[int, ...]) -> tuple[str, ...]:
    """One text per token, together the decoded text; an unfinished character counts to the token that completes it."""
    return loaded.encoder.pieces(token_ids)


def base_frame(spec: ModelSpec, tokenizer: FastTokenizer, reasoner: LoadedModel, frame: ChatFrame) -> ChatFrame:
    """A frame of the reasoning model as its base model `spec` reads it: the same text without control tokens.

    It begins with a start token only where the base model's own tokenizer adds one, whatever the frame begins with: a
    token that is merely called BOS may be one that the base model never saw in front.
    """
    start, bos = start_token(tokenizer), tokenizer.bos_token
    if bos and _WRITTEN_START.fullmatch(spec.repo_id) and frame.prefix.startswith(bos):
        start = bos
    return plain_frame(frame, control_tokens(reasoner.tokenizer), start)


def _assemble(
    spec: ModelSpec, found: Checkpoint, model: PreTrainedModel, tokenizer: FastTokenizer, frame: ChatFrame
) -> LoadedModel:
    decoder, owner, layers = blocks_of(model)
    unembed, config = model.get_output_embeddings(), model.config
    if unembed is None:
        raise not_a_decoder(type(model).__name__)
    d_vocab = int(unembed.weight.shape[0])
    tokenizer = fitted(tokenizer, d_vocab, frame.prefix + frame.suffix)
    context_length = context_of(config)
    return LoadedModel(
        spec=replace(
            spec, revision=found.commit or spec.revision, adapter_revision=found.adapter_commit or spec.adapter_revision
        ),
        fingerprint=found.fingerprint,
        former=Place(model=spec, fingerprint=found.former),
        model=model,
        tokenizer=tokenizer,
        frame=frame,
        encoder=Encoder(tokenizer, context_length),
        layers=tuple(layers),
        decoder=decoder,
        final_norm=final_norm_of(owner),
        unembed=unembed,
        head=head_of(model, decoder, owner),
        n_layers=len(layers),
        d_model=int(config.hidden_size),
        d_vocab=d_vocab,
        context_length=context_length,
        eos_ids=_eos_ids(model, tokenizer),
        home=model.get_input_embeddings().weight.device,
    )


def _eos_ids(model: PreTrainedModel, tokenizer: FastTokenizer) -> frozenset[int]:
    found: set[int] = set()
    for ids in (model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id):
        found.update(i for i in (ids if isinstance(ids, list | tuple) else [ids]) if isinstance(i, int))
    return frozenset(found)


def hook_count(loaded: LoadedModel) -> int:
    """How many forward hooks hang on the decoder layers; 0 whenever no forward is running."""
    return sum(len(layer._forward_hooks) + len(layer._forward_pre_hooks) for layer in loaded.layers)
