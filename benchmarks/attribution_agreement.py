"""How well gradient × direction predicts exact interventions, over the embedded traces that turn back.

python -m benchmarks.attribution_agreement [--traces 24]: for the first event of each trace, the positions before it are
steered and ablated one by one; Spearman's rank correlation with the gradient's estimates goes to
`demo/attribution_agreement.json`, which the attribution page shows while the same weights are loaded.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.attribution import last
from core.attribution.cross_check import completeness_error, rank_correlation, readout_share
from core.attribution.gradients import attribute_gradients
from core.attribution.interventions import measure_effects
from core.attribution.values import Gradients, GradientSpec, Interventions, InterventionSpec, TargetText
from core.directions.direction import Direction
from core.embedded import AGREEMENT_FILE, DEMO, Correlation, RecordedAgreement, embedded_directions, example_traces
from core.models.loaded import LoadedModel, encode_text, load_model, set_threads
from core.models.pair import DEMO_PAIR
from core.text.words import KEYWORDS
from core.traces.events import BACKTRACKING, find_events

POSITIONS = 64
NAMES = (
    ("gradient × direction", "ablation at this position"),
    ("gradient × direction × projection", "ablation at this position"),
    ("gradient × direction", "steering at this position"),
)


def texts(loaded: LoadedModel, n: int) -> Iterator[TargetText]:
    """The first n embedded traces with an event that enough tokens precede; the target is the event's first token."""
    found = 0
    for trace in example_traces():
        reading = encode_text(loaded, trace.prompt, trace.text)
        events = find_events(trace, BACKTRACKING, spans=reading.spans, text_start=reading.text_start)
        places = [event.position for event in events if event.position - reading.text_start >= POSITIONS]
        if places and found < n:
            found += 1
            yield TargetText(
                model=loaded.spec,
                fingerprint=loaded.fingerprint,
                token_ids=reading.token_ids,
                text_start=reading.text_start,
                keywords=KEYWORDS,
                targets=(places[0] - 1,),
            )


def measure(
    loaded: LoadedModel, text: TargetText, direction: Direction, *, layer: int, coefficient: float
) -> tuple[Gradients, Interventions]:
    """Estimates at all positions, exact effects at the last POSITIONS before the target."""
    gradients = last(attribute_gradients(loaded, GradientSpec(text=text, direction=direction)))
    spec = InterventionSpec(
        text=text,
        direction=direction,
        layer=layer,
        coefficient=coefficient,
        first=text.targets[0] + 1 - POSITIONS,
    )
    return gradients, last(measure_effects(loaded, spec))


def summary(rows: list[list[float]]) -> tuple[Correlation, ...]:
    """Median and quartiles of each column of correlations."""
    columns = np.asarray(rows).T
    quartiles = [np.nanpercentile(column, (50, 25, 75)).tolist() for column in columns]
    return tuple(
        Correlation(estimate=estimate, exact=exact, median=round(mid, 3), low=round(low, 3), high=round(high, 3))
        for (estimate, exact), (mid, low, high) in zip(NAMES, quartiles, strict=True)
    )


def report(n: int) -> RecordedAgreement:
    """The measured agreement on the embedded reasoner with the direction recorded from the base model."""
    loaded = load_model(DEMO_PAIR.reasoner)
    set_threads(loaded)
    direction = embedded_directions()[0]
    layer, coefficient = direction.layer, direction.norm
    rows, errors, shares, used = [], [], [], 0
    for text in texts(loaded, n):
        gradients, exact = measure(loaded, text, direction, layer=layer, coefficient=coefficient)
        along, removal = gradients.along[layer], gradients.removal[layer]
        pairs = ((along, exact.ablated), (removal, exact.ablated), (along, exact.steered))
        rows.append([rank_correlation(a, b) for a, b in pairs])
        errors.append(completeness_error(exact))
        shares.append(readout_share(gradients, layer))
        used += 1
        print(f"trace {used}: " + "  ".join(f"{value:+.2f}" for value in rows[-1]))
    if used < 2:
        raise SystemExit("The embedded traces hold fewer than two events with enough tokens before them.")
    return RecordedAgreement(
        fingerprint=loaded.fingerprint,
        layer=layer,
        coefficient=round(coefficient, 4),
        n_traces=used,
        n_positions=POSITIONS,
        completeness_error=round(median(e for e in errors if math.isfinite(e)), 3),
        readout_share=round(median(s for s in shares if math.isfinite(s)), 3),
        correlations=summary(rows),
    )


def main(path: Path = DEMO / AGREEMENT_FILE) -> None:
    """Measure, write the file, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=24)
    found = report(parser.parse_args().traces)
    path.write_text(json.dumps(asdict(found), indent=1) + "\n", "utf-8")
    for row in found.correlations:
        print(f"Spearman, {row.estimate} against {row.exact}: {row.median:+.2f} (quartiles {row.low} to {row.high})")
    print(
        f"completeness error {found.completeness_error}, read-out share {found.readout_share}; written to {path.name}"
    )


if __name__ == "__main__":
    main()
