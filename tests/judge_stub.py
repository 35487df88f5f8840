"""A chat-completions endpoint on this machine that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-canary-3f9c1d77e2"
Label = Callable[[str], str]


@dataclass(frozen=True)
class Reply:
    """What to send back: `content` as a chat completion's, `body` as it is, or `pieces` until the client hangs up."""

    status: int = 200
    content: object = ""
    body: str | bytes | None = None
    pieces: Callable[[], Iterator[bytes]] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def labelled(sentences: dict[str, str], label: Label) -> Reply:
    """A well-formed answer."""
    return Reply(content=json.dumps({"labels": {number: label(text) for number, text in sentences.items()}}))


def by_keyword(sentence: str) -> str:
    return "backtracking" if "wait" in sentence.lower() else "deduction"


@dataclass
class Stub:
    """`script(n_before, sentences)` decides the reply to the question with these sentences, asked `n_before` times."""

    script: Callable[[int, dict[str, str]], Reply]
    read: Callable[[dict[str, Any]], dict[str, Any]] = lambda question: json.loads(question["messages"][-1]["content"])
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _times: Counter[str] = field(default_factory=Counter)

    def reply_to(self, path: str, key: str, question: dict[str, Any]) -> Reply:
        material = self.read(question)
        name = json.dumps(material["sentences"])
        self.paths.append(path)
        self.keys.append(key)
        self.asked.append(question)
        self._times[name] += 1
        return self.script(self._times[name] - 1, material["sentences"])


def always(reply: Reply) -> Callable[[int, dict[str, str]], Reply]:
    return lambda n_before, sentences: reply


def well(n_before: int, sentences: dict[str, str]) -> Reply:
    return labelled(sentences, by_keyword)


def after(*replies: Reply) -> Callable[[int, dict[str, str]], Reply]:
    """Each question gets these replies first, then a good one."""
    return lambda n_before, sentences: replies[n_before] if n_before < len(replies) else well(n_before, sentences)


@contextmanager
def running(script: Callable[[int, dict[str, str]], Reply]) -> Iterator[Stub]:
    """The endpoint, until the block ends."""
    stub = Stub(script)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            reply = stub.reply_to(self.path, self.headers.get("authorization", ""), json.loads(data))
            stub.released.wait(reply.seconds)
            body = reply.body
            if body is None:
                body = json.dumps({"choices": [{"message": {"role": "assistant", "content": reply.content}}]})
            data = body if isinstance(body, bytes) else body.encode()
            length = () if reply.pieces else (("content-length", str(len(data))),)
            self.send_response(reply.status)
            for name, value in (*reply.headers, *length):
                self.send_header(name, value)
            self.end_headers()
            for piece in reply.pieces() if reply.pieces else (data,):
                self.wfile.write(piece)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is no fault."""

    server = Server(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.released.set()
        server.shutdown()
        server.server_close()
