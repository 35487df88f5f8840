"""Child process that renders one untrusted chat template: JSON on stdin, JSON on stdout.

It runs under an address-space limit and a timer that the template cannot catch. It offers templates what transformers
offers them. It knows nothing of models or tokenizers; `core.tokens.frames` starts it and judges what comes back.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Iterator, Mapping

from jinja2 import Environment, Template, TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from core.child import limit_process

RENDER_SECONDS = 2.0
TRIAL_SECONDS = 1.0
"""Of processor time for trying the template's arguments, which are left out when it is used up."""
MAX_CHARACTERS = 100_000
MAX_ARGUMENTS, MAX_VALUES, MAX_VALUE_CHARACTERS = 8, 8, 40
KNOWN_VALUES: Mapping[str, tuple[str, ...]] = {"reasoning_effort": ("low", "medium", "high")}
"""Values of arguments that templates print without naming them."""

Value = bool | int | str
_GIVEN = ("messages", "tools", "documents", "add_generation_prompt", "continue_final_message")


class _Refusal(TemplateError):
    """The template's own `raise_exception`."""


class _Generation(Extension):
    """transformers' tag around the assistant's text: a block of its own scope, rendered as it is."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_rendered"), [], [], body).set_lineno(line)

    def _rendered(self, caller: Macro) -> str:
        return str(caller())


class _Dict:
    """`dict` for templates, without the attributes of the class."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: list[object], value: object = None) -> object:
        return dict.fromkeys(keys, value)


class _Namespace(Namespace):
    """jinja2's, without names that begin with an underscore; `namespace(self=…)` works as there."""

    def __init__(*args: object, **kwargs: object) -> None:
        attributes: dict[str, object] = dict(*args[1:], **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: object) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: str) -> None:
    if name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}")


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers does it: no HTML escapes, unlike jinja2's `tojson`."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise _Refusal(message)


class Renderer:
    """One template with a question in it. Raises jinja2.TemplateError for a template that is broken."""

    def __init__(self, template: str, question: str, special_tokens: dict[str, str], date: str) -> None:
        self.env = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        self.env.filters["tojson"] = _to_json
        self.env.globals.update(raise_exception=_raise, strftime_now=self._now, dict=_Dict(), namespace=_Namespace)
        self._date = datetime.datetime.fromisoformat(date)
        self._question, self._special_tokens = question, special_tokens
        self.prints_date = False
        self._source = template
        self._template: Template = self.env.from_string(template)

    def _now(self, format: str) -> str:
        self.prints_date = True
        return self._date.strftime(format)

    def render(self, arguments: Mapping[str, Value]) -> str:
        """One user message and the opening of the answer. Raises jinja2.TemplateError where the template refuses or
        reaches outside the sandbox."""
        given = {**self._special_tokens, **arguments}
        return self._template.render(
            messages=[{"role": "user", "content": self._question}],
            tools=None,
            documents=None,
            add_generation_prompt=True,
            **given,
        )

    def trials(self, arguments: Mapping[str, Value]) -> dict[str, list[tuple[Value, str]]]:
        """For each argument that the template reads and nobody gives: values it may have, and what is then rendered.

        Values are tried one at a time beside `arguments`; those at which the template fails are left out.
        """
        found: dict[str, list[tuple[Value, str]]] = {}
        end = time.process_time() + TRIAL_SECONDS
        for name, values in list(self._candidates())[:MAX_ARGUMENTS]:
            for value in values[:MAX_VALUES]:
                if time.process_time() > end:
                    return {}
                try:
                    text = self.render({**arguments, name: value})
                except Exception:  # noqa: S112  whatever a template does with a value that it was not made for
                    continue
                if len(text) <= MAX_CHARACTERS:
                    found.setdefault(name, []).append((value, text))
        return found

    def _candidates(self) -> Iterator[tuple[str, list[Value]]]:
        unknown = meta.find_undeclared_variables(self.env.parse(self._source)) - {*_GIVEN, *self._special_tokens}
        tree = self.env.parse(self._source)  # anew: looking for the names folds constants in the tree
        for name in sorted(unknown):
            named = [*KNOWN_VALUES.get(name, ()), *_named_values(tree, name)]
            texts = list(dict.fromkeys(value for value in named if _is_short(value)))
            if texts:
                yield name, list(texts)
            elif _is_flag(tree, name):
                yield name, [True, False]


