"""An experiment as one HTML file that opens offline: no script, no request, every text escaped.

Two reports of equal outcomes are equal, but for what stands between DATES and DATES_END.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape

from core.disk.codec import canonical_json
from core.experiments.plans import plan_id
from core.experiments.statistics import chosen_point, null_of, unsteered
from core.experiments.values import Figure, Outcome, Point
from core.experiments.verdicts import QUESTIONS, State, percent, sentences, ticks, with_test
from core.experiments.words import TITLES, caption, dose_words, is_date, methods, place_words
from core.runs.cells import DoseCell
from ui.components.roles import NAMES, REASONER_FIRST
from ui.figures.catalogue import drawings, measured
from ui.figures.look import style
from ui.figures.marks import Drawing
from ui.figures.pictures import NARROW, WIDE, described, in_dark, svg_of
from ui.figures.rows import Row, rows_of

Cells = Callable[[str], DoseCell | None]
DATES, DATES_END = "<!-- dates -->", "<!-- end of dates -->"
TEXTS, TEXT_LETTERS = 3, 1200
MOST_ROWS = 400
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STATES: dict[State, tuple[str, str]] = {
    "yes": ("✓ yes", "yes"),
    "no": ("✗ no", "no"),
    "unclear": ("? cannot be told", "open"),
    "too little": ("? too little text to say", "open"),
    "not measured": ("– not measured", "open"),
}


def report_html(outcome: Outcome, *, cells: Cells) -> str:
    """The whole report; `cells` gives the texts behind a point by the key of a cell, None where they are not kept."""
    title = outcome.plan.title.strip() or "Experiment"
    figures = measured(outcome)
    body = (
        _top(outcome, title),
        *(_figure(outcome, figure) for figure in figures),
        _texts(outcome, cells),
        section("Methods, to copy", f"<p class='methods'>{escape(methods(outcome))}</p>"),
        _left_out(outcome, figures),
        _digests(outcome),
        _provenance(outcome),
    )
    return page_of(title, body)


def page_of(title: str, body: Iterable[str]) -> str:
    """A page of its own, without script and requests; the parts of its body are HTML, empty ones are left out."""
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)} · Retrace</title><style>{style()}</style></head><body>",
            *(part for part in body if part),
            "</body></html>\n",
        )
    )


def section(title: str, *parts: str) -> str:
    return "\n".join((f"<section><h2>{escape(title)}</h2>", *parts, "</section>"))


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _top(outcome: Outcome, title: str) -> str:
    """What the pair does and does not show, whatever came out."""
    plan = outcome.plan
    pair = f"{plan.pair.base.name} ({NAMES['base']}) and {plan.pair.reasoner.name} ({NAMES['reasoner']})"
    part = "" if outcome.finished else f" Not finished: {outcome.done} of {outcome.total} points are measured."
    place = place_words(outcome)
    cards = []
    for tick in ticks(outcome):
        said, state = STATES[tick.state]
        cards.append(
            f"<li class='{state}'><b>{escape(QUESTIONS[tick.name])}</b><span class='state'>{escape(said)}</span>"
            f"<div>{escape(tick.sentence)}</div></li>"
        )
    return (
        f"<header><h1>{escape(title)}</h1><p class='quiet'>{escape(pair + '.' + part)}</p></header>"
        f"<section><p><b>What this pair shows, and what it does not.</b> {escape(place)} Effects are of "
        f"{len(plan.report)} reported questions; {len(plan.choose)} others chose.</p>"
        f"<ul class='ticks'>{''.join(cards)}</ul></section>"
    )


def _figure(outcome: Outcome, figure: Figure) -> str:
    charts = "".join(picture(drawing) for drawing in drawings(outcome, figure))
    said = [*sentences(outcome, figure), *_null_sentences(outcome, figure)]
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in said)
    return section(
        TITLES[figure],
        f"<ul>{listed}</ul>" if listed else "",
        f"<div class='charts'>{charts}</div>",
        f"<p class='quiet'>{escape(caption(outcome, figure))}</p>",
        table_of(rows_of(outcome, figure)),
    )


def _null_sentences(outcome: Outcome, figure: Figure) -> list[str]:
    null = null_of(outcome) if figure == "fig4" else None
    if null is None:
        return []
    said = [
        f"At the chosen dose the direction is above {percent(share.below, 0)} of {share.below.n} random directions of "
        f"equal {share.match}, {share.n_readable} of which leave the text readable."
        for share in null.shares
    ]
    if null.strongest and null.difference:
        said.append(
            f"Against the strongest readable control, “{null.strongest.name}” at {null.strongest.coefficient:.3g}: "
            f"{with_test(null.difference)}."
        )
    return said


def picture(drawing: Drawing) -> str:
    """Four drawings, of which the browser takes the one for its width and theme; an image runs no script."""
    narrow, dark = "(max-width:600px)", "screen and (prefers-color-scheme:dark)"
    spec = described(drawing.chart)
    small, large = svg_of(spec, width=NARROW), svg_of(spec, width=WIDE)
    sources = ((f"{dark} and {narrow}", in_dark(small)), (dark, in_dark(large)), (f"screen and {narrow}", small))
    listed = "".join(f'<source media="{media}" srcset="{_data(svg)}">' for media, svg in sources)
    alt = escape(f"{drawing.title}; the numbers are in the table below.")
    return f'<figure><picture>{listed}<img alt="{alt}" src="{_data(large)}"></picture></figure>'


def _data(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def table_of(rows: Sequence[Row]) -> str:
    """All numbers of a figure; of very many rows the first, and a word on the rest."""
    if not rows:
        return ""
    columns = [name for name in rows[0] if any(row[name] not in (None, "") for row in rows)]
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(row[name]) for name in columns)}</tr>" for row in rows[:MOST_ROWS])
    rest = f"<p>The CSV has {len(rows) - MOST_ROWS} more rows.</p>" if len(rows) > MOST_ROWS else ""
    return (
        f"<details><summary>All {len(rows)} rows of numbers</summary><div class='scroll'><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{body}</tbody></table></div>{rest}</details>"
    )


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, float):
        return f"<td>{value:.4g}</td>"
    if isinstance(value, int):
        return f"<td>{value:,}</td>"
    return f"<td class='text'>{escape(str(value or ''))}</td>"


def _texts(outcome: Outcome, cells: Cells) -> str:
    """A few texts of each model, unsteered and at the chosen dose, and of the strongest readable control."""
    null = null_of(outcome)
    asked = [
        point
        for role in REASONER_FIRST
        for point in (unsteered(outcome.reported, role, "report"), chosen_point(outcome, target=role))
    ]
    points = [point for point in (*asked, null.strongest if null else None) if point is not None]
    found = [shown for point in points if (shown := _texts_of(point, cells))]
    note = f"<p class='quiet'>The first {TEXTS} of each point, the beginning of each text.</p>"
    return section("Texts behind the points", note, *found) if found else ""


def _texts_of(point: Point, cells: Cells) -> str:
    quotes: list[str] = []
    for key in point.cells:
        cell = cells(key) if len(quotes) < TEXTS else None
        for prompt, text in zip(cell.spec.prompts, cell.texts, strict=True) if cell else ():
            if len(quotes) < TEXTS:
                quotes.append(quote(prompt.question, text))
    if not quotes:
        return ""
    dose = dose_words(point.coefficient, point.resid_norm, point.raw_norm)
    name = f"{NAMES[point.target]}, {point.name}" + ("" if point.kind == "unsteered" else f", {dose}")
    keys = f"<p class='quiet'>Stored under {escape(', '.join(point.cells))}.</p>"
    return f"<details><summary>{escape(name[0].upper() + name[1:])}</summary>{''.join(quotes)}{keys}</details>"


def quote(question: str, text: str) -> str:
    shown = text if len(text) <= TEXT_LETTERS else text[:TEXT_LETTERS] + "…"
    return (
        f"<blockquote><p><b>{escape(question)}</b></p><div class='made'>{escape(_printable(shown)) or '(empty)'}</div>"
        "</blockquote>"
    )


def _printable(text: str) -> str:
    """With control characters as signs, so that no text hides or turns another."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def _left_out(outcome: Outcome, figures: Sequence[Figure]) -> str:
    missing = [
        f"{TITLES[figure]} was asked for and has not been measured."
        for figure in outcome.plan.figures
        if figure not in figures
    ]
    said = [*outcome.notes, *missing]
    return section("What was left out", f"<ul>{''.join(f'<li>{escape(s)}</li>' for s in said)}</ul>") if said else ""


def _digests(outcome: Outcome) -> str:
    """What tells this experiment from any other, and its results from changed ones."""
    plan = outcome.plan
    prints = zip(NAMES.values(), outcome.fingerprints, strict=True)
    listed = [
        ("plan", plan_id(plan)),
        *((f"{name} fingerprint", value) for name, value in prints if value),
        ("traces", plan.traces.digest),
        ("questions that chose", _digest(plan.choose)),
        ("questions that are reported", _digest(plan.report)),
        ("all counts of this report", _digest(replace(outcome, provenance=()))),
    ]
    note = "<p class='quiet'>SHA-256 of contents; equal ones have equal digests on any machine.</p>"
    return section("Digests", note, lines_of([(name, value) for name, value in listed if value]))


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _provenance(outcome: Outcome) -> str:
    """What it was made with; dates last, in one marked place."""
    same = [(name, value) for name, value in outcome.provenance if not is_date(name)]
    dates = [(name, value) for name, value in outcome.provenance if is_date(name)]
    return section("Provenance", lines_of(same), DATES + lines_of(dates) + DATES_END)


def lines_of(pairs: Sequence[tuple[str, str]]) -> str:
    return _paragraphs(f"{name}: {value}" for name, value in pairs)
