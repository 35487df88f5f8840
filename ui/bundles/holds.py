"""What a bundle holds, and what came from bundles: two lists."""

from __future__ import annotations

import streamlit as st

from core.bundles.origins import Origins
from core.experiments.words import NUMBERS
from ui.components.safe_text import plain
from ui.shell.frame import page_path
from ui.shell.handoff import open_experiment
from ui.shell.links import PRESENT
from ui.shell.opened import Opened
from ui.shell.recorded import day, held
from ui.shell.state import close_bundle, workbench


def draw_opened(opened: Opened) -> None:
    """The open bundle: its experiments with a way into each, and where else its contents are."""
    said = opened.manifest
    with st.container(border=True):
        head, button = st.columns([5, 1], vertical_alignment="center")
        head.markdown(
            f"**{plain(said.title, 160)}** :orange-badge[RECORDED {day(said.made_at)}]  \n{plain(held(said), 200)}"
        )
        button.button("Close", key="bundles:close", icon=":material/close:", on_click=close_bundle, width="stretch")
        for one in workbench().experiments.list():
            with st.container(horizontal=True, vertical_alignment="center"):
                figures = ", ".join(NUMBERS[figure] for figure in one.plan.figures)
                st.markdown(f"{plain(one.plan.title or one.plan.pair.reasoner.name, 100)} · {figures}", width="stretch")
                pressed = st.button("Open", key=f"bundles:open:{one.experiment_id}", icon=":material/science:")
            if pressed:
                open_experiment(one.experiment_id)
                st.switch_page(page_path("experiments"))
        if said.count("talk"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown("Talk", width="stretch")
                if st.button("Present", key="bundles:present", icon=":material/slideshow:"):
                    st.switch_page(page_path("talk"), query_params={PRESENT: "1"})
        versions = ", ".join(f"{name} {number}" for name, number in said.versions.items())
        st.caption(
            f"Every byte was checked; nothing in it is run. Packed with {plain(versions, 200)}. Its results are on the "
            "pages, apart from those of this machine: **Merge**, in the sidebar, brings them together."
        )


def draw_merged() -> None:
    """The bundles that were merged here; nothing where there were none."""
    found = Origins(workbench().store.root).list()
    if not found:
        return
    st.subheader("Merged here", anchor=False)
    st.dataframe(
        {
            "bundle": [origin.title for origin in found],
            "made": [day(origin.made_at) for origin in found],
            "merged": [day(origin.merged_at) for origin in found],
            "new here": [len(origin.new) for origin in found],
        },
        hide_index=True,
    )
