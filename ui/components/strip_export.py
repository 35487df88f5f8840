"""A token strip as one HTML file that opens offline: the component itself, with its data beside it."""

from __future__ import annotations

from html import escape

from ui.components.offline_page import offline_page
from ui.components.token_strip import Strip, read_assets, strip_data

_VARIABLES = {
    "light": {
        "text": "#17212e",
        "background": "#ffffff",
        "secondary-background": "#f4f6f9",
        "border": "#d3d9e2",
        "primary": "#2067c4",
        "blue": "#2f7de1",
        "orange": "#e8731a",
        "red": "#dc4450",
        "green": "#128a80",
        "gray": "#7b8494",
    },
    "dark": {
        "text": "#edf2f8",
        "background": "#10151c",
        "secondary-background": "#1a222d",
        "border": "#384353",
        "primary": "#5390e4",
        "blue": "#2f7de1",
        "orange": "#e8731a",
        "red": "#dc4450",
        "green": "#2fae9f",
        "gray": "#7b8494",
    },
}
_PAGE = """body{margin:0 auto;max-width:70rem;padding:1.5rem;background:var(--st-background-color);
color:var(--st-text-color);font-family:var(--st-font)}h1{font-size:1.4rem;overflow-wrap:anywhere}
p{line-height:1.5;overflow-wrap:anywhere}"""
_MOUNT = """
const host = document.getElementById("strip");
const state = { pinned: null, jump: 0 };
mount({ data: { ...embedded, ...state }, parentElement: host, setTriggerValue: () => {} });
"""


def strip_html(strip: Strip, *, title: str, note: str) -> str:
    """The strip with a heading and a note, light or dark as the reader's system is."""
    css, js = read_assets("token_strip")
    height = "window" if strip.sentences else None
    data = strip_data(strip) | {"size": "normal", "height": height, "label": title, "search": True, "stamp": "export"}
    return offline_page(
        title=title,
        style=f"{_theme()}{css.replace(':host', ':root')}{_PAGE}",
        body=f"<h1>{escape(title)}</h1><p>{escape(note)}</p><div id='strip'></div>",
        component=js,
        mount=_MOUNT,
        data=data,
    )


def _theme() -> str:
    """Streamlit's variables, for both themes."""
    fixed = "--st-font:system-ui,sans-serif;--st-code-font:monospace;--st-base-radius:6px;--st-button-radius:6px;"
    light, dark = (
        "".join(f"--st-{name}-color:{value};" for name, value in colours.items()) for colours in _VARIABLES.values()
    )
    return f":root{{{fixed}{light}color-scheme:light dark}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
