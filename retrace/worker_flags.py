"""Flags of a command that measures with several processes, on this machine or on a Ray cluster."""

from __future__ import annotations

import argparse

from core.fleet.on_ray import check_installed
from core.fleet.values import FleetSpec


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add how many processes measure."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that measure it together (default: one a core for a small model on the CPU, else 1; on cards "
        "the n-th takes cuda:n)",
    )


def add_worker_flags(parser: argparse.ArgumentParser) -> None:
    """Add how many processes measure, and where."""
    add_workers(parser)
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="have workers of a Ray cluster measure it: HOST:PORT, or auto for this machine's cluster, or one of this "
        "machine alone; needs requirements-ray.txt",
    )
    parser.add_argument(
        "--gpus-per-worker", type=float, default=0.0, metavar="N", help="with --ray: cards of each worker (default 0)"
    )


def fleet_of(args: argparse.Namespace) -> FleetSpec | None:
    """The workers on a cluster that the flags name; None without --ray. Raises BadInput for those that cannot be."""
    if args.ray is None:
        return None
    check_installed()
    return FleetSpec(address=args.ray, workers=args.workers or 1, gpus=args.gpus_per_worker)
