"""Every decoder family of the installed transformers as a tiny random model, held against transformers itself.

`python -m tests.zoo` visits them all and writes docs/models.md; `python -m tests.zoo llama gpt2` shows a few.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.auto import modeling_auto as families

from core.attribution.direct import attribute_logits
from core.attribution.targets import contrast_of
from core.directions.direction import Direction
from core.errors import ModelUnavailable, UserFacingError
from core.forward.acceptance import accept
from core.forward.edits import SteeringSpec
from core.forward.scoring import score_completions
from core.forward.unembedding import logit_lens
from core.models.loaded import LoadedModel, encode_prompt, load_model
from core.models.loading import load_config
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.values import ModelSpec, SamplingSpec
from tests.forward.test_hooks import record
from tests.tiny_models import allow_root, save_tokenizer

REPORT = Path(__file__).parents[1] / "docs" / "models.md"
QUESTIONS = ("What is 3 plus 4?", "Why?", "Let us multiply 12 by 5, then check it again.")
N_NEW, MAX_PARAMS = 12, 10_000_000

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "mamba_n_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"), 512),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 352),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "linear_num_key_heads", "mamba_expand"), 2),
    **dict.fromkeys(("head_dim", "qk_nope_head_dim", "v_head_dim", "rotary_dim", "attention_head_dim"), 8),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "mamba_d_state", "state_size"), 8),
    **dict.fromkeys(("qk_rope_head_dim", "rope_head_dim", "mamba_d_conv", "linear_num_value_heads"), 4),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "mamba_d_head", "mamba_chunk_size"), 16),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "n_shared_experts", "mamba_n_groups"), 1),
    **dict.fromkeys(("hidden_size_per_layer_input", "ssm_state_size", "sliding_window"), 8),
    "mamba_d_ssm": 64,
    "initializer_range": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
"""Sizes under all the names that families have for them; each config takes those that it knows."""
GRANITE = {
    "logits_scaling": 8.0,
    "residual_multiplier": 0.22,
    "embedding_multiplier": 12.0,
    "attention_multiplier": 0.1,
}
OWN: dict[str, dict[str, Any]] = {
    "mamba2": {"num_heads": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "bamba": {"attn_layer_indices": [1, 3]},
    "cohere": {"logit_scale": 0.25},
    "falcon_h1": {"lm_head_multiplier": 0.25, "embedding_multiplier": 3.0, "attention_out_multiplier": 0.5},
    **dict.fromkeys(("granite", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoeshared"), GRANITE),
    "zaya": {"num_experts_per_tok": 1},
    "falcon": {"head_dim": None},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 8},
    "granitemoehybrid": GRANITE | {"layer_types": ["mamba", "attention"] * 2},
    "phi3": {"original_max_position_embeddings": 512},
}
"""What some families need beside that; None leaves a size as the family has it."""
OTHERS = frozenset(
    {"bert-generation", "blt", "cpmant", "git", "moshi", "musicgen", "musicgen_melody", "phi4_multimodal", "reformer"}
    | {"trocr", "whisper", "xlnet"}
)
"""Parts of speech and picture models, and models that do not read tokens from left to right."""


class NotTiny(Exception):
    """No tiny model of the family can be made from the sizes above."""


@dataclass(frozen=True)
class Visit:
    """What was found of one family."""

    model_type: str
    architecture: str
    skipped: str = ""
    """Why no tiny model of it could be made."""
    refused: str = ""
    """The reason, where it is not loaded."""
    wrong: tuple[str, ...] = ()
    """The checks that failed."""
    direct: str = ""
    """Why direct attribution is refused; empty where it is right."""


def model_types() -> list[str]:
    """All decoders that the installed transformers knows, by the name of their config."""
    encoders = set(families.MODEL_FOR_MASKED_LM_MAPPING_NAMES) | set(
        families.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    )
    return sorted(set(families.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - encoders - OTHERS)


def tiny_config(model_type: str) -> Any:
    """A config of that family with small sizes."""
    plain = transformers.AutoConfig.for_model(model_type)
    own = OWN.get(model_type, {})
    known = {name: size for name, size in SMALL.items() if hasattr(plain, name)}
    if "qk_rope_head_dim" in known:
        known = {name: size for name, size in known.items() if name != "head_dim"} | {"num_key_value_heads": 4}
    known |= own
    return transformers.AutoConfig.for_model(model_type, **{k: v for k, v in known.items() if v is not None})


def build(root: Path, model_type: str, *, seed: int = 0) -> Path:
    """A random model of the family, saved as a folder with a tokenizer. Raises NotTiny."""
    allow_root(root)
    folder, config = root / model_type, tiny_config(model_type)
    with torch.device("meta"):
        n_params = sum(p.numel() for p in transformers.AutoModelForCausalLM.from_config(config).parameters())
    if n_params > MAX_PARAMS:
        raise NotTiny("its config is made of other configs")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.nan_to_num_(0.0).clamp_(-2, 2)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def visit(root: Path, model_type: str) -> Visit:
    """Load, accept and check one family, on one thread."""
    torch.set_num_threads(1)
    try:
        folder = build(root, model_type)
    except Exception as error:
        return Visit(model_type, "", skipped=str(error) if isinstance(error, NotTiny) else type(error).__name__)
    architecture = str((load_config(folder).architectures or ["?"])[0])
    try:
        loaded = load_model(ModelSpec(repo_id=str(folder)))
        accept(loaded)
    except ModelUnavailable as error:
        return Visit(model_type, architecture, refused=_without_name(error, model_type))
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    wrong = [name for name, check in CHECKS.items() if not _holds(check, loaded, peer)]
    direct = ""
    try:
        wrong += [] if _direct_is_right(loaded) else ["direct attribution"]
    except UserFacingError as error:
        direct = _without_name(error, model_type)
    return Visit(model_type, architecture, wrong=tuple(wrong), direct=direct)


def _without_name(error: UserFacingError, model_type: str) -> str:
    text = error.problem.replace(model_type, "this model")
    return text[:1].upper() + text[1:]


def _holds(check: Callable[[LoadedModel, Any], bool], loaded: LoadedModel, peer: Any) -> bool:
    with torch.random.fork_rng(devices=[]):
        return check(loaded, peer)


def _spec(loaded: LoadedModel, question: str, coefficient: float = 0.0) -> GenerationSpec:
    rng = np.random.default_rng(1)
    direction = Direction.from_raw(rng.standard_normal(loaded.d_model).astype(np.float32), name="random", layer=1)
    steering = (SteeringSpec(direction=direction, layer=1, coefficient=coefficient),) if coefficient else ()
    return GenerationSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        prompt=encode_prompt(loaded, question),
        sampling=SamplingSpec(max_new_tokens=N_NEW),
        steering=steering,
    )


def written(loaded: LoadedModel, specs: Sequence[GenerationSpec], *, use_cache: bool = True) -> list[list[int]]:
    """The token ids of every row."""
    rows: list[list[int]] = [[] for _ in specs]
    for step in stream_completions(loaded, specs, use_cache=use_cache):
        for token in step:
            rows[token.row].append(token.token_id)
    return rows


def _greedy_is_transformers(loaded: LoadedModel, peer: Any) -> bool:
    for question in QUESTIONS:
        ids = torch.tensor([encode_prompt(loaded, question).token_ids])
        options = {"max_new_tokens": N_NEW, "do_sample": False, "pad_token_id": 1}
        with torch.inference_mode():
            out = peer.generate(ids, attention_mask=torch.ones_like(ids), **options)
        if written(loaded, [_spec(loaded, question)])[0] != out[0, ids.shape[1] :].tolist():
            return False
    return True


def _batch_is_single(loaded: LoadedModel, peer: Any) -> bool:
    specs = [_spec(loaded, question, coefficient) for question in QUESTIONS for coefficient in (0.0, 4.0)]
    return written(loaded, specs) == [written(loaded, [spec])[0] for spec in specs]


def _cache_is_none(loaded: LoadedModel, peer: Any) -> bool:
    specs = [_spec(loaded, question, coefficient) for question in QUESTIONS for coefficient in (0.0, 4.0)]
    return written(loaded, specs) == written(loaded, specs, use_cache=False)


def _steered_rows_are_apart(loaded: LoadedModel, peer: Any) -> bool:
    """A dose changes its own row and leaves the one beside it alone."""
    plain, pushed = _spec(loaded, QUESTIONS[0]), _spec(loaded, QUESTIONS[0], 40.0)
    rows = written(loaded, [plain, pushed])
    return rows[0] == written(loaded, [plain])[0] and rows[1] == written(loaded, [pushed])[0] and rows[0] != rows[1]


def _score_is_the_models_loss(loaded: LoadedModel, peer: Any) -> bool:
    prompt = encode_prompt(loaded, QUESTIONS[0]).token_ids
    text = encode_prompt(loaded, QUESTIONS[2]).token_ids[1:]
    ids = torch.tensor([[*prompt, *text]])
    with torch.inference_mode():
        logits = peer(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].double()
    loss = float(torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :]))
    found = score_completions(loaded, [(prompt, text), (prompt, text[:3])])[0]
    return abs(found - loss) < 1e-4 * max(1.0, loss)


def _lens_is_the_logits(loaded: LoadedModel, peer: Any) -> bool:
    ids = torch.tensor([encode_prompt(loaded, QUESTIONS[0]).token_ids])
    stream = record(loaded, ids)
    with torch.inference_mode():
        own = peer(input_ids=ids, use_cache=False).logits[0]
        read = logit_lens(loaded, stream[-1])
    return bool(torch.allclose(read, own.float(), atol=1e-4, rtol=1e-3))


CHECKS: dict[str, Callable[[LoadedModel, Any], bool]] = {
    "greedy tokens": _greedy_is_transformers,
    "batch row = single": _batch_is_single,
    "cache = no cache": _cache_is_none,
    "steered rows apart": _steered_rows_are_apart,
    "NLL = loss": _score_is_the_models_loss,
    "lens of the last layer": _lens_is_the_logits,
}


def _direct_is_right(loaded: LoadedModel) -> bool:
    """The rows add up to the contrast, and the embedding row is what block 0 is given. Raises UserFacingError."""
    ids = encode_prompt(loaded, QUESTIONS[0]).token_ids
    keywords = [20, 30]
    found = attribute_logits(loaded, ids, keywords)
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
    contrast = contrast_of(logits, keywords).of(logits).numpy()
    return bool(np.abs(found.sum(0) - contrast).max() <= 1e-3 * max(1.0, np.abs(contrast).max()))


def table(visits: Sequence[Visit]) -> str:
    """docs/models.md."""
    skipped = [v for v in visits if v.skipped]
    refused = [v for v in visits if v.refused]
    good = [v for v in visits if not (v.skipped or v.refused or v.wrong)]
    lines = [
        "# Which models can be used",
        "",
        f"Made by `make models` with transformers {transformers.__version__}: the decoder families that it knows, each",
        "as a tiny random model, loaded like any other and held against transformers. Greedy tokens are those of",
        "`generate`; a row of a batch is the single run, steered or not; with cached keys and values the text is as",
        "without; the NLL is the model's own loss; the logit lens of the last layer gives the logits.",
        "",
        f"{len(good)} families are right, {len(refused)} are refused when they are loaded, with the reason.",
        "",
        "| family | architecture | runs, scores, lens | direct logit attribution |",
        "|---|---|---|---|",
    ]
    lines += [f"| {v.model_type} | {v.architecture} | {_state(v)} | {_direct(v)} |" for v in visits if not v.skipped]
    lines += ["", f"Not visited, because no tiny model was made of them: {', '.join(v.model_type for v in skipped)}."]
    return "\n".join(lines) + "\n"


def _state(found: Visit) -> str:
    if found.skipped:
        return f"not visited: {found.skipped}"
    if found.refused:
        return f"refused: {found.refused}"
    return f"WRONG: {', '.join(found.wrong)}" if found.wrong else "right"


def _direct(found: Visit) -> str:
    return "–" if found.refused or found.skipped else f"switched off: {found.direct}" if found.direct else "right"


def main() -> None:
    """Visit the families named, or all of them and write the report."""
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    names, visits = sys.argv[1:] or model_types(), []
    for name in names:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            try:
                found = visit(Path(folder), name)
            except Exception as error:
                found = Visit(name, "?", wrong=(f"{type(error).__name__}: {str(error)[:150]}",))
        visits.append(found)
        print(f"{name}: {_state(found)}; direct: {_direct(found)}", flush=True)
    if not sys.argv[1:]:
        REPORT.write_text(table(visits), "utf-8")


if __name__ == "__main__":
    main()
