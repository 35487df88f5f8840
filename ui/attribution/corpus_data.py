"""All traces of a set read by one model against one direction: asking for that, and the marks of the texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution.corpus import AlignedText, CorpusText, CorpusTextSpec
from core.attribution.values import AttributionSpec
from core.errors import UserFacingError
from core.models.pair import ModelFacts, Role
from core.traces.set_files import TraceSet
from core.values import Floats, Trace
from ui.attribution.form import Request, TokenParts, place_parts, say_forms
from ui.attribution.source import SET_KEY, usable_sets
from ui.components.safe_text import plain
from ui.shell.how_read import told_frame
from ui.shell.jobs import Offer, forward_macs, is_live, obtain
from ui.shell.state import caller, workbench

MAX_TEXTS = 200
_SETTINGS = "corpus:settings"


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """Readings and marks of the texts of a set, by one model; lists run in the same order."""

    set_id: str
    role: Role
    indices: tuple[int, ...]
    """Place of each text in its set."""
    traces: tuple[Trace, ...]
    texts: tuple[CorpusText, ...]
    parts: tuple[TokenParts, ...]
    n_skipped: int
    """Traces that this model cannot read, for example since they are too long."""

    def aligned(self, values: Callable[[CorpusText], Floats], label: str) -> list[AlignedText]:
        """Every text with the starts of its parts of this label as events, of others as other starts."""
        return [
            AlignedText(
                values=values(text),
                first=text.spec.text_start,
                events=tuple(start for start, _, found in parts if found == label),
                others=tuple(start for start, _, found in parts if found != label),
            )
            for text, parts in zip(self.texts, self.parts, strict=True)
        ]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of all parts, in the order in which they are met."""
        return tuple(dict.fromkeys(label for parts in self.parts for _, _, label in parts))


@dataclass(frozen=True, kw_only=True)
class CorpusMethod:
    """A reading that is kept for all texts."""

    title: str
    unit: str
    per_layer: bool
    read: Callable[[CorpusText], Floats]

    def values(self, layer: int) -> Callable[[CorpusText], Floats]:
        """(seq,) of a text at a layer."""
        return lambda text: self.read(text)[layer] if self.per_layer else self.read(text)


CORPUS_METHODS = {
    "projection": CorpusMethod(title="Projection", unit="", per_layer=True, read=lambda text: text.projection),
    "cosine": CorpusMethod(title="Cosine", unit="", per_layer=True, read=lambda text: text.cosine),
    "p_keyword": CorpusMethod(
        title="P(next is a keyword)", unit="%", per_layer=False, read=lambda text: 100 * text.p_keyword
    ),
}


def choose_reading(
    left: DeltaGenerator, right: DeltaGenerator, request: Request, facts: ModelFacts
) -> tuple[CorpusMethod, int]:
    """Which reading, and at which layer where it has layers; anticipation and corpus share the choice."""
    key = left.segmented_control(
        "Reading",
        list(CORPUS_METHODS),
        default="projection",
        required=True,
        format_func=lambda name: CORPUS_METHODS[name].title,
        key="corpus_method",
        persist_state="session",
        wrap=True,
    )
    method = CORPUS_METHODS[key or "projection"]
    if key == "p_keyword":
        say_forms(request)
    if facts.n_layers == 1:
        return method, 0
    layer = right.slider(
        "Layer",
        0,
        facts.n_layers - 1,
        min(request.spec.direction.layer, facts.n_layers - 1),
        key=f"corpus_layer:{facts.n_layers}",
        persist_state="session",
        disabled=not method.per_layer,
    )
    return method, layer


def choose_set() -> TraceSet | None:
    """The set whose texts are read: the one that the form shows, or the first; None, with what to do, without any."""
    sets = usable_sets()
    if not sets:
        st.info(
            "There are no traces yet. Import some on the **Traces** page; they are then read here.",
            icon=":material/description:",
        )
        return None
    return next((found for found in sets if found.set_id == st.session_state.get(SET_KEY)), sets[0])


