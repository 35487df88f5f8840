"""A real server and a real Chromium. Every page fails its test on a request that leaves this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.processes import Forked

ROOT = Path(__file__).parents[2]
HOME = "One direction makes a reasoning model turn back. Does it?"
"""Home's heading."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True)
class Screen:
    """What the browser is told about its display; parametrise the fixture `screen` with others."""

    theme: Literal["light", "dark"] = "light"
    width: int = 1280
    height: int = 720
    touch: bool = False


@dataclass(frozen=True)
class Server:
    """A running app. `process` may be killed by a test; stopping a dead one is fine."""

    url: str
    cache: Path
    log: Path
    process: subprocess.Popen[bytes] | Forked


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(server: Server, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the server ended:\n{server.log.read_text()}"
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=2) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"no answer in {seconds} s:\n{server.log.read_text()}")


def begin(
    app: str, flags: list[str], env: dict[str, str], log: Path, *, anew: bool
) -> subprocess.Popen[bytes] | Forked:
    """The process of a server."""
    path = str(ROOT / app)
    if not anew and app == "app.py":
        return Forked("retrace.serve:main", flags, env=env, log=log)
    if not anew:
        return Forked("streamlit.web.cli:main", ["run", path, *flags], env=env, log=log)
    run = ["retrace.serve"] if app == "app.py" else ["streamlit", "run", path]
    command = [sys.executable, "-m", *run, *flags]
    with log.open("wb") as out:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)


@contextmanager
def running(app: str, cache: Path, env: Mapping[str, str] | None = None, *, anew: bool = False) -> Iterator[Server]:
    """An app of this repository on a free port, with its own cache, until the block ends.

    `anew`: in an interpreter of its own, as `make run` starts it, for tests of a server's beginning and end.
    """
    port = free_port()
    cache.mkdir(parents=True, exist_ok=True)
    log = cache.parent / f"{cache.name}-{port}.log"
    named = {"server.port": port, "server.headless": "true", "server.fileWatcherType": "none"}
    flags = [f"--{name}={value}" for name, value in named.items()]
    known = os.environ | {"RETRACE_CACHE": str(cache), "PYTHONPATH": str(ROOT)} | dict(env or {})
    process = begin(app, flags, known, log, anew=anew)
    server = Server(url=f"http://127.0.0.1:{port}", cache=cache, log=log, process=process)
    try:
        wait_until_healthy(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """`serve("app.py")`: one shared server per app and environment for the whole session."""
    servers: dict[tuple[str, ...], Server] = {}
    with ExitStack() as stack:

        def start(app: str, **env: str) -> Server:
            key = (app, *(f"{name}={value}" for name, value in sorted(env.items())))
            if key not in servers:
                cache = tmp_path_factory.mktemp("server") / "cache"
                servers[key] = stack.enter_context(running(app, cache, env))
            return servers[key]

        yield start


@pytest.fixture
def fresh_server(tmp_path: Path) -> Callable[..., AbstractContextManager[Server]]:
    """`with fresh_server("app.py") as server`: a server of this test alone."""
    return lambda app, anew=False, **env: running(app, tmp_path / "cache", env, anew=anew)


def find_chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in ((named,) if named else BROWSERS))
    return next((path for path in found if path), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: install the package `chromium`, or set CHROMIUM to a browser's path")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def screen() -> Screen:
    return Screen()


expect.set_options(timeout=20_000)


@pytest.fixture
def faults() -> list[str]:
    """What went wrong in the page so far; a test that provokes a fault clears it."""
    return []


def settled(page: Page) -> None:
    """Wait until no script runs."""
    app = page.locator("[data-testid=stApp]")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=90_000)


def scrolled_to(element: Locator) -> None:
    """Bring it into view, no script running and the scroll over: either would close a list that opens meanwhile."""
    settled(element.page)
    element.scroll_into_view_if_needed()
    element.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def watch(page: Page, faults: list[str]) -> None:
    def check(kind: str, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname not in ("127.0.0.1", "localhost"):
            faults.append(f"{kind} leaves this machine: {url[:200]}")

    page.on("request", lambda request: check("request", request.url))
    page.on("websocket", lambda channel: check("websocket", channel.url))
    page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
    page.on(
        "console", lambda line: faults.append(f"console error: {line.text[:300]}") if line.type == "error" else None
    )


@pytest.fixture
def new_page(browser: Browser, screen: Screen, faults: list[str]) -> Iterator[Callable[[], Page]]:
    """Opens watched pages, each in its own browser profile (a user of its own).

    What a page says while it is being closed (it can no longer send) is no fault of it.
    """
    contexts = []

    def open_page() -> Page:
        context = browser.new_context(
            viewport={"width": screen.width, "height": screen.height},
            color_scheme=screen.theme,
            has_touch=screen.touch,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(40_000)
        watch(page, faults)
        return page

    yield open_page
    found = list(faults)
    for context in contexts:
        context.close()
    assert not found, "\n".join(found)


@pytest.fixture
def page(new_page: Callable[[], Page]) -> Page:
    return new_page()
