"""The keyword labeller: a set of words to edit, what it would mark, and keeping that as a labelling."""

from __future__ import annotations

import streamlit as st

from core.labelling.keywords import EXTENDED_KEYWORDS, LABEL_MEANINGS, KeywordSet, label_by_keywords, parse_keywords
from core.text.lines import shown_line
from core.text.words import KEYWORDS
from core.traces.events import BACKTRACKING, LABELS
from core.traces.set_files import TraceSet, checked_name
from core.values import Trace
from ui.components.safe_text import plain, tried
from ui.labelling.source import MAX_NAME, MAX_SENTENCE, WORDS_KEY, draw_labellings, first_traces
from ui.shell.jobs import take_ended
from ui.shell.state import caller, guarded, workbench

SLOT = "job:keywords"
LABEL_KEY, NAME_KEY = "labelling:keyword_label", "labelling:keyword_name"
PREVIEWED, LISTED = 200, 100
_SETS = {"The paper's two words": KEYWORDS, "A longer list": EXTENDED_KEYWORDS}


def draw_keywords(shown: TraceSet) -> None:
    """The form, its effect on the first traces, and the button that labels the whole set. Raises BadInput."""
    st.caption(
        "A sentence with one of the words gets the label; all others get none. Words are compared whole, ignoring case "
        "and punctuation; a phrase counts where its words follow each other."
    )
    st.session_state.setdefault(WORDS_KEY, ", ".join(KEYWORDS))
    with st.container(horizontal=True):
        for title, words in _SETS.items():
            st.button(title, on_click=_use, args=(words,))
    left, right = st.columns([3, 1])
    left.text_area("Keywords", key=WORDS_KEY, persist_state="session", height=96, help="Separated by commas or lines.")
    label = right.selectbox(
        "Label of their sentences",
        LABELS,
        index=LABELS.index(BACKTRACKING),
        key=LABEL_KEY,
        persist_state="session",
        help=" · ".join(f"**{name}** {meaning}" for name, meaning in LABEL_MEANINGS.items()),
    )
    keywords = tried(lambda: KeywordSet(keywords=parse_keywords(st.session_state[WORDS_KEY]), label=label))
    if keywords is None:
        return
    _ask_save(shown, keywords)
    _draw_outcome()
    _draw_preview(first_traces(shown, PREVIEWED), keywords)
    draw_labellings(shown)


def _use(words: tuple[str, ...]) -> None:
    st.session_state[WORDS_KEY] = ", ".join(words)


def _ask_save(shown: TraceSet, keywords: KeywordSet) -> None:
    name, button = st.columns([3, 1], vertical_alignment="bottom")
    typed = name.text_input("Save as", key=NAME_KEY, max_chars=MAX_NAME, placeholder=keywords.name)
    if button.button("Label the set", type="primary", width="stretch", icon=":material/label:"):
        guarded(lambda: _start(shown, keywords, typed or keywords.name), SLOT)
        st.rerun()


def _start(shown: TraceSet, keywords: KeywordSet, name: str) -> str:
    return workbench().label_by_keywords(shown.set_id, keywords, name=checked_name(name), caller=caller())


def _draw_outcome() -> None:
    snapshot = take_ended(SLOT)
    if snapshot is None:
        return
    if snapshot.state == "done":
        st.success(
            f"The labelling is saved with {snapshot.result:,} parts. Compare it under **Agreement**, or read it on the "
            "Traces page.",
            icon=":material/check_circle:",
        )
    elif snapshot.state == "cancelled":
        st.info("The labelling was stopped before its end; nothing was saved.", icon=":material/stop_circle:")


def _draw_preview(traces: tuple[Trace, ...], keywords: KeywordSet) -> None:
    labelled = label_by_keywords(traces, keywords)
    found = [(trace, trace.text[part.start : part.end]) for trace in labelled for part in trace.parts]
    n_traces = sum(bool(trace.parts) for trace in labelled)
    which = "the first " if len(traces) == PREVIEWED else ""
    st.markdown(f"**{len(found):,} sentences** in {n_traces:,} of {which}{len(traces):,} traces")
    if not found:
        st.info(
            "No sentence holds one of these words. Add a word, or choose another set of traces.",
            icon=":material/search:",
        )
        return
    st.dataframe(
        {
            "sentence": [shown_line(text, MAX_SENTENCE) for _, text in found[:LISTED]],
            "trace": [trace.trace_id for trace, _ in found[:LISTED]],
        },
        hide_index=True,
        height=280,
        column_config={
            "sentence": st.column_config.TextColumn(width="large"),
            "trace": st.column_config.TextColumn(width="small"),
        },
        alt="Sentences that the keywords mark",
    )
    if len(found) > LISTED:
        st.caption(f"The first {LISTED} are listed, all as {plain(keywords.label)}.")
