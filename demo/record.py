"""The study of the embedded pair in one command: python -m demo.record (or: make record).

For every training seed that is there: accuracy, sweep, 2×2 dose-response, controls, and readings of the directions; all
through the workbench, so that the numbers are those that the app itself would measure; on one thread, so that they do
not depend on the number of cores. Writes `report.json`, `REPORT.md` and `directions/`. A run that was stopped goes on
from what it had.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from core.directions.folder import direction_bytes
from core.embedded import DOSE
from core.models.pair import ROLES
from core.runs.cells import DoseCell
from core.values import PAPER_WINDOW, Window
from core.workbench import Workbench
from demo.claims import claims
from demo.reading_study import accuracy, cosines, lead_auc, lens_scores, ordinary_text
from demo.steering_study import choose, controls, dose_response, sweep
from demo.study import HERE, OTHER_SEEDS, Sizes, Study
from demo.write_report import write_report

SAMPLES = 20
REPORT = HERE / "report.json"


def study_seed(study: Study) -> dict[str, Any]:
    """Everything that is reported of one training seed."""
    found = sweep(study)
    chosen, at_paper = choose(found), choose(found, window=PAPER_WINDOW)
    window = Window(start=chosen["window"][0], stop=chosen["window"][1])
    layer, share = chosen["layer"], chosen["share"]
    doses = dose_response(study, layer, window, sorted({*study.sizes.shares, share}))
    paper = dose_response(study, at_paper["layer"], PAPER_WINDOW, sorted({*study.sizes.shares, at_paper["share"]}))
    log = json.loads((study.folder / "log.json").read_text("utf-8"))
    row = {
        "seed": study.seed,
        "fingerprints": [study.bench.pair.facts(role).fingerprint for role in ROLES],
        "training": {name: {key: log[name][key] for key in ("tokens", "seconds")} for name in ROLES},
        "traces": len(study.traces),
        "accuracy": accuracy(study),
        "ordinary_text": ordinary_text(study),
        "sweep": found,
        "chosen": chosen,
        "chosen_at_paper_window": at_paper,
        "dose_response": [row for row, _ in doses],
        "dose_response_at_paper_window": [row for row, _ in paper],
        "controls": controls(study, layer, window, share),
        "cosines": cosines(study, list(dict.fromkeys((PAPER_WINDOW, window)))),
        "lens": lens_scores(study, window),
        "lead_auc": [lead_auc(study, role, layer, window) for role in ROLES],
    }
    shown = _shown(study, layer, window, share, doses) if study.seed == 0 else {}
    return row | {"claims": claims(row)} | shown


def _shown(
    study: Study, layer: int, window: Window, share: float, doses: Sequence[tuple[dict[str, Any], DoseCell]]
) -> dict[str, Any]:
    """For the embedded pair: what Home draws, prompt by prompt, and unedited texts; its directions become files."""
    (HERE / "directions").mkdir(exist_ok=True)
    for role in ROLES:
        direction = study.direction(role, layer, window)
        direction = replace(direction, provenance=(*direction.provenance, (DOSE, str(share))))
        (HERE / "directions" / f"{role}.safetensors").write_bytes(direction_bytes(direction))
    steered = {row["share"]: cell for row, cell in doses if (row["source"], row["target"]) == ("base", "reasoner")}
    texts = {
        name: [
            {"prompt": question["prompt"], "answer": question["answer"], "text": text}
            for question, text in zip(study.questions("report"), steered[at].texts[:SAMPLES], strict=False)
        ]
        for name, at in (("unsteered", 0.0), ("steered", share))
    }
    return {"points": [_point(row, cell) for row, cell in doses], "samples": texts}


def _point(row: dict[str, Any], cell: DoseCell) -> dict[str, Any]:
    return {
        "source": row["source"],
        "target": row["target"],
        "coefficient": row["coefficient"],
        "hits": cell.hits,
        "words": cell.words,
        "repetition": [round(value, 4) for value in cell.repetition],
        "nll": [None if math.isnan(value) else round(value, 4) for value in cell.nll],
        "no_evidence": sum(map(bool, cell.no_evidence)),
    }


def write_json(report: dict[str, Any], target: Path) -> None:
    """One line for every row of every list, so that a change shows where it is."""

    def lines(value: Any, depth: int = 0) -> str:
        if isinstance(value, dict) and depth < 4 and value:
            inner = ",\n".join(f"{json.dumps(key)}: {lines(item, depth + 1)}" for key, item in value.items())
            return "{\n" + inner + "\n}"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join(lines(item, depth + 1) for item in value) + "\n]"
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    target.write_text(lines(report) + "\n", "utf-8")


def seeds_present() -> list[int]:
    """The training seeds whose weights are in `demo/`."""
    others = [int(path.name) for path in (HERE / "seeds").glob("[0-9]*") if (path / "reasoner").is_dir()]
    return [0, *sorted(others)]


def main() -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=seeds_present())
    parser.add_argument("--cache", type=Path, default=HERE / "runs" / "study", help="where results are kept meanwhile")
    arguments = parser.parse_args()
    if 0 not in arguments.seeds:
        parser.error("The report is about the embedded pair: let the seeds hold 0.")
    torch.set_num_threads(1)
    bench, rows = Workbench(arguments.cache), []
    for seed in arguments.seeds:
        rows.append(study_seed(Study(bench, seed, OTHER_SEEDS if seed else Sizes())))
        print(f"seed {seed}: done", flush=True)
    bench.store.close()
    report = {"sizes": asdict(Sizes()), "other_sizes": asdict(OTHER_SEEDS), "seeds": rows}
    write_json(report, REPORT)
    write_report(report, HERE / "REPORT.md")


if __name__ == "__main__":
    main()
