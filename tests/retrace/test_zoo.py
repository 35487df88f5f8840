"""`zoo`: one plan on several pairs, with the numbers that each pair's own experiment has."""

from __future__ import annotations

import csv
import json

import pytest

from core.experiments import cell_work
from core.experiments.plans import read_outcome, read_plan
from retrace.commands import BAD_INPUT, DONE, main
from tests.retrace.test_emergence import files_of
from tests.retrace.test_runs import SMALL, traces  # noqa: F401

PAIRS = ("demo/base,demo/reasoner", "demo/seeds/1/base,demo/seeds/1/reasoner")


@pytest.fixture(scope="module")
def place(traces, tmp_path_factory):  # noqa: F811
    """A folder with a plan; its cache."""
    root = tmp_path_factory.mktemp("zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRACE_CACHE", str(root / "cache"))
        yield root


@pytest.fixture
def shell(place, capsys):
    def run(*words):
        try:
            code = main([*map(str, words), "--cache", str(place / "cache")])
        except SystemExit as leaving:
            code = leaving.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def plan(shell, place, traces):  # noqa: F811
    words = SMALL[:-2]
    code, stdout, stderr = shell("plan", *words, "--traces", traces)
    assert code == DONE, stderr
    (place / "plan.json").write_text(stdout)
    return place / "plan.json"


def test_every_pair_is_measured_as_by_itself_and_nothing_twice(shell, place, plan, tmp_path, monkeypatch):
    out = tmp_path / "zoo"
    code, stdout, stderr = shell("zoo", plan, *PAIRS, "--workers", "1", "--out", out)
    assert code == DONE, stderr
    assert json.loads(stdout)["finished"]
    rows = list(csv.DictReader((out / "zoo.csv").open()))
    assert [row["name"] for row in rows] == list(PAIRS)
    told = json.loads((out / "zoo.json").read_text())
    assert [row["name"] for row in told["pairs"]] == list(PAIRS)
    assert all(row["effect_low"] <= row["effect"] <= row["effect_high"] for row in told["pairs"])
    page = (out / "zoo.html").read_text()
    assert all(pair in page for pair in PAIRS)
    before = files_of(out)
    monkeypatch.setattr(cell_work, "run_cell", lambda *_, **__: pytest.fail("a cell was run again"))
    assert shell("zoo", plan, *PAIRS, "--workers", "1", "--out", out)[0] == DONE
    assert files_of(out) == before
    (one,) = [path for path in out.iterdir() if path.name.startswith("2-")]
    alone = read_plan((one / "plan.json").read_bytes())
    assert (alone.pair.base.repo_id, alone.pair.reasoner.repo_id) == tuple(PAIRS[1].split(","))
    code, _, stderr = shell("run", one / "plan.json", "--workers", "1", "--out", tmp_path / "alone")
    assert code == DONE, stderr
    mine, its = (read_outcome((folder / "results.json").read_bytes()) for folder in (one, tmp_path / "alone"))
    assert (mine.reported, mine.choice) == (its.reported, its.choice)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (("demo/base",), "does not name two models"),
        (("demo/base,nowhere",), "no model folder 'nowhere'"),
        ((PAIRS[0], PAIRS[0]), "have the same name"),
    ],
)
def test_refused_before_anything_is_written(shell, plan, tmp_path, pairs, says):
    code, stdout, stderr = shell("zoo", plan, *pairs, "--out", tmp_path / "zoo")
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert says in stderr
    assert not (tmp_path / "zoo").exists()


def test_what_is_no_plan(shell, tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    code, _, stderr = shell("zoo", tmp_path / "plan.json", *PAIRS, "--out", tmp_path / "zoo")
    assert (code, "schema" in stderr) == (BAD_INPUT, True)
