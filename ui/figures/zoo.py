"""One experiment on several pairs as one table: a row per pair, every number with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from core.experiments.verdicts import State, percent, points
from core.series.numbers import Standing, standings
from core.series.values import Series
from ui.figures.report import STATES, page_of

_MARKS: dict[State, str] = {"yes": "✓", "no": "✗", "unclear": "?", "too little": "?", "not measured": "–"}
NOTE = (
    "Words that are keywords, in percent; differences in points, paired by question; 95% intervals. "
    "✓ yes, ✗ no, ? cannot be told."
)


def zoo_table(series: Series) -> list[dict[str, str]]:
    """A row per pair, as text; one that is not measured yet has its name alone."""
    found = {one.measured.member.name: one for one in standings(series)}
    empty = dict.fromkeys((name for one in found.values() for name in _row(one)), "")
    rows = []
    for member in series.plan.members:
        one = found.get(member.name)
        rows.append({"Pair": member.name} | (_row(one) if one else empty))
    return rows


def _row(one: Standing) -> dict[str, str]:
    chosen = one.chosen
    window = f", {chosen.window.label}" if chosen.window else ""
    strongest = (
        f"{one.strongest.name}, {percent(one.strongest_rate)}" if one.strongest and one.strongest_rate else "none"
    )
    return {
        "Unsteered": percent(one.unsteered),
        "With the base's direction": percent(one.steered),
        "Minus unsteered": points(one.effect.difference),
        "Strongest readable control": strongest,
        "Minus that control": points(one.specific.difference) if one.specific else "",
        **{tick.name.capitalize(): _MARKS[tick.state] for tick in one.ticks},
        "Questions": str(chosen.n),
        "Layer, window": f"{chosen.layer}{window}",
        "Dose": f"{chosen.coefficient:.3g}",
    }


def zoo_html(series: Series) -> str:
    """The table as a page, with the sentence behind every tick."""
    title = series.plan.title.strip() or "One experiment on several pairs"
    done = f"{series.n_done} of {len(series.plan.members)} pairs are measured."
    rows = zoo_table(series)
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in rows)
    table = f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    parts = [f"<header><h1>{escape(title)}</h1><p class='quiet'>{escape(done)}</p></header>", table]
    parts += [f"<p class='quiet'>{escape(note_of(series))}</p>", *(_sentences(one) for one in standings(series))]
    return page_of(title, parts)


def note_of(series: Series) -> str:
    """What the numbers of the table are, and where each pair was steered."""
    fixed = series.plan.plan.fixed
    is_chosen = fixed.layer is None and fixed.window is None and fixed.dose is None
    chosen = (
        "Every pair has the same plan, and its own layer, window and dose, chosen on questions that are not reported."
    )
    given = "Every pair has the same plan; layer, window and dose are fixed by it, or chosen on other questions."
    return f"{chosen if is_chosen else given} {NOTE}"


def _cell(value: str) -> str:
    return f"<td class='text'>{escape(value)}</td>"


def _sentences(one: Standing) -> str:
    cards: Sequence[str] = [
        f"<li class='{STATES[tick.state][1]}'><b>{escape(tick.name.capitalize())}</b>"
        f"<span class='state'>{escape(STATES[tick.state][0])}</span><div>{escape(tick.sentence)}</div></li>"
        for tick in one.ticks
    ]
    return f"<section><h2>{escape(one.measured.member.name)}</h2><ul class='ticks'>{''.join(cards)}</ul></section>"
