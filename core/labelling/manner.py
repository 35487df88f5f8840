"""How a question is put to a chat-completions endpoint, and what to change after a refusal. Knows no connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Message = dict[Literal["role", "content"], str]
MAX_TOKENS = 8192
"""Limit of an answer for endpoints that want one; no other is sent any."""


@dataclass(frozen=True)
class Manner:
    """How a question is put: what a model refuses is left out, what it wants is added, each from then on."""

    temperature: bool = True
    system: bool = True
    """Whether the instructions are a message of their own, in the role "system"."""
    limit: Literal["", "max_tokens", "max_completion_tokens"] = ""

    def after(self, refusal: str) -> Manner:
        """The manner for the next try, or this one where the refusal is not about it."""
        words = refusal.lower()
        if self.temperature and "temperature" in words:
            return replace(self, temperature=False)
        if self.system and "role" in words and ("system" in words or "alternate" in words or "only user" in words):
            return replace(self, system=False)
        if not self.limit and "tokens" in words and re.search("required|missing", words):
            return replace(self, limit="max_completion_tokens" if "max_completion_tokens" in words else "max_tokens")
        if self.limit == "max_tokens" and "max_completion_tokens" in words:
            return replace(self, limit="max_completion_tokens")
        return self

    @property
    def note(self) -> str:
        """A sentence where the answers depend on the manner; "" for the usual one."""
        if self.temperature:
            return ""
        return "The model takes no temperature: it answered at its own, so asking again may give other labels."

    def question(self, model: str, messages: Sequence[Message]) -> dict[str, object]:
        """The body of the request."""
        said = list(messages)
        if not self.system:
            said = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        asked: dict[str, object] = {"model": model, "messages": said}
        return (
            asked | ({"temperature": 0} if self.temperature else {}) | ({self.limit: MAX_TOKENS} if self.limit else {})
        )
