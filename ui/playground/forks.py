"""Going on from a pinned token, and the tree of what came of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from core.forward.edits import SteeringSpec
from core.models.pair import Role
from core.runs.forks import fork_spec
from core.runs.history import HistoryEntry, RunRecord, run_id_of
from core.runs.values import Generation, GenerationSpec
from ui.components.safe_text import plain, visible
from ui.playground.plan import Plan, plan_of, subtitle_of, title_of
from ui.playground.settings import Settings
from ui.shell.links import Field
from ui.shell.state import caller, guarded, workbench

Source = Literal["lane", "settings", "none"]
SOURCES: dict[Source, str] = {"lane": "as in this lane", "settings": "as set above", "none": "none from here on"}
OPEN_KEY = "pg_open"
MAX_OPEN = 4
SHOWN = 60
_RUN_ID = re.compile(r"[0-9a-f]{20}")


def read_open(raw: str) -> list[str]:
    """Run ids of a link. Raises ValueError."""
    ids = raw.split(",")
    if len(ids) > MAX_OPEN or not all(map(_RUN_ID.fullmatch, ids)):
        raise ValueError(f"allowed: up to {MAX_OPEN} ids of runs")
    return ids


FORK_FIELDS = (Field(name="open", key=OPEN_KEY, default=[], parse=read_open, show=",".join),)


def open_runs(run_ids: Sequence[str]) -> None:
    """Show these runs as lanes instead of those of the settings. To be called before the page draws, in a callback."""
    st.session_state[OPEN_KEY] = list(run_ids)[:MAX_OPEN]
    st.session_state["pg_view"] = "lanes"


def opened() -> list[RunRecord]:
    """The runs that are open; those that are gone are left out, and said so."""
    asked: list[str] = st.session_state[OPEN_KEY]
    found = {run_id: record for run_id in asked if (record := workbench().history.find(run_id)) is not None}
    if len(found) < len(asked):
        st.warning("A run that was asked for is not on this machine any more.", icon=":material/folder_open:")
        st.session_state[OPEN_KEY] = list(found)
    return list(found.values())


def compared_with_first(plan: Plan) -> Plan:
    """The plan with every lane compared with the first, as for forks of it."""
    return Plan(
        specs=plan.specs,
        titles=plan.titles,
        subtitles=plan.subtitles,
        references=(None, *(0 for _ in plan.specs[1:])),
    )


def fork_plan(parent: Generation, spec: GenerationSpec) -> Plan:
    """Parent and fork side by side."""
    return compared_with_first(plan_of([parent.spec, spec]))


def ask_fork(parent: Generation, token: int, settings: Settings, *, slot: str, ran_key: str) -> None:
    """The controls under the lanes while a token is pinned; the fork's job is put under `slot`.

    Raises BadInput for text or a token that cannot be gone on from.
    """
    kept = "".join(parent.pieces[:token])
    name = f"pg_fork:{run_id_of(parent.spec)}:{token}"
    st.session_state.setdefault("pg_fork_steering", "settings")
    with st.container(border=True, gap="xsmall"):
        _draw_head(parent, token)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            source = st.segmented_control(
                "Steering from here on",
                list(SOURCES),
                format_func=SOURCES.__getitem__,
                required=True,
                key="pg_fork_steering",
                width="content",
            )
            with st.popover("Text and sampling", icon=":material/edit:"):
                text = st.text_area("Text before it; edit it to change the past", kept, key=f"{name}:text", height=200)
                own = st.toggle("Sampling as in this lane", value=True, key="pg_fork_sampling", persist_state="session")
            pressed = st.button("Continue from here", icon=":material/call_split:", key=f"{name}:go", type="primary")
        if not pressed:
            return
        spec = fork_spec(
            parent,
            token,
            steering=_steering(source or "settings", settings.program),
            sampling=None if own else settings.sampling,
            prefix=None if text == kept else workbench().pair.continuation(_role(parent), text),
        )
        if guarded(lambda: workbench().fork(parent, spec, token, caller()), slot):
            workbench().comparisons.note([parent.spec, spec])
            st.session_state[ran_key] = fork_plan(parent, spec)
            st.session_state[OPEN_KEY] = [run_id_of(parent.spec), run_id_of(spec)]
        st.rerun()


def _draw_head(parent: Generation, token: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown(f"##### Continue from token {token}", width="content")
        st.caption(
            f"“{plain(visible(parent.pieces[token]), SHOWN)}” of {plain(title_of(parent.spec))} is chosen anew; "
            "what stands before it is kept.",
            width="stretch",
            help="Other steering begins at the fork; what steered the text before it stays as it was. With "
            "steering and sampling as in this lane, the fork goes on exactly as the lane did.",
        )


def _steering(source: Source, program: tuple[SteeringSpec, ...]) -> tuple[SteeringSpec, ...] | None:
    choices: dict[Source, tuple[SteeringSpec, ...] | None] = {"lane": None, "settings": program, "none": ()}
    return choices[source]


def _role(parent: Generation) -> Role:
    return workbench().pair.role_of(parent.spec.model, parent.spec.fingerprint) or "reasoner"


def draw_tree(run_id: str) -> None:
    """The tree of forks that a run belongs to; a press on one shows it beside its parent."""
    rows = workbench().history.tree(run_id)
    if len(rows) < 2:
        return
    with st.expander(f"Tree of forks: {len(rows)} runs", expanded=True, icon=":material/account_tree:"):
        for depth, entry in rows:
            _draw_row(depth, entry)


def _draw_row(depth: int, entry: HistoryEntry) -> None:
    record, shown = entry.record, entry.run_id in st.session_state[OPEN_KEY]
    after = record.generation.pieces[record.forked_at : record.forked_at + 12] if record.parent else ()
    where = f"token {record.forked_at} · “{plain(visible(''.join(after)), SHOWN)}” · " if record.parent else "root · "
    label = f"{'▪' if shown else '▫'} {where}{plain(title_of(record.generation.spec))}"
    indent, button = st.columns([0.001 + 0.6 * depth, 12 - 0.6 * min(depth, 10)])
    indent.empty()
    button.button(
        label,
        key=f"pg_tree:{entry.run_id}",
        on_click=open_runs,
        args=([record.parent, entry.run_id] if record.parent else [entry.run_id],),
        type="tertiary",
        help=plain(subtitle_of(record.generation.spec)),
    )
