"""Several pairs side by side: the tables that `retrace zoo` measured over this store, and how one is made."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.series.folder import SavedSeries
from core.series.numbers import standings
from core.series.values import Series
from ui.components.safe_text import done, plain
from ui.components.ticks import draw_ticks
from ui.figures.catalogue import csv_text
from ui.figures.series_rows import series_rows, zoo_json
from ui.figures.zoo import note_of, zoo_html, zoo_table
from ui.shell.downloads import download
from ui.shell.state import guest, workbench

COMMAND = """\
python -m retrace plan fig3 fig4 --quick --layer choose --window choose --dose choose > plan.json
python -m retrace zoo plan.json demo/base,demo/reasoner demo/seeds/1/base,demo/seeds/1/reasoner --out zoo"""


def draw_zoos() -> None:
    """Every table that is kept, the newest open; below them how one is made."""
    st.subheader("Several pairs, one experiment", anchor=False)
    st.caption(
        "Does the effect need backtracking in the data, or one lucky training? The same plan on pairs that differ in "
        "one thing, each with its own layer, window and dose."
    )
    found = [one for one in workbench().series.list() if not one.plan.one_place]
    for one in found:
        _draw(one, is_first=one is found[0])
    with st.expander("How a table is made", icon=":material/terminal:", expanded=not found):
        st.code(COMMAND, language=None, wrap_lines=True)
        st.caption(
            "A pair is BASE,REASONER, either also as “id + adapter”; a finetune of this page is “base + its folder”. "
            "The command may be stopped and begun again; what it has measured is shown here meanwhile."
        )


def _draw(one: SavedSeries, *, is_first: bool) -> None:
    series = workbench().series.load(one.plan)
    n, total = series.n_done, len(one.plan.members)
    title = plain(one.plan.title.strip() or "One experiment on several pairs")
    state = f"{total} pairs" if series.finished else f"{n} of {total} pairs are measured"
    with st.expander(f"**{title}** · {state}", expanded=is_first, icon=":material/table_chart:"):
        st.dataframe(zoo_table(series), hide_index=True, width="stretch", key=f"zoo:{one.series_id}")
        st.caption(note_of(series))
        _draw_sentences(series, one.series_id)
        _draw_files(series, one.series_id)


def _draw_sentences(series: Series, key: str) -> None:
    """What the ticks of a pair stand for."""
    found = {standing.measured.member.name: standing for standing in standings(series)}
    if not found:
        st.caption("No pair has been measured yet.")
        return
    chosen = st.selectbox("In words", list(found), key=f"zoo:pair:{key}")
    if chosen in found:
        draw_ticks(found[chosen].ticks)


def _draw_files(series: Series, key: str) -> None:
    files = (
        ("HTML", lambda: zoo_html(series).encode(), "zoo.html", "text/html"),
        ("CSV", lambda: csv_text(series_rows(series)).encode(), "zoo.csv", "text/csv"),
        ("JSON", lambda: zoo_json(series), "zoo.json", "application/json"),
    )
    with st.container(horizontal=True, gap="small"):
        for label, make, name, mime in files:
            download(label, make, name, mime, key=f"zoo:file:{key}")
        if not guest():
            st.button("Delete", icon=":material/delete:", key=f"zoo:delete:{key}", on_click=partial(_delete, key))


def _delete(series_id: str) -> None:
    done(lambda: workbench().series.delete(series_id))
