"""The talk on its page: its items in their order, what each shows, and the ways to change and to take it away."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.experiments.words import NUMBERS
from core.sharing.door import sharing
from core.talk.items import MAX_TITLE, Talk, TalkItem
from ui.components.safe_text import plain
from ui.components.stage import SaidSlide, stage_html
from ui.shell.links import begin_to_present
from ui.shell.notice import attempt
from ui.shell.state import caller, opened_bundle, own_workbench, workbench
from ui.talk.presenter import KEEP
from ui.talk.slides import slides_of

PLACE = "talk"
SHOWN = 140
KEYS = (
    ("← →", "previous and next slide (or Page up and Page down, as a clicker sends them)"),
    ("Space", "the texts are written again, token by token; again: pause"),
    ("+ −", "faster, slower"),
    ("Home End", "nothing written, all of it"),
    ("D B F", "light or dark, blank, full screen"),
    ("Esc", "leave"),
)


def draw_bar(talk: Talk) -> None:
    """Present, take away, and keep the pair."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.button(
            "Present the talk", type="primary", icon=":material/slideshow:", on_click=begin_to_present, key="talk:begin"
        )
        st.download_button(
            "One offline file",
            lambda: talk_file(talk),
            file_name="talk.html",
            mime="text/html",
            on_click="ignore",
            icon=":material/download:",
            disabled=not talk.items,
            key="talk:file",
            help="The whole talk as one HTML file with the same keys: it needs no server and no network.",
        )
        if opened_bundle() is None:
            st.toggle(
                "Keep this pair for the talk",
                key=KEEP,
                persist_state="session",
                on_change=_keep_or_release,
                help="Nobody else can load another pair until you release it or close this tab. While you present it "
                "is kept by itself.",
            )
    keys = KEYS if sharing() is None else (*KEYS, ("Q", "the QR code and address for the room"))
    st.caption(" · ".join(f"**{key}** {does}" for key, does in keys))


def talk_file(talk: Talk) -> bytes:
    """The talk as one HTML file."""
    return stage_html(slides_of(workbench(), talk), title="Talk").encode()


def _keep_or_release() -> None:
    hold = own_workbench().pair_hold
    if st.session_state[KEEP]:
        attempt(partial(hold.keep, caller()), PLACE)
    else:
        hold.release(caller())


def draw_items(talk: Talk) -> None:
    """A row per item, in the order of the talk."""
    is_ours = opened_bundle() is None
    for number, item in enumerate(talk.items):
        with st.container(border=True):
            words, acts = st.columns([8, 5], vertical_alignment="center")
            words.markdown(f"**{number + 1}. {plain(item.title, MAX_TITLE)}**  \n:small[{_shows(item)}]")
            if is_ours:
                with acts:
                    _draw_acts(talk, number, item)


def _shows(item: TalkItem) -> str:
    """What an item shows, and that it is gone where it is."""
    slides = slides_of(workbench(), Talk(items=(item,)))
    if isinstance(slides[0], SaidSlide):
        return f":red[{plain(slides[0].text, 200)}]"
    if item.comparison is not None:
        lanes = " · ".join(lane.title for lane in item.comparison.lanes)
        return f"{plain(item.comparison.question, SHOWN)} · {plain(lanes, SHOWN)}"
    assert item.figure is not None
    plan = workbench().experiments.plan(item.figure.experiment_id)
    return f"{NUMBERS[item.figure.figure]} of {plain(plan.title or plan.pair.reasoner.name, SHOWN)}"


def _draw_acts(talk: Talk, number: int, item: TalkItem) -> None:
    folder, key = workbench().talk, f"talk:item:{hash(item.subject)}"
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        for sign, by, words, at_end in (
            (":material/arrow_upward:", -1, "Earlier", number == 0),
            (":material/arrow_downward:", 1, "Later", number == len(talk.items) - 1),
        ):
            move = partial(attempt, partial(folder.move, item, by), PLACE)
            st.button("", icon=sign, help=words, key=f"{key}:{words}", on_click=move, disabled=at_end)
        with st.popover("Rename"):
            name = f"{key}:name"
            st.text_input("Title of the slide", item.title, max_chars=MAX_TITLE, key=name)
            st.button("Save", key=f"{key}:save", on_click=_rename, args=(item, name))
        remove = partial(attempt, partial(folder.remove, item), PLACE)
        st.button("Remove", key=f"{key}:remove", on_click=remove, help="What it shows is kept.")


def _rename(item: TalkItem, name: str) -> None:
    attempt(lambda: workbench().talk.rename(item, st.session_state[name]), PLACE)


def draw_none() -> None:
    """How a talk begins."""
    st.info(
        "The talk is empty. Under the lanes of the **Steering playground** and under every figure of an experiment "
        "there is **Add to the talk**.",
        icon=":material/slideshow:",
    )


def draw_damaged() -> None:
    """The way on where the talk cannot be read."""
    if opened_bundle() is None:
        begin = partial(attempt, workbench().talk.clear, PLACE)
        st.button("Begin an empty talk", icon=":material/delete:", on_click=begin, key="talk:clear")
