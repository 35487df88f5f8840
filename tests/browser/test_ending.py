"""A server that is told to end, in a real process: it ends soon, with status 0, and keeps what it had."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from core.disk.store import Store
from core.runs.journal import RunJournal
from core.runs.values import Generation
from tests.browser.conftest import Server, running
from tests.browser.tiny_server import prepare

STARTED = "started"
SECONDS = 10
"""Generous, for a busy machine: it takes about one."""


@contextmanager
def visited(server: Server) -> Iterator[None]:
    """A visitor who opens the page and stays."""
    address = server.url.replace("http", "ws") + "/_stcore/stream"
    with connect(address, subprotocols=["streamlit"], max_size=None, open_timeout=30) as channel:
        message = BackMsg()
        message.rerun_script.query_string = ""
        channel.send(message.SerializeToString())
        threading.Thread(target=read_all, args=(channel,), daemon=True).start()
        yield


def read_all(channel: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        for _ in channel:
            pass


def wait_for(path: Path, server: Server) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, server.log.read_text()
        assert server.process.poll() is None, server.log.read_text()
        time.sleep(0.02)


def ended(server: Server, number: int) -> int:
    server.process.send_signal(number)
    return server.process.wait(SECONDS)


@pytest.mark.parametrize(
    ("kind", "number"), [("load", signal.SIGTERM), ("decode", signal.SIGTERM), ("extract", signal.SIGINT)]
)
def test_told_to_end_with_a_job_running_the_server_ends_cleanly(tmp_path, monkeypatch, kind, number):
    monkeypatch.setenv("RETRACE_TEST_JOB", kind)
    env = prepare(tmp_path) if kind == "decode" else {}
    with running("tests/browser/job_app.py", tmp_path / "cache", env, anew=True) as server, visited(server):
        wait_for(server.cache / STARTED, server)
        assert ended(server, number) == 0
        said = server.log.read_text()
    assert "Traceback" not in said
    assert "terminate called" not in said
    runs = RunJournal(server.cache).interrupted()
    assert len(runs) == (kind == "decode")
    for run in runs:
        (generation,) = run.generations
        assert len(generation.token_ids) >= 20
        store = Store(server.cache)
        kept = store.get(Generation, "unfinished", generation.spec)
        assert kept is not None
        assert kept.token_ids[: len(generation.token_ids)] == generation.token_ids
        store.close()
    sums = list((server.cache / "files" / "unfinished_moments").glob("*.safetensors"))
    assert len(sums) == (kind == "extract")


@pytest.mark.parametrize("opened", [False, True])
def test_told_to_end_while_idle_the_server_ends_cleanly(tmp_path, opened):
    with running("app.py", tmp_path / "cache", anew=True) as server:
        if opened:
            with visited(server):
                wait_for(server.cache / "values", server)
                assert ended(server, signal.SIGTERM) == 0
        else:
            assert ended(server, signal.SIGTERM) == 0


def test_a_killed_server_leaves_the_text_in_the_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRACE_TEST_JOB", "decode")
    with (
        running("tests/browser/job_app.py", tmp_path / "cache", prepare(tmp_path), anew=True) as server,
        visited(server),
    ):
        wait_for(server.cache / STARTED, server)
        assert ended(server, signal.SIGKILL) == -signal.SIGKILL
    (run,) = RunJournal(server.cache).interrupted()
    assert len(run.generations[0].token_ids) >= 20
