"""Asking what to extract: traces, models, labels, layers and offsets become a MomentsSpec per model. Starts nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import psutil  # type: ignore[import-untyped]
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import BadInput
from core.extraction.moments import FOLDS, MomentsSpec, Need, bytes_needed, is_large, largest_folds, single_offsets
from core.extraction.values import DirectionSet
from core.models.pair import ROLES, ModelFacts, Role
from core.traces.events import BACKTRACKING, digest_of
from core.values import PAPER_WINDOW, Trace, Window
from ui.components.roles import TITLES
from ui.components.safe_text import plain, show_error, size
from ui.extraction.how_read import ask_frames
from ui.extraction.trace_choice import KEY, ask_traces
from ui.shell.state import can_run, set_anew, workbench

MAP_FIRST, MAP_LAST = -40, 10
MAX_OFFSETS = 64
MAX_LABELS, MAX_COUNTS = 8, 20
FAR = 400
SUBMIT = "extraction:submit"
EXACT, _AGAIN = "extraction:exact", "extraction:again"
MAX_EXACT = 4
_MODELS: dict[str, tuple[Role, ...]] = {"both": ROLES, "base": ("base",), "reasoner": ("reasoner",)}
_TITLES = {"both": "Both models"} | {str(role): title for role, title in TITLES.items()}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the form says now, and whether it was just submitted."""

    specs: dict[Role, MomentsSpec]
    """Of both models, whichever are asked for."""
    roles: tuple[Role, ...]
    """The models that are to read the traces."""
    traces: tuple[Trace, ...]
    submitted: bool

    @property
    def asked(self) -> tuple[MomentsSpec, ...]:
        """The specs of the models asked for."""
        return tuple(self.specs[role] for role in self.roles)


def draw_form(facts: tuple[ModelFacts, ModelFacts]) -> Request | None:
    """The traces and the form; None, with the next step said, while there is nothing to extract from.

    Raises BadInput when the offsets make no sense or nothing is chosen.
    """
    traces = ask_traces()
    if not traces:
        return None
    counts = Counter(part.label for trace in traces for part in trace.parts)
    if not counts:
        show_error(
            BadInput(
                f"None of these {len(traces)} traces has a labelled part.",
                "Label them on the Traces page, or give each line of the file its parts.",
            )
        )
        return None
    _set_defaults(counts, facts[0].n_layers)
    with st.container(border=True):
        return _fields(facts, traces, counts)


def _fields(facts: tuple[ModelFacts, ModelFacts], traces: tuple[Trace, ...], counts: Counter[str]) -> Request:
    roles = _ask_models()
    labels = _ask_labels(counts)
    layers_column, first_column, last_column = st.columns([3, 1, 1], vertical_alignment="bottom")
    with layers_column:
        layers = _ask_layers(facts[0].n_layers)
    offsets = _ask_offsets(first_column, last_column)
    frames = ask_frames(traces[0])
    if not labels:
        raise BadInput("No label is chosen.", "Choose the label of the events, and others to compare it with.")
    specs = {
        role: MomentsSpec(
            model=fact.spec,
            fingerprint=fact.fingerprint,
            frame=frames[role],
            traces_digest=digest_of(traces),
            labels=labels,
            windows=tuple(dict.fromkeys((PAPER_WINDOW, *st.session_state.get(EXACT, ()), *offsets))),
            layers=layers,
            shuffled=BACKTRACKING if BACKTRACKING in labels else labels[0],
        )
        for role, fact in zip(ROLES, facts, strict=True)
    }
    specs = {role: _with_folds(spec, facts[0].d_model, len(traces)) for role, spec in specs.items()}
    submitted = _draw_submit(specs["base"], facts[0].d_model, n_traces=len(traces), n_models=len(roles))
    return Request(specs=specs, roles=roles, traces=traces, submitted=submitted)


def _with_folds(spec: MomentsSpec, d_model: int, n_traces: int) -> MomentsSpec:
    """The spec with as many folds as fit a file of the store, and no more than there are pairs of traces."""
    possible = [folds for folds in FOLDS if 2 * folds <= n_traces] or [min(FOLDS)]
    needed = [bytes_needed(replace(spec, folds=folds), d_model).unfinished for folds in possible]
    return replace(spec, folds=largest_folds(possible, needed, workbench().moments.room()))


def _draw_submit(spec: MomentsSpec, d_model: int, *, n_traces: int, n_models: int) -> bool:
    """The button, and what pressing it means: how much is read, and what it needs. True when it was pressed."""
    need, shelf = bytes_needed(spec, d_model), workbench().moments
    button, text = st.columns([1, 4], vertical_alignment="center")
    fault = _fault_of(need, n_models, is_large(spec, d_model))
    pressed = button.button("Extract", key=SUBMIT, type="primary", width="stretch", disabled=fault is not None)
    each = "both models read" if n_models == 2 else "the model reads"
    text.caption(
        f"In one pass {each} {n_traces:,} traces: {len(spec.layers)} layers × {len(spec.windows)} windows × "
        f"{len(spec.rows)} labels (one of them shuffled) in {spec.folds} groups of traces. It needs "
        f"{size(need.memory)} of memory while it runs and keeps {size(need.kept)} per model."
    )
    if fault is not None:
        show_error(fault)
    elif need.kept > shelf.largest_file and not is_large(spec, d_model):
        st.info(
            f"A result of {size(need.kept)} is too large for the store and stays in memory only. Fewer labels, "
            "layers or offsets are kept on disk.",
            icon=":material/save:",
        )
    return pressed or bool(st.session_state.pop(_AGAIN, False))


