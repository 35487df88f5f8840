"""The commands that measure several pairs: their flags, and what runs them."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.experiments.command import SET
from retrace.console import Console
from retrace.flags import PROMPTS, add_settings
from retrace.session import Stop

_NOT_OF_CHECKPOINTS = ("--figures", "--saved", "--weights", "--matched", "--curves")
"""What a plan of checkpoints says itself."""


def add_emergence(parser: argparse.ArgumentParser) -> None:
    """Which finetune, on which questions, and all of a plan that can be chosen for it."""
    parser.add_argument("finetune", metavar="RUN", help="the folder of a finetune, or the name of one of the app")
    parser.add_argument("--steps", metavar="LIST", help="which checkpoints, as 0,15,30 (default: all of them)")
    learned = "those that the finetune learned from, where they are labelled"
    parser.add_argument(
        "--traces", metavar="FILE", help=f"labelled traces: a file, or {SET}ID of a saved set (default: {learned})"
    )
    parser.add_argument("--prompts", metavar="FILE", help=PROMPTS)
    parser.add_argument("--choose", type=int, metavar="N", help="questions to choose layer, window and dose on")
    parser.add_argument("--report", type=int, metavar="N", help="questions that the results are reported on")
    parser.add_argument("--quick", action="store_true", help="fewer questions, doses and layers, and shorter texts")
    add_settings(parser, leave_out=_NOT_OF_CHECKPOINTS)
    add_out(parser, "plan, curves and results")


def add_zoo(parser: argparse.ArgumentParser) -> None:
    """Which plan on which pairs."""
    parser.add_argument("file", metavar="PLAN", help="a plan's file; its pair is replaced by each of the pairs")
    pair = "BASE,REASONER: hub ids or folders, either also as “id + adapter”"
    parser.add_argument("pairs", nargs="+", metavar="PAIR", help=pair)
    add_out(parser, "plan, table and results")


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """Where results go, and how many processes make them."""
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help=f"{what}; a new folder, or one of this plan"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that measure it together (default: one a core for a small model on the CPU, else 1; on cards "
        "the n-th takes cuda:n)",
    )


def run_emergence(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.series`, imported when it is run."""
    from retrace.series import emergence

    emergence(args, console, stop)


def run_zoo(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.series`, imported when it is run."""
    from retrace.series import zoo

    zoo(args, console, stop)
