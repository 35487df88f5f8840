"""Making a bundle on the page: what goes in, and its download."""

from __future__ import annotations

import streamlit as st

from core.bundles.contents import of_directions, of_experiment, of_project, of_runs, of_talk
from core.bundles.writing import SUFFIX
from core.text.lines import shown_line
from ui.components.safe_text import size, tried
from ui.shell.bundle_files import Choose, bundle_bytes, sums_bytes
from ui.shell.state import workbench

EXPERIMENT, TALK, RUNS, DIRECTIONS, ALL = "An experiment", "The talk", "Runs", "Directions", "Everything"
MOST_RUNS = 5_000
KIND_KEY, ONE_KEY, PINNED_KEY, SUMS_KEY = "bundles:kind", "bundles:one", "bundles:pinned", "bundles:sums"


def draw_make() -> None:
    """What goes in, and the download of it."""
    kind = st.radio(
        "What goes in",
        (EXPERIMENT, TALK, RUNS, DIRECTIONS, ALL),
        horizontal=True,
        key=KIND_KEY,
        persist_state="session",
    )
    ways = {EXPERIMENT: _ask_experiment, TALK: _ask_talk, RUNS: _ask_runs, DIRECTIONS: _ask_directions}
    asked = ways.get(str(kind), _ask_all)()
    if asked is None:
        return
    name, choose = asked
    st.download_button(
        "Download the bundle",
        lambda: bundle_bytes(choose),
        file_name=f"{name}{SUFFIX}",
        mime="application/octet-stream",
        on_click="ignore",
        type="primary",
        icon=":material/inventory_2:",
        key="bundles:download",
    )
    st.caption("For what is too large for a browser: `python -m retrace bundle`.")


def _ask_experiment() -> tuple[str, Choose] | None:
    found = {one.experiment_id: one.plan for one in workbench().experiments.list()}
    if not found:
        st.info("No experiment is kept yet. Every experiment that you run is offered here.", icon=":material/science:")
        return None
    if st.session_state.get(ONE_KEY) not in found:
        st.session_state[ONE_KEY] = next(iter(found))
    chosen = st.selectbox(
        "Experiment",
        list(found),
        format_func=lambda one: shown_line(found[one].title or found[one].pair.reasoner.name, 100),
        key=ONE_KEY,
        persist_state="session",
    )
    sums = _ask_sums()
    plan, outcome = found[chosen], workbench().experiments.outcome(chosen)
    return f"experiment-{chosen[:8]}", lambda root, store: of_experiment(root, store, plan, outcome, sums=sums)


def _ask_talk() -> tuple[str, Choose] | None:
    talk = tried(workbench().talk.read)
    if talk is None:
        return None
    if not talk.items:
        st.info("The talk is empty: add comparisons and figures to it first.", icon=":material/slideshow:")
        return None
    st.caption(
        f"{len(talk.items)} items in their order, with the {len(talk.run_ids)} runs and {len(talk.experiment_ids)} "
        "experiments that they show. Whoever opens the bundle can present it."
    )
    sums = _ask_sums()
    return "talk", lambda root, store: of_talk(root, store, sums=sums)


def _ask_runs() -> tuple[str, Choose] | None:
    entries = workbench().history.entries(MOST_RUNS)
    pinned = [entry.run_id for entry in entries if entry.record.pinned_at]
    if not entries:
        st.info("No run has been kept yet. Every run of the playground is offered here.", icon=":material/tune:")
        return None
    only = st.toggle(f"Only the {len(pinned):,} pinned ones", key=PINNED_KEY, disabled=not pinned)
    ids = pinned if only and pinned else [entry.run_id for entry in entries]
    st.caption(f"{len(ids):,} runs with their texts, tokens, notes and pins.")
    return "runs", lambda root, store: of_runs(root, store, ids, title=f"{len(ids)} runs")


def _ask_directions() -> tuple[str, Choose] | None:
    n, sets = len(workbench().directions.list()), len(workbench().mean_vectors.list())
    if not n + sets:
        st.info("No direction is saved yet.", icon=":material/explore:")
        return None
    st.caption(f"{n:,} saved directions and {sets:,} sets of mean vectors.")
    return "directions", lambda root, store: of_directions(root)


def _ask_all() -> tuple[str, Choose]:
    st.caption("Experiments, runs, directions, traces and all stored readings; what is unfinished stays here.")
    sums = _ask_sums()
    return "results", lambda root, store: of_project(root, store, sums=sums)


def _ask_sums() -> bool:
    return st.toggle(
        "With the sums of extraction passes",
        value=True,
        key=SUMS_KEY,
        persist_state="session",
        help=f"The maps of the Extraction page are made of them. All that are kept here take {size(sums_bytes())}.",
    )