def _fault_of(need: Need, n_models: int, large: bool) -> BadInput | None:
    """Why the pass cannot be made: no room in memory or, for one that is kept layer by layer, on disk."""
    room = psutil.virtual_memory().available
    if need.memory > room:
        return BadInput(
            f"This needs {size(need.memory)} of memory, and {size(room)} are free.",
            "Choose fewer labels, layers or offsets.",
        )
    try:
        if large:
            workbench().moments.check_room(need, n_models=n_models)
    except BadInput as error:
        return error
    return None


def draw_stopped() -> None:
    """What stopped passes keep on disk to go on from, and the way to free it."""
    kept = workbench().moments.unfinished_bytes()
    if not kept:
        return
    text, button = st.columns([4, 1], vertical_alignment="center")
    text.caption(
        f"Stopped passes keep {size(kept)} of sums on disk: **Extract** with the same settings goes on from there."
    )
    with button.popover(f"Free {size(kept)}", icon=":material/delete:", width="stretch"):
        st.markdown("A stopped pass then begins anew. Finished maps and saved directions stay.")
        st.button("Yes, free it", key=f"{KEY}free", type="primary", on_click=workbench().moments.free_unfinished)


def draw_exact(window: Window, found: DirectionSet) -> None:
    """Where a window is a mean over offsets: a button that asks for Eq. 3's mean over the union of its positions."""
    if window not in found.composed or not can_run():
        return

    def ask() -> None:
        st.session_state[EXACT] = tuple(dict.fromkeys((*st.session_state.get(EXACT, ()), window)))[-MAX_EXACT:]
        st.session_state[_AGAIN] = True

    st.button(f"Gather {window.label} exactly", key=f"{EXACT}:button", on_click=ask, icon=":material/replay:")


def _ask_models() -> tuple[Role, ...]:
    picked = st.segmented_control(
        "Models that read the traces",
        list(_MODELS),
        format_func=_TITLES.__getitem__,
        required=True,
        key=f"{KEY}source",
        persist_state="session",
        help="Both models can read the same traces. The paper's point: the direction found in the base model, which "
        "never turns back by itself, makes the reasoning model turn back.",
    )
    return _MODELS[picked or "both"]


def _ask_labels(counts: Counter[str]) -> tuple[str, ...]:
    picked: list[str] = st.multiselect(
        "Labels to gather",
        [name for name, _ in counts.most_common()],
        key=f"{KEY}labels",
        persist_state="session",
        help="An event is the first token of a labelled part. Labels beside the one you are after serve as controls; "
        "each takes as much memory as the first.",
    )
    # Not in the options: the browser keeps those by their words, which another set's counts would make others.
    parts = ", ".join(f"{plain(name, 40)} {n:,}" for name, n in counts.most_common(MAX_COUNTS))
    more = f", and {len(counts) - MAX_COUNTS} more labels" if len(counts) > MAX_COUNTS else ""
    st.caption(f"Parts in these traces: {parts}{more}.")
    return tuple(picked)


def _ask_offsets(first: DeltaGenerator, last: DeltaGenerator) -> tuple[Window, ...]:
    """One single-offset window per offset. Raises BadInput for none or too many."""
    hint = "Tokens before (negative) or after an event's first token, which is offset 0. Both ends are included."
    for column, name in ((first, "first"), (last, "last")):
        column.number_input(
            f"{name.capitalize()} offset",
            min_value=-FAR,
            max_value=FAR,
            step=1,
            key=f"{KEY}map_{name}",
            persist_state="session",
            help=hint,
        )
    return offsets_of(int(st.session_state[f"{KEY}map_first"]), int(st.session_state[f"{KEY}map_last"]))


def offsets_of(first: int, last: int) -> tuple[Window, ...]:
    """One single-offset window for each offset from first to last. Raises BadInput for none or many."""
    if not 1 <= last - first + 1 <= MAX_OFFSETS:
        raise BadInput(
            f"The map was to run from offset {first} to {last}.",
            f"Choose a first offset below the last one, at most {MAX_OFFSETS} offsets in all.",
        )
    return single_offsets(first, last)


def _ask_layers(n_layers: int) -> tuple[int, ...]:
    if n_layers == 1:
        return (0,)
    key = f"{KEY}layers:{n_layers}"
    st.slider(
        "Layers",
        0,
        n_layers - 1,
        key=key,
        persist_state="session",
        help="The residual stream after these blocks, counted from 0. One pass over the traces serves all layers; "
        "leaving out the last ones saves time and memory.",
    )
    low, high = st.session_state[key]
    return tuple(range(low, high + 1))


def _set_defaults(counts: Counter[str], n_layers: int) -> None:
    common = [name for name, n in counts.most_common(MAX_LABELS) if n > 1] or list(counts)[:1]
    labels = (
        common if BACKTRACKING in common or BACKTRACKING not in counts else [BACKTRACKING, *common[: MAX_LABELS - 1]]
    )
    before = st.session_state.get(f"{KEY}labels")
    if before and not set(before) <= set(counts):
        st.session_state[f"{KEY}labels"] = [name for name in before if name in counts] or labels
    defaults = {
        "source": "both",
        "map_first": MAP_FIRST,
        "map_last": MAP_LAST,
        "labels": labels,
        f"layers:{n_layers}": (0, n_layers - 1),
    }
    set_anew({f"{KEY}{name}": value for name, value in defaults.items()}, unless=SUBMIT)
