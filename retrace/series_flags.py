"""The commands that measure several pairs, and make traces for them: their flags, and what runs them."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.experiments.command import SET
from core.traces.events import BACKTRACKING
from core.traces.set_files import EMBEDDED
from retrace.console import Console
from retrace.flags import PROMPTS, add_out, add_settings
from retrace.session import Stop
from retrace.worker_flags import add_workers

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
    parser.add_argument("--quick", action="store_true", help="fewer layers, windows, doses, controls and questions")
    add_settings(parser, leave_out=_NOT_OF_CHECKPOINTS)
    add_out(parser, "plan, curves and results")
    add_workers(parser)


def add_zoo(parser: argparse.ArgumentParser) -> None:
    """Which plan on which pairs."""
    parser.add_argument("file", metavar="PLAN", help="a plan's file; its pair is replaced by each of the pairs")
    pair = "BASE,REASONER: hub ids or folders, either also as “id + adapter”"
    parser.add_argument("pairs", nargs="+", metavar="PAIR", help=pair)
    add_out(parser, "plan, table and results")
    add_workers(parser)


def run_emergence(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.series`, imported when it is run."""
    from retrace.series import emergence

    emergence(args, console, stop)


def run_zoo(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.series`, imported when it is run."""
    from retrace.series import zoo

    zoo(args, console, stop)


def add_traces(parser: argparse.ArgumentParser) -> None:
    """Which traces, and what is done to them."""
    parser.add_argument("file", metavar="TRACES", help=f"a file, {SET}ID of a saved set, or {EMBEDDED}")
    parser.add_argument(
        "--without",
        nargs="?",
        const=BACKTRACKING,
        metavar="LABEL",
        help=f"take what is labelled so out ({BACKTRACKING})",
    )
    parser.add_argument(
        "--keywords", metavar="WORDS", help="with --without: the sentences that hold one of these words"
    )
    parser.add_argument("--shuffle", action="store_true", help="put the sentences of every trace in an order of chance")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of that order (default 0)")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the new traces, FILE.jsonl")


def run_traces(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.remake`, imported when it is run."""
    from retrace.remake import traces

    traces(args, console, stop)
