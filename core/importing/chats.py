"""Reasoning out of chat logs and stored answers of APIs: messages, choices, candidates, outputs, wherever they lie.

Knows neither files nor labels. A turn's text is its reasoning; the answer behind the marks is no part of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from core.importing.fields import Leaf, Path, Record, walk
from core.text.thoughts import find_thought, notes_on

REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "thoughts", "thought", "reasoning_text")
_REASONING_LISTS = ("reasoning_details", "thinking_blocks")
MESSAGE_FIELDS = ("messages", "conversation", "conversations", "chat", "dialogue")
QUESTION_FIELDS = (
    *("problem", "prompt", "question", "query", "instruction", "input", "task"),
    *("original_message", "prompt_message", "conversation"),
)
"""Names under which lists of questions hold one."""
_USERS, _ASSISTANTS = ("user", "human"), ("assistant", "gpt", "model", "ai", "bot", "chatbot")
_OTHERS = ("system", "developer", "tool", "function", "observation", "function_call", "ipython")
_SUMMARY = "retrace: is a summary"
_TEXT_TYPES, _THOUGHT_TYPES = ("text", "output_text"), ("thinking", "reasoning", "reasoning_text", "summary_text")

Notes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One answer of a model: the question before it, its reasoning or all of it, and what was left out."""

    prompt: str
    text: str
    path: Path = ()
    prompt_path: Path = ()
    has_thought: bool = False
    is_empty: bool = False
    """Whether its thinking is stated, and blank."""
    n_cut: int = 0
    """Characters outside of the reasoning."""
    notes: Notes = ()


@dataclass(frozen=True)
class _Message:
    path: Path
    value: Record


@dataclass(frozen=True)
class Chat:
    """The messages of a record in order, and the places that they take up."""

    turns: tuple[Turn, ...]
    places: frozenset[Path]
    question: Leaf | None
    """What the last user said who got no answer here."""


def read_chat(record: Record) -> Generator[None, None, Chat]:
    """All answers in a record, with the question before each, in short steps."""
    lists: list[tuple[Path, list[_Message]]] = []
    for found in _message_lists(record):
        yield
        lists += [found] if found else []
    turns: list[Turn] = []
    question: Leaf | None = None
    for messages in sorted(lists, key=lambda found: _answers(found[1])):
        given, asked = yield from _turns(messages[1], question)
        turns += given
        question = asked or question
    return Chat(turns=tuple(turns), places=frozenset(path for path, _ in lists), question=question)


def message_text(message: object) -> str:
    """The content of a message, of the last user's in a list of messages, or a string as it is."""
    if isinstance(message, str):
        return message
    if isinstance(message, list):
        users = [m for m in message if isinstance(m, dict) and _role(m) in _USERS]
        return message_text(users[-1]) if users else ""
    return _content(message)[0] if isinstance(message, dict) else ""


def is_message(value: object) -> bool:
    """Whether it is one message of a chat, and no answer of an API that stands for itself."""
    return isinstance(value, dict) and bool(_role(value)) and not {"stop_reason", "usage", "model"} & set(value)


