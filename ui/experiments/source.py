"""Where an experiment's directions come from: labelled traces that both models read, or two saved directions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import streamlit as st

from core.directions.direction import Direction
from core.errors import BadInput
from core.experiments.values import Plan, SavedPair, TraceSource
from core.extraction.controls import CONTROL
from core.models.pair import ModelFacts, Role
from core.traces.events import BACKTRACKING, digest_of
from core.traces.set_files import EMBEDDED, TraceSet
from core.values import Trace
from ui.components.roles import NAMES
from ui.directions.choices import Choice, choices
from ui.experiments.widgets import kept
from ui.shell.frame import page_path
from ui.shell.state import workbench

KEY = "exp:"
_SOURCES = {"traces": "From traces", "saved": "Saved directions"}
Pair = tuple[ModelFacts, ModelFacts]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the directions are made of."""

    traces: TraceSource
    label: str
    saved: SavedPair | None
    read: tuple[Trace, ...] = ()
    """The traces themselves; they also have questions."""

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.label for trace in self.read for part in trace.parts))


def ask_source(facts: Pair, given: Plan | None, *, is_embedded: bool) -> Source:
    """The traces and label, or the saved directions. Raises BadInput where there are none."""
    usual = "saved" if given is not None and given.saved else "traces"
    source = st.segmented_control(
        "Directions",
        list(_SOURCES),
        format_func=_SOURCES.__getitem__,
        required=True,
        key=kept(f"{KEY}directions:{_of(given)}", usual),
        persist_state="session",
        help="A difference of means over labelled traces (paper, Eq. 3), of both models, at every layer and window "
        "that is compared; or directions that you saved, each at its own layer.",
    )
    if source == "saved":
        return _ask_saved(facts, given)
    return _ask_traces(given, is_embedded=is_embedded)


def _of(given: Plan | None) -> str:
    """Keeps the choices of a given plan apart from those of the presets."""
    return "given" if given is not None else "own"


def _ask_traces(given: Plan | None, *, is_embedded: bool) -> Source:
    sets = {found.set_id: found for found in workbench().trace_sets.list()}
    if not sets:
        st.page_link(page_path("traces"), label="Import traces", icon=":material/upload_file:")
        raise BadInput(
            "There are no labelled traces.", "Import some on the Traces page, or write some under Labelling."
        )
    usual = given.traces.name if given is not None else EMBEDDED if is_embedded else next(iter(sets))
    set_id = st.selectbox(
        "Traces",
        list(sets),
        format_func=lambda i: _title(sets[i]),
        key=kept(f"{KEY}set:{_of(given)}", usual if usual in sets else next(iter(sets)), among=sets),
        persist_state="session",
    )
    traces = workbench().trace_sets.load(set_id)
    counts = Counter(part.label for trace in traces for part in trace.parts)
    if not counts:
        st.page_link(page_path("labelling"), label="Label them", icon=":material/label:")
        raise BadInput(f"None of these {len(traces):,} traces has a labelled part.", "Label them first.")
    wanted = given.label if given is not None else BACKTRACKING
    label = st.selectbox(
        "Label of the events",
        list(counts),
        key=kept(
            f"{KEY}label:{set_id}:{_of(given)}",
            wanted if wanted in counts else counts.most_common(1)[0][0],
            among=counts,
        ),
        persist_state="session",
        help="An event is the first token of a part with this label. The other labels become controls.",
    )
    if not is_embedded and set_id == EMBEDDED:
        st.caption("These traces were written by the embedded pair: your own are usually better for your pair.")
    kind = TraceSource(kind="embedded" if set_id == EMBEDDED else "set", name=set_id, digest=digest_of(traces))
    return Source(traces=kind, label=label, saved=None, read=traces)


def _title(found: TraceSet) -> str:
    return f"{found.name} · {found.n_traces:,} traces"


def _ask_saved(facts: Pair, given: Plan | None) -> Source:
    """A saved direction of each model; the reasoning model's may be left out. Controls are not offered."""
    asked = given.saved if given is not None else None
    base, of_base = _ask_direction("base", facts[0], asked.base if asked else None, given)
    reasoner, of_reasoner = _ask_direction("reasoner", facts[1], asked.reasoner if asked else None, given)
    if of_base is not None and of_reasoner is not None and of_base.layer != of_reasoner.layer:
        raise BadInput(
            f"The two directions are of layers {of_base.layer} and {of_reasoner.layer}.", "Choose two of one layer."
        )
    return Source(traces=TraceSource(kind="none"), label=BACKTRACKING, saved=SavedPair(base=base, reasoner=reasoner))


def _ask_direction(
    role: Role, facts: ModelFacts, usual: str | None, given: Plan | None
) -> tuple[str, Direction | None]:
    """The id and the direction that was found in a model; ("", None) leaves the reasoning model's out."""
    found = {choice.direction_id: choice for choice in directions_of(facts)}
    if not found and role == "base":
        st.page_link(page_path("extraction"), label="Find a direction", icon=":material/explore:")
        raise BadInput(
            f"No direction that was found in {facts.name} is saved.", "Save one on the Extraction page, or use traces."
        )
    options = [*found, ""] if role == "reasoner" else [*found]
    picked = st.selectbox(
        f"Found in the {NAMES[role]}",
        options,
        format_func=lambda i: _named(found[i]) if i else "none",
        key=kept(
            f"{KEY}saved:{role}:{facts.fingerprint}:{_of(given)}",
            usual if usual is not None and usual in options else options[0],
            among=options,
        ),
        persist_state="session",
        help=f"Directions whose file says that they were found in the {NAMES[role]}; random and other controls are "
        "not among them.",
    )
    return (picked, found[picked].direction) if picked else ("", None)


def directions_of(facts: ModelFacts) -> list[Choice]:
    """Saved and recorded directions that were found in a model, no controls among them."""
    return [
        choice
        for choice in choices(d_model=facts.d_model)
        if facts.has_weights(choice.direction.fingerprint) and CONTROL not in dict(choice.direction.provenance)
    ]


def _named(choice: Choice) -> str:
    notes = dict(choice.direction.provenance)
    where = ", ".join(filter(None, (notes.get("label"), notes.get("window"), f"layer {choice.direction.layer}")))
    return f"{choice.title} · {where}"


def keep_recorded(saved: SavedPair | None, facts: Pair) -> None:
    """Put recorded directions that a plan names into the user's folder, where a plan finds them."""
    if saved is None:
        return
    for fact in facts:
        for choice in directions_of(fact):
            if choice.origin == "recorded" and choice.direction_id in (saved.base, saved.reasoner):
                workbench().directions.save(choice.direction)
