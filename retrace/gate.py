"""What stands before every request of a shared server: without a session there is the login page and nothing else.

It wraps the whole application (pages, websocket, health, files, media, uploads, assets), and knows none of its paths.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.sharing.door import COOKIE, HOURS, Door, Person
from retrace.login_page import HEADERS, login_page, logout_page

LOGIN, LOGOUT = "/login", "/logout"
READING = ("GET", "HEAD", "OPTIONS")
LONGEST_FORM, FORM_SECONDS = 4096, 10.0
_OWN_PAGE = re.compile(r"/[a-z_]*(\?[A-Za-z0-9%._~+&=,:;@!$'()*-]{0,2000})?")
"""What a login may lead to: a page of this server, with its settings."""
_REFUSED = 1008
"""The websocket's code for what the rules forbid."""


class Gate:
    """Lets through who has a session; visitors read only. `renew` is called when a one-time link has been used."""

    def __init__(self, app: ASGIApp, door: Door, hosts: Collection[str], renew: Callable[[], None]) -> None:
        self._app, self._door, self._hosts, self._renew = app, door, frozenset(hosts), renew

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection: of the server itself, a websocket or a request. What is none of these gets no answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive)
            try:
                answer = await self._answer(request)
            except (ClientDisconnect, TimeoutError):
                return
            await (answer or self._app)(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = self._token(HTTPConnection(scope))
        if not self._is_ours(HTTPConnection(scope)) or self._door.person(token) is None:
            await receive()
            await send({"type": "websocket.close", "code": _REFUSED})
            return
        is_closed = False

        async def close() -> None:
            nonlocal is_closed
            if not is_closed:
                is_closed = True
                await send({"type": "websocket.close", "code": _REFUSED})

        async def receive_in_session() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive" and self._door.person(token) is None:
                await close()
                return {"type": "websocket.disconnect", "code": _REFUSED}
            return message

        async def send_in_session(message: Message) -> None:
            if message["type"] == "websocket.send" and self._door.person(token) is None:
                await close()
            elif not is_closed:
                await send(message)

        await self._app(scope, receive_in_session, send_in_session)

    async def _answer(self, request: Request) -> Response | None:
        """What is answered here; None for what the application answers."""
        if not self._is_ours(request):
            return _text("This server does not go by that name.", 403)
        path, token = request.scope["path"], self._token(request)
        person = self._door.person(token)
        if path == LOGIN:
            return await self._login(request, person)
        if path == LOGOUT:
            return self._logout(request, token)
        if person is None:
            return _stranger(request)
        if not person.is_speaker and request.method not in READING:
            return _text("Visitors can neither upload nor delete files.", 403)
        return None

    async def _login(self, request: Request, person: Person | None) -> Response:
        if request.method == "POST":
            return await self._try_password(request)
        key = request.query_params.get("key", "")
        if request.method == "GET" and key:
            token = self._door.enter_by_key(key)
            if token:
                self._renew()
                return _let_in(request, token, "/")
            return _form("That link was used already. The terminal shows a new one.", status=403)
        return RedirectResponse("/", 303, {"Cache-Control": "no-store"}) if person else _form()

    async def _try_password(self, request: Request) -> Response:
        if not _is_from_here(request):
            return _form("Log in on this page itself.", status=403)
        fields = await asyncio.wait_for(_fields(request), FORM_SECONDS)
        if fields is None:
            return _form("That is no password of this server.", status=413)
        address, then = request.client.host if request.client else "", _own_page(fields.get("then", "/"))
        wait = self._door.wait(address)
        if wait > 0:
            answer = _form(f"Too many wrong passwords. Try again in {int(wait) + 1} s.", then=then, status=429)
            answer.headers["Retry-After"] = str(int(wait) + 1)
            return answer
        token = self._door.enter(fields.get("password", "").strip(), address)
        return _let_in(request, token, then) if token else _form("That is not the password.", then=then, status=403)

    def _logout(self, request: Request, token: str) -> Response:
        if request.method != "POST":
            return HTMLResponse(logout_page(), headers=HEADERS)
        if not _is_from_here(request):
            return _text("Log out on this server's own page.", 403)
        self._door.leave(token)
        answer = RedirectResponse(LOGIN, 303, {"Cache-Control": "no-store"})
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    def _token(self, connection: HTTPConnection) -> str:
        return connection.cookies.get(COOKIE, "")

    def _is_ours(self, connection: HTTPConnection) -> bool:
        """Whether the name that was asked for is this server's: no other page's name may be led here."""
        named = connection.headers.getlist("host")
        return len(named) == 1 and _host(named[0]) in self._hosts


def _host(netloc: str) -> str:
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_from_here(request: Request) -> bool:
    """Whether a form was sent by a page of this server, as the browser tells."""
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "") != ""


async def _fields(request: Request) -> dict[str, str] | None:
    """The fields of a short form, or None where it is long or none at all."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return None
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=4, keep_blank_values=True)
    except ValueError:
        return None
    return {name: values[0] for name, values in found.items()}


def _own_page(asked: str) -> str:
    """The page to go to after the login: one of ours, else the first."""
    return asked if _OWN_PAGE.fullmatch(asked) else "/"


def _stranger(request: Request) -> Response:
    """For somebody without a session: the login page where a page was asked for, else a refusal."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        query = request.scope["query_string"].decode("latin-1")
        return _form(then=_own_page(request.scope["path"] + (f"?{query}" if query else "")), status=401)
    return _text("Log in first.", 401)


def _form(problem: str = "", *, then: str = "/", status: int = 200) -> Response:
    return HTMLResponse(login_page(problem=problem, then=then), status, HEADERS)


def _text(words: str, status: int) -> Response:
    return PlainTextResponse(words, status, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def _let_in(request: Request, token: str, then: str) -> Response:
    answer = RedirectResponse(then, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    answer.set_cookie(
        COOKIE, token, max_age=int(HOURS * 3600), httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return answer