def thoughtful(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns of a log with reasoning, the others noted; where none has any, its last answer as a whole."""
    found = [turn for turn in turns if turn.has_thought]
    if not found:
        return turns[-1:]
    n = len(turns) - len(found)
    notes = (("turn without reasoning", f"{n} answers without reasoning are left out"),) if n else ()
    return (replace(found[0], notes=(*found[0].notes, *notes)), *found[1:])


def _answers(messages: list[_Message]) -> bool:
    return any(_role(message.value) in _ASSISTANTS for message in messages)


def _message_lists(record: Record) -> Iterator[tuple[Path, list[_Message]] | None]:
    """Every list of messages, or of answers, and every message that stands alone; None for anything else."""
    taken: set[Path] = set()
    for node in walk(record):
        yield None
        if isinstance(node, Leaf) or any(node.path[:k] in taken for k in range(len(node.path))):
            continue
        if isinstance(node.value, dict):
            message = {str(key): item for key, item in node.value.items()}
            found: list[_Message] = [_Message(node.path, message)] if _role(message) and "content" in message else []
        else:
            found = list(_in_list(node.path, node.value))
        if found:
            taken.add(node.path)
            yield node.path, found
    if _role(record) and not taken:
        yield (), [_Message((), record)]


def _in_list(path: Path, items: list[object]) -> Iterator[_Message]:
    thought, is_summary = "", False
    for k, item in enumerate(items):
        if not isinstance(item, dict):
            continue
        inner = item.get("message", item.get("content"))
        if _role(item) and item.get("type") != "reasoning":
            extra: Record = {"reasoning_content": thought, _SUMMARY: is_summary} if thought else {}
            yield _Message((*path, k), extra | item)
            thought, is_summary = "", False
        elif item.get("type") == "reasoning" and ("summary" in item or "content" in item):
            own = _blocks(item.get("content"))
            thought, is_summary = thought + (own or _blocks(item.get("summary"))), is_summary or not own
        elif isinstance(inner, dict) and ("content" in inner or "parts" in inner):
            answer: Record = {"role": "assistant", **inner}
            yield _Message((*path, k, "message" if "message" in item else "content"), answer)
    if thought:
        yield _Message(path, {"role": "assistant", "reasoning_content": thought, _SUMMARY: is_summary})


def _turns(messages: list[_Message], question: Leaf | None) -> Generator[None, None, tuple[list[Turn], Leaf | None]]:
    """The answers among the messages, and the last question if none follows it."""
    turns: list[Turn] = []
    asked, n_before = question, 0
    answered = True
    for k, message in enumerate(messages):
        yield
        content, thought, stated = _content(message.value)
        if _role(message.value) in _USERS:
            asked, answered, n_before = Leaf(message.path, content), False, k
        elif _role(message.value) in _ASSISTANTS:
            turn = _turn(content, thought, stated)
            notes = turn.notes
            if n_before:
                notes = (*notes, ("earlier messages", f"{n_before} messages before the question are left out"))
            if message.value.get(_SUMMARY) is True:
                notes = (*notes, ("summary", "the API gave a summary of the reasoning, not the reasoning itself"))
            if turn.text.strip() or turn.is_empty:
                prompt, place = (asked.text, asked.path) if asked else ("", ())
                turns.append(replace(turn, prompt=prompt, prompt_path=place, path=message.path, notes=notes))
            answered = True
    return turns, None if answered else asked


def _turn(content: str, thought: str, stated: bool) -> Turn:
    if thought.strip():
        return Turn(prompt="", text=thought, has_thought=True, n_cut=len(content.strip()))
    found = find_thought(content)
    if found is None:
        return Turn(prompt="", text=content, is_empty=stated)
    text = content[found.start : found.stop]
    blank = not text.strip()
    n_cut = found.n_before + found.n_behind
    return Turn(prompt="", text=text, has_thought=not blank, is_empty=blank, n_cut=n_cut, notes=notes_on(found))


def _role(message: Record | dict[object, object]) -> str:
    role = message.get("role", message.get("from"))
    known = isinstance(role, str) and role.lower() in (*_USERS, *_ASSISTANTS, *_OTHERS)
    return str(role).lower() if known else ""


def _content(message: Record) -> tuple[str, str, bool]:
    """(content, reasoning, whether a field for reasoning is there) of a message, whichever way it is written."""
    content = message.get("content", message.get("value", message.get("parts")))
    stated = [message[field] for field in (*REASONING_FIELDS, *_REASONING_LISTS) if field in message]
    thought = next((text for text in map(_blocks, stated) if text.strip()), "")
    if isinstance(content, list):
        blocks = [block for block in content if isinstance(block, dict)]
        thought = thought or "".join(_block(block) for block in blocks if _thinks(block))
        content = "".join(_block(block) for block in blocks if not _thinks(block) and _speaks(block))
    return content if isinstance(content, str) else "", thought, bool(stated)


def _thinks(block: dict[object, object]) -> bool:
    return block.get("type") in _THOUGHT_TYPES or block.get("thought") is True or "reasoningContent" in block


def _speaks(block: dict[object, object]) -> bool:
    return block.get("type") in _TEXT_TYPES or ("type" not in block and isinstance(block.get("text"), str))


def _blocks(value: object) -> str:
    """The text of a field that may be a text, or a list of blocks with texts."""
    if isinstance(value, list):
        return "".join(block if isinstance(block, str) else _block(block) for block in value)
    return value if isinstance(value, str) else ""


def _block(block: object) -> str:
    if not isinstance(block, dict):
        return ""
    for field in ("text", "thinking", "reasoning", "content", "summary"):
        found = _blocks(block.get(field))
        if found:
            return found
    inner = block.get("reasoningContent", block.get("reasoningText"))
    return _block(inner)
