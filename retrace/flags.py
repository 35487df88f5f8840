"""Flags of commands: those that name a pair, those that make a plan, and those of a single extraction or steering."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import get_args

from core.embedded import FRESH
from core.experiments.command import NONE, SET
from core.experiments.presets import ALL_FIGURES, BEYOND
from core.experiments.values import CONTROLS, Unit
from core.extraction.values import Negatives, Weighting
from core.runs.cells import Counted
from core.values import Precision, Region

HELP: dict[str, dict[str, tuple[str, str]]] = {
    "what is measured": {
        "--figures": (
            "LIST",
            f"figures, with commas: {', '.join(ALL_FIGURES)}; all: these; {BEYOND[0]}: Fig. 2 at every layer",
        ),
        "--layers": ("LIST", "layers that are compared, as 0-3,7"),
        "--windows": ("LIST", "windows that are compared, as --windows=-13..-8,-7..-2: offsets from an event"),
        "--unit": ("UNIT", f"of the doses: {', '.join(get_args(Unit))}"),
        "--doses": ("LIST", "doses of every curve, as 0.5,0.8,1; 0 is always measured"),
        "--layer": ("N", "take this layer instead of choosing one"),
        "--window": ("WINDOW", "take this window instead of choosing one, as --window=-13..-8"),
        "--dose": ("DOSE", "take this dose instead of choosing one"),
        "--title": ("TEXT", "a line that stands above the report"),
    },
    "directions": {
        "--label": ("LABEL", "label of the events in the traces"),
        "--negatives": ("KIND", f"what is subtracted: {', '.join(get_args(Negatives))}"),
        "--weighting": ("KIND", f"what counts the same: every {' or every '.join(get_args(Weighting))}"),
        "--saved": ("BASE[,REASONER]", "ids of saved directions, instead of extracting them from traces"),
        "--traces-digest": ("HEX", "refuse other traces than these"),
        "--weights": ("BASE,REASONER", "fingerprints: refuse other weights than these"),
    },
    "text": {
        "--tokens": ("N", "new tokens of every completion, at most"),
        "--temperature": ("T", "0 takes the likeliest token"),
        "--top-p": ("P", "share of the probability that tokens are drawn from"),
        "--seed": ("N", "seed of the first question; question i has seed + i in every arm"),
        "--banned": ("IDS", "token ids that are never chosen"),
        "--keywords": ("WORDS", "words that are counted, with commas"),
        "--counted": ("WHAT", f"what of a completion is counted: {', '.join(get_args(Counted))}"),
        "--region": ("REGION", f"where is steered: {', '.join(get_args(Region))}"),
        "--from": ("N", "first steered token of the region"),
        "--to": ("N", "token of the region before which steering ends"),
        "--every": ("N", "steer every n-th token"),
        "--until": ("WORDS", "steer until the first of these words is written"),
        "--block": ("N", "questions that are run and kept together"),
    },
    "controls": {
        "--random": ("K", "random directions with the norm of the tested one"),
        "--matched": ("K", "how many of them once more with its coherence"),
        "--curves": ("K", "how many of them are measured at every dose; with 0 all controls at the chosen one"),
        "--control-seed": ("N", "seed of the random directions and shuffled events"),
        "--controls": ("LIST", f"which are made: {', '.join(CONTROLS)}; all; or none"),
    },
}
"""Of every flag of a setting, by group: what is written after it, and what it means."""
PROMPTS = (
    f"questions: one a line, JSON Lines, or a JSON array; or {FRESH}, the embedded ones on which the recorded "
    "experiment chose nothing"
)
ONE_AT_A_TIME = (
    "keep one model of the pair on the card and the other in the computer's memory, also where both have room; where "
    "they have none it is done unasked"
)
_QUICK = (
    "the small form: fewer questions, doses and layers; the embedded pair at the layer, window and dose that its "
    "recorded experiment chose, on other questions"
)


def add_plan(parser: argparse.ArgumentParser) -> None:
    """All flags that make a plan."""
    add_pair(parser)
    parser.add_argument("--traces", metavar="FILE", help=f"labelled traces: a file, {SET}ID of a saved set, or {NONE}")
    parser.add_argument("--prompts", metavar="FILE", help=PROMPTS)
    parser.add_argument("--choose", type=int, metavar="N", help="questions to choose layer, window and dose on")
    parser.add_argument("--report", type=int, metavar="N", help="questions that the results are reported on")
    parser.add_argument("--quick", action="store_true", help=_QUICK)
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser, *, leave_out: Collection[str] = ()) -> None:
    """All of them but those that name the pair, and those that are left out."""
    for title, flags in HELP.items():
        group = parser.add_argument_group(title)
        for flag, (metavar, text) in flags.items():
            if flag not in leave_out:
                group.add_argument(flag, dest=flag, metavar=metavar, help=text)


def add_pair(parser: argparse.ArgumentParser) -> None:
    """The flags that name a pair."""
    group = parser.add_argument_group("models")
    group.add_argument("--pair", metavar="BASE,REASONER", help="hub ids or folders, either also as “id + adapter”")
    group.add_argument("--precision", metavar="P", help=f"{', '.join(get_args(Precision))}")
    group.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 or mps")
    add_one_at_a_time(group)


def add_one_at_a_time(parser: argparse._ActionsContainer) -> None:
    """The flag for a card that has room for one model of the pair."""
    parser.add_argument("--one-at-a-time", action="store_true", help=ONE_AT_A_TIME)


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """Where results go."""
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help=f"{what}; a new folder, or one of this plan"
    )
