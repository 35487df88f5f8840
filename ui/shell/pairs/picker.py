"""Choosing the base and reasoning model: what it needs in memory before it is loaded, then loading it."""

from __future__ import annotations

import streamlit as st

from core.errors import BadInput
from core.fetching.catalogue import is_here
from core.fetching.shipped import shipped_pairs
from core.models.checkpoints import MemoryEstimate, PairNeed
from core.models.naming import read_merged, read_model, show_merged
from core.models.pair import DEMO_PAIR, Role
from core.values import ModelSpec, PairSpec, Precision
from ui.components.roles import NAMES, TITLES
from ui.components.safe_text import plain, size
from ui.shell.jobs import await_soon, follow
from ui.shell.pairs.fetched import follow_fetching, offer_models
from ui.shell.pairs.one_card import ask_one_at_a_time, draw_moves, fits_one, say_one_fits
from ui.shell.state import caller, guarded, pair_facts, workbench

_NEED = "job:pair_need"
_WITHOUT_MODELS = ("load", "estimate", "judge", "import", "label", "fetch", "finetune", "need")
"""Kinds of jobs that go on whatever pair is loaded."""
_LLAMA = ("meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B")
_QWEN = ("Qwen/Qwen2.5-Math-1.5B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
_DEMO, _OTHER = "Embedded demo pair", "Other models…"
_PRESETS = {
    _DEMO: (DEMO_PAIR.base.repo_id, DEMO_PAIR.reasoner.repo_id),
    "Llama-3.1-8B and its R1 distil": _LLAMA,
    "Qwen2.5-Math-1.5B and its R1 distil": _QWEN,
}
_PRECISIONS: dict[Precision, str] = {
    "fp32": "fp32 · exact",
    "bf16": "bf16 · half the memory",
    "int8": "int8 · bitsandbytes, slow",
    "nf4": "NF4 · 4-bit, bitsandbytes",
}
_HOW_SLOW = (
    "int8 writes slowly: 9.5 tokens a second on an H200 with random weights of an 8B shape, where bf16 wrote 160 "
    "(README, “How fast”). NF4 needs less memory and is not held up this way."
)


def draw_pair_picker(slot: str) -> None:
    """What is loaded, and a popover to load something else; the load job's id goes to `slot`."""
    draw_pair_line()
    with st.popover("Change models", width="stretch"):
        _say_kept()
        pair = _ask()
        shared = ask_one_at_a_time(pair) if pair else None
        if pair:
            _warn_of_runs(pair)
        if pair and st.button("Load this pair", type="primary", width="stretch"):
            if guarded(lambda: workbench().load_pair(pair, caller(), one_at_a_time=shared), slot):
                st.session_state["pair"] = pair
            st.rerun()
    follow_fetching()


def draw_pair_line() -> None:
    """Which pair is loaded."""
    facts = pair_facts()
    if facts:
        base, reasoner = facts
        st.markdown(
            f"**{plain(reasoner.name)}** finetuned from **{plain(base.name)}**  \n"
            f"{reasoner.n_layers} layers · d_model {reasoner.d_model} · {reasoner.spec.precision} · "
            f"{plain(reasoner.spec.device)}"
        )
        draw_moves()


def _ask() -> PairSpec | None:
    presets = _presets()
    preset = st.selectbox("Pair", [*presets, _OTHER], key="pair_preset")
    offer_models()
    base_id, reasoner_id = presets.get(preset, ("", ""))
    base_adapter = reasoner_adapter = ""
    if preset == _OTHER:
        hint = "hub id, hub id@revision, or local folder"
        base_id = st.text_input(TITLES["base"], placeholder=hint, key="pair_base").strip()
        base_adapter = _ask_adapter("base")
        reasoner_id = st.text_input(TITLES["reasoner"], placeholder=hint, key="pair_reasoner").strip()
        reasoner_adapter = _ask_adapter("reasoner")
    choices: list[Precision] = ["fp32", "bf16"] if preset == _DEMO else ["bf16", "nf4", "int8", "fp32"]
    precision = st.selectbox("Precision", choices, format_func=lambda p: _PRECISIONS[p], key="pair_precision")
    if precision == "int8":
        st.caption(_HOW_SLOW)
    device = _ask_device()
    if not (base_id and reasoner_id):
        st.caption("Name both models: the base model, and the reasoning model finetuned from it.")
        return None
    pair = PairSpec(
        base=_named(base_id, base_adapter, precision, device),
        reasoner=_named(reasoner_id, reasoner_adapter, precision, device),
    )
    asks = st.button("What does it need?", width="stretch")
    if asks and guarded(lambda: workbench().estimate_pair(pair, caller()), _NEED):
        await_soon(_NEED)
    found = follow(_NEED, narrow=True)
    if found is not None and isinstance(found.result, PairNeed) and found.result.pair == pair:
        _show_need(found.result)
    return pair


def _presets() -> dict[str, tuple[str, str]]:
    """Names of pairs, each with its models as one line: what comes with Retrace, what was made here, what is known."""
    shipped = {
        f"{pair.title[0].upper()}{pair.title[1:]} · {pair.reasoner}": (
            show_merged(pair.spec().base),
            show_merged(pair.spec().reasoner),
        )
        for pair in shipped_pairs().values()
        if is_here(pair.source, workbench().root)
    }
    made = {
        f"{one.spec.name} · finetuned from {one.spec.base.name}": (
            show_merged(one.pair.base),
            show_merged(one.pair.reasoner),
        )
        for one in workbench().finetunes.list()
        if one.finished
    }
    return {_DEMO: _PRESETS[_DEMO], **shipped, **made, **_PRESETS}


def _named(name: str, adapter: str, precision: Precision, device: str) -> ModelSpec:
    """The model of a preset, which may name its adapter too, or of the two fields."""
    if adapter:
        return read_model(name, adapter, precision=precision, device=device)
    return read_merged(name, precision=precision, device=device)


def _ask_device() -> str:
    """One of the devices that are here, the best at first; only the CPU is certain before torch is imported."""
    known = workbench().pair.devices
    devices = known or ("cpu",)
    waits = None if known else "Graphics cards are listed once the first models have been loaded."
    return st.selectbox("Device", devices, key=f"pair_device:{','.join(devices)}", help=waits)


def _ask_adapter(role: Role) -> str:
    return st.text_input(
        f"Adapter of the {NAMES[role]} (optional)",
        placeholder="hub id, hub id@revision, or local folder",
        key=f"pair_{role}_adapter",
        help="A LoRA adapter in PEFT's format. It is merged into the weights of the model above while they are loaded.",
    ).strip()


def _show_need(found: PairNeed) -> None:
    base, reasoner, free = found.base, found.reasoner, found.free_bytes
    need = base.weights_bytes + reasoner.weights_bytes + _cache_bytes(base) + _cache_bytes(reasoner)
    peak = base.weights_bytes + reasoner.peak_bytes
    st.markdown(
        f"Weights of both: {size(base.weights_bytes + reasoner.weights_bytes)}, "
        f"with the cache of 2,048 tokens: **{size(need)}**. "
        f"While loading: up to **{size(peak)}**, and the files themselves as far as the memory is free. "
        f"Free: **{size(free)}**."
    )
    experts = base.experts_bytes + reasoner.experts_bytes
    if experts and found.pair.reasoner.precision in ("int8", "nf4"):
        st.caption(f"{size(experts)} of them are experts, which bitsandbytes does not quantise: they stay in bf16.")
    merging = max(base.merging_bytes, reasoner.merging_bytes)
    if merging:
        st.caption(f"Merging takes {size(merging)} more while loading.")
    for spec, estimate in ((found.pair.base, base), (found.pair.reasoner, reasoner)):
        _say_other_base(spec, estimate)
    need, held = max(need, peak), workbench().pair.memory_taken(found.pair.base.device)
    alone = [merging + max(one.peak_bytes, one.weights_bytes + _cache_bytes(one)) for one in (base, reasoner)]
    if need + merging > free + held and fits_one(found, alone, free + held):
        say_one_fits(found)
    elif need + merging > free + held:
        st.warning("This does not fit. Choose int8 or NF4, or smaller models.", icon=":material/warning:")
    elif need + merging > free:
        st.warning(
            "This does not fit beside the loaded pair, which is released before the new weights are read: its runs end "
            "then, and keep what they have.",
            icon=":material/warning:",
        )


def _warn_of_runs(pair: PairSpec) -> None:
    """That somebody is using the pair that would be replaced."""
    runs = [job for job in workbench().engine.live() if job.kind not in _WITHOUT_MODELS]
    if runs and workbench().pair.spec not in (None, pair):
        st.caption(
            f"Live runs on the loaded pair: {len(runs)}. They go on until the new pair takes its place, and keep what "
            "they have."
        )


def _say_kept() -> None:
    """That another session shows the pair in a talk, so that no other can be loaded."""
    try:
        workbench().pair_hold.check(caller())
    except BadInput as error:
        st.info(f"{plain(error.problem)} {plain(error.remedy)}", icon=":material/lock:")


def _say_other_base(spec: ModelSpec, estimate: MemoryEstimate) -> None:
    """Where an adapter names another model than the one it is merged into."""
    said = estimate.adapter_base.rstrip("/").rsplit("/", 1)[-1]
    if said and said != spec.repo_id.rstrip("/").rsplit("/", 1)[-1]:
        st.warning(
            f"{plain(spec.name)}: the adapter says that it was trained on {plain(estimate.adapter_base)}.",
            icon=":material/difference:",
        )


def _cache_bytes(estimate: MemoryEstimate) -> int:
    return 2048 * estimate.kv_bytes_per_token
