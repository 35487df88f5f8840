"""The parser: every command with its flags, what they mean, and examples."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from core import settings
from retrace.console import Console
from retrace.direction_flags import add_extract, add_steer
from retrace.file_flags import add_bundle, add_open, add_talk, run_bundle, run_open, run_talk
from retrace.flags import add_one_at_a_time, add_out, add_plan
from retrace.model_flags import add_finetune, add_get, run_finetune, run_get
from retrace.series_flags import (
    add_emergence,
    add_traces,
    add_zoo,
    run_emergence,
    run_traces,
    run_zoo,
)
from retrace.session import Stop
from retrace.worker_flags import add_worker_flags


class Command(NamedTuple):
    """A command: what it does in a line, examples, its flags, and what runs it."""

    summary: str
    examples: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Namespace, Console, Stop], None]


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `run` of what it returns is the command."""
    parser = argparse.ArgumentParser(
        prog="retrace",
        description="The paper on any pair of models, from the shell. The pages and the shell share one store: what "
        "was measured in one is found by the other.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (summary, examples, add, run) in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"examples:\n{examples}\n\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        add(one)
        one.add_argument(
            "--cache", type=Path, default=settings.cache_folder(), metavar="FOLDER", help="where results are kept"
        )
        one.add_argument("--verbose", action="store_true", help="say what goes into the log on stderr too")
        one.set_defaults(run=run)
    return parser


EXIT_CODES = """\
exit codes: 0 done · 2 bad input, nothing was started · 130 stopped by Ctrl-C, what was measured is kept and the same
command goes on · 1 anything else. Results go to stdout as JSON, progress and sentences to stderr."""


def _add_paper(parser: argparse.ArgumentParser) -> None:
    add_plan(parser)
    _add_out(parser)


def _add_named_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="FIGURE", help="as fig3, fig4 or figB1; all of them by default")
    add_plan(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="PLAN", help="a plan's file, or - for stdin")
    add_one_at_a_time(parser)
    _add_out(parser)


def _add_out(parser: argparse.ArgumentParser) -> None:
    add_out(parser, "plan, results, report and figures")
    add_worker_flags(parser)


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="PLAN", help="a plan's file, or - for stdin")
    parser.add_argument("--device", metavar="DEVICE", help="where to compute, instead of where the plan says")
    add_one_at_a_time(parser)
    parser.add_argument("--beside", type=int, default=0, help=argparse.SUPPRESS)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that `paper`, `run` or `finetune` made")


def _paper(args: Namespace, console: Console, stop: Stop) -> None:
    from retrace.measure import paper

    paper(args, console, stop)


def _plan(args: Namespace, console: Console, stop: Stop) -> None:
    from retrace.measure import plan

    plan(args, console, stop)


def _run(args: Namespace, console: Console, stop: Stop) -> None:
    from retrace.measure import run

    run(args, console, stop)


def _work(args: Namespace, console: Console, stop: Stop) -> None:
    from retrace.measure import work

    work(args, console, stop)


def _report(args: Namespace, console: Console, stop: Stop) -> None:
    from retrace.report import report

    report(args, console, stop)


def _extract(args: Namespace, console: Console, stop: Stop) -> None:
    from retrace.extract import extract

    extract(args, console, stop)


def _steer(args: Namespace, console: Console, stop: Stop) -> None:
    from retrace.steer import steer

    steer(args, console, stop)


