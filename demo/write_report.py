"""The report of a study as Markdown: the same numbers as in report.json, and what they mean in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from core.values import PAPER_WINDOW, Window
from demo.claims import LIMITS, Row, line_of, percent
from demo.steering_study import SWEEP_SHARE
from demo.study import WINDOWS

HEAD = """# What the embedded pair shows

Made by `make record` from the committed code and weights; the numbers are also in `report.json`, which Home reads. Run
again on the same processor with the pinned packages, it gives the same numbers; on another processor single sampled
tokens can differ. All sampling is at temperature 0.7, intervals are 95% (bootstrap over prompts, Wilson for shares of
right answers). Keywords are *wait* and *hmm*, as a share of all words (the paper's Eq. 1). Doses are shares of the mean
residual norm of the reasoner at the layer, added at every position. Layer, window and dose were chosen on the first
{choose} held-out problems and are reported on the last {report} (controls on the last {controls} of them); accuracy is
on the last {accuracy}. Of the other training seeds less is measured, as the tables show.
"""


def write_report(report: Row, target: Path) -> None:
    """Write REPORT.md."""
    sizes, seeds = report["sizes"], report["seeds"]
    first = seeds[0]
    blocks = [
        HEAD.format(**sizes),
        *_claims_block(seeds),
        *_accuracy_block(seeds),
        *_dose_block(first),
        *_controls_block(first),
        *_sweep_block(first),
        *_reading_block(first),
        *_samples_block(first),
    ]
    target.write_text("\n".join(blocks) + "\n", "utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def _claims_block(seeds: Sequence[Row]) -> list[str]:
    blocks = ["## The claims, one by one\n", LIMITS + "\n"]
    for seed in seeds:
        name = "the embedded pair" if seed["seed"] == 0 else "trained in the same way from another start"
        blocks += [
            f"Training seed {seed['seed']}, {name}:\n",
            table(
                ("claim", "holds", "found"),
                [(row["claim"], "yes" if row["holds"] else "**no**", row["found"]) for row in seed["claims"]],
            ),
        ]
    return blocks


def _accuracy_block(seeds: Sequence[Row]) -> list[str]:
    rows = [
        (seed["seed"], row["condition"], percent(row["right"]), percent(row["turning"]), percent(row["keywords"], 2))
        for seed in seeds
        for row in seed["accuracy"]
    ]
    header = ("seed", "model", "right", "traces that turn back", "keywords")
    said = ", ".join(f"{percent(seed['ordinary_text']['keywords'], 2)} (seed {seed['seed']})" for seed in seeds)
    return ["## What the models can do\n", table(header, rows), f"Keywords in the base model's stories: {said}.\n"]


def _dose_block(seed: Row) -> list[str]:
    blocks = ["## Dose-response of the embedded pair\n"]
    for curve, choice in (
        ("dose_response", "chosen"),
        ("dose_response_at_paper_window", "chosen_at_paper_window"),
    ):
        place = seed[choice]
        window = Window(start=place["window"][0], stop=place["window"][1])
        name = "The paper's window" if curve.endswith("window") else "The pair's own best place"
        blocks.append(f"{name}: layer {place['layer']}, offsets {window.label}, chosen dose {place['share']}.\n")
        blocks.append(_dose_table(seed[curve]))
    return blocks


def _dose_table(rows: Sequence[Row]) -> str:
    out = []
    for target in ("reasoner", "base"):
        for source in ("base", "reasoner"):
            for row in line_of(rows, source, target):
                out.append(
                    (
                        f"{source} → {target}",
                        row["share"],
                        f"{row['coefficient']:g}",
                        percent(row["keywords"], 2),
                        f"{row['nll'][0]:.2f}",
                        f"{row['repetition']:.3f}",
                        f"{row['words']:.0f}",
                        row["no_evidence"],
                    )
                )
    return table(
        ("direction → model", "dose", "coefficient", "keywords", "NLL", "repetition", "words", "no evidence"), out
    )


def _controls_block(seed: Row) -> list[str]:
    chosen = next(
        row for row in line_of(seed["dose_response"], "base", "reasoner") if row["share"] == seed["chosen"]["share"]
    )
    rows = sorted(seed["controls"], key=lambda row: -row["keywords"][0])
    shown = [("**the base-derived direction**", "1", chosen), *((r["control"], r["cosine"], r) for r in rows)]
    return [
        "## Controls at the same norm, place and dose\n",
        table(
            ("added to the reasoner", "cosine with it", "keywords", "NLL", "repetition"),
            [
                (
                    name,
                    "" if cosine is None else cosine if isinstance(cosine, str) else f"{cosine:.2f}",
                    percent(row["keywords"], 2),
                    f"{row['nll'][0]:.2f}",
                    f"{row['repetition']:.3f}",
                )
                for name, cosine, row in shown
            ],
        ),
    ]


def _sweep_block(seed: Row) -> list[str]:
    baseline = seed["sweep"]["baseline"]
    blocks = [
        f"## Layer × window, at dose {SWEEP_SHARE}\n",
        "Keywords of the steered reasoner in % of words, and NLL above the baseline, on the choosing prompts; "
        f"unsteered {percent(baseline['keywords'], 2)}.\n",
    ]
    for source in ("base", "reasoner"):
        rows = [r for r in seed["sweep"]["rows"] if r["source"] == source and r["share"] == SWEEP_SHARE]
        cells = {(r["layer"], r["window"][0]): _sweep_cell(r, baseline) for r in rows}
        lines = [(layer, *(cells[layer, w.start] for w in WINDOWS)) for layer in sorted({r["layer"] for r in rows})]
        header = [w.label + (" (paper)" if w == PAPER_WINDOW else "") for w in WINDOWS]
        blocks += [f"{source}-derived:\n", table(("layer", *header), lines)]
    return blocks


def _sweep_cell(row: Row, baseline: Row) -> str:
    return f"{row['keywords'][0]:.2f} ({row['nll'][0] - baseline['nll'][0]:+.2f})"


def _reading_block(seed: Row) -> list[str]:
    layers = range(len(seed["cosines"][0]["by_layer"]))
    cosine = [
        (Window(start=row["window"][0], stop=row["window"][1]).label, *(f"{v:.2f}" for v in row["by_layer"]))
        for row in seed["cosines"]
    ]
    lens = {(row["source"], row["head"], row["layer"]): row for row in seed["lens"]}
    lens_rows = [
        (
            f"{source}-derived through the {head}'s unembedding",
            *(f"{lens[source, head, i]['score']:.3f} ({lens[source, head, i]['rank']})" for i in layers),
        )
        for source in ("base", "reasoner")
        for head in ("base", "reasoner")
    ]
    auc = [
        (row["lead"], *(_auc_cell(one["rows"][k]) for one in seed["lead_auc"]))
        for k, row in enumerate(seed["lead_auc"][0]["rows"])
    ]
    names = [f"layer {i}" for i in layers]
    return [
        "## Reading the directions\n",
        "Cosine of the base- and the reasoning-derived direction:\n",
        table(("window", *names), cosine),
        "Logit-lens score (Eq. 2, vocabulary items with *wait* or *but*) and rank of the best such item, at the chosen "
        "window:\n",
        table(("direction", *names), lens_rows),
        "Projection as a predictor: AUC of turning sentences against all others, some tokens before the sentence; the "
        "direction is from the other half of the traces:\n",
        table(("tokens before", "base model", "reasoner"), auc),
    ]


def _auc_cell(row: Row) -> str:
    return f"{row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _samples_block(seed: Row) -> list[str]:
    blocks = []
    for name, samples in seed["samples"].items():
        blocks.append(f"## {len(samples)} {name} traces, as they came\n")
        for sample in samples:
            text = sample["text"].replace("```", "'''")
            blocks.append(f"**{sample['prompt']}** (answer: {sample['answer']})\n\n```text\n{text}\n```\n")
    return blocks
