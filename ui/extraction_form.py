"""Asking what to extract: the traces, and a form that becomes an ExtractionSpec. It starts nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.directions import ExtractionSpec, Negatives
from core.errors import BadInput, UserFacingError
from core.examples import example_traces
from core.pair import ModelFacts, Role
from core.traces import TraceReport, digest_of, parse_traces
from core.values import PAPER_WINDOW, Trace, Window
from ui.text import plain, show_error, size

LABEL = "backtracking"
MAP_FIRST, MAP_LAST = -20, 5
MAX_OFFSETS = 64
MAX_TRACE_FILE_MB = 50
FAR = 400
KEY = "extraction:"
SUBMIT = "extraction:submit"
_EMBEDDED, _UPLOAD = "Embedded traces", "Upload a file"
_SUBTRACTED: dict[Negatives, str] = {"all": "All tokens (paper, Eq. 3)", "other": "Tokens outside the window"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the form says now, and whether it was just submitted. `spec.windows[0]` is the chosen window."""

    spec: ExtractionSpec
    traces: tuple[Trace, ...]
    submitted: bool


def single_offsets(first: int, last: int) -> tuple[Window, ...]:
    """One single-offset window for each offset from first to last, both included. Raises BadInput for none or many."""
    if not 1 <= last - first + 1 <= MAX_OFFSETS:
        raise BadInput(
            f"The map was to run from offset {first} to {last}.",
            f"Choose a first offset below the last one, at most {MAX_OFFSETS} offsets in all.",
        )
    return tuple(Window(start=offset, stop=offset + 1) for offset in range(first, last + 1))


def draw_form(facts: tuple[ModelFacts, ModelFacts]) -> Request | None:
    """The traces and the form; None, with the next step said, while there is nothing to extract from.

    Raises BadInput when window and offsets make no sense.
    """
    traces = _ask_traces()
    if not traces:
        return None
    counts = Counter(part.label for trace in traces for part in trace.parts)
    if not counts:
        show_error(
            BadInput(
                f"None of these {len(traces)} traces has a labelled part.",
                'Give each line "parts": a list of label, start and end.',
            )
        )
        return None
    _set_defaults(counts, facts[0].n_layers)
    with st.form(f"{KEY}form"):
        return _fields(facts, traces, counts)


def _fields(facts: tuple[ModelFacts, ModelFacts], traces: tuple[Trace, ...], counts: Counter[str]) -> Request:
    source, label, subtract = st.columns(3)
    with source:
        model = _ask_model(facts)
    with label:
        wanted = st.selectbox(
            "Label of the events",
            [name for name, _ in counts.most_common()],
            format_func=lambda name: f"{name} · {counts[name]:,} parts",
            key=f"{KEY}label",
            persist_state="session",
            help="An event is the first token of a part with this label: here, where the reasoning turns back.",
        )
    with subtract:
        negatives: Negatives = st.selectbox(
            "Subtracted mean",
            list(_SUBTRACTED),
            format_func=_SUBTRACTED.__getitem__,
            key=f"{KEY}negatives",
            persist_state="session",
            help="The direction is the mean activation in the window minus this mean. The paper subtracts the mean "
            "over all tokens of all traces, the window's included.",
        )
    _ask_offsets()
    layers = _ask_layers(model.n_layers)
    run, paper, _ = st.columns([2, 3, 5], vertical_alignment="center")
    submitted = run.form_submit_button("Extract", key=SUBMIT, type="primary", width="stretch")
    paper.form_submit_button("Use the paper's window", on_click=_use_paper_window, width="stretch")
    window, offsets = _chosen_offsets()
    spec = ExtractionSpec(
        model=model.spec,
        fingerprint=model.fingerprint,
        traces_digest=digest_of(traces),
        label=wanted,
        windows=tuple(dict.fromkeys((window, *offsets))),
        layers=layers,
        negatives=negatives,
    )
    return Request(spec=spec, traces=traces, submitted=submitted)


def _ask_model(facts: tuple[ModelFacts, ModelFacts]) -> ModelFacts:
    by_role: dict[Role, ModelFacts] = {"base": facts[0], "reasoner": facts[1]}
    titles = {"base": "Base model", "reasoner": "Reasoning model"}
    role: Any = st.segmented_control(
        "Model that reads the traces",
        list(by_role),
        format_func=titles.__getitem__,
        required=True,
        key=f"{KEY}source",
        persist_state="session",
        help="Both models can read the same traces. The paper's point: the direction found in the base model, which "
        "never turns back by itself, makes the reasoning model turn back.",
    )
    return by_role[role]


def _ask_offsets() -> None:
    hint = "Tokens before (negative) or after the event's first token, which is offset 0. Both ends are included."
    span = "The map shows each offset of this range on its own, beside the window."
    fields = {
        "first": ("Window: first offset", hint),
        "last": ("Window: last offset", hint),
        "map_first": ("Map: first offset", span),
        "map_last": ("Map: last offset", span),
    }
    for column, (name, (label, text)) in zip(st.columns(4), fields.items(), strict=True):
        column.number_input(
            label, min_value=-FAR, max_value=FAR, step=1, key=f"{KEY}{name}", persist_state="session", help=text
        )