def read_set(found: TraceSet, role: Role, facts: ModelFacts, reading: AttributionSpec) -> Corpus | None:
    """The corpus at hand or now ready; otherwise its job is started, offered or followed."""
    direction = reading.direction.digest
    settings = (found.set_id, found.digest, facts.fingerprint, direction, reading.keywords, told_frame())
    asked: Asked | None = st.session_state.get(f"{_SETTINGS}:{role}")
    if asked is None or asked.settings != settings:
        asked = _plan(found, role, facts, reading, settings)
        st.session_state[f"{_SETTINGS}:{role}"] = asked
    texts = _texts(asked, role, facts)
    return _kept(asked, role) if texts is None else replace(asked.corpus, texts=texts)


def _kept(asked: Asked, role: Role) -> Corpus | None:
    """What is stored of a corpus whose reading was stopped or is not begun; None while it goes on, or of nothing."""
    if not asked.specs or is_live(f"job:corpus:{role}"):
        return None
    stored = [workbench().cached(spec) for spec in asked.specs]
    there = [i for i, text in enumerate(stored) if text is not None]
    if not there:
        return None
    st.info(
        f"{len(there):,} of {len(stored):,} texts were read before; below is what these say.", icon=":material/save:"
    )
    whole = asked.corpus
    return replace(
        whole,
        indices=tuple(whole.indices[i] for i in there),
        traces=tuple(whole.traces[i] for i in there),
        parts=tuple(whole.parts[i] for i in there),
        texts=tuple(text for text in stored if text is not None),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A corpus that was asked for: all but its texts, and their specs."""

    settings: object
    corpus: Corpus
    specs: tuple[CorpusTextSpec, ...]


def _plan(found: TraceSet, role: Role, facts: ModelFacts, reading: AttributionSpec, settings: object) -> Asked:
    frame = told_frame()
    indices, traces, specs, parts, skipped = [], [], [], [], 0
    for index, trace in enumerate(workbench().trace_sets.iterate(found.set_id)):
        if index >= MAX_TEXTS:
            break
        try:
            tokens = workbench().pair.read(role, trace.prompt, trace.text, frame=frame)
        except UserFacingError:
            skipped += 1
            continue
        if len(tokens.token_ids) - tokens.text_start < 2:
            skipped += 1
            continue
        indices.append(index)
        traces.append(trace)
        parts.append(place_parts(trace, tokens.spans, text_start=tokens.text_start)[0])
        specs.append(
            CorpusTextSpec(
                model=facts.spec,
                fingerprint=facts.fingerprint,
                token_ids=tokens.token_ids,
                text_start=tokens.text_start,
                direction=reading.direction,
                keywords=reading.keywords,
            )
        )
    corpus = Corpus(
        set_id=found.set_id,
        role=role,
        indices=tuple(indices),
        traces=tuple(traces),
        texts=(),
        parts=tuple(parts),
        n_skipped=skipped,
    )
    return Asked(settings=settings, corpus=corpus, specs=tuple(specs))


def _texts(asked: Asked, role: Role, facts: ModelFacts) -> tuple[CorpusText, ...] | None:
    if not asked.specs:
        st.warning(
            "No trace of this set can be read by this model: they are too long for it, or empty.",
            icon=":material/description:",
        )
        return None
    tokens = sum(len(spec.token_ids) for spec in asked.specs)
    offer = Offer(
        macs=forward_macs(facts, tokens),
        words=f"Reading {len(asked.specs)} traces ({tokens:,} tokens) with {plain(facts.name)} takes a while. It can "
        "be stopped and goes on where it was; the result is kept.",
        button=f"Read all traces with {plain(facts.name)}",
    )
    return obtain(
        asked.settings,
        f"corpus:{role}",
        tuple,
        lambda: workbench().read_corpus(asked.specs, caller()),
        offer=offer,
        in_store=False,
    )


def label_rows(corpus: Corpus, values: Callable[[CorpusText], Floats]) -> dict[str, Floats]:
    """Label → the values of all its tokens, over all texts; tokens outside every part are left out."""
    found: dict[str, list[Floats]] = {label: [] for label in corpus.labels}
    for text, parts in zip(corpus.texts, corpus.parts, strict=True):
        row = values(text)
        for start, end, label in parts:
            found[label].append(row[start:end])
    return {label: np.concatenate(rows) for label, rows in found.items() if rows}
