"""Asking what to extract: traces, models, labels, layers and offsets become a MomentsSpec per model. Starts nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import BadInput
from core.extraction.moments import FOLDS, MomentsSpec, bytes_needed, largest_folds, single_offsets
from core.models.pair import ROLES, ModelFacts, Role
from core.traces.events import BACKTRACKING, digest_of
from core.values import PAPER_WINDOW, Trace, Window
from ui.components.roles import TITLES
from ui.components.safe_text import plain, show_error
from ui.extraction.how_read import ask_frames
from ui.extraction.trace_choice import KEY, ask_traces
from ui.extraction.usual import usual_place
from ui.shell.state import set_anew, workbench

MAP_FIRST, MAP_LAST = -40, 10
MAX_OFFSETS = 64
MAX_LABELS, MAX_COUNTS = 8, 20
FAR = 400
SUBMIT = "extraction:submit"
EXACT = "extraction:exact"
"""Windows that are gathered as a union of positions, beside the paper's and the usual one."""
Facts = tuple[ModelFacts, ModelFacts]
_MODELS: dict[str, tuple[Role, ...]] = {"both": ROLES, "base": ("base",), "reasoner": ("reasoner",)}
_TITLES = {"both": "Both models"} | {str(role): title for role, title in TITLES.items()}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the form says now."""

    specs: dict[Role, MomentsSpec]
    """Of both models, whichever are asked for."""
    roles: tuple[Role, ...]
    """The models that are to read the traces."""
    traces: tuple[Trace, ...]

    @property
    def asked(self) -> tuple[MomentsSpec, ...]:
        """The specs of the models asked for."""
        return tuple(self.specs[role] for role in self.roles)


def draw_form(facts: Facts, settings: DeltaGenerator) -> Request | None:
    """The traces, and all else in a popover in the place for `settings`; None, with the next step said, while there is
    nothing to extract from.

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
    with settings.popover(_settings_title(facts[0].n_layers), icon=":material/tune:", width="stretch"):
        return _fields(facts, traces, counts)


def _settings_title(n_layers: int) -> str:
    """What is read, as far as it fits a button."""
    state = st.session_state
    low, high = state.get(f"{KEY}layers:{n_layers}", (0, n_layers - 1))
    first, last = state[f"{KEY}map_first"], state[f"{KEY}map_last"]
    return f"Layers {low}–{high}, offsets {first} to {last}".replace("-", "−")


def _fields(facts: Facts, traces: tuple[Trace, ...], counts: Counter[str]) -> Request:
    roles = _ask_models()
    labels = _ask_labels(counts)
    layers = _ask_layers(facts[0].n_layers)
    offsets = _ask_offsets(*st.columns(2, vertical_alignment="bottom"))
    frames = ask_frames(traces[0])
    if not labels:
        raise BadInput("No label is chosen.", "Choose the label of the events, and others to compare it with.")
    exact = (PAPER_WINDOW, usual_place(facts, layers).window, *st.session_state.get(EXACT, ()))
    specs = {
        role: MomentsSpec(
            model=fact.spec,
            fingerprint=fact.fingerprint,
            frame=frames[role],
            traces_digest=digest_of(traces),
            labels=labels,
            windows=tuple(dict.fromkeys((*exact, *offsets))),
            layers=layers,
            shuffled=BACKTRACKING if BACKTRACKING in labels else labels[0],
        )
        for role, fact in zip(ROLES, facts, strict=True)
    }
    specs = {role: _with_folds(spec, facts[0].d_model, len(traces)) for role, spec in specs.items()}
    return Request(specs=specs, roles=roles, traces=traces)


def _with_folds(spec: MomentsSpec, d_model: int, n_traces: int) -> MomentsSpec:
    """The spec with as many folds as fit a file of the store, and no more than there are pairs of traces."""
    possible = [folds for folds in FOLDS if 2 * folds <= n_traces] or [min(FOLDS)]
    needed = [bytes_needed(replace(spec, folds=folds), d_model).unfinished for folds in possible]
    return replace(spec, folds=largest_folds(possible, needed, workbench().moments.room()))


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
