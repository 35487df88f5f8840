"""What a setting may be, stated once: its link is read with it, and its widget is drawn with it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Generic, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

N = TypeVar("N", int, float)
S = TypeVar("S", bound=str)

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def put(key: str, value: object) -> None:
    """Set session_state[key] where it is another: what is set goes to the browser, over what is typed meanwhile."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


@dataclass(frozen=True)
class Number(Generic[N]):
    """Numbers from `low` to `high`, both allowed; with a `step`, only those that lie whole steps above `low`."""

    low: N
    high: N
    step: N | None = None

    @property
    def words(self) -> str:
        """The allowed numbers in words."""
        steps = f" in steps of {self.step:,}" if self.step is not None and self.step != 1 else ""
        return f"allowed: {self.low:,} to {self.high:,}{steps}"

    def parse(self, raw: str) -> N:
        """The number that the text writes in plain digits. Raises ValueError, with the allowed ones, for any other."""
        value = _read(raw, self.low)
        if value is None or not self.low <= value <= self.high:
            raise ValueError(self.words)
        if self.step is None:
            return value
        nearest = self.low + round((value - self.low) / self.step) * self.step
        if not math.isclose(nearest, value, abs_tol=1e-9):
            raise ValueError(self.words)
        return value

    def hold(self, key: str) -> None:
        """Bring a kept number that is outside back to the nearest that is allowed."""
        put(key, min(max(st.session_state[key], self.low), self.high))

    def slider(self, place: DeltaGenerator, label: str, *, key: str, help: str | None = None) -> N:
        """A slider over these numbers; its value is that of session_state[key]."""
        self.hold(key)
        return place.slider(label, self.low, self.high, step=self.step, key=key, help=help, persist_state="session")

    def field(self, place: DeltaGenerator, label: str, *, key: str, help: str | None = None) -> N:
        """A field to type one of these numbers; its value is that of session_state[key]."""
        self.hold(key)
        return place.number_input(
            label, self.low, self.high, step=self.step, key=key, help=help, persist_state="session"
        )


@dataclass(frozen=True)
class Text:
    """Text of at most `limit` characters; on one line unless `lines`."""

    limit: int
    lines: bool = False

    def parse(self, raw: str) -> str:
        """The text itself. Raises ValueError for a longer one, and for control characters."""
        if len(raw) > self.limit:
            raise ValueError(f"{len(raw):,} characters; allowed: {self.limit:,}")
        if _UNREADABLE.search(raw) or ("\n" in raw and not self.lines):
            raise ValueError("it holds control characters")
        return raw


@dataclass(frozen=True)
class OneOf(Generic[S]):
    """One of a few words."""

    options: tuple[S, ...]

    def parse(self, raw: str) -> S:
        """The option that the text names. Raises ValueError for any other."""
        for option in self.options:
            if option == raw:
                return option
        raise ValueError(f"allowed: {', '.join(self.options)}")


def _read(raw: str, like: N) -> N | None:
    """The number in plain digits, whole where `like` is; -0 is 0."""
    if isinstance(like, int):
        return int(raw) if _INTEGER.fullmatch(raw) else None
    return float(raw) + 0.0 if _REAL.fullmatch(raw) else None
