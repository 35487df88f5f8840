"""A component as one HTML file that opens offline: the component itself, with its data beside it.

The only script that the file's policy lets run is ours, named by its hash; every text is data, set as text nodes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape

_OURS = "export default function"
_READ = """
const embedded = JSON.parse(document.getElementById("data").textContent);
"""


def offline_page(
    *, title: str, style: str, body: str, component: str, mount: str, data: object, pictures: bool = False
) -> str:
    """The page; `body` is markup of ours with every text escaped.

    `mount` is the script that gives `embedded`, the data, to `mount(…)`, the component. With `pictures` the policy lets
    images in that stand in the data themselves.
    """
    assert component.count(_OURS) == 1, "the component has one entry point"
    script = component.replace(_OURS, "const mount = function") + _READ + mount
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    images = "; img-src data:" if pictures else ""
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'{images}"
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style></head>",
            f"<body>{body}",
            f"<script type='application/json' id='data'>{script_safe(data)}</script>",
            f"<script type='module'>{script}</script></body></html>",
        )
    )


def script_safe(data: object) -> str:
    """JSON that stays data inside a script element: nothing in it can end the element or start another."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
