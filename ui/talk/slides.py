"""From the talk to slides: texts and figures as they are stored now. No session: the page and the command line draw it.

What is not stored any more becomes a slide that says so.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from core.errors import UserFacingError
from core.experiments.verdicts import sentences
from core.runs.arms import first_divergence
from core.runs.history import HistoryEntry
from core.runs.values import WHOLE, Generation
from core.talk.items import Comparison, ShownFigure, Talk, TalkItem
from core.text.lines import shown_line
from core.text.words import KEYWORDS, keyword_tokens, measure_text
from core.workbench import Workbench
from ui.components.lanes import Lane, LaneState
from ui.components.stage import FigureSlide, LanesSlide, SaidSlide, Slide

if TYPE_CHECKING:
    from ui.figures.marks import Drawing

GONE = "This run is not stored any more."
MAX_SENTENCE = 300
USUAL_HEIGHT, CHART_HEIGHT = 320, 230
WIDTHS = {1: 620, 2: 340}
"""Of each chart in pixels of its own size, by how many stand side by side."""
SIDE_BY_SIDE = max(WIDTHS)


def slides_of(bench: Workbench, talk: Talk) -> list[Slide]:
    """A slide per item, in their order; a figure of many charts has several."""
    return [slide for item in talk.items for slide in _slides(bench, item)]


def _slides(bench: Workbench, item: TalkItem) -> list[Slide]:
    if item.comparison is not None:
        return [_comparison(bench, item.title, item.comparison)]
    assert item.figure is not None
    return _figure(bench, item.title, item.figure)


def _comparison(bench: Workbench, title: str, shown: Comparison) -> Slide:
    found = [bench.history.entry(lane.run_id) for lane in shown.lanes]
    there = [entry for entry in found if entry is not None]
    if not there:
        return SaidSlide(
            title=title,
            text="The runs of this comparison are not stored any more. Run the question again on the Steering "
            "playground, and add it to the talk anew.",
        )
    texts = [entry.record.generation if entry else None for entry in found]
    lanes = tuple(
        lane_of(text, _at(texts, lane.reference), title=lane.title, subtitle=lane.subtitle, keywords=shown.keywords)
        for lane, text in zip(shown.lanes, texts, strict=True)
    )
    badge = recorded(shown.recorded_at or _latest(there))
    return LanesSlide(title=title, question=shown.question, lanes=lanes, badge=badge)


def lane_of(
    generation: Generation | None,
    reference: Generation | None,
    *,
    title: str,
    subtitle: str,
    keywords: Sequence[str] = KEYWORDS,
) -> Lane:
    """A text with its keywords, where it parts from the other, and whether it is evidence; or that it is gone."""
    if generation is None:
        return Lane(title=title, subtitle=subtitle, state="interrupted", note=GONE)
    is_whole = generation.stop_reason in WHOLE
    fault = measure_text(generation.text).no_evidence if is_whole else None
    state: LaneState = "running" if generation.stop_reason == "running" else "done"
    return Lane(
        title=title,
        subtitle=subtitle,
        pieces=generation.pieces,
        highlights=keyword_tokens(generation.pieces, tuple(keywords) or KEYWORDS),
        diverged_at=first_divergence(reference.token_ids, generation.token_ids) if reference else None,
        state=state,
        note=f"No evidence: {fault}." if fault else "",
    )


def _at(texts: Sequence[Generation | None], place: int) -> Generation | None:
    return texts[place] if place >= 0 else None


def _latest(entries: Sequence[HistoryEntry]) -> float:
    return max(entry.stored_at for entry in entries)


def recorded(seconds: float) -> str:
    """The badge of what was stored at a time, in seconds since 1970: its year where that is not this one."""
    when, now = datetime.fromtimestamp(seconds), datetime.now()
    return f"recorded {when.day} {when:%b}" + (f" {when.year}" if when.year != now.year else "")


def _figure(bench: Workbench, title: str, shown: ShownFigure) -> list[Slide]:
    """Two charts stand side by side; of more each has a slide."""
    from ui.figures.catalogue import drawings

    outcome = bench.experiments.outcome(shown.experiment_id)
    made = drawings(outcome, shown.figure) if outcome is not None else ()
    if outcome is None or not made:
        return [SaidSlide(title=title, text=_why_no_figure(bench, shown))]
    sentence = shown_line(next(iter(sentences(outcome, shown.figure)), ""), MAX_SENTENCE)
    badge = recorded(bench.experiments.kept_at(shown.experiment_id))
    together = [made] if len(made) <= SIDE_BY_SIDE else [(drawing,) for drawing in made]
    return [
        FigureSlide(
            title=title if len(together) == 1 else f"{title} · {charts[0].title}",
            pictures=tuple(_picture(drawing, width=WIDTHS[len(charts)]) for drawing in charts),
            sentence=sentence,
            badge=badge,
        )
        for charts in together
    ]


def _picture(drawing: Drawing, *, width: int) -> str:
    """As SVG; a chart of the usual height is lower here, so that it is larger where it fills the window."""
    from ui.figures.pictures import described

    chart = described(drawing.chart)
    height = CHART_HEIGHT if chart["height"] == USUAL_HEIGHT else chart["height"]
    return _svg(json.dumps(chart | {"height": height}, sort_keys=True), width)


@functools.lru_cache(maxsize=64)
def _svg(chart: str, width: int) -> str:
    """A drawing takes a fifth of a second, and a talk is drawn anew whenever its page is."""
    from ui.figures.pictures import svg_of

    return svg_of(json.loads(chart), width=width).decode()


def _why_no_figure(bench: Workbench, shown: ShownFigure) -> str:
    try:
        bench.experiments.plan(shown.experiment_id)
    except UserFacingError:
        return (
            "The experiment of this figure is not stored any more. Run it again, and add the figure to the talk anew."
        )
    return "Nothing was measured of this figure yet. Run its experiment to the end on the Experiments page."
