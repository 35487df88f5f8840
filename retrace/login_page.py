"""The pages of a shared server that need no session: log in, log out. No script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape

STYLE = """
:root { color-scheme: light dark; --text: #17212e; --back: #ffffff; --line: #8a94a3; --main: #1f63c6; --bad: #a81d30 }
@media (prefers-color-scheme: dark) {
  :root { --text: #edf2f8; --back: #10151c; --line: #7a8796; --main: #3b7de3; --bad: #ff9aa2 }
}
* { box-sizing: border-box }
body { margin: 0; color: var(--text); background: var(--back); font: 18px/1.5 "Segoe UI", "Noto Sans", sans-serif }
main { max-width: 24rem; margin: 12vh auto 0; padding: 0 1.25rem 2rem }
h1 { font-size: 1.6rem; margin: 0 0 .5rem }
label { display: block; margin: 1.5rem 0 .35rem; font-weight: 600 }
input, button { width: 100%; min-height: 3rem; font: inherit; border-radius: .4rem; padding: 0 .8rem }
input { color: inherit; background: transparent; border: 1px solid var(--line) }
button { margin-top: 1rem; color: #ffffff; background: var(--main); border: 1px solid var(--main); font-weight: 600 }
input:focus-visible, button:focus-visible { outline: 3px solid var(--main); outline-offset: 2px }
.bad { color: var(--bad); font-weight: 600 }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with both pages. Under no-referrer browsers would hide a form's origin, which is checked."""


def login_page(*, problem: str = "", then: str = "/") -> str:
    """The form; `problem` says why it is there again, `then` is the page that was asked for."""
    told = f'<p class="bad" role="alert">{escape(problem)}</p>' if problem else ""
    return _page(
        "Log in",
        f"""<p>The speaker shows the password.</p>{told}
<form method="post" action="/login"><input type="hidden" name="then" value="{escape(then)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" maxlength="200" required autofocus autocomplete="current-password"
 autocapitalize="none" autocorrect="off" spellcheck="false">
<button>Log in</button></form>""",
    )


def logout_page() -> str:
    """Asks before a session is ended, which a link from elsewhere must not do."""
    return _page(
        "Log out",
        '<p>This ends your session here.</p><form method="post" action="/logout"><button>Log out</button></form>',
    )


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Retrace: {title}</title><style>{STYLE}</style></head>
<body><main><h1>Retrace</h1>{body}</main></body></html>
"""
