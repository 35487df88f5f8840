"""A token strip as one HTML file that opens offline: the component itself, with its data beside it.

The only script that the file's policy lets run is ours, named by its hash; the text is data, set as text nodes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape

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
const embedded = JSON.parse(document.getElementById("data").textContent);
const host = document.getElementById("strip");
const state = { pinned: null, jump: 0 };
mount({ data: { ...embedded, ...state }, parentElement: host, setTriggerValue: () => {} });
"""
_OURS = "export default function"


def strip_html(strip: Strip, *, title: str, note: str) -> str:
    """The strip with a heading and a note, light or dark as the reader's system is."""
    css, js = read_assets("token_strip")
    assert js.count(_OURS) == 1, "the component has one entry point"
    script = js.replace(_OURS, "const mount = function") + _MOUNT
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    height = "window" if strip.sentences else None
    data = strip_data(strip) | {"size": "normal", "height": height, "label": title, "search": True, "stamp": "export"}
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_theme()}{css.replace(':host', ':root')}{_PAGE}</style></head>",
            f"<body><h1>{escape(title)}</h1><p>{escape(note)}</p><div id='strip'></div>",
            f"<script type='application/json' id='data'>{script_safe(data)}</script>",
            f"<script type='module'>{script}</script></body></html>",
        )
    )


def script_safe(data: object) -> str:
    """JSON that stays data inside a script element: nothing in it can end the element or start another."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _theme() -> str:
    """Streamlit's variables, for both themes."""
    fixed = "--st-font:system-ui,sans-serif;--st-code-font:monospace;--st-base-radius:6px;--st-button-radius:6px;"
    light, dark = (
        "".join(f"--st-{name}-color:{value};" for name, value in colours.items()) for colours in _VARIABLES.values()
    )
    return f":root{{{fixed}{light}color-scheme:light dark}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
