"""A server that a room may use: behind a gate, on every address of this machine, with a password that is printed.

The terminal also prints a link, good for one use, that makes whoever opens it the speaker.
"""

from __future__ import annotations

import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.middleware import Middleware
from streamlit.web import cli
from streamlit.web.server.starlette.starlette_app import App

from core import settings
from core.errors import UserFacingError
from core.sharing.addresses import names, outward
from core.sharing.door import Door, Shared, make_password, share
from retrace.console import write
from retrace.gate import LOGIN, Gate

EVERYWHERE = "0.0.0.0"  # noqa: S104  the gate stands before every address
ALONE = "No network was found: only this machine can open it."


def serve_room(script: Path, flags: Sequence[str]) -> None:
    """Start the pages behind the gate and stay until they are ended; a password that cannot be used ends it at once."""
    told = settings.take_password()
    password = told or make_password()
    try:
        door = Door(password)
    except UserFacingError as error:
        sys.exit(f"{error.problem} {error.remedy}")
    config = _read(script, flags)
    port = config.setdefault("server.port", 8501)
    hosts = names(settings.further_hosts())
    config |= {"server.address": config.get("server.address", EVERYWHERE), "server.allowedHosts": list(hosts)}
    further, own = settings.further_hosts(), outward()
    url = f"https://{further[0]}" if further else f"http://{own}:{port}" if own else ""
    share(Shared(door, url))

    def link() -> str:
        return f"http://127.0.0.1:{port}{LOGIN}?key={door.new_key()}"

    def renew() -> None:
        write(f"The speaker's next link, good for one use:  {link()}\n")

    @asynccontextmanager
    async def greet(_: App) -> AsyncIterator[None]:
        first = link()
        write(f"The room opens     {url or ALONE}\n")
        write(f"with the password  {'of ' + settings.PASSWORD if told else password}\n")
        write(f"You, the speaker, open this link, which is good for one use:  {first}\n")
        if not config.get("server.headless"):
            threading.Thread(target=webbrowser.open, args=(first,), daemon=True).start()
        yield None

    sys.argv = [str(script)]
    gate = Middleware(Gate, door=door, hosts=hosts, renew=renew)
    App(script, lifespan=greet, middleware=[gate]).run(config=config)


def _read(script: Path, flags: Sequence[str]) -> dict[str, object]:
    """The flags of `streamlit run`, as its own command reads them."""
    told = cli.main_run.make_context("run", [str(script), *flags]).params
    options = {name.replace("_", "."): value for name, value in told.items() if name not in ("target", "args")}
    return {name: value for name, value in options.items() if value is not None and value != ()}
