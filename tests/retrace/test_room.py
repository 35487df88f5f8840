"""A shared server, asked as a stranger would: without the password there is the login page and nothing else."""

from __future__ import annotations

import re

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.retrace.room_server import WORD, ask, log_in, room

PAGES = ("", "playground", "traces", "labelling", "extraction", "directions", "experiments", "attribution", "bundles")
PATHS = (
    *(f"/{stem}" for stem in PAGES),
    "/index.html",
    "/_stcore/health",
    "/_stcore/script-health-check",
    "/_stcore/host-config",
    "/_stcore/metrics",
    "/_stcore/stream",
    "/_stcore/upload_file/a/b",
    "/_stcore/bidi-components/x/y.js",
    "/_stcore/agent",
    "/playground/_stcore/health",
    "/media/0123456789abcdef.png",
    "/component/x/index.html",
    "/static/index.html",
    "/static/js/index.js",
    "/app/static/x",
    "/~/+/_stcore/health",
    "/favicon.png",
    "/vendor/x",
    "/healthz",
    "/oauth2callback",
    "/auth/login",
    "//_stcore/health",
    "///",
    "/%2e%2e/_stcore/health",
    "/login/../_stcore/health",
    "/login%2f..%2f_stcore/health",
    "/login/",
    "/Login",
    "/login;x",
    "/%5fstcore/health",
    "/_stcore/health?key=x",
    "/\\_stcore\\health",
    "*",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with room(tmp_path_factory.mktemp("room")) as running:
        yield running


@pytest.fixture(scope="module")
def visitor(server):
    return log_in(server).cookie


@pytest.fixture(scope="module")
def speaker(server):
    return ask(server, f"/login?key={server.keys()[-1]}").cookie


def is_shut(answer):
    return answer.status in (400, 401, 403, 404, 405) and (
        "<title>Retrace: Log in</title>" in answer.body or (len(answer.body) < 60 and "ok" not in answer.body.split())
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
def test_a_stranger_gets_the_login_page_or_a_refusal_whatever_the_path(server, method):
    for path in PATHS:
        answer = ask(server, path, method=method)
        assert is_shut(answer) or (method == "HEAD" and answer.status == 401), (method, path, answer)


def test_no_other_way_of_asking_helps(server):
    for target in (f"{server.url}/_stcore/health", "http://elsewhere.example/_stcore/health", "http:///_stcore/health"):
        assert is_shut(ask(server, target)), target
    for cookie in ("x", "x; retrace_session=y", "%00", "é", "a" * 4000, "None", "speaker"):
        assert is_shut(ask(server, "/_stcore/health", cookie=cookie)), cookie
    headers = {"X_Forwarded_For": "127.0.0.1", "X_Original_URL": "/login", "Authorization": "Basic eDp5"}
    assert is_shut(ask(server, "/_stcore/health", **headers))


@pytest.mark.parametrize("cookie", ["", "x"])
def test_a_stranger_opens_no_websocket(server, cookie):
    for path in ("/_stcore/stream", "/login", "/playground/_stcore/stream", "/"):
        with pytest.raises(InvalidStatus) as refused:
            connect(
                f"ws://127.0.0.1:{server.port}{path}", additional_headers={"Cookie": f"retrace_session={cookie}"}
            ).close()
        assert refused.value.response.status_code == 403


def test_the_right_password_opens_pages_and_the_websocket_and_logging_out_shuts_them(server):
    answer = log_in(server)
    assert (answer.status, re.findall(r"(?i)location: (\S+)", answer.head)) == (303, ["/"])
    parts = {part.strip().lower() for line in answer.head.splitlines() for part in line.split(";")}
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= parts
    assert ask(server, "/_stcore/health", cookie=answer.cookie).body.endswith("ok")
    with connect(
        f"ws://127.0.0.1:{server.port}/_stcore/stream",
        additional_headers={"Cookie": f"retrace_session={answer.cookie}"},
        subprotocols=["streamlit"],
    ) as line:
        out = ask(server, "/logout", method="POST", cookie=answer.cookie, Origin=server.url)
        assert out.status == 303
        line.send(b"\x00")
        with pytest.raises(ConnectionClosed):
            [line.recv(timeout=10) for _ in range(1000)]
    assert is_shut(ask(server, "/_stcore/health", cookie=answer.cookie))


def test_behind_a_proxy_with_tls_the_cookie_is_sent_over_tls_alone(server):
    answer = log_in(
        server, X_Forwarded_Proto="https", X_Forwarded_For="203.0.113.9", Origin=f"https://127.0.0.1:{server.port}"
    )
    assert (answer.status, "; secure" in answer.head.lower()) == (303, True)
    assert "; secure" not in log_in(server).head.lower()


def test_a_form_of_another_page_logs_nobody_in(server):
    for origin in ("http://elsewhere.example", "null", f"http://127.0.0.1:{server.port + 1}", ""):
        answer = log_in(server, Origin=origin)
        assert (answer.status, answer.cookie) == (403, ""), origin
    assert ask(server, "/logout", method="POST", Origin="http://elsewhere.example").status == 403


def test_a_login_leads_to_a_page_of_this_server_alone(server):
    for then in (
        "//elsewhere.example",
        "https://elsewhere.example",
        "/\\elsewhere",
        "/a\r\nX: y",
        "/a//b",
        "javascript:1",
    ):
        assert re.findall(r"(?i)location: (\S+)", log_in(server, then=then).head) == ["/"], then
    shown = ask(server, "/playground?prompt=Why%3F&seed=2")
    assert 'value="/playground?prompt=Why%3F&amp;seed=2"' in shown.body
    led = log_in(server, then="/playground?prompt=Why%3F&seed=2")
    assert re.findall(r"(?i)location: (\S+)", led.head) == ["/playground?prompt=Why%3F&seed=2"]


def test_another_name_is_not_answered(server, visitor):
    for host in ("elsewhere.example", "127.0.0.1.elsewhere.example", "", "127.0.0.1@elsewhere.example"):
        assert is_shut(ask(server, "/_stcore/health", cookie=visitor, Host=host)), host
    assert ask(server, "/_stcore/health", cookie=visitor, Host=f"localhost:{server.port}").status == 200


def test_a_visitor_reads_and_uploads_nothing(server, visitor, speaker):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(server, "/_stcore/upload_file/a/b", method=method, cookie=visitor).status == 403
    assert "Visitors" not in ask(server, "/_stcore/upload_file/a/b", method="DELETE", cookie=speaker).body
    assert ask(server, "/", cookie=visitor).status == 200


def test_the_link_of_the_terminal_makes_a_speaker_once(server):
    key = server.keys()[-1]
    first, again = ask(server, f"/login?key={key}"), ask(server, f"/login?key={key}")
    assert (first.status, bool(first.cookie)) == (303, True)
    assert (again.status, again.cookie) == (403, "")
    assert "used already" in again.body
    assert key != server.keys()[-1]


def test_long_and_strange_forms_are_refused(server):
    form = {"Origin": server.url}
    assert ask(server, "/login", method="POST", body="password=" + "x" * 9000, **form).status == 413
    assert ask(server, "/login", method="POST", body="&".join("abcdefg"), **form).status in (403, 413)
    assert ask(server, "/login", method="POST", body="", **form).status == 403


def test_wrong_passwords_wait_longer_and_longer_and_the_password_is_nowhere(tmp_path):
    with room(tmp_path) as server:
        told = [log_in(server, f"wrong {i}") for i in range(5)]
        assert [one.status for one in told] == [403, 403, 403, 429, 429]
        assert "Try again in" in told[-1].body
        assert "retry-after" in told[-1].head.lower()
        assert log_in(server).status == 429, "while it waits, the right one is not looked at either"
        assert ask(server, f"/login?key={server.keys()[-1]}").cookie, "the speaker is not kept out by others' tries"
        assert WORD not in server.log.read_text()
        files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert not [path for path in files if WORD.encode() in path.read_bytes()]


def test_a_password_that_is_made_up_is_printed_and_a_short_one_starts_nothing(tmp_path):
    with room(tmp_path, password="") as server:
        (made,) = re.findall(r"with the password  (\S+)", server.log.read_text())
        assert len(made) == 10
        assert log_in(server, made).cookie
    with pytest.raises(AssertionError, match="The password has 5 characters"), room(tmp_path, password="short"):
        pass
