"""One question to an OpenAI-compatible endpoint, and what can go wrong with it. Knows no labels and no traces.

Address and model come from the configuration, the key from the environment alone. The key is read when a client is
made and kept in it; it is part of no value, message or log line, and no redirect is followed to take it elsewhere.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn
from urllib.parse import SplitResult, quote, urlsplit

from core.errors import BadInput
from core.labelling.manner import Manner, Message
from core.labelling.replies import BadReply, answer_of, error_status, unpacked, words_of
from core.settings import JUDGE_KEY, JUDGE_MODEL, JUDGE_URL

if TYPE_CHECKING:
    import httpx2

TIMEOUT_SECONDS = 90.0
MAX_REPLY_BYTES, MAX_REFUSAL_BYTES = 1 << 20, 1 << 16
MAX_RETRY_AFTER = 120.0
_LOCAL = ("localhost", "127.0.0.1", "::1")
_MAY_PASS = (200, 408, 409, 425, 429)
_PLACEHOLDER, _PIECE = 4, 8
"""Characters under which a key is a placeholder, and of a piece of a key that is not shown."""
_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.http2", "httpcore2.proxy")
_HIDDEN = "***"

Scope = Literal["once", "batch", "job"]


class Secret:
    """A key. Its repr and str are ***, and it can be neither copied into JSON nor pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return _HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        raise TypeError("A key is not written anywhere.")

    def reveal(self) -> str:
        """The key itself, for the one header that needs it."""
        return self._value

    def hide(self, text: str) -> str:
        """The text with *** for the key, also where it is cut, percent-coded, escaped or in base64."""
        if len(self._value) < _PLACEHOLDER:
            return text
        for form in self._forms():
            pieces = {form[i : i + _PIECE] for i in range(max(1, len(form) - _PIECE + 1))}
            found = [match.span() for piece in pieces for match in re.finditer(f"(?={re.escape(piece)})", text)]
            hidden = {at for start, _ in found for at in range(start, start + min(_PIECE, len(form)))}
            if hidden:
                text = re.sub("\0+", _HIDDEN, "".join("\0" if i in hidden else c for i, c in enumerate(text)))
        return text

    def _forms(self) -> set[str]:
        plain = self._value
        coded = base64.b64encode(plain.encode()).decode().rstrip("=")
        return {plain, quote(plain, safe=""), html.escape(plain), json.dumps(plain)[1:-1], coded}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the judge is asked (the address, with or without /chat/completions), and which of its models."""

    url: str
    model: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _base(self.url))
        remedy = f"Set {JUDGE_URL} to an address such as https://api.example.com/v1 and start Retrace again."
        parts = _split(self.url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput("The judge's address is not an http or https address.", remedy)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise BadInput("The judge's address holds more than host and path.", f"{remedy} Keys go to {JUDGE_KEY}.")

    @property
    def host(self) -> str:
        """Host and port, for display."""
        return urlsplit(self.url).netloc

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        return urlsplit(self.url).hostname in _LOCAL


class Unanswered(Exception):
    """A question that got no usable answer: the reason, what it concerns, and how long to wait before the next try.

    scope: "once" may pass, "batch" holds for this question, "job" for every question.
    """

    def __init__(self, reason: str, scope: Scope, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.scope: Scope = scope
        self.wait = wait


def configured_endpoint(environment: Mapping[str, str] = os.environ) -> Endpoint | None:
    """The endpoint that the environment names; None where it names none. Raises BadInput for a bad address."""
    url = environment.get(JUDGE_URL, "").strip()
    return Endpoint(url=url, model=environment.get(JUDGE_MODEL, "").strip()) if url else None


class _OtherManner(Exception):
    """The question is to be put in another manner."""

    def __init__(self, manner: Manner) -> None:
        super().__init__()
        self.manner = manner


class JudgeClient:
    """Asks one endpoint; safe to use from several threads. Close it after use.

    Raises BadInput for a key that cannot be sent, or that would leave this machine unencrypted.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        environment: Mapping[str, str] = os.environ,
        seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        import httpx2

        self._endpoint = endpoint
        self._seconds = seconds
        self._secret = _key_for(endpoint, environment)
        self.manner = Manner()
        headers = {"authorization": f"Bearer {self._secret.reveal()}"} if self._secret else {}
        self._http = httpx2.Client(
            headers=headers | {"accept-encoding": "identity"},
            timeout=httpx2.Timeout(seconds, connect=min(seconds, 10.0)),
            follow_redirects=False,
            trust_env=not endpoint.is_local,
        )
        _keep_out_of_logs(self._secret.reveal())

    def __repr__(self) -> str:
        return f"JudgeClient({self._endpoint!r}, key={_HIDDEN})"

    def close(self) -> None:
        """Give the connections back; questions on their way end unanswered."""
        self._http.close()

    def ask(self, messages: Sequence[Message]) -> str:
        """The text of the answer, at temperature 0 where the model takes one. Raises Unanswered."""
        while True:
            manner = self.manner
            try:
                return self._ask(manner, messages)
            except _OtherManner as other:
                self.manner = other.manner
            except Unanswered as error:
                raise Unanswered(self.hide(error.reason), error.scope, wait=error.wait) from None

    def hide(self, text: str) -> str:
        """The text without the key, if it holds it."""
        return self._secret.hide(text)

    def _ask(self, manner: Manner, messages: Sequence[Message]) -> str:
        import httpx2

        host = self._endpoint.host
        question = manner.question(self._endpoint.model, messages)
        try:
            with self._http.stream("POST", f"{self._endpoint.url}/chat/completions", json=question) as response:
                if not response.is_success:
                    self._refuse(response.status_code, self._read(response, MAX_REFUSAL_BYTES), manner, response)
                data = self._read(response, MAX_REPLY_BYTES)
                if len(data) >= MAX_REPLY_BYTES:
                    raise Unanswered(f"{host} sent more than {MAX_REPLY_BYTES >> 20} MB.", "batch")
                status = error_status(data)
                if status is not None:
                    self._refuse(status, data, manner, response)
                return answer_of(data)
        except BadReply as error:
            raise Unanswered(f"{host} {error}.", "once") from None
        except httpx2.TimeoutException:
            raise Unanswered(f"{host} did not answer within {self._seconds:.0f} s.", "once") from None
        except httpx2.HTTPError as error:
            raise Unanswered(f"The connection to {host} failed ({type(error).__name__}).", "once") from None

    def _refuse(self, status: int, data: bytes, manner: Manner, response: httpx2.Response) -> NoReturn:
        """Raise what a refusal means: another manner to try, or Unanswered with its words."""
        host, words = self._endpoint.host, words_of(data)
        said = f" ({status}){f': {words}' if words else ''}."
        if 300 <= status < 400:
            raise Unanswered(f"{host} points to another address ({status}), which is not followed.", "job")
        if status in (401, 403):
            raise Unanswered(f"{host} refused the key{said}", "job")
        other = manner.after(data.decode("utf-8", "replace"))
        if other != manner:
            raise _OtherManner(other)
        if status in (404, 405):
            raise Unanswered(f"{host} knows no such address or model{said}", "job")
        if status in _MAY_PASS or status >= 500:
            wait = _retry_after(response.headers.get("retry-after", ""))
            raise Unanswered(f"{host} could not answer now{said}", "once", wait=wait)
        raise Unanswered(f"{host} refused the question{said}", "batch")

    def _read(self, response: httpx2.Response, limit: int) -> bytes:
        """The body up to `limit` bytes, within the time limit as a whole and not only between two pieces."""
        until, data = time.monotonic() + self._seconds, bytearray()
        for piece in unpacked(response.iter_raw(), response.headers.get("content-encoding", "")):
            data += piece
            if len(data) >= limit:
                break
            if time.monotonic() > until:
                reason = f"{self._endpoint.host} did not finish its answer within {self._seconds:.0f} s."
                raise Unanswered(reason, "once")
        return bytes(data[:limit])


