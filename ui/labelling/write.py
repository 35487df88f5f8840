"""Writing traces with the loaded reasoning model: questions, sampling, the run, and the set that it becomes."""

from __future__ import annotations

import streamlit as st

from core.embedded import example_questions
from core.errors import BadInput
from core.models.pair import ModelFacts
from core.runs.questions import QuestionList, read_questions
from core.runs.values import WHOLE, Generation, GenerationSpec
from core.runs.written_traces import generation_specs, traces_of
from core.traces.set_files import checked_name
from core.values import MAX_NEW_TOKENS, Prompt, SamplingSpec, Trace
from ui.components.safe_text import plain, tried
from ui.labelling.source import MAX_NAME, VIEW_KEY
from ui.shell.handoff import SET_KEY
from ui.shell.how_read import told_frame
from ui.shell.jobs import take_ended
from ui.shell.notice import act
from ui.shell.state import caller, guarded, is_recorded, pair_facts, workbench

SLOT = "job:write"
FROM_KEY, FILE_KEY, COUNT_KEY = "write:from", "write:file", "write:count"
TOKENS_KEY, TEMPERATURE_KEY, TOP_P_KEY, SEED_KEY, NAME_KEY = (
    f"write:{name}" for name in ("tokens", "temperature", "top_p", "seed", "name")
)
FORM = "written by a model"
_ASKED, _WRITTEN, _LIST = "write:asked", "write:written", "write:list"
_EXAMPLES, _UPLOAD = "Examples", "Upload a list"


def draw_write() -> None:
    """The form, the run, and saving what it gave. Raises BadInput."""
    facts = pair_facts()
    if is_recorded():
        st.info("Writing traces needs the models.", icon=":material/inventory_2:")
        return
    if facts is None:
        st.info(
            "The model pair is still loading; the sidebar shows how far it is. The form appears here.",
            icon=":material/hourglass_top:",
        )
        return
    reasoner = facts[1]
    st.caption(
        f"**{plain(reasoner.name)}** answers each question by itself, unsteered; its reasoning becomes a trace without "
        "labels, and the answer after it is left out."
    )
    questions = _ask_questions()
    if questions:
        _ask_run(reasoner, questions)
    _follow()
    _draw_written()


def _ask_questions() -> tuple[str, ...]:
    """The chosen questions; none, with the next step said, while there are none."""
    way = st.segmented_control(
        "Questions", [_EXAMPLES, _UPLOAD], default=_EXAMPLES, required=True, key=FROM_KEY, persist_state="session"
    )
    if way == _UPLOAD:
        return _uploaded()
    examples = tuple(example.prompt for example in example_questions("heldout"))
    if not examples:
        st.info("No questions come with this copy of Retrace. Choose **Upload a list**.", icon=":material/description:")
    return examples


def _uploaded() -> tuple[str, ...]:
    file = st.file_uploader(
        "Questions, one a line, JSON Lines or a JSON array",
        type=["txt", "jsonl", "json"],
        key=FILE_KEY,
        help='An item of JSON is a string, an object with "prompt", "question" or "problem", or chat messages.',
    )
    kept: tuple[str, QuestionList] | None = st.session_state.get(_LIST)
    if file is not None and (kept is None or kept[0] != file.file_id):
        read = tried(lambda: read_questions(file.getvalue(), source=file.name))
        if read is None:
            return ()
        kept = st.session_state[_LIST] = (file.file_id, read)
    if kept is None:
        st.info("Upload a list of questions; each gives one trace.", icon=":material/description:")
        return ()
    if kept[1].problems:
        with st.expander(
            f"{len(kept[1].problems):,} lines or items hold no question; the others are used", icon=":material/warning:"
        ):
            st.dataframe({"line and reason": list(kept[1].problems)}, hide_index=True)
    return tuple(question.prompt for question in kept[1].questions)