def _chosen_offsets() -> tuple[Window, tuple[Window, ...]]:
    """The window and the map's single offsets. Raises BadInput where a first offset lies behind its last one."""
    first, last, map_first, map_last = (
        int(st.session_state[f"{KEY}{name}"]) for name in ("first", "last", "map_first", "map_last")
    )
    if first > last:
        raise BadInput(
            f"The window's first offset, {first}, lies behind its last one, {last}.",
            f"Choose a first offset below the last one; the paper uses {PAPER_WINDOW.label}.",
        )
    return Window(start=first, stop=last + 1), single_offsets(map_first, map_last)


def _ask_layers(n_layers: int) -> tuple[int, ...]:
    if n_layers == 1:
        return (0,)
    chosen: Any = st.slider(
        "Layers",
        0,
        n_layers - 1,
        key=f"{KEY}layers:{n_layers}",
        persist_state="session",
        help="The residual stream after these blocks, counted from 0. One pass over the traces serves all layers; "
        "leaving out the last ones saves time.",
    )
    low, high = chosen
    return tuple(range(low, high + 1))


def _set_defaults(counts: Counter[str], n_layers: int) -> None:
    defaults = {
        "source": "base",
        "negatives": "all",
        "first": PAPER_WINDOW.start,
        "last": PAPER_WINDOW.stop - 1,
        "map_first": MAP_FIRST,
        "map_last": MAP_LAST,
        "label": LABEL if LABEL in counts else counts.most_common(1)[0][0],
        f"layers:{n_layers}": (0, n_layers - 1),
    }
    if st.session_state.get(f"{KEY}label") not in counts:
        st.session_state.pop(f"{KEY}label", None)
    set_anew({f"{KEY}{name}": value for name, value in defaults.items()}, unless=SUBMIT)


def set_anew(defaults: dict[str, Any], *, unless: str) -> None:
    """Write the kept or default value of widgets that were not on the page just before, as the key `unless` tells.

    A value that Streamlit keeps for a widget that was away does not reach the browser: it would show its own default.
    """
    if unless not in st.session_state:
        for key, value in defaults.items():
            st.session_state[key] = st.session_state.get(key, value)


def _use_paper_window() -> None:
    st.session_state[f"{KEY}first"] = PAPER_WINDOW.start
    st.session_state[f"{KEY}last"] = PAPER_WINDOW.stop - 1


def _ask_traces() -> tuple[Trace, ...]:
    choice = st.segmented_control(
        "Labelled traces",
        [_EMBEDDED, _UPLOAD],
        required=True,
        default=_EMBEDDED,
        key=f"{KEY}traces",
        persist_state="session",
        help="Reasoning texts whose stretches are labelled. The embedded ones were written by the demo reasoner.",
    )
    if choice == _UPLOAD:
        return _uploaded()
    traces = example_traces()
    if not traces:
        st.info("No traces come with this copy of Retrace. Choose **Upload a file** above.", icon="📄")
    return traces


def _uploaded() -> tuple[Trace, ...]:
    file = st.file_uploader(
        "Traces as JSON Lines",
        type=["jsonl", "json", "txt"],
        key=f"{KEY}file",
        max_upload_size=MAX_TRACE_FILE_MB,
        help='One object per line: {"prompt": …, "text": …, "parts": [{"label": …, "start": …, "end": …}]}, where '
        "start and end count characters of the text, end not included.",
    )
    kept: tuple[str, TraceReport] | None = st.session_state.get(f"{KEY}report")
    if file is not None and (kept is None or kept[0] != file.file_id):
        report = _parse(file.getvalue(), file.name)
        kept = (file.file_id, report) if report else kept
        if kept and report:
            st.session_state[f"{KEY}report"] = kept
    if kept is None:
        st.info(
            "Upload a file with one trace per line. An example of a line is below; start and end count characters.",
            icon="📄",
        )
        st.code(
            '{"prompt": "What is 2 + 3?", "text": "It is 6. Wait, that is wrong.", '
            '"parts": [{"label": "backtracking", "start": 9, "end": 29}]}',
            language="json",
            wrap_lines=True,
        )
        return ()
    _report(kept[1])
    return kept[1].traces


def _parse(data: bytes, name: str) -> TraceReport | None:
    if len(data) > MAX_TRACE_FILE_MB << 20:
        show_error(
            BadInput(f"The file is {size(len(data))} large.", f"Split it: {MAX_TRACE_FILE_MB} MB are read at once.")
        )
        return None
    try:
        return parse_traces(data, source=name)
    except UserFacingError as error:
        show_error(error)
        return None


def _report(report: TraceReport) -> None:
    source = report.traces[0].source
    st.caption(f"{len(report.traces):,} traces of {plain(source, 80)} are in use.")
    if report.problems:
        _list_problems(report.problems)


def _list_problems(problems: Sequence[str]) -> None:
    with st.expander(f"{len(problems):,} lines could not be used; the others are", icon="⚠️"):
        st.dataframe({"line and reason": list(problems)}, hide_index=True)
