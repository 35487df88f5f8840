"""The stage: slides over the whole window, worked by keys, and the same as one HTML file. Knows no run and no figure.

All slides are handed over at once: what a key does needs no server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Literal

import streamlit as st

from ui.components.colours import BACKGROUND, TEXT
from ui.components.lanes import Lane, lane_data
from ui.components.offline_page import offline_page
from ui.components.token_strip import read_assets

Theme = Literal["light", "dark"]
LIVE, CACHED = "LIVE", "CACHED"


@dataclass(frozen=True, kw_only=True)
class LanesSlide:
    """A question and the texts that answer it."""

    question: str
    lanes: tuple[Lane, ...]
    title: str = ""
    badge: str = ""
    """LIVE, CACHED, or when it was recorded."""


@dataclass(frozen=True, kw_only=True)
class FigureSlide:
    """Charts with a sentence below them."""

    title: str
    pictures: tuple[str, ...]
    """SVG, in the colours of the light theme."""
    sentence: str = ""
    badge: str = ""


@dataclass(frozen=True, kw_only=True)
class SaidSlide:
    """A sentence instead of what cannot be shown, and a button where there is something to do."""

    title: str
    text: str
    action: str = ""
    name: str = ""
    """What `on_act` is told when the button is pressed."""


Slide = LanesSlide | FigureSlide | SaidSlide


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """How the room gets in, shown over the slides by a key."""

    address: str
    words: str
    code: str = ""
    """SVG, dark on white; "" for none."""


_css, _js = read_assets("stage")
_component = st.components.v2.component("retrace_stage", css=_css, js=_js)
_LIST = """body{margin:0 auto;max-width:50rem;padding:2rem;font:1.2rem/1.6 system-ui,sans-serif;background:#ffffff;
color:#17212e}ol button{font:inherit;color:#1a56ad;background:none;border:0;padding:.2rem;text-align:left;
cursor:pointer;text-decoration:underline;overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{background:#10151c;color:#edf2f8}
ol button{color:#8fbcff}}"""
_MOUNT = """
const host = document.getElementById("stage");
const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
mount({ data: { ...embedded, theme }, parentElement: host, setTriggerValue: () => {} });
embedded.slides.forEach((slide, i) => {
  const line = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = slide.title || slide.question;
  button.addEventListener("click", () => host.stage.open(i));
  line.append(button);
  document.getElementById("list").append(line);
});
"""


def stage(
    slides: Sequence[Slide],
    *,
    key: str,
    theme: Theme,
    start: int = 0,
    begun: int = 0,
    invitation: Invitation | None = None,
    on_leave: Callable[[], None],
    on_act: Callable[[str], None],
) -> None:
    """Cover the window with the slides, beginning at number `start`, until the speaker leaves.

    Another `begun` begins anew, also where the browser has not been told yet that the speaker left. With an
    `invitation` the key Q shows it.
    """
    _component(
        key=key,
        data=_data(slides) | {"theme": theme, "start": start, "begun": begun} | _invite_data(invitation),
        on_leave_change=on_leave,
        on_act_change=lambda: on_act(str(st.session_state[key].get("act", ""))),
    )


def stage_html(slides: Sequence[Slide], *, title: str) -> str:
    """The slides as one HTML file with the same keys; leaving them shows their list."""
    return offline_page(
        title=title,
        style=f"{_css.replace(':host', ':root')}{_LIST}",
        body=f"<h1>{escape(title)}</h1><ol id='list'></ol><div id='stage'></div>",
        component=_js,
        mount=_MOUNT,
        data=_data(slides) | {"start": 0, "begun": 0},
        pictures=True,
    )


def _invite_data(invitation: Invitation | None) -> dict[str, object]:
    return {"invite": asdict(invitation) if invitation is not None else None}


def _data(slides: Sequence[Slide]) -> dict[str, object]:
    dark = [[colours["light"], colours["dark"]] for colours in (TEXT, BACKGROUND)]
    return {"slides": [slide_data(slide) for slide in slides], "dark": dark}


def slide_data(slide: Slide) -> dict[str, object]:
    """One slide as JSON-ready data."""
    if isinstance(slide, LanesSlide):
        lanes = [lane_data(lane) for lane in slide.lanes]
        grows = any(lane.state in ("queued", "running") for lane in slide.lanes)
        shown = {"kind": "lanes", "question": slide.question, "lanes": lanes, "live": slide.badge == LIVE and grows}
        return shown | {"title": slide.title, "badge": slide.badge}
    if isinstance(slide, FigureSlide):
        shown = {"kind": "figure", "pictures": list(slide.pictures), "sentence": slide.sentence, "badge": slide.badge}
        return shown | {"title": slide.title}
    shown = {"kind": "said", "text": slide.text, "action": slide.action, "name": slide.name}
    return shown | {"title": slide.title, "badge": ""}
