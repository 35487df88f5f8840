"""Choosing the base and reasoning model: what it needs in memory before it is loaded, then loading it."""

from __future__ import annotations

import streamlit as st

from core.models.checkpoints import MemoryEstimate, available_memory, estimate_memory
from core.models.pair import DEMO_PAIR
from core.values import ModelSpec, PairSpec, Precision
from ui.components.safe_text import plain, size, tried
from ui.shell.roles import TITLES
from ui.shell.state import caller, guarded, pair_facts, workbench

_LLAMA = ("meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B")
_QWEN = ("Qwen/Qwen2.5-Math-1.5B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
_DEMO, _OTHER = "Embedded demo pair", "Other models…"
_PRESETS = {
    _DEMO: (DEMO_PAIR.base.repo_id, DEMO_PAIR.reasoner.repo_id),
    "Llama-3.1-8B and its R1 distil": _LLAMA,
    "Qwen2.5-Math-1.5B and its R1 distil": _QWEN,
    _OTHER: ("", ""),
}
_PRECISIONS: dict[Precision, str] = {
    "fp32": "fp32 · exact",
    "bf16": "bf16 · half the memory",
    "int8": "int8 · bitsandbytes",
    "nf4": "NF4 · 4-bit, bitsandbytes",
}


def draw_pair_picker(slot: str) -> None:
    """What is loaded, and a popover to load something else; the load job's id goes to `slot`."""
    facts = pair_facts()
    if facts:
        base, reasoner = facts
        st.markdown(
            f"**{plain(reasoner.name)}** finetuned from **{plain(base.name)}**  \n"
            f"{reasoner.n_layers} layers · d_model {reasoner.d_model} · {reasoner.spec.precision} · "
            f"{plain(reasoner.spec.device)}"
        )
    with st.popover("Change models", width="stretch"):
        pair = _ask()
        if pair and st.button("Load this pair", type="primary", width="stretch"):
            if guarded(lambda: workbench().load_pair(pair, caller()), slot):
                st.session_state["pair"] = pair
            st.rerun()


def _ask() -> PairSpec | None:
    preset = st.selectbox("Pair", list(_PRESETS), key="pair_preset")
    base_id, reasoner_id = _PRESETS[preset]
    if preset == _OTHER:
        hint = "hub id, hub id@revision, or local folder"
        base_id = st.text_input(TITLES["base"], placeholder=hint, key="pair_base").strip()
        reasoner_id = st.text_input(TITLES["reasoner"], placeholder=hint, key="pair_reasoner").strip()
    choices: list[Precision] = ["fp32", "bf16"] if preset == _DEMO else ["bf16", "nf4", "int8", "fp32"]
    precision = st.selectbox("Precision", choices, format_func=lambda p: _PRECISIONS[p], key="pair_precision")
    device = _ask_device()
    if not (base_id and reasoner_id):
        st.caption("Name both models: the base model, and the reasoning model finetuned from it.")
        return None
    pair = PairSpec(base=_spec(base_id, precision, device), reasoner=_spec(reasoner_id, precision, device))
    if st.button("What does it need?", width="stretch"):
        _show_need(pair)
    return pair


def _ask_device() -> str:
    """One of the devices that are here, the best at first; only the CPU is certain before torch is imported."""
    known = workbench().pair.devices
    devices = known or ("cpu",)
    waits = None if known else "Graphics cards are listed once the first models have been loaded."
    return st.selectbox("Device", devices, key=f"pair_device:{','.join(devices)}", help=waits)


def _spec(text: str, precision: Precision, device: str) -> ModelSpec:
    """The model that "owner/name@revision", "owner/name" or a folder names."""
    repo_id, _, revision = text.partition("@")
    return ModelSpec(repo_id=repo_id, revision=revision or None, precision=precision, device=device)


def _show_need(pair: PairSpec) -> None:
    found = tried(
        lambda: (estimate_memory(pair.base), estimate_memory(pair.reasoner), available_memory(pair.base.device))
    )
    if found is None:
        return
    base, reasoner, free = found
    need = base.weights_bytes + reasoner.weights_bytes + _cache_bytes(base) + _cache_bytes(reasoner)
    peak = base.weights_bytes + reasoner.peak_bytes
    st.markdown(
        f"Weights of both: {size(base.weights_bytes + reasoner.weights_bytes)}, "
        f"with the cache of 2,048 tokens: **{size(need)}**. "
        f"While loading: up to **{size(peak)}**, and the files themselves as far as the memory is free. "
        f"Free: **{size(free)}**."
    )
    if max(need, peak) > free:
        st.warning("This does not fit. Choose int8 or NF4, or smaller models.", icon=":material/warning:")


def _cache_bytes(estimate: MemoryEstimate) -> int:
    return 2048 * estimate.kv_bytes_per_token
