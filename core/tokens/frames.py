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
from core.errors import BadInput, ModelUnavailable
from core.text.thoughts import END_THINK, THINK, THOUGHT_MARKERS, is_closed
from core.tokens.tokenizer import FastTokenizer

SENTINEL = "QUESTION-7f3a91c4-QUESTION"
CHILD_SECONDS = 30.0
TEMPLATE_DATE = "2025-01-01"
"""The date that templates get when they ask for today's, so that a run can be repeated on another day."""

Value = bool | int | str
Arguments = Mapping[str, Value]
_THINKING = re.compile(r"((enable|use|with)_)?(think|thinking|reasoning)(_(mode|enabled))?")
"""Names of arguments that switch thinking on."""

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


@dataclass(frozen=True, kw_only=True)
class TemplateArgument:
    """Something that a chat template can be told, and that changes what it makes of a question."""

    name: str
    values: tuple[Value, ...]
    """Values with different effects; two or more unless `default` is None."""
    default: Value | None
    """The value with the effect of saying nothing to Retrace; None where no value has it."""
    opens_thinking: bool = False
    """Whether the default is given to open the thinking that the template by itself would not."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a model's chat template makes of a question, and what it can be told."""

    frame: ChatFrame
    arguments: tuple[TemplateArgument, ...] = ()
    prints_date: bool = False
    """Whether it asked for today's date, and got TEMPLATE_DATE."""


@dataclass(frozen=True)
class _Rendered:
    """A frame as the child rendered it, and by argument the (value, frame) of the trials around it."""

    frame: ChatFrame
    prints_date: bool
    trials: Mapping[str, tuple[tuple[Value, ChatFrame], ...]]


def load_frame(tokenizer: FastTokenizer) -> ChatFrame:
    """The frame of a fast tokenizer: its chat template, or without one only the start token it adds itself.

    Raises ModelUnavailable where the template fails, hangs, needs too much memory or does not show the question once.
    """
    return read_template(tokenizer).frame


def read_template(tokenizer: FastTokenizer, chosen: Arguments | None = None) -> Template:
    """The frame of a fast tokenizer with what its chat template is told, and what else it could be told.

    A template that closes the thinking of a reasoning model unless it is told otherwise is told otherwise. Raises
    BadInput for a choice that the template does not have, ModelUnavailable as `load_frame`.
    """
    template = template_of(tokenizer)
    if template is None:
        _check_chosen({}, chosen or {})
        return Template(frame=ChatFrame(prefix=start_token(tokenizer), suffix="", source="raw"))
    names = {k: v for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)}
    special = json.dumps(names, sort_keys=True)
    own = _render(template, special, "{}")
    opening = _opening(own)
    default = _render(template, special, json.dumps(opening)) if opening else own
    arguments = {name: _argument(name, default, opening) for name in sorted({*default.trials, *opening})}
    arguments = {n: a for n, a in arguments.items() if len(a.values) > (a.default is not None)}
    _check_chosen(arguments, chosen or {})
    told = {n: v for n, v in sorted((chosen or {}).items()) if v != arguments[n].default}
    rendered = _render(template, special, json.dumps({**opening, **told}, sort_keys=True)) if told else default
    frame = rendered.frame
    if THINK in tokenizer.get_added_vocab() and not _marks_thinking(frame) and not _declines(told):
        frame = ChatFrame(frame.prefix, f"{frame.suffix}{THINK}\n", "template")
    return Template(frame=frame, arguments=tuple(arguments.values()), prints_date=rendered.prints_date)


def _marks_thinking(frame: ChatFrame) -> bool:
    return THINK in frame.suffix or END_THINK in frame.suffix or is_closed(frame.suffix)


def _declines(told: Arguments) -> bool:
    """Whether thinking is switched off by name."""
    return any(value is False and _THINKING.fullmatch(name) for name, value in told.items())


def _opening(own: _Rendered) -> dict[str, Value]:
    """What the template must be told to open the thinking of a reasoning model; nothing where it does so by itself."""
    first = sorted(own.trials.items(), key=lambda trial: not _THINKING.fullmatch(trial[0]))
    if is_closed(own.frame.suffix):
        return next(({n: v} for n, values in first for v, frame in values if not is_closed(frame.suffix)), {})
    for name, values in first:
        frames = dict(values)
        switched_on = frames.get(True, own.frame) != own.frame == frames.get(False)
        if _THINKING.fullmatch(name) and switched_on and not is_closed(frames[True].suffix):
            return {name: True}
    return {}


def _argument(name: str, rendered: _Rendered, opening: Arguments) -> TemplateArgument:
    """The argument with one value for each effect."""
    by_frame: dict[ChatFrame, Value] = {}
    for value, frame in rendered.trials.get(name, ()):
        by_frame.setdefault(frame, value)
    if name in opening:
        by_frame[rendered.frame] = opening[name]
    default = by_frame.get(rendered.frame)
    return TemplateArgument(name=name, values=tuple(by_frame.values()), default=default, opens_thinking=name in opening)


def _check_chosen(arguments: Mapping[str, TemplateArgument], chosen: Arguments) -> None:
    for name, value in chosen.items():
        values = arguments[name].values if name in arguments else ()
        if not any(type(known) is type(value) and known == value for known in values):
            raise BadInput(
                f"The chat template cannot be told {name[:40]!r} = {str(value)[:40]!r}.",
                f"Choose one of: {', '.join(map(str, values))}." if values else "Leave it out.",
            )


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


def template_of(tokenizer: FastTokenizer) -> str | None:
    """A tokenizer may hold several named templates; the one named "default" is meant for chat."""
    template = tokenizer.chat_template
    if isinstance(template, Mapping):
        template = template.get("default")
    return template if isinstance(template, str) and template.strip() else None


@functools.lru_cache(maxsize=64)
def _render(template: str, special_tokens: str, arguments: str) -> _Rendered:
    request = {
        "template": template,
        "question": SENTINEL,
        "special_tokens": json.loads(special_tokens),
        "date": TEMPLATE_DATE,
        "arguments": json.loads(arguments),
    }
    status, output = run_child("core.tokens.template_child", request, seconds=CHILD_SECONDS)
    try:
        answer = json.loads(output) if status == 0 else {}
    except ValueError:
        answer = {}
    if "text" not in answer:
        raise _refused(answer.get("error", "it did not finish within 2 seconds of processor time"))
    text = str(answer["text"])
    if text.count(SENTINEL) != 1:
        raise _refused(f"it shows the question {text.count(SENTINEL)} times instead of once")
    trials = {
        str(name): tuple((value, _split(text)) for value, text in tried if text.count(SENTINEL) == 1)
        for name, tried in answer["trials"].items()
    }
    return _Rendered(_split(text), bool(answer["prints_date"]), trials)


def _split(text: str) -> ChatFrame:
    prefix, suffix = text.split(SENTINEL)
    return ChatFrame(prefix=prefix, suffix=suffix, source="template")


def _refused(reason: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"The model's chat template cannot be used: {reason}.",
        "Choose another revision of the model, or a local copy with a corrected chat template.",
    )
