"""Child process that renders one untrusted chat template: JSON on stdin, JSON on stdout.

It runs under an address-space limit and a timer that the template cannot catch. It knows nothing of models or
tokenizers; `core.chat_frame` starts it and judges what comes back.
"""

from __future__ import annotations

import datetime
import json
import signal
import sys
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

RENDER_SECONDS = 2.0
MEMORY_BYTES = 512 * 2**20
MAX_CHARACTERS = 100_000


def _limit_process() -> None:
    """The default action of SIGPROF ends the process even inside one long C call.

    It counts processor time: a template has the same chance on a busy machine.
    """
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, RENDER_SECONDS)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, OSError, ValueError):
        pass


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False) -> str:
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
    _limit_process()
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
