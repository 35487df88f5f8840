"""The judge: whom to ask and with which prompt, how far the asking is, and keeping the answers as a labelling."""

from __future__ import annotations

import streamlit as st

from core.labelling.crew import Pace
from core.labelling.endpoint import Endpoint, configured_endpoint
from core.labelling.judge import MAX_BATCH, JudgeReport, JudgeSpec, batches_of, report_of
from core.labelling.prompt import DEFAULT_PROMPT, MAX_PROMPT, answer_format
from core.settings import JUDGE_KEY, JUDGE_MODEL, JUDGE_URL, has_judge_key
from core.traces.events import LABELS
from core.traces.set_files import TraceSet, checked_name
from core.values import Part
from ui.components.safe_text import plain, tried
from ui.labelling.source import MAX_NAME, draw_labellings, first_traces
from ui.shell.jobs import take_ended
from ui.shell.notice import act
from ui.shell.state import caller, guarded, take_over, workbench

SLOT = "job:judge"
MODEL_KEY, PROMPT_KEY, BATCH_KEY = "judge:model", "judge:prompt", "judge:batch"
AT_ONCE_KEY, PER_MINUTE_KEY, FIRST_KEY = "judge:at_once", "judge:per_minute", "judge:first"
NAME_KEY = "judge:name"
MAX_REASONS = 3
_SHOWN, _COUNTED = "judge:shown", "judge:counted"
_FIRST_HELP = "Begin with a few: the answers are kept, and a larger number later asks only for the rest."


def draw_judge(shown: TraceSet) -> None:
    """The form, or how to set the judge up; then the run and what came of it. Raises BadInput."""
    endpoint = configured_endpoint()
    if endpoint is None:
        _draw_set_up()
        return
    _draw_endpoint(endpoint)
    asked = _ask(shown, endpoint)
    if asked is None:
        return
    spec, pace, n_traces = asked
    left, right = st.columns([1, 4], vertical_alignment="center")
    if left.button("Ask the judge", type="primary", icon=":material/balance:", width="stretch"):
        _start(shown, spec, pace, n_traces)
    right.caption(
        f"{_n_questions(shown, spec, n_traces):,} questions for {n_traces:,} traces; what was answered before is not "
        f"asked again. The traces' texts go to {plain(endpoint.host)}."
    )
    _follow(shown)
    _draw_report(shown)
    draw_labellings(shown)


def _start(shown: TraceSet, spec: JudgeSpec, pace: Pace, n_traces: int) -> None:
    st.session_state.pop(_SHOWN, None)
    chosen = first_traces(shown, n_traces)
    if guarded(lambda: workbench().judge(spec, chosen, caller(), pace=pace), SLOT):
        st.session_state[f"{SLOT}:asked"] = (shown.set_id, spec, chosen)
    st.rerun()


def _n_questions(shown: TraceSet, spec: JudgeSpec, n_traces: int) -> int:
    """How many questions the traces make; counted anew only when they or the batch have changed."""
    asked = (shown.digest, n_traces, spec.batch)
    kept: tuple[object, int] | None = st.session_state.get(_COUNTED)
    if kept is None or kept[0] != asked:
        kept = (asked, sum(len(batches_of(trace, spec)) for trace in first_traces(shown, n_traces)))
        st.session_state[_COUNTED] = kept
    return kept[1]


def _draw_set_up() -> None:
    st.info(
        "No judge is set up. Any endpoint with OpenAI's chat completions will do, also a server on this machine. Set "
        "these variables where Retrace is started, and start it again.",
        icon=":material/balance:",
    )
    st.code(
        f"# the address before /chat/completions\nexport {JUDGE_URL}=https://api.example.com/v1\n"
        f"export {JUDGE_MODEL}=the-models-name\n"
        f"# if it needs a key; it is never shown, stored or logged\nexport {JUDGE_KEY}=…",
        language=None,
    )
    st.caption("Until then, sentences can be labelled by keywords, and labellings that were imported can be compared.")
    with st.expander("What the judge would be asked"):
        _draw_told(DEFAULT_PROMPT)


def _draw_endpoint(endpoint: Endpoint) -> None:
    key = "a key is set" if has_judge_key() else "no key is set"
    st.caption(f"Endpoint: **{plain(endpoint.host)}**, from the configuration · {key}")


def _draw_told(prompt: str) -> None:
    st.code(f"{prompt.strip()}\n\n{answer_format(LABELS)}", language=None, wrap_lines=True)


