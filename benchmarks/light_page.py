"""A page without a screen: what a browser says to the server over Streamlit's own websocket, and what it hears.

It draws nothing, so that many of them take nothing of the machine that is measured. Elements are kept as the browser
keeps them: by place, until a run has ended that did not write them again. Of its widgets it tells those that were used.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

T = TypeVar("T")
FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@dataclass(frozen=True)
class _Placed:
    """An element, and the run and the fragment that wrote it there last."""

    element: Element
    run: str
    fragment: str


class LightPage:
    """One session on one page. `listen` is to run beside whoever uses it."""

    def __init__(self, line: ClientConnection, page: str, settings: Mapping[str, object]) -> None:
        self._line, self._page, self._query = line, page, urllib.parse.urlencode(settings)
        self._hash, self._run, self._fragments = "", "", frozenset[str]()
        self._placed: dict[tuple[int, ...], _Placed] = {}
        self._kept: dict[str, ForwardMsg] = {}
        self._used: dict[str, WidgetState] = {}
        self._ticks: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._heard = asyncio.Event()
        self.n_drawn = 0
        """How often the whole page was drawn to its end."""
        self.n_begun = 0
        """How often the server began to draw the page, or a part of it."""

    async def listen(self) -> None:
        """Ask for the page, and take what comes until the connection ends."""
        await self._send()
        async for data in self._line:
            assert isinstance(data, bytes)
            self._take(ForwardMsg.FromString(data))
            self._heard.set()

    async def until(self, found: Callable[[], T | None], seconds: float) -> T:
        """What `found` finds as soon as it is there. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while (value := found()) is None:
                self._heard.clear()
                await self._heard.wait()
        return value

    async def write(self, label: str, text: str, seconds: float) -> None:
        """Another text in a field, until the page is drawn with it."""
        field = next(one.text_area for one in self._elements() if one.text_area.label == label)
        self._used[field.id] = WidgetState(id=field.id, string_value=text)
        await self._redraw((), seconds)

    async def press(self, label: str, seconds: float) -> None:
        """The button of this label, until the page is drawn."""
        button = next(one.button for one in self._elements() if one.button.label == label)
        await self._redraw([WidgetState(id=button.id, trigger_value=True)], seconds)

    def has_button(self, label: str) -> bool:
        """Whether it is on the page and may be pressed."""
        return any(one.button.label == label and not one.button.disabled for one in self._elements())

    def says(self, words: str) -> bool:
        """Whether a box of the page has these words."""
        return any(words in one.alert.body for one in self._elements())

    def drawn_by(self, component: str) -> Iterator[dict[str, object]]:
        """What the components of this name were given to draw."""
        for one in self._elements():
            if one.bidi_component.component_name == component:
                yield json.loads(one.bidi_component.mixed.json or one.bidi_component.json)

    def _elements(self) -> Iterator[Element]:
        return (self._placed[place].element for place in sorted(self._placed))

    async def _redraw(self, pressed: Sequence[WidgetState], seconds: float) -> None:
        before = self.n_drawn
        await self._send(pressed)
        await self.until(lambda: self.n_drawn > before or None, seconds)

    async def _send(self, pressed: Sequence[WidgetState] = (), fragment: str = "") -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_script_hash = self._query, self._hash
        asked.page_name = "" if self._hash else self._page
        asked.widget_states.widgets.extend([*self._used.values(), *pressed])
        asked.cached_message_hashes.extend(self._kept)
        if fragment:
            asked.fragment_id, asked.is_auto_rerun = fragment, True
        await self._line.send(message.SerializeToString())

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._begin(message)
        elif kind == "navigation":
            self._hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            self._tick(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            self._rest(list(message.stop_auto_rerun.fragment_ids))
        elif kind in ("delta", "ref_hash"):
            self._place(message)
        elif kind == "script_finished" and message.script_finished in FINISHED:
            self._end()

    def _begin(self, message: ForwardMsg) -> None:
        self.n_begun += 1
        self._run = message.metadata.run.script_run_id
        self._fragments = frozenset(message.metadata.run.fragment_ids)
        if not self._fragments:
            self._hash = message.new_session.page_script_hash
            self._rest(list(self._ticks))

    def _place(self, message: ForwardMsg) -> None:
        if message.metadata.cacheable:
            self._kept[message.hash] = message
        delta = self._kept[message.ref_hash].delta if message.ref_hash else message.delta
        if delta.WhichOneof("type") == "new_element":
            place = tuple(message.metadata.delta_path)
            self._placed[place] = _Placed(delta.new_element, self._run, delta.fragment_id)

    def _end(self) -> None:
        """Take away what the run that has ended did not write again."""
        for place, one in list(self._placed.items()):
            if one.run != self._run and (not self._fragments or one.fragment in self._fragments):
                del self._placed[place]
        self.n_drawn += not self._fragments

    def _tick(self, fragment: str, seconds: float) -> None:
        if fragment in self._ticks and self._ticks[fragment][0] == seconds:
            return
        self._rest([fragment])
        self._ticks[fragment] = seconds, asyncio.create_task(self._again(fragment, seconds))

    async def _again(self, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._send(fragment=fragment)

    def _rest(self, fragments: list[str]) -> None:
        for fragment in fragments:
            if fragment in self._ticks:
                self._ticks.pop(fragment)[1].cancel()


def open_line(url: str, cookie: str) -> connect:
    """The websocket of a server, of a session of its door where it has one."""
    headers = {"Cookie": f"retrace_session={cookie}"} if cookie else {}
    address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
    return connect(address, additional_headers=headers, subprotocols=[Subprotocol("streamlit")], max_size=None)