def _base(url: str) -> str:
    """The address before /chat/completions, without slashes at its end."""
    bare = url.strip().rstrip("/")
    ending = "/chat/completions"
    return bare[: -len(ending)].rstrip("/") if bare.lower().endswith(ending) else bare


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def _key_for(endpoint: Endpoint, environment: Mapping[str, str]) -> Secret:
    key = environment.get(JUDGE_KEY, "").strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise BadInput(
            f"The key in {JUDGE_KEY} holds a character that no key has.", "Copy it again and start Retrace again."
        )
    if key and not endpoint.is_local and not endpoint.url.startswith("https://"):
        raise BadInput(
            f"The judge's address {endpoint.host} is not encrypted, and the key would be readable on the way.",
            f"Use an https address in {JUDGE_URL}, or unset {JUDGE_KEY} if the endpoint needs none.",
        )
    return Secret(key)


@functools.cache
def _keep_out_of_logs(key: str) -> None:
    """From now on every record of the client's libraries passes without the key: a question on its way may write some
    after its client was closed.
    """
    secret = Secret(key)

    class Hiding(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            message = record.getMessage()
            if secret.hide(message) != message:
                record.msg, record.args = secret.hide(message), ()
            return True

    for name in _LOGGERS:
        logging.getLogger(name).addFilter(Hiding())


def _retry_after(value: str) -> float | None:
    """Seconds to wait as the endpoint asks, bounded; None where it gives no number."""
    return min(float(value), MAX_RETRY_AFTER) if value.isascii() and value.isdigit() else None