def _ask(shown: TraceSet, endpoint: Endpoint) -> tuple[JudgeSpec, Pace, int] | None:
    """What the form asks for, with the number of traces; None, with the reason shown, when that cannot work."""
    model, n_traces, batch, at_once, per_minute = _ask_numbers(shown, endpoint)
    st.session_state.setdefault(PROMPT_KEY, DEFAULT_PROMPT)
    with st.expander("Prompt", icon=":material/edit:"):
        prompt = st.text_area(
            "What the judge is asked", key=PROMPT_KEY, persist_state="session", height=340, max_chars=MAX_PROMPT
        )
        st.caption("The form of the answer is added after it:")
        st.code(answer_format(LABELS), language=None, wrap_lines=True)
        st.button("Back to the prompt that comes with Retrace", on_click=_reset_prompt)
    return tried(
        lambda: (
            JudgeSpec(endpoint=Endpoint(url=endpoint.url, model=model.strip()), prompt=prompt, batch=batch),
            Pace(at_once=at_once, per_minute=per_minute),
            n_traces,
        )
    )


def _ask_numbers(shown: TraceSet, endpoint: Endpoint) -> tuple[str, int, int, int, int]:
    """Model, traces, sentences in a question, questions side by side, and questions a minute."""
    st.session_state.setdefault(MODEL_KEY, endpoint.model)
    columns = st.columns([3, 2, 2, 2, 2], vertical_alignment="bottom")
    model = columns[0].text_input("Model", key=MODEL_KEY, persist_state="session", max_chars=200)
    fields = (
        (
            f"{FIRST_KEY}:{shown.set_id}",
            "First traces",
            min(20, shown.n_traces),
            shown.n_traces,
            _FIRST_HELP,
        ),
        (BATCH_KEY, "Sentences at once", 20, MAX_BATCH, "Consecutive sentences of one trace that a question holds."),
        (AT_ONCE_KEY, "Questions at once", 4, 32, "How many wait for an answer side by side."),
        (PER_MINUTE_KEY, "A minute, at most", 120, 10_000, "The endpoint's limit of requests per minute."),
    )
    numbers = []
    for column, (key, label, first, high, text) in zip(columns[1:], fields, strict=True):
        st.session_state.setdefault(key, first)
        numbers.append(int(column.number_input(label, 1, high, key=key, persist_state="session", help=text)))
    n_traces, batch, at_once, per_minute = numbers
    return model, n_traces, batch, at_once, per_minute


def _reset_prompt() -> None:
    st.session_state[PROMPT_KEY] = DEFAULT_PROMPT


def _follow(shown: TraceSet) -> None:
    """The run's progress; when it has ended, what is known by then is put on show."""
    take_over(SLOT, "judge")
    snapshot = take_ended(SLOT)
    if snapshot is None:
        return
    asked = st.session_state.pop(f"{SLOT}:asked", None)
    if asked is None or asked[0] != shown.set_id:
        return
    _, spec, chosen = asked
    failed = snapshot.progress.partial or {}
    report = snapshot.result or report_of(spec, chosen, lookup=workbench().cached, failed=failed)
    st.session_state[_SHOWN] = (shown.set_id, spec, report, snapshot.state)
    st.rerun()


def _draw_report(shown: TraceSet) -> None:
    kept: tuple[str, JudgeSpec, JudgeReport, str] | None = st.session_state.get(_SHOWN)
    if kept is None or kept[0] != shown.set_id:
        return
    _, spec, report, state = kept
    said = f"{report.n_labelled:,} of {report.n_sentences:,} sentences have a label."
    if state == "done" and not report.problems:
        st.success(said, icon=":material/check_circle:")
    else:
        begin = "The run was stopped. " if state == "cancelled" else ""
        st.warning(f"{begin}{said} Ask again to get the rest: what was answered is kept.", icon=":material/balance:")
    _draw_reasons(report)
    if report.problems:
        with st.expander(f"{len(report.problems):,} questions without labels, and why"):
            st.dataframe({"where and why": list(report.problems)}, hide_index=True)
    if report.n_labelled:
        _ask_save(shown, spec, report)


def _draw_reasons(report: JudgeReport) -> None:
    for reason, n in report.reasons[:MAX_REASONS]:
        st.caption(f"{n:,} question{'s' if n > 1 else ''}: {plain(reason, 400)}")
    if report.note:
        st.caption(report.note)


def _ask_save(shown: TraceSet, spec: JudgeSpec, report: JudgeReport) -> None:
    name, button = st.columns([3, 1], vertical_alignment="bottom")
    typed = name.text_input("Save as", key=NAME_KEY, max_chars=MAX_NAME, placeholder=spec.name)
    if button.button("Save the labelling", width="stretch", icon=":material/save:"):
        parts: list[tuple[Part, ...]] = [trace.parts for trace in report.traces]
        parts += [()] * (shown.n_traces - len(parts))
        act(
            lambda: workbench().trace_sets.save_labels(shown.set_id, checked_name(typed or spec.name), parts),
            "The judge's labelling is saved. Compare it under **Agreement**.",
        )
