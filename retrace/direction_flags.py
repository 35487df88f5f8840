"""The flags of the commands that make and add directions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from core.experiments.command import SET
from core.extraction.values import Negatives, Weighting
from core.forward.edits import Operator
from core.models.pair import ROLES
from core.text.words import KEYWORDS
from core.traces.events import BACKTRACKING
from core.values import Region
from retrace.flags import add_pair


def add_extract(parser: argparse.ArgumentParser) -> None:
    """Of which traces, in which model, where."""
    add_pair(parser)
    parser.add_argument("--traces", metavar="FILE", help=f"labelled traces: a file, or {SET}ID of a saved set")
    parser.add_argument("--source", default="both", metavar="ROLE", help=f"{', '.join(ROLES)} or both (default)")
    parser.add_argument("--label", default=BACKTRACKING, metavar="LABEL", help="label of the events")
    parser.add_argument("--windows", metavar="LIST", help="as --windows=-13..-8,-7..-2 (default: the paper's)")
    parser.add_argument("--layers", metavar="LIST", help="as 0-3,7 (default: all)")
    parser.add_argument("--negatives", default="all", metavar="KIND", help=f"{', '.join(get_args(Negatives))}")
    parser.add_argument("--weighting", default="trace", metavar="KIND", help=f"{', '.join(get_args(Weighting))}")
    parser.add_argument("--save", action="store_true", help="put them on the Directions page too")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the files go")


def add_steer(parser: argparse.ArgumentParser) -> None:
    """What is added to which prompts, and how they are completed."""
    add_pair(parser)
    parser.add_argument(
        "--direction", required=True, metavar="FILE|ID", help="a file, or a saved direction's id or name"
    )
    parser.add_argument("--doses", required=True, metavar="LIST", help="as 0,4,8; 0 is unsteered")
    parser.add_argument("--unit", default="unit", metavar="UNIT", help="unit vectors, or share of the residual norm")
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="a question; can be given several times")
    parser.add_argument("--prompts", metavar="FILE", help="questions: one a line, JSON Lines, or a JSON array")
    parser.add_argument("--n", type=int, metavar="N", help="take the first N of them")
    parser.add_argument("--target", default="reasoner", metavar="ROLE", help=f"model to steer: {', '.join(ROLES)}")
    parser.add_argument("--layer", type=int, metavar="N", help="layer to add it at (default: the direction's)")
    parser.add_argument("--operator", default="add", metavar="KIND", help=f"{', '.join(get_args(Operator))}")
    parser.add_argument("--region", default="all", metavar="REGION", help=f"{', '.join(get_args(Region))}")
    parser.add_argument("--tokens", type=int, default=256, metavar="N", help="new tokens at most (default 256)")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0 takes the likeliest token (default)"
    )
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="default 1")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="prompt i has seed + i at every dose")
    parser.add_argument("--keywords", default=",".join(KEYWORDS), metavar="WORDS", help="words that are counted")
    parser.add_argument("--other-model", action="store_true", help="also add a direction of other weights")
