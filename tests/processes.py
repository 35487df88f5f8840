"""Processes that are there at once, forked from one that has imported torch, Streamlit and what else takes seconds.

What such a process runs, its signals and its end are those of any other; only the imports are not its own.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.settings import PROJECT

LIBRARIES = (
    "altair",
    "core.forward.acceptance",
    "core.models.loaded",
    "core.workbench",
    "streamlit.web.bootstrap",
    "streamlit.web.cli",
    "transformers.models.llama.modeling_llama",
)
"""Nothing of `ui`: its components belong to the server that imports them."""

_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(list(LIBRARIES))


class Forked:
    """A function in a process of its own, handled as a `subprocess.Popen` is."""

    def __init__(
        self, function: str, *args: object, env: Mapping[str, str], log: Path, out: Path | None = None
    ) -> None:
        """`function` is named as "module:name"; what it prints goes to `out`, and with all else to `log`."""
        self._out, self._log = out or log, log
        self._out.touch()
        self._log.touch()
        self._process = _fork.Process(target=_run, args=(function, args, dict(env), self._out, self._log), daemon=True)
        with _without_main():
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Its exit status, negative for the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status once it has ended. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("forked", timeout or 0.0)
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        """As `poll`."""
        return self.poll()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written to `out` and to `log` when it has ended. Raises subprocess.TimeoutExpired."""
        self.wait(timeout)
        return self._out.read_text("utf-8"), self._log.read_text("utf-8")

    def send_signal(self, number: int) -> None:
        """As `subprocess.Popen.send_signal`: nothing happens to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it without asking."""
        if self.poll() is None:
            self._process.kill()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A forked process would run `__main__` first, which a page that was tried may have taken the place of."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(function: str, args: tuple[object, ...], env: dict[str, str], out: Path, log: Path) -> None:
    """In the forked process."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(PROJECT)
    for stream, path in ((sys.stdout, out), (sys.stderr, log)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    module, _, name = function.partition(":")
    status = getattr(importlib.import_module(module), name)(*args)
    sys.exit(status if isinstance(status, int) else 0)
