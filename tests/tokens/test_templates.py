"""Chat templates of every kind: rendered as transformers renders them, told what they can be told, at a fixed date."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer
from transformers.utils import chat_template_utils

from core.errors import BadInput, ModelUnavailable
from core.tokens.frames import TEMPLATE_DATE, ChatFrame, load_frame, read_template
from tests.tiny_models import tiny_tokenizer_json

QUESTION = "Is 91 prime?"
USER = "{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}"


def tokenizer_of(template: Any, *, thinks: bool = False) -> Any:
    """A tokenizer with this template; one that `thinks` has tokens for the marks of thinking."""
    backend = Tokenizer.from_str(tiny_tokenizer_json() if thinks else _without_marks())
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, chat_template=template, bos_token="<|bos|>", eos_token="<|eos|>"
    )


def _without_marks() -> str:
    return tiny_tokenizer_json().replace("<think>", "<tag>").replace("</think>", "</tag>")


GENERATION = (
    "{%- for message in messages -%}\n{%- if message.role == 'user' -%}{{ '<u>' + message.content }}\n"
    "{%- else -%}{% generation %}{{ message.content }}{% endgeneration %}{%- endif -%}\n{%- endfor -%}"
    "{% generation %}\n  {% set kept = 'inside' %}{{ kept }}\n{% endgeneration %}{{ kept }}"
    "{%- if add_generation_prompt -%}<a>{%- endif -%}"
)
LIKE_TRANSFORMERS = {
    "the generation tag": GENERATION,
    "the generation tag in a loop": USER + "{% for i in range(4) %}{%- generation -%} {{ i }} {% endgeneration %}"
    "{% if i == 2 %}{% break %}{% endif %}{% endfor %}",
    "tojson with arguments": USER
    + "{{ {'b': [1, 'é<&>'], 'a': none} | tojson }}{{ {'b': 1, 'a': 2} | tojson(indent=2) }}"
    + "{{ {'b': 'é', 'a': 2} | tojson(separators=(',', ':'), sort_keys=true, ensure_ascii=true) }}"
    + "{{ ['é'] | tojson(true) }}{{ {'b': 1, 'a': 2} | tojson(false, 4, none, true) }}",
    "continue and break": "{% for i in range(9) %}{% if i is even %}{% continue %}{% endif %}{% if i > 6 %}{% break %}"
    "{% endif %}{{ i }}{% endfor %}" + USER,
    "namespace and dict": "{% set ns = namespace(n=1, self=2) %}{% for m in messages %}{% set ns.n = ns.n + 4 %}"
    "{% endfor %}{{ ns.n }}{{ ns.self }}{{ dict(a=1, **{'b': 2}) }}{{ dict.fromkeys(['x'], 3) }}" + USER,
    "undefined is empty": USER + "[{{ nobody }}]{% if nobody is undefined %}u{% endif %}{% if not nobody %}n{% endif %}"
    "{{ nobody | default('d') }}{{ messages[0].nothing }}{{ messages[0]['nothing'] }}",
    "tools and documents are none": USER + "{{ tools is none }}{{ documents is none }}{{ tools is defined }}",
    "special tokens": "{{ bos_token }}{{ eos_token }}[{{ pad_token }}]" + USER,
    "the date": "{{ strftime_now('%d %b %Y, %A %j') }}{{ strftime_now(format='%Y') }}" + USER,
    "macros and calls": "{% macro say(role) %}<{{ role }}>{{ caller() }}{% endmacro %}{% call say('u') %}"
    "{{ messages[0].content }}{% endcall %}",
    "white space": "  {% if true %}  \n    {{ messages[0].content }}  \n  {% endif %}\n\n  {# note #}\n<a>\n",
    "filters and slices": "{{ messages | map(attribute='role') | join(',') }}{{ messages[-1:] | length }}"
    "{{ (messages | selectattr('role', 'equalto', 'user') | list)[0].content }}{{ '%s|%d' | format('x', 3) }}"
    "{{ 'a-b'.split('-') | last | upper }}",
    "thought of an answer": USER
    + "{{ messages[0].reasoning_content is defined }}{{ messages[0].thinking is defined }}",
    "a Unicode line": USER + "{{ 'é￭\u2028' }}{{ '\\u00e9' }}",
}


@pytest.mark.parametrize("template", LIKE_TRANSFORMERS.values(), ids=LIKE_TRANSFORMERS.keys())
def test_a_template_is_rendered_as_transformers_renders_it(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    class Fixed(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromisoformat(TEMPLATE_DATE)

    monkeypatch.setattr(chat_template_utils, "datetime", Fixed)
    tokenizer = tokenizer_of(template)
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
    )
    assert load_frame(tokenizer).render(QUESTION) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}" + USER,
        "{{ namespace(_hidden=1) }}" + USER,
        "{{ dict.__class__.__mro__ }}" + USER,
        "{{ messages.append(1) }}" + USER,
        "{% generation %}" + USER,
    ],
)
def test_what_transformers_refuses_is_refused(template: str) -> None:
    tokenizer = tokenizer_of(template)
    with pytest.raises(Exception):  # noqa: B017  whatever transformers raises
        tokenizer.apply_chat_template([{"role": "user", "content": QUESTION}], tokenize=False)
    with pytest.raises(ModelUnavailable, match="chat template"):
        load_frame(tokenizer)


def test_a_template_that_refuses_a_lone_question_is_quoted() -> None:
    needs_system = "{% if messages[0].role != 'system' %}{{ raise_exception('A system message is needed') }}{% endif %}"
    with pytest.raises(ModelUnavailable, match="refuses a single question with the words “A system message is needed”"):
        load_frame(tokenizer_of(needs_system + USER))


# --- the date


def test_a_template_that_prints_the_date_gets_one_that_never_changes_and_it_is_said() -> None:
    dated = read_template(tokenizer_of("Today: {{ strftime_now('%d %B %Y') }}" + USER))
    assert dated.prints_date
    assert dated.frame.prefix == "Today: 01 January 2025<u>"
    asked_only = USER + "{% if strftime_now is defined %}a clock{% endif %}"
    assert not read_template(tokenizer_of(asked_only)).prints_date
    assert not read_template(tokenizer_of(USER)).prints_date


# --- arguments

END = "{% if add_generation_prompt %}<a>"
QWEN = (
    USER
    + END
    + ("{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}")
)
DEEPSEEK = (
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    + USER
    + END
    + ("{% if thinking %}<think>{% else %}</think>{% endif %}{% endif %}")
)
GRANITE = "{% if thinking %}Think first.{% endif %}" + USER + END + "{% endif %}"
DISABLED = USER + END + "{% if disable_thinking %}<think></think>{% endif %}{% endif %}"
EFFORT = "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'medium' %}{% endif %}" + (
    "Effort: {{ reasoning_effort }}." + USER + END + "{% endif %}"
)
MODES = (
    USER + END + ("{% if mode == 'deep' %}[deep]{% elif mode in ['short', 'none'] %}[{{ mode }}]{% endif %}{% endif %}")
)


def frame_ends(template: str, chosen: dict[str, Any] | None = None, *, thinks: bool = True) -> str:
    return read_template(tokenizer_of(template, thinks=thinks), chosen).frame.suffix.partition("<a>")[2]


def facts_of(template: str, *, thinks: bool = True) -> list[tuple[object, ...]]:
    found = read_template(tokenizer_of(template, thinks=thinks)).arguments
    return [(a.name, a.values, a.default, a.opens_thinking) for a in found]


def test_a_switch_that_is_open_by_default() -> None:
    assert facts_of(QWEN) == [("enable_thinking", (True, False), True, False)]
    assert frame_ends(QWEN) == frame_ends(QWEN, {"enable_thinking": True}) == "<think>\n"
    assert frame_ends(QWEN, {"enable_thinking": False}) == "<think>\n\n</think>\n\n"


def test_thinking_that_is_closed_by_default_is_opened_and_can_be_closed() -> None:
    assert facts_of(DEEPSEEK) == [("thinking", (True, False), True, True)]
    assert frame_ends(DEEPSEEK) == "<think>"
    assert frame_ends(DEEPSEEK, {"thinking": False}) == "</think>"


def test_thinking_that_only_a_system_prompt_asks_for_is_opened() -> None:
    assert facts_of(GRANITE, thinks=False) == [("thinking", (True, False), True, True)]
    tokenizer = tokenizer_of(GRANITE)
    assert read_template(tokenizer).frame.prefix == "Think first.<u>"
    closed = read_template(tokenizer, {"thinking": False}).frame
    assert closed == ChatFrame("<u>", "</u><a>", "template")


def test_a_switch_that_closes_thinking_stays_off() -> None:
    assert facts_of(DISABLED) == [("disable_thinking", (True, False), False, False)]
    assert frame_ends(DISABLED) == "<think>\n"
    assert frame_ends(DISABLED, {"disable_thinking": True}) == "<think></think>"


def test_choices_are_found_where_the_template_names_them() -> None:
    assert facts_of(EFFORT) == [("reasoning_effort", ("low", "medium", "high"), "medium", False)]
    told = read_template(tokenizer_of(EFFORT), {"reasoning_effort": "high"}).frame
    assert told.prefix == "Effort: high.<u>"
    assert facts_of(MODES) == [("mode", ("deep", "short", "none"), None, False)]
    assert frame_ends(MODES, {"mode": "short"}, thinks=False) == "[short]"


def test_a_choice_that_opens_closed_thinking_is_taken() -> None:
    template = USER + END + "{% if effort == 'high' %}<think>{% else %}</think>{% endif %}{% endif %}"
    assert facts_of(template) == []
    assert frame_ends(template) == "<think>"


@pytest.mark.parametrize(
    "template",
    [
        "{{ system_prompt or 'You help.' }}" + USER,
        "{% if system_prompt %}{{ system_prompt }}{% endif %}" + USER,
        "{% if custom_tools is defined %}{% set tools = custom_tools %}{% endif %}"
        + USER
        + "{% if tools is not none %}{% for t in tools %}{{ t.name }}{% endfor %}{% endif %}",
        "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}" + USER,
        "{% if not tools_in_user_message is defined %}{% set tools_in_user_message = true %}{% endif %}"
        + USER
        + "{% if tools_in_user_message and tools %}x{% endif %}",
        "{% set local = true %}{% if local %}x{% endif %}" + USER,
        "{% for x in extra or [] %}{{ x }}{% endfor %}" + USER,
    ],
)
def test_what_is_no_switch_is_not_offered(template: str) -> None:
    assert facts_of(template, thinks=False) == []


@pytest.mark.parametrize(
    ("template", "chosen"),
    [
        (QWEN, {"enable_thinking": "yes"}),
        (QWEN, {"enable_thinking": 1}),
        (QWEN, {"messages": True}),
        (QWEN, {"bos_token": "x"}),
        (MODES, {"mode": "{{ 7 * 7 }}"}),
        (None, {"thinking": True}),
    ],
)
def test_only_offered_values_reach_the_template(template: str | None, chosen: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="cannot be told"):
        read_template(tokenizer_of(template), chosen)


def test_a_slow_template_loses_its_switches_and_not_its_frame() -> None:
    slow = "{% for i in range(400) %}{% for j in range(1500) %}{% endfor %}{% endfor %}" + DEEPSEEK
    assert frame_ends(slow) in ("<think>", "</think>")


def test_a_closed_frame_without_a_switch_is_left_as_the_template_has_it() -> None:
    assert frame_ends(USER + END + "<think>\n\n</think>\n\n{% endif %}") == "<think>\n\n</think>\n\n"
    assert frame_ends(USER + END + "</think>{% endif %}") == "</think>"


# --- where templates are kept


def test_a_template_may_stand_in_a_file_of_its_own_and_among_named_ones(tmp_path: Any) -> None:
    tokenizer_of(USER + "<one>").save_pretrained(tmp_path / "one")
    assert (tmp_path / "one" / "chat_template.jinja").exists()
    named = {"default": USER + "<default>", "rag": "no question"}
    tokenizer_of(named).save_pretrained(tmp_path / "several")
    for folder, end in (("one", "<one>"), ("several", "<default>")):
        loaded = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / folder)
        assert load_frame(loaded).suffix == f"</u>{end}"  # type: ignore[arg-type]