COMMANDS = {
    "paper": Command(
        "measure the figures of the paper on a pair, into a folder",
        """\
  python -m retrace paper --quick --out results
      the embedded pair, in some minutes
  python -m retrace paper --figures fig3,fig4 --layers 0-3 --out results
  python -m retrace paper --pair meta-llama/Llama-3.1-8B,deepseek-ai/DeepSeek-R1-Distill-Llama-8B \\
      --precision bf16 --device cuda --traces traces.json --prompts questions.txt --out results""",
        _add_paper,
        _paper,
    ),
    "plan": Command(
        "write the plan that flags make to stdout, and start nothing",
        """\
  python -m retrace plan fig3 --quick > plan.json
  python -m retrace plan fig3 fig4 --unit unit --doses 2,4,8 > plan.json""",
        _add_named_plan,
        _plan,
    ),
    "run": Command(
        "measure a plan, into a folder",
        """\
  python -m retrace run plan.json --out results
  python -m retrace plan fig3 --quick | python -m retrace run - --out results""",
        _add_run,
        _run,
    ),
    "work": Command(
        "help with a plan that another command measures over the same cache",
        """\
  python -m retrace run plan.json --out results &
  python -m retrace work plan.json --device cuda:1""",
        _add_work,
        _work,
    ),
    "extract": Command(
        "take directions from labelled traces, a .safetensors file each",
        """\
  python -m retrace extract --out directions
  python -m retrace extract --source base --layers 4 --windows=-13..-8,-7..-2 --out directions
  python -m retrace extract --traces traces.json --negatives position --save --out directions""",
        add_extract,
        _extract,
    ),
    "steer": Command(
        "complete prompts with a direction at several doses, a line of JSON each",
        """\
  python -m retrace steer --direction demo/directions/base.safetensors --doses 0,4,8 --n 4
  python -m retrace steer --direction mine.gguf --layer 4 --doses 0,8 --prompt "What is 12 * 7?" > out.jsonl""",
        add_steer,
        _steer,
    ),
    "get": Command(
        "fetch a real base model, once; it is there without a network afterwards",
        """\
  python -m retrace get smollm2-135m
  python -m retrace finetune --base smollm2-135m --traces traces.json --out thinker""",
        add_get,
        run_get,
    ),
    "finetune": Command(
        "train an adapter that makes a base model reason",
        """\
  python -m retrace finetune --out thinker
      the embedded base model on the embedded traces, in some minutes
  python -m retrace finetune --base my-model --traces traces.json --steps 400 --rate 5e-4 --out thinker
  python -m retrace finetune --recipe demo/recipes/smollm2-135m.json --traces traces.jsonl --out reasoner
  python -m retrace paper --pair "my-model,my-model + thinker" --traces traces.json --out results""",
        add_finetune,
        run_finetune,
    ),
    "traces": Command(
        "make a set of traces from another: without its backtracking, or with its sentences shuffled",
        """\
  python -m retrace traces embedded --without --out without.jsonl
  python -m retrace traces traces.jsonl --without --keywords wait,hmm --out without.jsonl
  python -m retrace traces traces.jsonl --shuffle --seed 1 --out shuffled.jsonl
  python -m retrace finetune --traces shuffled.jsonl --out thinker-shuffled""",
        add_traces,
        run_traces,
    ),
    "emergence": Command(
        "measure over a finetune's checkpoints when the base model's direction begins to act, into a folder",
        """\
  python -m retrace emergence thinker --quick --out curve
      the embedded base model's checkpoints, in some minutes
  python -m retrace emergence reasoner --traces traces.json --prompts questions.txt --steps 0,50,200 --out curve""",
        add_emergence,
        run_emergence,
    ),
    "zoo": Command(
        "measure one plan on several pairs, into a folder with one table",
        """\
  python -m retrace plan fig3 fig4 --quick --layer choose --window choose --dose choose > plan.json
  python -m retrace zoo plan.json demo/base,demo/reasoner demo/seeds/1/base,demo/seeds/1/reasoner \\
      "demo/base,demo/base + thinker" --out zoo""",
        add_zoo,
        run_zoo,
    ),
    "report": Command(
        "make the report of a folder again, without any model",
        """\
  python -m retrace report results""",
        _add_report,
        _report,
    ),
    "bundle": Command(
        "put results into one file that opens anywhere, without models",
        """\
  python -m retrace bundle results --out results.retrace
  python -m retrace bundle 272d4893df6c097f5ade --no-sums --out small.retrace
  python -m retrace bundle all --out everything.retrace""",
        add_bundle,
        run_bundle,
    ),
    "talk": Command(
        "write the talk as one HTML file that is presented offline, with the keys of the pages",
        """\
  python -m retrace talk --out talk.html""",
        add_talk,
        run_talk,
    ),
    "open": Command(
        "look at a bundle in the pages, read-only, or check it",
        """\
  python -m retrace open results.retrace
  python -m retrace open results.retrace --check""",
        add_open,
        run_open,
    ),
}
