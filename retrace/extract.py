"""`extract`: directions from labelled traces, a file each for layer, window and source model."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from core.directions.direction import Direction
from core.directions.folder import direction_bytes, id_of, read_direction_bytes
from core.disk.files import write_whole
from core.embedded import example_traces
from core.errors import BadInput, UserFacingError
from core.experiments.command import windows_of
from core.experiments.presets import facts_unloaded
from core.extraction.values import DirectionSet, ExtractionSpec, Negatives, Weighting
from core.models.pair import ROLES, ModelFacts, Role
from core.text.typed import counts, one_of
from core.traces.events import digest_of
from core.traces.sets import TraceFolder
from core.values import PAPER_WINDOW, Trace, Window
from retrace.console import Console, emit
from retrace.inputs import traces_of
from retrace.plans import is_demo, pair_of
from retrace.results import check_room, read_file
from retrace.session import Stop, opened

BOTH = "both"
MAX_FILE_BYTES = 64 << 20


def extract(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Extract, write the files into --out, and say on stdout what they hold, a line each. Raises BadInput."""
    pair, out = pair_of(args), Path(args.out)
    facts = facts_unloaded(pair)
    layers = _layers(args.layers, facts[0])
    windows = windows_of(args.windows) if args.windows else (PAPER_WINDOW,)
    roles = ROLES if args.source == BOTH else (one_of(args.source, ROLES),)
    _, traces = traces_of(
        args.traces, TraceFolder(args.cache, embedded=example_traces), is_own=is_demo(pair), check=stop.check
    )
    _check_label(args.label, traces)
    check_room(out, len(layers) * len(windows) * len(roles) * (facts[0].d_model * 4 + 4096))
    with opened(args.cache, console, stop) as session:
        loaded = dict(zip(ROLES, session.load(pair), strict=True))
        specs = {role: _spec(args, loaded[role], traces, windows, layers) for role in roles}
        for role, spec in specs.items():
            _check_files(out, role, spec, loaded[role])
        for role, spec in specs.items():
            found = session.follow(session.bench.extract(spec, traces))
            for direction, window, told in _directions(found, console):
                path = _write(out, _name(role, spec.label, direction.layer, window), direction)
                if args.save:
                    session.bench.directions.save(direction)
                emit({"file": str(path), "source": role} | told)


def _spec(
    args: argparse.Namespace,
    facts: ModelFacts,
    traces: tuple[Trace, ...],
    windows: tuple[Window, ...],
    layers: tuple[int, ...],
) -> ExtractionSpec:
    return ExtractionSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        traces_digest=digest_of(traces),
        label=args.label,
        windows=windows,
        layers=layers,
        negatives=one_of(args.negatives, get_args(Negatives)),
        weighting=one_of(args.weighting, get_args(Weighting)),
    )


def _layers(text: str | None, facts: ModelFacts) -> tuple[int, ...]:
    layers = counts(text) if text else tuple(range(facts.n_layers))
    if max(layers) >= facts.n_layers:
        raise BadInput(
            f"There is no layer {max(layers)}: {facts.name} has layers 0 to {facts.n_layers - 1}.", "Choose of these."
        )
    return layers


def _check_label(label: str, traces: tuple[Trace, ...]) -> None:
    known = sorted({part.label for trace in traces for part in trace.parts})
    if label not in known:
        raise BadInput(
            f"No part of these {len(traces)} traces has the label {label!r}.",
            f"Choose of: {', '.join(known[:12])}." if known else "Label the traces first.",
        )


def _name(role: Role, label: str, layer: int, window: Window) -> str:
    words = re.sub(r"[^\w-]+", "-", label)[:60].strip("-") or "label"
    return f"{words}-{role}-layer{layer:02d}_{window.label}.safetensors"


def _check_files(out: Path, role: Role, spec: ExtractionSpec, facts: ModelFacts) -> None:
    """Raise BadInput where a file of one of the names holds anything but the same direction."""
    for layer in spec.layers:
        for window in spec.windows:
            path = out / _name(role, spec.label, layer, window)
            if path.exists() and not _is_of(path, spec, facts):
                raise BadInput(f"{str(path)!r} holds another direction.", "Name another folder with --out.")


def _is_of(path: Path, spec: ExtractionSpec, facts: ModelFacts) -> bool:
    try:
        held = read_direction_bytes(read_file(path, limit=MAX_FILE_BYTES, what="The file"), name=path.name)
    except UserFacingError:
        return False
    told = dict(held.provenance)
    asked = {"traces_digest": spec.traces_digest, "negatives": spec.negatives, "weighting": spec.weighting}
    return facts.has_weights(held.fingerprint) and all(told.get(name) == value for name, value in asked.items())


def _directions(found: DirectionSet, console: Console) -> Iterator[tuple[Direction, Window, dict[str, object]]]:
    """Every direction of the set with what is known of it; one that cannot be made is named."""
    spec = found.spec
    for i, layer in enumerate(spec.layers):
        for j, window in enumerate(spec.windows):
            try:
                direction = found.at(layer, window)
            except UserFacingError as error:
                console.say(f"Layer {layer}, window {window.label}: {error}")
                continue
            yield (
                direction,
                window,
                {
                    "layer": layer,
                    "window": window.label,
                    "label": spec.label,
                    "id": id_of(direction),
                    "norm": _number(direction.norm),
                    "resid_norm": _number(direction.resid_norm),
                    "separation": _number(found.separation[i, j]),
                    "reliability": _number(found.reliability[i, j]),
                    "traces": int(found.counts[j, 0]),
                    "events": found.n_events,
                },
            )


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _write(out: Path, name: str, direction: Direction) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, direction_bytes(direction))
    except OSError as error:
        raise UserFacingError(
            f"{str(out / name)!r} cannot be written: {error.strerror or 'the disk refuses it'}.",
            "Free some space or check the rights, then run the same command: it goes on.",
        ) from error
    return out / name
