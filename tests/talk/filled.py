"""A cache folder with a talk of two comparisons and a figure, whose texts are hostile where texts can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.disk.store import Store
from core.runs.history import RunHistory, run_id_of
from core.runs.values import Generation
from core.talk.folder import TalkFolder
from core.talk.items import Comparison, ShownFigure, TalkLane, made_item
from core.values import Prompt
from tests import every_kind
from tests.bundles.filled import fill

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
RECORDED = 1_600_000_000.0
"""13 September 2020."""
FIRST, SECOND = "Which number is it?", f"{HOSTILE} ![b](http://beacon.example/p) $x$ ?"
WORDS = 40


def text(seed: int, question: str, pieces: tuple[str, ...]) -> Generation:
    made = every_kind.generation(seed)
    spec = replace(made.spec, prompt=Prompt(question=question, text=question, token_ids=(seed, 2, 3)))
    return replace(made, spec=spec, pieces=pieces, token_ids=tuple(range(len(pieces))))


def pieces_of(word: str, n: int = WORDS) -> tuple[str, ...]:
    return tuple(f" {word}{number}" for number in range(n))


def compare(root: Path, question: str, texts: tuple[Generation, ...], title: str = "") -> None:
    """Pin the texts, and put them into the talk."""
    store = Store(root)
    history = RunHistory(root, store)
    for one in texts:
        history.pin(one, RECORDED)
    store.close()
    lanes = tuple(
        TalkLane(run_id=run_id_of(one.spec), title=f"Lane {number}", subtitle=HOSTILE, reference=number - 1)
        for number, one in enumerate(texts)
    )
    shown = Comparison(question=question, lanes=lanes, recorded_at=RECORDED)
    assert TalkFolder(root).add(made_item(title, comparison=shown, instead=question))


def fill_talk(root: Path) -> str:
    """Two comparisons and a figure; the id of the figure's experiment."""
    experiment_id = fill(root)
    steered = ("The", " answer", " is", " 8", ".", " Wait", ",", " no", *pieces_of("w"))
    compare(root, FIRST, (text(11, FIRST, pieces_of("w", WORDS)), text(12, FIRST, steered)), "First, the answer")
    compare(root, SECOND, (text(13, SECOND, (HOSTILE, "\n", " \u202eodd\u200b", *pieces_of("x"))),))
    figure = ShownFigure(experiment_id=experiment_id, figure="fig3")
    assert TalkFolder(root).add(made_item(f"Fig. 3 {HOSTILE}", figure=figure))
    return experiment_id
