"""One question to an OpenAI-compatible endpoint, and what can go wrong with it. Knows no labels and no traces.

Address and model come from the configuration, the key from the environment alone. The key is read when a client is
made and kept in it; it is part of no value, message or log line, and no redirect is followed to take it elsewhere.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, urlsplit

from core.errors import BadInput
from core.settings import JUDGE_KEY, JUDGE_MODEL, JUDGE_URL

if TYPE_CHECKING:
    import httpx2

TIMEOUT_SECONDS = 90.0
MAX_REPLY_BYTES = 2 << 20
MAX_RETRY_AFTER = 120.0
_LOCAL = ("localhost", "127.0.0.1", "::1")
_MAY_PASS = (408, 409, 425, 429)
_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.http2", "httpcore2.proxy")
_HIDDEN = "***"

Message = dict[Literal["role", "content"], str]
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
        """The text with every occurrence of the key replaced by ***."""
        return text.replace(self._value, _HIDDEN) if self else text


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the judge is asked (the address before /chat/completions), and which of its models."""

    url: str
    model: str

    def __post_init__(self) -> None:
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
    url = environment.get(JUDGE_URL, "").strip().rstrip("/")
    return Endpoint(url=url, model=environment.get(JUDGE_MODEL, "").strip()) if url else None


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
        headers = {"authorization": f"Bearer {self._secret.reveal()}"} if self._secret else {}
        self._http = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(seconds, connect=min(seconds, 10.0)),
            follow_redirects=False,
            trust_env=not endpoint.is_local,
        )
        self._filter = _hiding(self._secret)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._filter)

    def __repr__(self) -> str:
        return f"JudgeClient({self._endpoint!r}, key={_HIDDEN})"

    def close(self) -> None:
        """Give the connections back; questions on their way end unanswered."""
        self._http.close()
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._filter)

    def ask(self, messages: Sequence[Message]) -> str:
        """The text of the answer at temperature 0. Raises Unanswered."""
        import httpx2

        question = {"model": self._endpoint.model, "messages": list(messages), "temperature": 0}
        try:
            with self._http.stream("POST", f"{self._endpoint.url}/chat/completions", json=question) as response:
                self._check(response)
                return self._secret.hide(_content_of(self._read(response)))
        except httpx2.TimeoutException:
            raise Unanswered(f"{self._endpoint.host} did not answer within {self._seconds:.0f} s.", "once") from None
        except httpx2.HTTPError as error:
            reason = f"The connection to {self._endpoint.host} failed ({type(error).__name__})."
            raise Unanswered(reason, "once") from None

    def _check(self, response: httpx2.Response) -> None:
        status, host = response.status_code, self._endpoint.host
        if status == 200:
            return
        if 300 <= status < 400:
            raise Unanswered(f"{host} points to another address ({status}), which is not followed.", "job")
        if status in (401, 403):
            raise Unanswered(f"{host} refused the key ({status}).", "job")
        said = self._said(response)
        if status == 404:
            raise Unanswered(f"{host} knows no such address or model ({status}){said}.", "job")
        if status in _MAY_PASS or status >= 500:
            wait = _retry_after(response.headers.get("retry-after", ""))
            raise Unanswered(f"{host} could not answer now ({status}){said}.", "once", wait=wait)
        raise Unanswered(f"{host} refused the question ({status}){said}.", "batch")

    def _read(self, response: httpx2.Response) -> bytes:
        """The body, within the time limit as a whole and not only between two pieces."""
        until, data = time.monotonic() + self._seconds, bytearray()
        for piece in response.iter_bytes():
            data += piece
            if len(data) > MAX_REPLY_BYTES:
                raise Unanswered(f"{self._endpoint.host} sent more than {MAX_REPLY_BYTES >> 20} MB.", "batch")
            if time.monotonic() > until:
                reason = f"{self._endpoint.host} did not finish its answer within {self._seconds:.0f} s."
                raise Unanswered(reason, "once")
        return bytes(data)

    def _said(self, response: httpx2.Response) -> str:
        """What the endpoint says about its refusal, clipped, and without the key if it sends that back."""
        try:
            message = json.loads(self._read(response))["error"]["message"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return ""
        line = " ".join(self._secret.hide(str(message)).split())
        return f": {line[:200].rstrip('.')}" if line else ""


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


def _hiding(secret: Secret) -> logging.Filter:
    """A filter that lets every record pass, without the key."""

    class Hiding(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            message = record.getMessage()
            if secret.hide(message) != message:
                record.msg, record.args = secret.hide(message), ()
            return True

    return Hiding()


def _content_of(data: bytes) -> str:
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise Unanswered("The endpoint's answer does not have the form of a chat completion.", "once") from None
    if not isinstance(content, str):
        raise Unanswered("The endpoint's answer holds no text.", "once")
    return content


def _retry_after(value: str) -> float | None:
    """Seconds to wait as the endpoint asks, bounded; None where it gives no number."""
    return min(float(value), MAX_RETRY_AFTER) if value.isascii() and value.isdigit() else None
