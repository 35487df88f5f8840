"""A Llama of 135M random weights, shaped like SmolLM2-135M, and a long text for it: enough to see costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import transformers

from core.attribution.values import AttributionSpec
from core.directions.direction import Direction
from core.models.loaded import LoadedModel, load_model
from core.models.pair import DEMO_PAIR
from core.text.words import KEYWORDS

LAYER = 9


def loaded_135m(n_layers: int = 30) -> LoadedModel:
    """In fp32 and one thread; the tokenizer is the embedded pair's, which knows fewer tokens."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=n_layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    model = transformers.LlamaForCausalLM(config).eval().requires_grad_(False)
    return replace(
        load_model(DEMO_PAIR.reasoner),
        model=model,
        layers=tuple(model.model.layers),
        decoder=model.model,
        final_norm=model.model.norm,
        unembed=model.lm_head,
        n_layers=n_layers,
        d_model=config.hidden_size,
        d_vocab=config.vocab_size,
        context_length=8192,
        _texts=[],
        _forms={},
    )


def long_text(loaded: LoadedModel, tokens: int) -> AttributionSpec:
    """Random tokens, to be read against a random direction."""
    rng = np.random.default_rng(0)
    raw = rng.standard_normal(loaded.d_model).astype(np.float32)
    direction = Direction.from_raw(raw, name="random", layer=LAYER, provenance=())
    return AttributionSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        token_ids=tuple(rng.integers(5, loaded.d_vocab, tokens).tolist()),
        text_start=20,
        direction=direction,
        layer=LAYER,
        coefficient=4.0,
        keywords=KEYWORDS,
    )
