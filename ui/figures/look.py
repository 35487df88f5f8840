"""How the report looks: one style sheet, light and dark as the reader's system is, at any width and on paper."""

from __future__ import annotations

from typing import Literal

from ui.components.colours import BACKGROUND, NEUTRAL, TEXT

_STATES = {
    "light": {"line": "#d3d9e2", "quiet": "#5b6675", "yes": "#0b6b62", "no": "#b3202d", "open": "#7a5900"},
    "dark": {"line": "#384353", "quiet": "#a9b4c2", "yes": "#4cc5b7", "no": "#ff8a92", "open": "#e0b64a"},
}
_BODY = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:84rem;padding:1.5rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,"Segoe UI","Noto Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.3rem;margin:2.5rem 0 .5rem;border-top:1px solid var(--line);padding-top:1.25rem}
p,li{max-width:52rem}
.quiet{color:var(--quiet)}
.ticks{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr));gap:.75rem;padding:0;
margin:1rem 0;list-style:none}
.ticks li{border:1px solid var(--line);border-left:5px solid var(--state);border-radius:6px;padding:.75rem 1rem;
background:var(--soft)}
.ticks b{display:block}
.ticks .state{color:var(--state);font-weight:700}
.yes{--state:var(--yes)}.no{--state:var(--no)}.open{--state:var(--open)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,36rem),1fr));gap:1.25rem;align-items:start}
.charts figure{margin:0}
img{display:block;width:100%;height:auto;max-width:40rem}
details{margin:.5rem 0}
summary{cursor:pointer;font-weight:600;padding:.25rem 0}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:right;white-space:nowrap}
th{font-weight:600;text-align:left;vertical-align:bottom;white-space:normal;min-width:4.5rem}
td.text{text-align:left}
blockquote{margin:.5rem 0 1rem;border-left:3px solid var(--line);padding:.25rem 0 .25rem 1rem}
.made{white-space:pre-wrap;font:14px/1.5 ui-monospace,"DejaVu Sans Mono",monospace}
.methods{background:var(--soft);border-radius:6px;padding:1rem;user-select:all}
@media(max-width:600px){body{padding:1rem .75rem}h1{font-size:1.4rem}}
@media print{body{max-width:none;padding:0;font-size:11pt}.charts figure,.ticks li,tr{break-inside:avoid}
h2{break-after:avoid}.scroll{overflow:visible}table{font-size:7pt}th,td{padding:.15rem .3rem}}
"""


def style() -> str:
    """The style sheet. Paper is always light."""
    return (
        f":root{{{_variables('light')}color-scheme:light dark}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables('dark')}}}}}{_BODY}"
    )


def _variables(mode: Literal["light", "dark"]) -> str:
    colours = {"ink": TEXT[mode], "paper": BACKGROUND[mode], "soft": NEUTRAL[mode]} | _STATES[mode]
    return "".join(f"--{name}:{value};" for name, value in colours.items())
