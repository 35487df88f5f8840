"""Reasoning out of chat logs: messages with a reasoning field, `<think>` in the content, or plain question and answer.

Knows neither files nor labels. A turn's text is its reasoning; the answer after `</think>` is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.text.thoughts import has_thought, split_thought

MESSAGE_FIELDS = ("messages", "conversation", "conversations", "chat", "dialogue")
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "thoughts", "thought", "reasoning_text")
_USERS, _ASSISTANTS = ("user", "human"), ("assistant", "gpt", "model", "ai")
_TEXT_TYPES, _THOUGHT_TYPES = ("text", "output_text"), ("thinking", "reasoning")

Record = dict[str, object]
"""A JSON object, whatever it holds."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One answer of a model: the question before it, its reasoning, and what was left out as (kind, sentence)."""

    prompt: str
    text: str
    notes: tuple[tuple[str, str], ...] = ()


def is_chat(record: Record) -> bool:
    """Whether the record holds a list of messages."""
    return _messages(record) is not None


def read_chat(record: Record) -> list[Turn]:
    """Every turn of the log that holds reasoning; where none does, its last answer as a whole."""
    turns = list(_turns([*(_messages(record) or ()), *_choices(record)]))
    thoughtful = [turn for turn, has_thought in turns if has_thought]
    if thoughtful:
        n = len(turns) - len(thoughtful)
        notes = (("turn without reasoning", f"{n} answers without reasoning are left out"),) if n else ()
        first = thoughtful[0]
        return [Turn(prompt=first.prompt, text=first.text, notes=(*first.notes, *notes)), *thoughtful[1:]]
    return [turn for turn, _ in turns[-1:]]


def message_text(message: object) -> str:
    """The content of a message, of the last user's in a list of messages, or a string as it is."""
    if isinstance(message, str):
        return message
    if isinstance(message, list):
        users = [m for m in message if isinstance(m, dict) and _role(m) in _USERS]
        return message_text(users[-1]) if users else ""
    return _content(message)[0] if isinstance(message, dict) else ""


def _turns(messages: list[object]) -> Iterator[tuple[Turn, bool]]:
    prompt, n_before = "", 0
    for message in messages:
        if not isinstance(message, dict):
            continue
        content, thought = _content(message)
        if _role(message) in _USERS:
            prompt = content
        elif _role(message) in _ASSISTANTS:
            notes: tuple[tuple[str, str], ...] = ()
            marked = not thought.strip() and has_thought(content)
            if marked:
                thought, notes = split_thought(content)
            if n_before > 1:
                notes = (*notes, ("earlier messages", f"{n_before - 1} messages before the question are left out"))
            if thought.strip() or content.strip():
                yield (
                    Turn(prompt=prompt, text=thought if thought.strip() else content, notes=notes),
                    bool(thought.strip()),
                )
        n_before += 1


def _messages(record: Record) -> list[object] | None:
    for field in MESSAGE_FIELDS:
        value = record.get(field)
        if isinstance(value, list) and any(isinstance(m, dict) and _role(m) for m in value):
            return value
    return None


def _choices(record: Record) -> list[object]:
    """The answers of a stored API response; each goes with the question before it."""
    choices = record.get("choices")
    if not isinstance(choices, list):
        return []
    messages = (choice.get("message") for choice in choices if isinstance(choice, dict))
    return [{"role": "assistant"} | message for message in messages if isinstance(message, dict)]


def _role(message: Record) -> str:
    role = message.get("role", message.get("from"))
    return role.lower() if isinstance(role, str) else ""


def _content(message: Record) -> tuple[str, str]:
    """(content, reasoning) of a message, whichever way it is written."""
    content = message.get("content", message.get("value"))
    stated = (message.get(field) for field in REASONING_FIELDS)
    thought = next((text for text in stated if isinstance(text, str)), "")
    if isinstance(content, list):
        blocks = [block for block in content if isinstance(block, dict)]
        thought = thought or "".join(_block(block) for block in blocks if block.get("type") in _THOUGHT_TYPES)
        content = "".join(_block(block) for block in blocks if block.get("type") in _TEXT_TYPES)
    return content if isinstance(content, str) else "", thought


def _block(block: Record) -> str:
    found = (block.get(field) for field in ("text", "thinking", "reasoning"))
    return next((text for text in found if isinstance(text, str)), "")
