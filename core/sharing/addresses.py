"""From where other machines reach this one. Nothing is sent to find out."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable

OWN = ("127.0.0.1", "localhost")
ELSEWHERE = "192.0.2.1"
"""An address that is nobody's (RFC 5737): connecting a datagram socket to it tells the way out and sends nothing."""


def outward() -> str:
    """The address of this machine on the network that leads outside, or "" without one."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((ELSEWHERE, 9))
        return str(probe.getsockname()[0])
    return ""


def addresses() -> tuple[str, ...]:
    """Addresses of this machine that others may reach, the likeliest first."""
    import psutil

    found = [one.address for every in psutil.net_if_addrs().values() for one in every if one.family == socket.AF_INET]
    return choose([outward(), *found])


def choose(found: Iterable[str]) -> tuple[str, ...]:
    """Those that others may reach, each once: neither of this machine alone nor given where no network answered."""
    kept = []
    for address in found:
        with contextlib.suppress(ValueError):
            known = ipaddress.ip_address(address)
            if not (known.is_loopback or known.is_link_local or known.is_unspecified or known.is_multicast):
                kept.append(address)
    return tuple(dict.fromkeys(kept))


def names(further: Iterable[str] = ()) -> tuple[str, ...]:
    """Every name that this server answers to: its own, its addresses, the machine's name, and `further`."""
    host = socket.gethostname().lower()
    named = [host, f"{host.partition('.')[0]}.local"] if host else []
    return tuple(dict.fromkeys([*OWN, *addresses(), *named, *(name.lower() for name in further)]))