def _is_short(value: object) -> bool:
    text = isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_VALUE_CHARACTERS
    return text or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**6)


def _named_values(tree: nodes.Template, name: str) -> Iterator[Value]:
    """The constants that the template compares the argument with, or sets it to."""
    for compared in tree.find_all(nodes.Compare):
        sides = [compared.expr, *(operand.expr for operand in compared.ops)]
        equal = all(operand.op in ("eq", "ne", "in", "notin") for operand in compared.ops)
        if equal and any(_bare(side, name) for side in sides):
            yield from (value for side in sides for value in _constants(side))
    for assigned in tree.find_all(nodes.Assign):
        if isinstance(assigned.target, nodes.Name) and assigned.target.name == name:
            yield from _constants(assigned.node)
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name in ("default", "d") and filtered.node is not None and _bare(filtered.node, name):
            yield from (value for argument in filtered.args for value in _constants(argument))


def _constants(node: nodes.Node) -> Iterator[Value]:
    for item in node.items if isinstance(node, nodes.List | nodes.Tuple) else [node]:
        if isinstance(item, nodes.Const) and isinstance(item.value, str | int) and not isinstance(item.value, bool):
            yield item.value


def _bare(node: nodes.Node, name: str) -> bool:
    """Whether the node is that name, however filtered."""
    while isinstance(node, nodes.Filter) and node.node is not None:
        node = node.node
    return isinstance(node, nodes.Name) and node.name == name


_WRITES = (nodes.Output, nodes.Concat, nodes.Add, nodes.Mod, nodes.Getattr, nodes.Getitem, nodes.For, nodes.Filter)
_HANDS_ON = (nodes.Or, nodes.And, nodes.CondExpr)


def _is_flag(node: nodes.Node, name: str, *, written: bool = False) -> bool:
    """Whether the name is only asked for its truth: never written, looped over, filtered or looked into."""
    if isinstance(node, nodes.Name):
        return not (written and node.name == name and node.ctx == "load")
    is_default = isinstance(node, nodes.Filter) and node.name in ("default", "d")
    hands_on = isinstance(node, _HANDS_ON) or is_default
    inside = written if hands_on else isinstance(node, _WRITES)
    asked = node.test if isinstance(node, nodes.CondExpr | nodes.For) else None
    return all(_is_flag(child, name, written=inside and child is not asked) for child in node.iter_child_nodes())


def answer(request: Mapping[str, object]) -> dict[str, object]:
    """{"text", "prints_date", "trials"} or {"error"}."""
    template, question, special, date, given = (
        request[key] for key in ("template", "question", "special_tokens", "date", "arguments")
    )
    assert isinstance(template, str) and isinstance(question, str) and isinstance(date, str)  # noqa: PT018
    assert isinstance(special, dict) and isinstance(given, dict)  # noqa: PT018
    try:
        renderer = Renderer(template, question, special, date)
        text = renderer.render(given)
        if len(text) > MAX_CHARACTERS:
            return {"error": "it writes too much text"}
        prints_date = renderer.prints_date
        return {"text": text, "prints_date": prints_date, "trials": renderer.trials(given)}
    except MemoryError:
        return {"error": "it needs too much memory"}
    except RecursionError:
        return {"error": "it is nested too deeply"}
    except _Refusal as error:
        return {"error": f"it refuses a single question with the words “{str(error)[:200]}”"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    limit_process(RENDER_SECONDS)
    sys.stdout.write(json.dumps(answer(request)))


if __name__ == "__main__":
    main()
