"""An adapter's config and header become the changes that it makes to a model's parameters, or a refusal by name.

The format is that of PEFT: what it would load, and how it would compute with it. Whatever is not known to be merged
rightly is refused. Values of tensors are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.lora.refusals import refused, shown
from core.lora.scales import MAX_NAME, Scales

MAX_TENSORS = 100_000

_MERGED_OPTIONS = {
    *("peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision"),
    *("r", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "bias"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"),
    *("init_lora_weights", "loftq_config", "eva_config", "corda_config", "lora_ga_config"),
    *("inference_mode", "runtime_config", "megatron_config", "megatron_core", "qalora_group_size"),
}
"""Fields of adapter_config.json that are followed, or that say nothing about the finished weights."""
_PLAIN_BEGINNINGS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the base model's own weights as they are."""
EMBEDDINGS = {"embed_tokens", "lm_head", "wte", "embed_in", "embed_out", "word_embeddings"}
_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<half>[AB])(\.default)?(\.weight)?")
_WHOLE = re.compile(r"(?P<module>.+?)(?P<inner>\.base_layer)?(\.default)?\.(?P<parameter>weight|bias)")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an adapter does to one parameter: another tensor in its place, a product added to it, or both."""

    parameter: str
    """Its name in the model that the adapter was trained on."""
    shape: tuple[int, ...]
    """For a product (outputs, inputs) of the map, or (tokens, width) of the embedding; else that of `whole`."""
    a: str = ""
    """(rank, inputs) key of the first factor, or nothing."""
    b: str = ""
    """(outputs, rank) key of the second factor."""
    scale: float = 0.0
    embedding: bool = False
    whole: str = ""
    """Key of the tensor that takes its place, or nothing."""
    own: bool = False
    """Whether a parameter tied to it stays as it was."""


def changes_of(name: str, config: Mapping[str, object], header: Mapping[str, tuple[int, ...]]) -> dict[str, Change]:
    """The changes by parameter, of an adapter with this config and these shapes by key. Raises ModelUnavailable."""
    _check_options(name, config)
    if not 0 < len(header) <= MAX_TENSORS:
        raise refused(name, f"holds {len(header):,} tensors; from 1 to {MAX_TENSORS:,} are merged")
    halves: dict[tuple[str, bool], dict[str, str]] = {}
    whole: dict[str, Change] = {}
    saved = _saved_modules(name, config)
    for key, shape in header.items():
        inner = key.removeprefix(_PREFIX).replace(".modules_to_save.", ".")
        lora, kept = (form.fullmatch(inner) if len(inner) <= MAX_NAME else None for form in (_LORA, _WHOLE))
        if lora:
            both = halves.setdefault((lora["module"], bool(lora["embedding"])), {})
            if both.setdefault(lora["half"], key) != key:
                raise refused(name, f"holds one factor twice: {shown(both[lora['half']])} and {shown(key)}")
        elif kept and _may_replace(kept, saved, config):
            parameter, own = f"{kept['module']}.{kept['parameter']}", _is_saved(kept["module"], saved)
            if parameter in whole:
                raise refused(name, f"holds one tensor twice: {shown(whole[parameter].whole)} and {shown(key)}")
            whole[parameter] = Change(parameter=parameter, shape=shape, whole=key, own=own)
        else:
            raise refused(name, f"holds {shown(key)}, which is no part of a LoRA that is merged")
    for target in saved:
        if not any(_is_saved(parameter.rpartition(".")[0], (target,)) for parameter in whole):
            raise refused(name, f"replaces the module {shown(target)} by its config, but does not hold its weights")
    scales = Scales(name, config)
    for (module, embedding), both in halves.items():
        pair = _pair(name, module, both, header, scales, embedding=embedding)
        whole[pair.parameter] = _joined(name, pair, whole.get(pair.parameter))
    return whole


def _pair(
    name: str,
    module: str,
    both: Mapping[str, str],
    header: Mapping[str, tuple[int, ...]],
    scales: Scales,
    *,
    embedding: bool,
) -> Change:
    """The product of a module's two factors, whose ranks must be equal and those of the config."""
    if set(both) != {"A", "B"}:
        raise refused(name, f"holds only one of the two factors of {shown(module)}")
    a, b, rank = header[both["A"]], header[both["B"]], scales.rank(module)
    if len(a) != 2 or len(b) != 2 or not a[0] == b[1] == rank:
        raise refused(
            name, f"has ranks that do not fit at {shown(module)}: A is {a}, B is {b}, and the config says rank {rank}"
        )
    return Change(
        parameter=f"{module}.weight",
        shape=(a[1], b[0]) if embedding else (b[0], a[1]),
        a=both["A"],
        b=both["B"],
        scale=scales.scale(module),
        embedding=embedding,
        own=True,
    )


def _joined(name: str, pair: Change, before: Change | None) -> Change:
    """The product on top of the tensor that the file gives for the same parameter."""
    if before is None:
        return pair
    if before.a or before.own or before.shape != pair.shape:
        raise refused(name, f"changes {shown(pair.parameter)} in two ways that do not fit together")
    return replace(pair, whole=before.whole)


def _check_options(name: str, config: Mapping[str, object]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise refused(name, f"is of the kind {shown(kind)}, and only LORA is merged")
    for option, value in config.items():
        if option not in _MERGED_OPTIONS and value not in (None, False, 0, "", [], {}):
            raise refused(name, f"uses the option {shown(option)} ({shown(value)}), which is not merged")
    beginning = config.get("init_lora_weights", True)
    if beginning not in _PLAIN_BEGINNINGS:
        raise refused(name, f"began as {shown(beginning)}, which changes the base model's own weights")
    if config.get("bias", "none") not in ("none", "all", "lora_only"):
        raise refused(name, f"has the setting bias = {shown(config['bias'])}, which is not known")


def _saved_modules(name: str, config: Mapping[str, object]) -> tuple[str, ...]:
    """The modules that are replaced whole."""
    given = config.get("modules_to_save") or []
    if not isinstance(given, list) or not all(isinstance(module, str) and module for module in given):
        raise refused(name, "has a modules_to_save that is no list of names")
    return tuple(given)


def _is_saved(module: str, saved: Sequence[str]) -> bool:
    """Whether a module, or one that it lies in, ends with one of the names, as PEFT compares them."""
    parts = module.split(".")
    return any(".".join(parts[: i + 1]).endswith(tuple(saved)) for i in range(len(parts)))


def _may_replace(kept: re.Match[str], saved: Sequence[str], config: Mapping[str, object]) -> bool:
    """Whether the config lets this tensor take the place of the base model's; PEFT adds embeddings by itself."""
    module, bias = kept["module"], kept["parameter"] == "bias" and config.get("bias", "none") != "none"
    embedding = module.rpartition(".")[2] in EMBEDDINGS
    return "lora_" not in module and "original_module" not in module and (bias or embedding or _is_saved(module, saved))
