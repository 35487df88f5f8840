"""Child process that renders one untrusted chat template: JSON on stdin, JSON on stdout.

It runs under an address-space limit and a timer that the template cannot catch. It knows nothing of models or
tokenizers; `core.models.frames` starts it and judges what comes back.
"""

from __future__ import annotations

import datetime
import json
import sys

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.child import limit_process

RENDER_SECONDS = 2.0
MAX_CHARACTERS = 100_000


def _to_json(value: object, indent: int | None = None, ensure_ascii: bool = False) -> str:
    """As the model makers' own renderer does it: no HTML escapes, unlike jinja2's `tojson`."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)


def render(template: str, question: str, special_tokens: dict[str, str]) -> str:
    """The chat `template` with one user message and the opening of the answer.

    Raises jinja2.TemplateError for a template that is broken or reaches outside the sandbox.
    """
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    env.filters["tojson"] = _to_json
    env.globals.update(raise_exception=_raise, strftime_now=_now)
    return env.from_string(template).render(
        messages=[{"role": "user", "content": question}],
        add_generation_prompt=True,
        tools=None,
        documents=None,
        **special_tokens,
    )


def main() -> None:
    """Answer {"text"} or {"error"}."""
    request = json.load(sys.stdin)
    limit_process(RENDER_SECONDS)
    try:
        text = render(request["template"], request["question"], request["special_tokens"])
        answer = {"text": text} if len(text) <= MAX_CHARACTERS else {"error": "it writes too much text"}
    except MemoryError:
        answer = {"error": "it needs too much memory"}
    except RecursionError:
        answer = {"error": "it is nested too deeply"}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
