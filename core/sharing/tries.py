"""How often a password may be tried: each address waits longer after every wrong one, and all of them share a limit."""

from __future__ import annotations

import ipaddress
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

FREE = 3
"""Wrong passwords from one address before it has to wait."""
LONGEST, FORGOTTEN = 300.0, 900.0
"""Seconds that an address waits at most, and after which its last wrong password is forgotten."""
IN_ALL, SPAN = 60, 60.0
"""Wrong passwords from everywhere within so many seconds; then all wait."""
MOST = 4096
"""Addresses that are remembered."""


@dataclass
class _Wrong:
    times: int
    last: float


class Tries:
    """Counts wrong passwords. Not safe to use from several threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_address: dict[str, _Wrong] = {}
        self._all: deque[float] = deque(maxlen=IN_ALL)

    def wait(self, address: str) -> float:
        """Seconds until this address may try a password; 0 where it may now."""
        now, known = self._clock(), self._by_address.get(_place(address))
        waits = [0.0]
        if known is not None and now - known.last < FORGOTTEN and known.times >= FREE:
            waits.append(known.last + min(LONGEST, 2.0 ** (known.times - FREE + 1)) - now)
        if len(self._all) == IN_ALL:
            waits.append(self._all[0] + SPAN - now)
        return max(waits)

    def wrong(self, address: str) -> None:
        """A wrong password came from there."""
        now, place = self._clock(), _place(address)
        known = self._by_address.pop(place, None)
        times = known.times + 1 if known is not None and now - known.last < FORGOTTEN else 1
        self._by_address[place] = _Wrong(times, now)
        self._all.append(now)
        while len(self._by_address) > MOST:
            del self._by_address[next(iter(self._by_address))]

    def right(self, address: str) -> None:
        """The right one came from there: what went before was mistyped."""
        self._by_address.pop(_place(address), None)


def _place(address: str) -> str:
    """The address, of IPv6 the network, in which a host may take any."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
