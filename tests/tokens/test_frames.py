"""Chat frames: what a template turns a question into, and what a hostile template cannot do."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from core import child
from core.errors import ModelUnavailable
from core.tokens.frames import ChatFrame, load_frame, plain_frame


def _tokenizer(template: Any, *, thinks: bool = False, bos: str | None = "<s>", adds_bos: bool = True) -> Any:
    return SimpleNamespace(
        chat_template=template,
        special_tokens_map={"bos_token": "<s>", "eos_token": "</s>"},
        get_added_vocab=lambda: {"<think>": 7} if thinks else {},
        bos_token=bos,
        bos_token_id=0,
        backend_tokenizer=SimpleNamespace(
            encode=lambda text, add_special_tokens: SimpleNamespace(ids=[0, 5] if adds_bos else [5])
        ),
    )


USER_ONLY = "{{ bos_token }}[{{ messages[0]['content'] }}]"


def test_frame_surrounds_the_question() -> None:
    frame = load_frame(_tokenizer(USER_ONLY))
    assert frame == ChatFrame(prefix="<s>[", suffix="]", source="template")
    assert frame.render("2 + 2?") == "<s>[2 + 2?]"


def test_generation_prompt_and_thought_marker() -> None:
    template = USER_ONLY + "{% if add_generation_prompt %}A:{% endif %}"
    assert load_frame(_tokenizer(template)).suffix == "]A:"
    assert load_frame(_tokenizer(template, thinks=True)).suffix == "]A:<think>\n"
    assert load_frame(_tokenizer(template + "<think>\n", thinks=True)).suffix == "]A:<think>"
    assert load_frame(_tokenizer(template + "{{ '<think>\n' }}", thinks=True)).suffix == "]A:<think>\n"


def test_template_features_that_real_models_use() -> None:
    template = (
        "{%- for m in messages %}\n    {%- if m.role != 'user' %}{% continue %}{% endif %}\n"
        "{{- m.content | trim }}{% endfor %}{{ {'a': '<'} | tojson }}"
        "{%- if strftime_now is defined %}{{ strftime_now('%Y') | length }}{% endif %}"
        "{%- if tools is not none %}TOOLS{% endif %}"
    )
    assert load_frame(_tokenizer(template)).suffix == '{"a": "<"}4'


@pytest.mark.parametrize("chosen", [USER_ONLY, {"default": USER_ONLY, "rag": "x"}])
def test_named_templates(chosen: Any) -> None:
    assert load_frame(_tokenizer(chosen)).prefix == "<s>["


@pytest.mark.parametrize("template", [None, "", " ", {"rag": "x"}])
def test_without_template_the_text_is_read_raw(template: Any) -> None:
    assert load_frame(_tokenizer(template)) == ChatFrame(prefix="<s>", suffix="", source="raw")
    assert load_frame(_tokenizer(template, adds_bos=False)).prefix == ""
    assert load_frame(_tokenizer(template, bos=None)).prefix == ""


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 10**9 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 9 ** 9 ** 9 }}",
        "{% set x = ['a' * 9999] %}{% for i in range(20) %}{% set x = x + x %}{{ x * 9 }}{% endfor %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% include '/etc/passwd' %}",
        "{{ unclosed",
        "{{ raise_exception('only tools') }}",
        "no question at all",
        "{{ messages[0].content }}{{ messages[0].content }}",
        "{{ messages[0].content[::-1] }}",
        "{{ '(' * 200000 }}",
    ],
)
def test_hostile_or_broken_template_is_refused_in_time(template: str) -> None:
    start = time.monotonic()
    with pytest.raises(ModelUnavailable, match="chat template"):
        load_frame(_tokenizer(template))
    assert time.monotonic() - start < 35


def test_template_cannot_change_the_messages() -> None:
    with pytest.raises(ModelUnavailable, match="SecurityError"):
        load_frame(_tokenizer("{{ messages.append(1) }}" + USER_ONLY))


def test_the_child_sees_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_SECRET")
    seen: list[dict[str, str]] = []
    run = child.subprocess.run
    monkeypatch.setattr(child.subprocess, "run", lambda *a, **k: (seen.append(k["env"]), run(*a, **k))[1])
    load_frame(_tokenizer(USER_ONLY + "keys"))
    assert "hf_SECRET" not in str(seen)
    assert seen


def test_rendering_happens_once_per_template() -> None:
    load_frame(_tokenizer(USER_ONLY + "once"))
    start = time.monotonic()
    for _ in range(100):
        load_frame(_tokenizer(USER_ONLY + "once"))
    assert time.monotonic() - start < 0.1


def test_plain_frame_of_the_demo_pair() -> None:
    frame = ChatFrame(prefix="<|bos|>Problem: ", suffix="\nSolution:\n<think>\n", source="template")
    plain = plain_frame(frame, ["<|bos|>", "<think>", "</think>"], "<|bos|>")
    assert plain == ChatFrame(prefix="<|bos|>Problem: ", suffix="\nSolution:\n", source="plain")


def test_plain_frame_of_a_deepseek_distil() -> None:
    frame = ChatFrame(prefix="<｜begin▁of▁sentence｜><｜User｜>", suffix="<｜Assistant｜><think>\n", source="template")
    special = ["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"]
    assert plain_frame(frame, special, "<|begin_of_text|>") == ChatFrame(
        prefix="<|begin_of_text|>", suffix="\n", source="plain"
    )


def test_plain_frame_takes_the_longest_token_first() -> None:
    frame = ChatFrame(prefix="<a><a>b", suffix="<a>", source="template")
    assert plain_frame(frame, ["<a>", "<a>b"], "").suffix == "\n"
    assert plain_frame(frame, ["<a>", "<a>b"], "").prefix == ""
    assert plain_frame(frame, [], "").prefix == "<a><a>b"
