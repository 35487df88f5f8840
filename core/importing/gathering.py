"""Records that are one thing in several: the messages of one chat, the chunks of one trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from core.importing.chats import is_message
from core.importing.reader import Found, Reached

MAX_GATHERED = 5_000
MAX_GATHERED_BYTES = 8 << 20


def whole_chats(records: Iterator[Found | Reached]) -> Iterator[Found | Reached]:
    """The records; messages, or chunks, that follow each other come as one record under the number of the first."""
    held: list[Found] = []
    n_bytes = 0
    for found in records:
        kind = _kind(found) if isinstance(found, Found) else ""
        ends = isinstance(found, Found) and held and (kind != _kind(held[0]) or _begins(found))
        if ends or len(held) >= MAX_GATHERED or n_bytes > MAX_GATHERED_BYTES:
            yield _together(held)
            held, n_bytes = [], 0
        if isinstance(found, Found) and kind:
            held.append(found)
            n_bytes += len(str(found.value))
        else:
            yield found
    if held:
        yield _together(held)


def _kind(found: Found) -> str:
    if isinstance(found.value, dict) and isinstance(found.value.get("chunk"), str):
        return "chunks" if "function_tags" in found.value or "chunk_idx" in found.value else ""
    return "messages" if is_message(found.value) else ""


def _begins(found: Found) -> bool:
    """Whether the chunk is the first of another trace."""
    return isinstance(found.value, dict) and found.value.get("chunk_idx") == 0


def _together(held: list[Found]) -> Found:
    values = [found.value for found in held]
    return replace(
        held[0],
        value={_kind(held[0]): values},
        replaced=any(found.replaced for found in held),
        n_left_out=max(found.n_left_out for found in held),
        done=held[-1].done,
    )
