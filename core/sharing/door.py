"""Who is let in to a server that a room may use: a password, sessions, and links that are used up at once.

Everything is in this process's memory and goes with it; passwords, links and sessions are kept as digests alone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import BadInput
from core.sharing.tries import Tries

COOKIE = "retrace_session"
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are taken for each other: i, l, o, 0 and 1."""
MADE_UP, SHORTEST, LONGEST = 10, 8, 200
"""Characters of a password that is made up, and of any."""
HOURS = 12.0
"""How long a session lasts."""
MOST = 400
"""Sessions at once; with more, the one that was seen least recently ends."""
MOST_VISITS = 500


@dataclass(frozen=True)
class Person:
    """Somebody who is let in: the speaker, or a visitor by a name that was made up."""

    name: str
    is_speaker: bool = False


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a visitor asked: in words, and when, in seconds since 1970."""

    name: str
    asked: str
    how: str
    at: float


@dataclass
class _Session:
    person: Person
    ends: float
    seen: float


class Door:
    """Safe to use from any thread. Raises BadInput for a password that is too short or too long."""

    def __init__(self, password: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not SHORTEST <= len(password) <= LONGEST:
            raise BadInput(
                f"The password has {len(password)} characters.",
                f"Choose one of {SHORTEST} to {LONGEST}, or none, so that one is made up.",
            )
        self._clock, self._lock = clock, threading.Lock()
        self._secret = secrets.token_bytes(32)
        self._password = self._digest(password)
        self._tries = Tries(clock)
        self._keys: set[bytes] = set()
        self._sessions: dict[bytes, _Session] = {}
        self._visits: deque[Visit] = deque(maxlen=MOST_VISITS)
        self._n_visitors = 0

    def wait(self, address: str) -> float:
        """Seconds until a password may be tried from there."""
        with self._lock:
            return self._tries.wait(address)

    def enter(self, password: str, address: str) -> str:
        """A visitor's session for the right password; "" for a wrong one, and while that address has to wait."""
        with self._lock:
            if self._tries.wait(address) > 0:
                return ""
            if not hmac.compare_digest(self._digest(password), self._password):
                self._tries.wrong(address)
                return ""
            self._tries.right(address)
            self._n_visitors += 1
            return self._begin(Person(f"visitor {self._n_visitors}"))

    def new_key(self) -> str:
        """The key of a link that lets the speaker in, once."""
        key = secrets.token_urlsafe(24)
        with self._lock:
            self._keys.add(self._digest(key))
        return key

    def enter_by_key(self, key: str) -> str:
        """The speaker's session for a key, which is used up; "" for any other."""
        with self._lock:
            digest = self._digest(key)
            if digest not in self._keys:
                return ""
            self._keys.discard(digest)
            return self._begin(Person("speaker", is_speaker=True))

    def person(self, token: str) -> Person | None:
        """Whose session it is, or None where it is over or never was."""
        with self._lock:
            digest, now = self._digest(token), self._clock()
            session = self._sessions.get(digest)
            if session is None:
                return None
            if now > session.ends:
                del self._sessions[digest]
                return None
            session.seen = now
            return session.person

    def leave(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(self._digest(token), None)

    def n_visitors(self) -> int:
        """How many visitors' sessions there are."""
        with self._lock:
            now = self._clock()
            return sum(not one.person.is_speaker for one in self._sessions.values() if one.ends >= now)

    def note(self, visit: Visit) -> None:
        """Remember what a visitor asked; nothing of it is written to the disk."""
        with self._lock:
            self._visits.append(visit)

    def visits(self) -> list[Visit]:
        """What visitors asked, the latest first."""
        with self._lock:
            return list(reversed(self._visits))

    def _begin(self, person: Person) -> str:
        token, now = secrets.token_urlsafe(32), self._clock()
        while len(self._sessions) >= MOST:
            visitors = {key: one for key, one in self._sessions.items() if not one.person.is_speaker}
            oldest = min(visitors or self._sessions, key=lambda key: self._sessions[key].seen)
            del self._sessions[oldest]
        self._sessions[self._digest(token)] = _Session(person, now + HOURS * 3600, now)
        return token

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._secret, text.encode("utf-8", "replace"), hashlib.sha256).digest()


def make_password() -> str:
    """One of about 50 bits that is easily read off a wall and typed on a phone."""
    return "".join(secrets.choice(LETTERS) for _ in range(MADE_UP))


@dataclass(frozen=True)
class Shared:
    """That this server is shared: its door, and the address that the room opens."""

    door: Door
    url: str


_shared: list[Shared] = []


def share(shared: Shared | None) -> None:
    """This process's server is shared from now on; None ends that, for tests."""
    _shared[:] = [] if shared is None else [shared]


def sharing() -> Shared | None:
    """How this process's server is shared, or None where it is for one person alone."""
    return _shared[0] if _shared else None
