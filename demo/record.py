"""Record what Home and the playground show of the embedded pair: python -m demo.record.

Extracts the backtracking direction from both models over `demo/traces.jsonl`, runs the 2×2 dose-response on held-out
questions, and writes `demo/directions/` and `demo/dose_response.json`. Everything goes through the workbench, so the
numbers are those that the app itself would measure.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core.direction_files import direction_bytes
from core.directions import Direction, DirectionSet, ExtractionSpec
from core.examples import DEMO, example_questions, example_traces
from core.experiments import DoseLine, plan_dose_response, point_of
from core.metrics import KEYWORDS
from core.pair import DEMO_PAIR, ROLES, Role
from core.traces import digest_of
from core.values import PAPER_WINDOW, SamplingSpec, Window
from core.workbench import Workbench

LAYER, WINDOW = 2, PAPER_WINDOW
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
N_QUESTIONS = 128
SAMPLING = SamplingSpec(max_new_tokens=192, temperature=0.7, seed=0)


def finished(bench: Workbench, job_id: str) -> Any:
    """The result of a job; ends the program with its sentence when it failed."""
    snapshot = bench.engine.wait(job_id)
    if snapshot.state != "done":
        raise SystemExit(f"{snapshot.title}: {snapshot.error or snapshot.state}")
    return snapshot.result


def find_direction(bench: Workbench, role: Role, *, layer: int, window: Window) -> Direction:
    """The backtracking direction of one model of the pair over the embedded traces."""
    facts, traces = bench.pair.facts(role), example_traces()
    spec = ExtractionSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        traces_digest=digest_of(traces),
        windows=(window,),
        layers=(layer,),
    )
    result: DirectionSet = finished(bench, bench.extract(spec, traces))
    return replace(result.at(layer, window), name=f"backtracking, from the {role} model")


def plan(bench: Workbench, directions: Sequence[tuple[str, Direction]], *, n: int) -> tuple[DoseLine, ...]:
    """The 2×2 on the last n held-out questions, which chose neither layer nor window."""
    questions = [example.prompt for example in example_questions("heldout")[-n:]]
    targets = []
    for role in reversed(ROLES):
        facts = bench.pair.facts(role)
        prompts = tuple(bench.pair.encode(role, question) for question in questions)
        targets.append((role, facts.spec, facts.fingerprint, prompts))
    scale = directions[0][1].resid_norm
    return plan_dose_response(
        directions=directions,
        targets=targets,
        layer=directions[0][1].layer,
        coefficients=(0.0, *(round(share * scale, 2) for share in SHARES)),
        sampling=SAMPLING,
        keywords=KEYWORDS,
    )


def write_curves(
    bench: Workbench, lines: Sequence[DoseLine], cells: dict[Any, Any], *, layer: int, window: Window
) -> None:
    """One JSON object: what was measured, on which weights, and one row per point."""
    points = [asdict(point_of(line, cells[spec])) for line in lines for spec in line.cells]
    for point in points:
        point["nll"] = [None if math.isnan(value) else round(value, 4) for value in point["nll"]]
        point["repetition"] = [round(value, 4) for value in point["repetition"]]
    head = {
        "fingerprints": [bench.pair.facts(role).fingerprint for role in ROLES],
        "layer": layer,
        "window": window.label,
        "n_prompts": len(points[0]["hits"]),
    }
    rows = ",\n".join(json.dumps(point, separators=(",", ":")) for point in points)
    text = json.dumps(head)[:-1] + f', "points": [\n{rows}\n]}}\n'
    (DEMO / "dose_response.json").write_text(text, "utf-8")


def print_points(lines: Sequence[DoseLine], cells: dict[Any, Any]) -> None:
    """One row per point: keyword fraction with its interval, and NLL."""
    for line in lines:
        for spec in line.cells:
            share, nll = cells[spec].keyword_fraction(), cells[spec].mean_nll()
            interval = f"{100 * share.mean:.2f}% [{100 * share.low:.2f}, {100 * share.high:.2f}]"
            print(f"{line.source} → {line.target} at {spec.coefficient:g}: {interval}, NLL {nll.mean:.2f}")


def main() -> None:
    """Extract, run, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=N_QUESTIONS)
    parser.add_argument("--layer", type=int, default=LAYER)
    parser.add_argument("--first", type=int, default=WINDOW.start, help="first offset of the window")
    parser.add_argument("--last", type=int, default=WINDOW.stop - 1, help="last offset of the window")
    arguments = parser.parse_args()
    window = Window(start=arguments.first, stop=arguments.last + 1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(Path(folder))
        finished(bench, bench.load_pair(DEMO_PAIR))
        directions = [(role, find_direction(bench, role, layer=arguments.layer, window=window)) for role in ROLES]
        (DEMO / "directions").mkdir(exist_ok=True)
        for role, direction in directions:
            (DEMO / "directions" / f"{role}.safetensors").write_bytes(direction_bytes(direction))
        print(f"cosine of the two directions: {directions[0][1].cosine(directions[1][1]):.3f}")
        lines = plan(bench, directions, n=arguments.questions)
        specs = list(dict.fromkeys(spec for line in lines for spec in line.cells))
        cells = dict(zip(specs, finished(bench, bench.run_cells(specs)), strict=True))
        write_curves(bench, lines, cells, layer=arguments.layer, window=window)
        print_points(lines, cells)
        bench.store.close()


if __name__ == "__main__":
    main()
