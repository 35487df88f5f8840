"""The two models of a pair, loaded one after the other: whether they fit, beside the old ones and each other.

Where a graphics card has room for one of them, the reasoning model leaves it for the computer's memory before the base
model is read, and from then on they share the card (`core.memory`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.background import Errand
from core.errors import ModelUnavailable
from core.memory.cards import is_movable, on_one_card
from core.memory.exchange import Exchange
from core.memory.resident import OneCard
from core.models import checkpoints, loaded, loading
from core.models.loaded import LoadedModel
from core.tokens.readers import Readers, readers_of
from core.values import QUANTISED, PairSpec

if TYPE_CHECKING:
    from core.models.pair import Role


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where a pair has room."""

    devices: tuple[str, ...]
    """What is here."""
    keeps_old: bool
    """Whether it fits beside the models that are in memory."""
    one_card: bool
    """Whether its models share a card."""


def prepare_pair(pair: PairSpec, old: Sequence[LoadedModel], *, one_at_a_time: bool, errand: Errand) -> Room:
    """Where the pair has room, once all its files are here and checked; its models share a card if they have to.

    Raises ModelUnavailable where the pair would not fit without the old models either, or may not share a card.
    """
    specs = (pair.reasoner, pair.base)
    for spec in specs:
        loading.check_device(spec)
    found = [checkpoints.find_checkpoint(spec, progress=errand.tell) for spec in specs]
    needs = [loading.memory_needed(spec, one) for spec, one in zip(specs, found, strict=True)]
    apart: dict[str, int] = {}
    for spec, need in zip(specs, needs, strict=True):
        apart[spec.device] = apart.get(spec.device, 0) + need
    held = {device: taken(old, device) for device in (*apart, "cpu")}
    fits = _fits(apart, held)
    if _may_share(pair, one_at_a_time) and (one_at_a_time or not fits):
        sizes = [loading.weights_bytes(spec, one) for spec, one in zip(specs, found, strict=True)]
        shared = {pair.base.device: max(needs)}
        if pair.base.device != "cpu":
            shared["cpu"] = max(sizes)
        if one_at_a_time or _fits(shared, held):
            return Room(devices=loading.present_devices(), keeps_old=_check(pair, shared, held), one_card=True)
    return Room(devices=loading.present_devices(), keeps_old=_check(pair, apart, held), one_card=False)


def load_both(
    pair: PairSpec,
    accept: Callable[[LoadedModel], None],
    *,
    is_beside: bool,
    one_card: bool,
    errand: Errand,
) -> tuple[dict[Role, LoadedModel], Readers, OneCard | None]:
    """Both models, loaded and looked at, and how they share a card where they do.

    Beside others at work (`is_beside`) it is done on one thread, since several would slow both down.
    """
    loading.use_threads(1 if is_beside else None)
    reasoner = loaded.load_model(pair.reasoner, progress=errand.tell, alone=errand.alone)
    accept(reasoner)
    away, began = None, time.monotonic()
    if one_card:
        errand.tell(f"Moving {reasoner.name} to the computer's memory")
        away = Exchange(list(reasoner.model.parameters()))
        loading.free_memory()
    seconds = time.monotonic() - began
    base = loaded.load_model(pair.base, progress=errand.tell, alone=errand.alone, frame_from=reasoner)
    accept(base)
    if (base.d_model, base.n_layers) != (reasoner.d_model, reasoner.n_layers):
        raise ModelUnavailable(
            f"{base.name} has {base.n_layers} layers of width {base.d_model}, {reasoner.name} has "
            f"{reasoner.n_layers} of width {reasoner.d_model}: they are not a base model and its finetune.",
            "Choose the base model that the reasoning model was finetuned from.",
        )
    errand.tell("comparing the two tokenizers")
    readers, card = readers_of(base, reasoner), None
    if away is not None:
        away.join(list(base.model.parameters()))
        here, there = ("the base model", base.lock), ("the reasoning model", reasoner.lock)
        card = OneCard(away, here=here, away=there, guess=2 * seconds)
    return {"base": base, "reasoner": reasoner}, readers, card


def _may_share(pair: PairSpec, is_asked: bool) -> bool:
    """Whether the pair is on a card whose memory its models can share. Raises ModelUnavailable where it is asked to."""
    if not on_one_card(pair):
        return False
    if is_asked and not is_movable(pair):
        spec = next(one for one in (pair.reasoner, pair.base) if one.precision in QUANTISED)
        raise ModelUnavailable(
            f"{spec.name} in {spec.precision} cannot share a card with the other model: what bitsandbytes quantised "
            "for a card does not safely leave it.",
            "Load the pair in bf16 with one model at a time, or let both quantised models lie on the card.",
        )
    return is_movable(pair)


def _fits(needs: Mapping[str, int], held: Mapping[str, int]) -> bool:
    """Whether there is room once the old models are released."""
    return all(need <= checkpoints.available_memory(device) + held[device] for device, need in needs.items())


def _check(pair: PairSpec, needs: Mapping[str, int], held: Mapping[str, int]) -> bool:
    """Whether there is room beside the old models. Raises ModelUnavailable where there is none without them."""
    keeps = True
    for device, need in needs.items():
        free = checkpoints.available_memory(device)
        if need > free + held[device]:
            raise ModelUnavailable(
                f"{pair.base.name} and {pair.reasoner.name} need about {need / 1e9:.1f} GB on {device}, and "
                f"{(free + held[device]) / 1e9:.1f} GB are free"
                f"{' once the loaded pair is released' if held[device] else ''}.",
                "Choose another precision, or smaller models.",
            )
        keeps = keeps and need <= free
    return keeps


def taken(models: Sequence[LoadedModel], device: str) -> int:
    """Bytes of a device that models take."""
    return sum(loaded.memory_taken(one, device) for one in models)