def _ask_run(reasoner: ModelFacts, questions: tuple[str, ...]) -> None:
    most = min(MAX_NEW_TOKENS, reasoner.context_length - 1)
    defaults = {TOKENS_KEY: min(512, most), TEMPERATURE_KEY: 0.6, TOP_P_KEY: 0.95, SEED_KEY: 0}
    for key, value in defaults.items():
        st.session_state.setdefault(key, value)
    columns = st.columns(5)
    count = columns[0].number_input(
        "How many",
        1,
        len(questions),
        min(20, len(questions)),
        key=f"{COUNT_KEY}:{len(questions)}",
        help="From the first on.",
    )
    tokens = columns[1].number_input("New tokens, at most", 1, most, key=TOKENS_KEY, persist_state="session")
    temperature = columns[2].number_input(
        "Temperature", 0.0, 2.0, step=0.1, key=TEMPERATURE_KEY, persist_state="session", help="0 is greedy."
    )
    top_p = columns[3].number_input("Top-p", 0.05, 1.0, step=0.05, key=TOP_P_KEY, persist_state="session")
    seed = columns[4].number_input(
        "Seed", 0, 10**9, key=SEED_KEY, persist_state="session", help="The i-th question gets this number plus i."
    )
    st.caption(f"{len(questions):,} questions are at hand. The first: {plain(questions[0], 200)}")
    if st.button("Write traces", type="primary", icon=":material/edit_note:"):
        sampling = SamplingSpec(max_new_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed)
        if guarded(lambda: _start(reasoner, questions[:count], sampling), SLOT):
            st.rerun()


def _start(reasoner: ModelFacts, questions: tuple[str, ...], sampling: SamplingSpec) -> str:
    """Start the job for the completions that are not finished yet. Raises BadInput for a question that is too long."""
    prompts = [_encoded(number, question) for number, question in enumerate(questions, start=1)]
    specs = generation_specs(prompts, model=reasoner.spec, fingerprint=reasoner.fingerprint, sampling=sampling)
    st.session_state[_ASKED] = specs
    st.session_state.pop(_WRITTEN, None)
    return workbench().generate_set([spec for spec in specs if _finished(spec) is None], caller())


def _encoded(number: int, question: str) -> Prompt:
    try:
        return workbench().pair.encode("reasoner", question, frame=told_frame())
    except BadInput as error:
        raise BadInput(f"Question {number}: {error.problem}", error.remedy) from error


def _finished(spec: GenerationSpec) -> Generation | None:
    """The whole completion of a spec, also one whose run was stopped while others of its batch went on."""
    found: Generation | None = workbench().cached(spec) or workbench().unfinished(spec)
    return found if found is not None and found.stop_reason in WHOLE else None


def _follow() -> None:
    """The run's progress; when it has ended, what is finished by then is put on show."""
    if take_ended(SLOT) is None:
        return
    specs: tuple[GenerationSpec, ...] = st.session_state.pop(_ASKED, ())
    st.session_state[_WRITTEN] = (specs, [found for spec in specs if (found := _finished(spec)) is not None])
    st.rerun()


def _draw_written() -> None:
    """What is finished of the last run, and the button that makes it a set."""
    specs, finished = st.session_state.get(_WRITTEN, ((), []))
    if not specs or SLOT in st.session_state:
        return
    if not finished:
        st.info("No completion is finished yet. Press **Write traces** to go on.", icon=":material/edit_note:")
        return
    written = traces_of(finished)
    facts = [f"{len(finished):,} of {len(specs):,} completions are finished"]
    if written.n_cut_off:
        facts.append(f"{written.n_cut_off:,} were cut off at the token limit")
    if written.n_empty:
        facts.append(f"{written.n_empty:,} hold no reasoning and give no trace")
    go_on = "" if len(finished) == len(specs) else " Press **Write traces** to go on with the rest; they are kept."
    st.success(f"{', '.join(facts)}.{go_on}", icon=":material/edit_note:")
    if written.traces:
        _ask_save(written.traces, specs)


def _ask_save(traces: tuple[Trace, ...], specs: tuple[GenerationSpec, ...]) -> None:
    first = traces[0].text.strip()
    with st.container(border=True):
        st.caption("The first one begins")
        st.text(first[:600] + ("…" if len(first) > 600 else ""))
    name, button = st.columns([3, 1], vertical_alignment="bottom")
    model, sampling = specs[0].model.name, specs[0].sampling
    default = f"{model}, {len(traces)} questions"
    typed = name.text_input("Name of the set", key=NAME_KEY, max_chars=MAX_NAME, placeholder=default)
    if button.button(f"Save {len(traces):,} traces as a set", type="primary", width="stretch", icon=":material/save:"):
        source = f"{model}, temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, seeds from {sampling.seed}"
        act(
            lambda: _save(traces, typed or default, source),
            "The traces are saved as a set, and it is the one chosen below. Now label them.",
            then=(VIEW_KEY, "Keywords"),
        )


def _save(traces: tuple[Trace, ...], name: str, source: str) -> None:
    st.session_state[SET_KEY] = workbench().trace_sets.save(traces, name=checked_name(name), source=source, form=FORM)
    del st.session_state[_WRITTEN]
