"""Which traces are labelled, and the labellings of them that can be compared or saved."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import streamlit as st

from core.errors import UserFacingError
from core.labelling.keywords import KeywordSet, label_by_keywords, parse_keywords
from core.text.words import KEYWORDS
from core.traces.set_files import TraceSet
from core.values import Trace
from ui.components.safe_text import plain
from ui.shell.handoff import SET_KEY
from ui.shell.notice import attempt, show_failure
from ui.shell.state import workbench

VIEW_KEY = "labelling_view"
WORDS_KEY = "labelling:words"
MAX_NAME = 120
MAX_SENTENCE = 400
"""Characters of a sentence in a table."""
_PLACE = "labellings"


@dataclass(frozen=True)
class Labeller:
    """One labelling of a set: its name, and where its parts come from."""

    kind: str
    """"own", "saved", or "keywords" for the words now in the keyword form, labelled on the spot."""
    name: str
    version: str
    """Changes when the parts do."""
    n_labels: int
    """How many different labels it gives."""

    @property
    def title(self) -> str:
        """What a select box shows."""
        return {"own": "The set's own labels", "keywords": f"{self.name} (not saved)"}.get(self.kind, self.name)


def choose_set(sets: list[TraceSet]) -> TraceSet:
    """The set that is labelled: the same choice as on the Traces page."""
    by_id = {found.set_id: found for found in sets}
    if st.session_state.get(SET_KEY) not in by_id:
        st.session_state[SET_KEY] = sets[0].set_id
    set_id = st.selectbox(
        "Trace set",
        list(by_id),
        format_func=lambda set_id: f"{by_id[set_id].name} · {by_id[set_id].n_traces:,} traces",
        key=SET_KEY,
        persist_state="session",
        help="Sets are imported, read and corrected on the Traces page.",
    )
    return by_id[set_id]


def labellers_of(shown: TraceSet) -> list[Labeller]:
    """The set's own labels where it has any, what was saved, and the keywords of the form. Raises BadInput."""
    own = [Labeller("own", "own", shown.digest, len(shown.counts))] if shown.counts else []
    found = workbench().trace_sets.labellings(shown.set_id)
    saved = [Labeller("saved", label.name, f"{label.saved_at}", len(label.counts)) for label in found]
    keywords = current_keywords()
    return [*own, *saved, Labeller("keywords", keywords.name, repr(keywords), 1)]


def current_keywords() -> KeywordSet:
    """The words of the keyword form; the paper's two while the form holds none that can be used."""
    try:
        return KeywordSet(keywords=parse_keywords(st.session_state.get(WORDS_KEY, ", ".join(KEYWORDS))))
    except UserFacingError:
        return KeywordSet()


def first_traces(shown: TraceSet, n: int) -> tuple[Trace, ...]:
    """The first traces of the set, read without the rest. Raises BadInput."""
    return tuple(itertools.islice(workbench().trace_sets.iterate(shown.set_id), n))


def traces_by(shown: TraceSet, labeller: Labeller) -> tuple[Trace, ...]:
    """The set with that labeller's parts. Raises BadInput."""
    sets = workbench().trace_sets
    traces = sets.load(shown.set_id)
    if labeller.kind == "own":
        return traces
    if labeller.kind == "keywords":
        return label_by_keywords(traces, current_keywords())
    parts = sets.load_labels(shown.set_id, labeller.name)
    return tuple(dataclasses.replace(trace, parts=p) for trace, p in zip(traces, parts, strict=True))


def draw_labellings(shown: TraceSet) -> None:
    """The saved labellings of the set, each with its counts and the way to delete it."""
    show_failure(_PLACE)
    found = workbench().trace_sets.labellings(shown.set_id)
    if not found:
        return
    st.subheader("Saved labellings of this set", anchor=False)
    for labelling in found:
        text, button = st.columns([8, 1], vertical_alignment="center")
        counts = ", ".join(f"{n:,} {plain(label, 40)}" for label, n in labelling.counts.items()) or "no parts"
        text.markdown(f"**{plain(labelling.name, MAX_NAME)}** · {counts}")
        with button.popover("Delete", width="stretch"):
            st.markdown(f"Delete **{plain(labelling.name, MAX_NAME)}** for good? The set and its own labels stay.")
            st.button(
                "Yes, delete it",
                key=f"labelling:delete:{shown.set_id}:{labelling.name}",
                on_click=_delete,
                args=(shown.set_id, labelling.name),
                type="primary",
            )


def draw_facts(shown: TraceSet) -> None:
    """One line on the set."""
    labels = f"{sum(shown.counts.values()):,} labelled parts" if shown.counts else "no labels of its own"
    st.caption(f"{shown.n_traces:,} traces · {shown.n_characters:,} characters · {labels}")


def _delete(set_id: str, name: str) -> None:
    attempt(lambda: workbench().trace_sets.delete_labels(set_id, name), _PLACE)
