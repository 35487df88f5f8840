"""A shared server of its own for tests, and requests to it as bytes, so that nothing mends a strange one."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.settings import CACHE, PASSWORD, PROJECT
from tests.browser.conftest import free_port

WORD = "a password of tests"


@dataclass
class Room:
    """A running shared server, and where what it prints goes."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def keys(self) -> list[str]:
        """The keys of the links printed so far."""
        return re.findall(r"login\?key=(\S+)", self.log.read_text())


@dataclass(frozen=True)
class Answer:
    """What came back to one request."""

    status: int
    head: str
    body: str

    @property
    def cookie(self) -> str:
        found = re.search(r"retrace_session=([^;\"]+)", self.head)
        return found[1] if found else ""


@contextmanager
def room(root: Path, *, password: str = WORD, flags: tuple[str, ...] = ()) -> Iterator[Room]:
    """A shared server on this machine alone, until the block ends."""
    port, log = free_port(), root / "room.log"
    env = os.environ | {CACHE: str(root / "cache"), PASSWORD: password, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "retrace.serve", "--share", "--server.address", "127.0.0.1"]
    command += ["--server.port", str(port), "--server.headless", "true", *flags]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=out, stderr=subprocess.STDOUT)
    running = Room(port, log, process)
    try:
        until = time.monotonic() + 60
        while "open this link" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(20)


def ask(room: Room, target: str, *, method: str = "GET", cookie: str = "", body: str = "", **headers: str) -> Answer:
    """One request, its target as it is written here."""
    named = {"Host": f"127.0.0.1:{room.port}", "Accept": "text/html", "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"Cookie": f"retrace_session={cookie}"} if cookie else {}
    named |= {"Content-Length": str(len(body))} if body or method in ("POST", "PUT") else {}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", body]
    with socket.create_connection(("127.0.0.1", room.port), timeout=20) as line:
        line.sendall("\r\n".join(lines).encode("latin-1"))
        got = b""
        while chunk := line.recv(65_536):
            got += chunk
    head, _, text = got.decode("latin-1").partition("\r\n\r\n")
    return Answer(int(head.split(" ", 2)[1]) if head else 0, head, text)


def log_in(room: Room, password: str = WORD, *, then: str = "/", **headers: str) -> Answer:
    """The form, sent by the server's own page."""
    form = {"Origin": room.url, "Content-Type": "application/x-www-form-urlencoded"} | headers
    body = urllib.parse.urlencode({"password": password, "then": then})
    return ask(room, "/login", method="POST", body=body, **form)
