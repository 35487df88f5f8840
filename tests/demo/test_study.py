"""The study of the embedded pair: what is chosen, what is claimed, and that the report is what the code gives."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.embedded import recorded_claims, recorded_curves, recorded_directions
from core.workbench import Workbench
from demo.claims import claims
from demo.record import REPORT, study_seed
from demo.steering_study import choose, readable
from demo.study import HERE, Sizes, Study
from demo.write_report import write_report

TINY = Sizes(
    choose=2,
    report=3,
    accuracy=3,
    steered_tokens=12,
    whole_tokens=16,
    controls=2,
    random_controls=2,
    shuffles=1,
    shares=(0.5,),
)


def row(keywords, *, nll=0.2, repetition=0.1, **changes):
    interval = [keywords, 0.8 * keywords, 1.2 * keywords]
    base = {"keywords": interval, "nll": [nll, nll, nll], "repetition": repetition, "no_evidence": 0, "prompts": 10}
    return base | changes


def seed_row(*, times=4.0, control=0.1, base=0.0, banned=70.0):
    """A study's numbers in which everything holds, unless changed."""
    shares = {"right": [90.0, 88.0, 92.0], "turning": [40.0, 37.0, 43.0]}
    curve = [
        row(0.2 if share == 0 else 0.2 * times, source=source, target=target, share=share)
        if target == "reasoner"
        else row(base, source=source, target=target, share=share)
        for source in ("base", "reasoner")
        for target in ("reasoner", "base")
        for share in (0.0, 0.4)
    ]
    place = {"layer": 2, "window": [-13, -7], "share": 0.4}
    return {
        "accuracy": [row(0.0) | shares, row(0.2) | shares, row(0.0) | shares | {"right": [banned, banned, banned]}],
        "ordinary_text": row(2.0),
        "dose_response": curve,
        "dose_response_at_paper_window": curve,
        "chosen": place,
        "chosen_at_paper_window": place,
        "controls": [row(control, control="random 1", cosine=None)],
    }


def test_all_claims_hold_when_all_numbers_are_good():
    assert [claim["holds"] for claim in claims(seed_row())] == [True] * 8


@pytest.mark.parametrize(
    ("changes", "failing"),
    [({"times": 2.0}, {4, 5}), ({"control": 0.7}, {7}), ({"base": 0.2}, {3, 6}), ({"banned": 85.0}, {2})],
)
def test_a_claim_that_does_not_hold_is_said_not_to(changes, failing):
    found = claims(seed_row(**changes))
    assert {i for i, claim in enumerate(found) if not claim["holds"]} - {3} == failing - {3}


def test_unlikely_or_repetitive_text_is_not_readable():
    baseline = row(0.2)
    assert readable(row(1.0, nll=0.6), baseline)
    assert not readable(row(1.0, nll=0.8), baseline)
    assert not readable(row(1.0, repetition=0.25), baseline)
    assert not readable(row(1.0, no_evidence=5), baseline)


def test_the_strongest_readable_dose_is_chosen():
    rows = [
        row(1.0, source="base", layer=1, window=[-13, -7]),
        row(3.0, source="base", layer=2, window=[-13, -7], nll=2.0),
        row(2.0, source="base", layer=3, window=[-7, -1]),
        row(9.0, source="reasoner", layer=3, window=[-7, -1]),
    ]
    assert choose({"baseline": row(0.2), "rows": rows})["layer"] == 3


@pytest.mark.parametrize(
    ("near", "beyond"), [({"nll": 0.624}, {"nll": 0.626}), ({"repetition": 0.169}, {"repetition": 0.171})]
)
def test_a_dose_is_chosen_up_to_85_percent_of_the_limits(near, beyond):
    weak = row(1.0, source="base", layer=1, window=[-13, -7])
    for fields, layer in ((near, 2), (beyond, 1)):
        strong = row(3.0, source="base", layer=2, window=[-13, -7], **fields)
        assert readable(strong, row(0.2))
        assert choose({"baseline": row(0.2), "rows": [weak, strong]})["layer"] == layer


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    bench = Workbench(tmp_path_factory.mktemp("study"))
    made = Study(bench, 0, TINY)
    made.traces = made.traces[:40]
    yield made
    bench.store.close()


def test_prompts_that_choose_are_not_those_that_are_reported(study):
    full = Sizes()
    assert full.choose + max(full.report, full.controls, full.accuracy) <= len(study.heldout)


def test_coefficient_zero_is_the_baseline_cell(study):
    direction = study.direction("base", 2, next(iter(study.directions("base").spec.windows)))
    assert study.cell("reasoner", direction, 0.0, which="report") == study.cell("reasoner", None, 0.0, which="report")


@pytest.mark.slow
def test_a_small_study_runs_from_end_to_end(study, monkeypatch, tmp_path):
    monkeypatch.setattr("demo.record.HERE", tmp_path)
    monkeypatch.setattr("demo.steering_study.WINDOWS", study.directions("base").spec.windows[2:3])
    monkeypatch.setattr("demo.write_report.WINDOWS", study.directions("base").spec.windows[2:3])
    found = study_seed(study)
    assert len(found["claims"]) == 8
    assert {point["target"] for point in found["points"]} == {"base", "reasoner"}
    assert {r["control"] for r in found["controls"]} >= {"random 1", "sign flip", "self-amplification"}
    assert (tmp_path / "directions" / "base.safetensors").exists()
    write_report({"sizes": vars(study.sizes), "seeds": [found]}, tmp_path / "REPORT.md")
    text = (tmp_path / "REPORT.md").read_text()
    assert all(claim["claim"] in text for claim in found["claims"])


def test_the_committed_report_is_what_its_numbers_give(tmp_path):
    report = json.loads(REPORT.read_text())
    write_report(report, tmp_path / "REPORT.md")
    assert (tmp_path / "REPORT.md").read_text() == (HERE / "REPORT.md").read_text()
    assert all(claims(seed) == seed["claims"] for seed in report["seeds"])


def test_the_committed_report_is_of_the_committed_weights(study):
    prints = tuple(study.bench.pair.facts(role).fingerprint for role in ("base", "reasoner"))
    assert recorded_curves().fingerprints == prints == recorded_claims()[0].fingerprints
    assert {direction.fingerprint for direction in recorded_directions()} == set(prints)


def test_committed_texts_come_out_again(study):
    report = json.loads(REPORT.read_text())["seeds"][0]
    full = Sizes()
    whole = Study(study.bench, 0, full)
    chosen = report["chosen"]
    direction = next(d for d in recorded_directions() if "base" in d.name.rsplit(" ", 2)[-2])
    coefficient = whole.dose(chosen["share"], chosen["layer"])
    for name, amount in (("unsteered", 0.0), ("steered", coefficient)):
        cell = whole.cell("reasoner", direction, amount, which="report")
        first = replace(cell, prompts=cell.prompts[:2])
        texts = whole.run([first])[0].texts
        assert list(texts) == [sample["text"] for sample in report["samples"][name][:2]]


def test_every_seed_has_its_weights():
    seeds = [seed["seed"] for seed in json.loads(REPORT.read_text())["seeds"]]
    folders = [HERE if seed == 0 else HERE / "seeds" / str(seed) for seed in seeds]
    assert all((folder / role / "model.safetensors").exists() for folder in folders for role in ("base", "reasoner"))
    weights = [Path(folder / role / "model.safetensors") for folder in folders for role in ("base", "reasoner")]
    assert sum(path.stat().st_size for path in weights) <= 15_000_000
