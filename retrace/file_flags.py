"""The commands that put results into files for others, and open them: their flags, and what runs them."""

from __future__ import annotations

import argparse
from pathlib import Path

from retrace.console import Console
from retrace.session import Stop


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """What goes into the file."""
    parser.add_argument(
        "what",
        metavar="WHAT",
        help="a folder that `paper` or `run` made, an experiment's id, a cache folder, a folder of directions, or one "
        "of the words all, talk, runs, directions",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the bundle, FILE.retrace")
    parser.add_argument("--title", metavar="TEXT", help="what it is called (default: the experiment's title)")
    parser.add_argument(
        "--no-sums",
        action="store_true",
        help="leave the sums of extraction passes out: smaller, and without the maps of the Extraction page",
    )


def add_talk(parser: argparse.ArgumentParser) -> None:
    """Where the talk goes."""
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the talk, FILE.html")
    parser.add_argument("--title", default="Talk", metavar="TEXT", help="what it is called (default: Talk)")


def add_open(parser: argparse.ArgumentParser) -> None:
    """Which bundle, and where it is shown."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a bundle")
    parser.add_argument("--check", action="store_true", help="verify it, list what it holds, and start nothing")
    parser.add_argument("--port", type=int, default=8501, metavar="N", help="where the pages are (default 8501)")
    parser.add_argument("--headless", action="store_true", help="open no browser")


def run_bundle(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.bundle`, imported when it is run."""
    from retrace.bundle import bundle

    bundle(args, console, stop)


def run_talk(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.talk`, imported when it is run."""
    from retrace.talk import talk

    talk(args, console, stop)


def run_open(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.bundle`, imported when it is run."""
    from retrace.bundle import open_file

    open_file(args, console, stop)
