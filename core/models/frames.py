"""How a question becomes the text that a model reads: a fixed prefix and suffix around it.

The chat template is rendered once, in a child process with limits, with a sentinel in the question's place. Knows
nothing of weights or token ids.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.child import run_child
from core.errors import ModelUnavailable
from core.models.tokenizer import FastTokenizer
from core.text.thoughts import THINK, THOUGHT_MARKERS

SENTINEL = "QUESTION-7f3a91c4-QUESTION"
CHILD_SECONDS = 30.0

_MARKUP = re.compile("<[|｜].*[|｜]>|" + "|".join(map(re.escape, THOUGHT_MARKERS)), re.DOTALL)


@dataclass(frozen=True)
class ChatFrame:
    """The text before and after every question, and where it came from."""

    prefix: str
    suffix: str
    source: Literal["template", "plain", "raw"]

    def render(self, question: str) -> str:
        """The whole text up to the first token of the answer."""
        return f"{self.prefix}{question}{self.suffix}"


def load_frame(tokenizer: FastTokenizer) -> ChatFrame:
    """The frame of a fast tokenizer: its chat template, or without one only the start token it adds itself.

    Raises ModelUnavailable where the template fails, hangs, needs too much memory or does not show the question once.
    """
    template = _template_of(tokenizer)
    if template is None:
        return ChatFrame(prefix=start_token(tokenizer), suffix="", source="raw")
    names = {k: v for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)}
    text = _render(template, json.dumps(names, sort_keys=True))
    if text.count(SENTINEL) != 1:
        raise _refused(f"it shows the question {text.count(SENTINEL)} times instead of once")
    prefix, suffix = text.split(SENTINEL)
    if THINK in tokenizer.get_added_vocab() and THINK not in suffix:
        suffix += f"{THINK}\n"
    return ChatFrame(prefix=prefix, suffix=suffix, source="template")


def plain_frame(
    frame: ChatFrame, special_tokens: Sequence[str], bos: str, *, read_as: Mapping[str, str] | None = None
) -> ChatFrame:
    """The same text for a base model that never saw the special tokens; `bos` is the base's own start token.

    Thought markers go with the white space after them, every other special token becomes a newline, unless `read_as`
    gives a text for it.
    """
    given = dict(read_as or {})
    tokens = sorted({*special_tokens, *THOUGHT_MARKERS}, key=len, reverse=True)
    pattern = "|".join(re.escape(token) + (r"\s*" if _vanishes(token, given) else "") for token in tokens)

    def plain(text: str) -> str:
        return re.sub(pattern, lambda match: read_as_text(match[0], given), text)

    return ChatFrame(prefix=bos + plain(frame.prefix).lstrip("\n"), suffix=plain(frame.suffix), source="plain")


def read_as_text(token: str, given: Mapping[str, str]) -> str:
    """What a base model reads in the place of a special token of its reasoning model."""
    token = token.strip()
    return given.get(token, "" if token in THOUGHT_MARKERS else "\n")


def _vanishes(token: str, given: Mapping[str, str]) -> bool:
    return token in THOUGHT_MARKERS and not read_as_text(token, given)


def start_token(tokenizer: FastTokenizer) -> str:
    """The text of the start token where the tokenizer adds one by itself, else nothing."""
    bos = tokenizer.bos_token
    ids = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True).ids
    return bos if bos and ids and ids[0] == tokenizer.bos_token_id else ""


def control_tokens(tokenizer: FastTokenizer) -> tuple[str, ...]:
    """Texts that must not become tokens when a user writes them: special, role and thought markers, longest first.

    Added tokens that are ordinary text, such as runs of spaces, are not among them.
    """
    added = tokenizer.added_tokens_decoder.values()
    texts = {t.content for t in added if t.special or _MARKUP.fullmatch(t.content)}
    return tuple(sorted(texts - {""}, key=lambda t: (-len(t), t)))


def _template_of(tokenizer: FastTokenizer) -> str | None:
    """A tokenizer may hold several named templates; the one named "default" is meant for chat."""
    template = tokenizer.chat_template
    if isinstance(template, Mapping):
        template = template.get("default")
    return template if isinstance(template, str) and template.strip() else None


@functools.lru_cache(maxsize=32)
def _render(template: str, special_tokens: str) -> str:
    request = {"template": template, "question": SENTINEL, "special_tokens": json.loads(special_tokens)}
    status, output = run_child("core.models.template_child", request, seconds=CHILD_SECONDS)
    try:
        answer = json.loads(output) if status == 0 else {}
    except ValueError:
        answer = {}
    if "text" not in answer:
        raise _refused(answer.get("error", "it did not finish within 2 seconds of processor time"))
    return str(answer["text"])


def _refused(reason: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"The model's chat template cannot be used: {reason}.",
        "Choose another revision of the model, or a local copy with a corrected chat template.",
    )
