"""Lanes as files to share: Markdown, JSON, and one HTML page that stands alone. Texts are data in all of them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.forward.edits import OPERATORS, SteeringSpec
from core.runs.values import Generation
from core.text.words import keyword_tokens, measure_text
from core.values import Positions, canonical
from core.weights import adapter_commit_of, commit_of

SCHEMA = "retrace-lanes-1"
_STYLE = (
    ":root{color-scheme:light dark}body{font:17px/1.6 system-ui,sans-serif;margin:2rem auto;max-width:110rem;"
    "padding:0 1.5rem}h1{font-size:1.4rem}.lanes{display:grid;gap:1rem;"
    "grid-template-columns:repeat(auto-fit,minmax(22rem,1fr))}section{border:1px solid #8888;border-top:4px solid "
    "#2f7de1;border-radius:6px;padding:.6rem 1rem}h2{font-size:1.1rem;margin:.2rem 0}p{margin:.3rem 0}.text{"
    "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}mark{background:#2f7de173;color:inherit;"
    "font-weight:700}dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.85rem;opacity:.85}"
    "dd{margin:0}"
)
_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class NamedLane:
    """A lane with the title that it has on the page."""

    title: str
    generation: Generation


def describe_edit(edit: SteeringSpec) -> str:
    """One edit in words, without markup: what, how much, where."""
    what = OPERATORS[edit.operator].export.format(size=f"{edit.coefficient:.4g}", name=repr(edit.direction.name))
    ramp = f", rising over {edit.ramp} tokens" if edit.ramp > 1 else ""
    return f"{what} after layer {edit.layer}, {describe_positions(edit.positions)}{ramp}"


def describe_positions(where: Positions) -> str:
    """Positions in words."""
    words = {
        "all": "at every position",
        "prompt": "in the prompt",
        "completion": "in the completion",
        "thinking": "in the thinking",
    }[where.region]
    if where.start or where.stop is not None:
        words += f" from its token {where.start}" + (f" to {where.stop - 1}" if where.stop is not None else "")
    if where.every > 1:
        words += f", every {where.every}-th"
    return words + (f", until “{'”, “'.join(where.until)}”" if where.until else "")


def to_json(lanes: Sequence[NamedLane]) -> str:
    """All lanes with their whole specs, vectors included, and what was measured of them."""
    return json.dumps({"schema": SCHEMA, "lanes": [_as_json(lane) for lane in lanes]}, indent=1)


def to_markdown(lanes: Sequence[NamedLane]) -> str:
    """The lanes as Markdown: texts stand in fences, so that nothing in them is markup."""
    parts = [f"# Retrace: {len(lanes)} lanes", "", "Question:", "", *_fenced(lanes[0].generation.spec.prompt.question)]
    for lane in lanes:
        parts += ["", f"## {_literal(lane.title)}", ""]
        parts += [f"- {name}: `{_marked_line(value).replace('`', chr(39))}`" for name, value in _facts(lane.generation)]
        parts += ["", *_fenced(lane.generation.text)]
    return "\n".join(parts) + "\n"


def to_html(lanes: Sequence[NamedLane]) -> str:
    """One page without scripts or links, whose policy lets nothing be loaded; texts are escaped."""
    sections = "".join(_section(lane) for lane in lanes)
    question = _escaped(lanes[0].generation.spec.prompt.question)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width"><title>Retrace: {len(lanes)} lanes</title>'
        f'<style>{_STYLE}</style></head><body><h1>Retrace</h1><p class="text">{question}</p>'
        f'<div class="lanes">{sections}</div></body></html>'
    )


def _section(lane: NamedLane) -> str:
    pieces, keywords = lane.generation.pieces, set(keyword_tokens(lane.generation.pieces))
    text = "".join(f"<mark>{_escaped(p)}</mark>" if i in keywords else _escaped(p) for i, p in enumerate(pieces))
    facts = "".join(f"<dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd>" for name, value in _facts(lane.generation))
    return f'<section><h2>{_escaped(lane.title)}</h2><p class="text">{text}</p><dl>{facts}</dl></section>'


def _facts(generation: Generation) -> list[tuple[str, str]]:
    spec, measured = generation.spec, measure_text(generation.text)
    commit = commit_of(spec.model, spec.fingerprint)
    at = f", commit {commit}" if commit else ""
    adapter_commit = adapter_commit_of(spec.model, spec.fingerprint)
    at += f", adapter at commit {adapter_commit}" if adapter_commit else ""
    facts = [("model", f"{spec.model.name}, {spec.model.precision}{at}")]
    facts += [("steering", describe_edit(edit)) for edit in spec.steering] or [("steering", "none")]
    sampling = f"at most {spec.sampling.max_new_tokens} tokens, temperature {spec.sampling.temperature:g}"
    facts.append(("sampling", f"{sampling}, top-p {spec.sampling.top_p:g}, seed {spec.sampling.seed}"))
    if spec.prefix:
        facts.append(("forked", f"goes on from {len(spec.prefix)} kept tokens"))
    facts.append(("wait / hmm", f"{measured.n_keywords} of {measured.n_words} words"))
    facts.append(("repetition", f"{measured.repetition:.1%}"))
    if generation.nll is not None:
        facts.append(("NLL", f"{generation.nll:.2f} nats per token under the unsteered model"))
    if measured.no_evidence:
        facts.append(("no evidence", measured.no_evidence))
    return facts


def _as_json(lane: NamedLane) -> dict[str, object]:
    generation = lane.generation
    edits = [edit.direction for edit in generation.spec.steering]
    return {
        "title": lane.title,
        "text": generation.text,
        "token_ids": list(generation.token_ids),
        "stop_reason": generation.stop_reason,
        "seconds": generation.seconds,
        "nll": generation.nll,
        "facts": dict(_facts(generation)),
        "spec": canonical(generation.spec),
        "model": canonical(generation.spec.model),
        "directions": [{"name": d.name, "digest": d.digest, "vector": d.vector.tolist()} for d in edits],
    }


def _escaped(text: str) -> str:
    return html.escape(_INVISIBLE.sub("\ufffd", text))


def _literal(text: str) -> str:
    """One line of Markdown that shows the text as it is."""
    return _MARKUP.sub(r"\\\1", _marked_line(text))


def _marked_line(text: str) -> str:
    """The whole text on one line, each invisible character as "�": `core.text.lines` would leave it out."""
    return " ".join(_INVISIBLE.sub("\ufffd", text).split())


def _fenced(text: str) -> list[str]:
    """The text in a fence longer than any run of back-ticks inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence + "text", _INVISIBLE.sub("\ufffd", text), fence]
