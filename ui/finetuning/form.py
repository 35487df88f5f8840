"""What a new finetune is asked for: base model, traces, recipe; what it would take, and its start."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import UserFacingError
from core.fetching.catalogue import SOURCES, is_here
from core.finetuning.costs import check_base
from core.finetuning.values import NAME_LENGTH, FinetuneSpec, Need, Recipe, usual_recipe
from core.models.folders import local_folder
from core.models.naming import read_model, show_merged
from core.models.pair import DEMO_PAIR
from core.text.typed import items
from core.traces.events import digest_of
from core.traces.set_files import TraceSet
from core.values import ModelSpec, Precision
from ui.components.roles import TITLES
from ui.components.safe_text import plain, seconds, size, tried
from ui.shell.jobs import await_soon, follow
from ui.shell.state import caller, guarded, pair_facts, workbench

SLOT, NEED_SLOT = "job:finetune", "job:finetune_need"
BASE_KEY, OTHER_KEY, SET_KEY, NAME_KEY = "finetune:base", "finetune:other", "finetune:set", "finetune:name"
_OTHER = "Another model…"
_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def draw_form() -> None:
    """The form of a new finetune. Raises UserFacingError where traces cannot be read."""
    left, middle, right, starts = st.columns([4, 4, 3, 3], vertical_alignment="bottom")
    with left:
        base_id = _ask_base()
    with middle:
        shown = _ask_traces()
    name = right.text_input("Name", key=NAME_KEY, max_chars=NAME_LENGTH, placeholder="my reasoner").strip()
    with st.expander("Recipe", icon=":material/tune:"):
        recipe, precision, device = _ask_recipe(base_id)
    if not base_id or shown is None:
        return
    spec = tried(lambda: _spec(name or "my reasoner", base_id, shown, recipe, precision, device))
    if spec is None:
        return
    asked = st.button("What does it need?")
    if asked and guarded(lambda: workbench().finetunes.need(spec, caller()), NEED_SLOT):
        await_soon(NEED_SLOT)
    if starts.button("Finetune", type="primary", icon=":material/model_training:", width="stretch"):
        traces = workbench().trace_sets.load(shown.set_id)
        if guarded(lambda: workbench().finetunes.run(spec, traces, caller()), SLOT):
            st.rerun()
    _show_need(spec)


def _ask_base() -> str:
    """Id of the base model, "" while none is named."""
    facts = pair_facts()
    loaded = [show_merged(replace(facts[0].spec, revision=None))] if facts and not facts[0].spec.adapter else []
    fetched = [name for name, source in SOURCES.items() if is_here(source, workbench().root)]
    known = list(dict.fromkeys([*loaded, DEMO_PAIR.base.repo_id, *fetched]))
    chosen = st.selectbox(f"{TITLES['base']}, up to 1B weights", [*known, _OTHER], key=BASE_KEY)
    if chosen != _OTHER:
        return str(chosen)
    return st.text_input("Its name", key=OTHER_KEY, placeholder="hub id, hub id@revision, or local folder").strip()


def _ask_traces() -> TraceSet | None:
    sets = {found.set_id: found for found in workbench().trace_sets.list()}
    if not sets:
        st.info("There are no traces yet. Import a file on the Traces page.", icon=":material/description:")
        return None
    chosen = st.selectbox(
        "Traces",
        list(sets),
        format_func=lambda set_id: f"{sets[set_id].name} · {sets[set_id].n_traces:,} traces",
        key=SET_KEY,
        help="Questions with their reasoning; labels are not needed. The reasoning alone is learned.",
    )
    return sets.get(str(chosen))


def _ask_recipe(base_id: str) -> tuple[Recipe, Precision, str]:
    usual = _usual(base_id)
    steps, tokens, longest, every = _ask_amounts(usual, base_id)
    columns = st.columns(4)
    rank = _whole(columns[0], "Rank", "rank", (1, 256), "Of the factors; alpha / rank stays as usual.", usual, base_id)
    rate = columns[1].number_input(
        "Learning rate",
        1e-6,
        1.0,
        usual.rate,
        step=1e-4,
        format="%.1e",
        key=f"finetune:rate:{base_id}",
        help="At its highest: after a warm-up it falls as a cosine.",
    )
    held = columns[2].number_input(
        "Held-out share", 0.0, 0.5, usual.held_out, step=0.01, key=f"finetune:held:{base_id}", help="Of the questions."
    )
    same = "The same seed on the same weights and traces gives the same adapter."
    seed = _whole(columns[3], "Seed", "seed", (0, 10**6), same, usual, base_id)
    targets, precision, device = _ask_manner(base_id)
    recipe = Recipe(
        rank=rank,
        alpha=usual.scale * rank,
        targets=items(targets) if targets.strip() else (),
        steps=steps,
        rate=rate,
        warmup=min(usual.warmup, steps),
        batch_tokens=tokens,
        max_tokens=longest,
        held_out=held,
        seed=seed,
        every=every,
    )
    return recipe, precision, device


def _ask_amounts(usual: Recipe, base_id: str) -> list[int]:
    """Steps, tokens of a step, tokens of a trace, steps between checkpoints."""
    asked = (
        ("Steps", "steps", (1, 100_000), "Updates of the adapter."),
        ("Tokens a step", "batch_tokens", (64, 1 << 20), "Questions included."),
        ("Tokens of a trace", "max_tokens", (16, 1 << 15), "What is longer is cut."),
        ("Checkpoint every", "every", (1, 100_000), "Steps; each is an adapter that can be loaded."),
    )
    return [_whole(column, *one, usual, base_id) for column, one in zip(st.columns(4), asked, strict=True)]


def _ask_manner(base_id: str) -> tuple[str, Precision, str]:
    """Linear maps as typed, precision, device."""
    columns = st.columns(4)
    targets = columns[0].text_input(
        "Linear maps", key=f"finetune:targets:{base_id}", placeholder="all", help="As q_proj,v_proj; all by default."
    )
    precision = columns[1].selectbox("Precision", _PRECISIONS, key="finetune:precision")
    device = columns[2].selectbox("Device", workbench().pair.devices or ("cpu",), key="finetune:device")
    return targets, precision, device


def _whole(
    column: DeltaGenerator, title: str, name: str, bounds: tuple[int, int], words: str, usual: Recipe, base_id: str
) -> int:
    value: int = getattr(usual, name)
    return int(column.number_input(title, *bounds, value, key=f"finetune:{name}:{base_id}", help=words))


def _usual(base_id: str) -> Recipe:
    """What suits the base model, as far as that can be told without the hub."""
    try:
        if base_id and local_folder(base_id) is not None:
            bare = FinetuneSpec(name="bare", base=ModelSpec(repo_id=base_id), traces="", traces_digest="")
            return usual_recipe(check_base(bare).n_params)
    except UserFacingError:
        pass
    return Recipe()


def _spec(name: str, base_id: str, shown: TraceSet, recipe: Recipe, precision: Precision, device: str) -> FinetuneSpec:
    return FinetuneSpec(
        name=name,
        base=read_model(base_id, precision=precision, device=device),
        traces=shown.name,
        traces_digest=digest_of(workbench().trace_sets.load(shown.set_id)),
        recipe=recipe,
    )


def _show_need(spec: FinetuneSpec) -> None:
    found = follow(NEED_SLOT)
    if found is None or not isinstance(found.result, Need):
        return
    need = found.result
    st.caption(
        f"{plain(spec.base.name)}: {need.n_trained:,} numbers are trained for {need.n_params:,} weights. About "
        f"**{seconds(need.seconds)}** on this machine, {size(need.memory_bytes)} of memory "
        f"({size(need.free_bytes)} are free) and {size(need.disk_bytes)} on disk."
    )
    if need.memory_bytes > need.free_bytes:
        st.warning("This does not fit. Choose bf16, shorter traces or a smaller model.", icon=":material/warning:")
