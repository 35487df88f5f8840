"""The public face: what it exports, that it holds nothing of its own, and that the README's examples run."""

from __future__ import annotations

import ast
import re

import pytest

from core import api
from core.settings import PROJECT
from tests.processes import Forked

PROMISED = [
    "PAPER_WINDOW",
    "Attribution",
    "AttributionSpec",
    "Direction",
    "DirectionSet",
    "Divergence",
    "DivergenceSpec",
    "DoseCell",
    "DoseCellSpec",
    "ExtractionSpec",
    "Generation",
    "GenerationSpec",
    "GradientSpec",
    "Gradients",
    "InterventionSpec",
    "Interventions",
    "LoadedModel",
    "ModelSpec",
    "Moments",
    "MomentsSpec",
    "Outcome",
    "Part",
    "Plan",
    "Point",
    "Positions",
    "Prompt",
    "SamplingSpec",
    "SteeringSpec",
    "TargetText",
    "Trace",
    "Window",
    "contrast",
    "control_set",
    "digest_of",
    "direction_bytes",
    "encode_prompt",
    "encode_text",
    "extract",
    "finish",
    "generate_lanes",
    "load_model",
    "measure_text",
    "paper_plan",
    "pieces",
    "plan_json",
    "random_controls",
    "read_direction_bytes",
    "read_outcome",
    "read_plan",
    "read_text",
    "read_traces",
    "record_moments",
    "run_cells",
    "score_completions",
    "shuffled_events",
    "sign_flip",
    "stream_completions",
    "ticks",
]
"""Names that scripts out there import. One may be added; taking one away breaks somebody's script."""


def test_every_promised_name_is_there_and_no_other():
    assert sorted(api.__all__) == sorted(PROMISED)
    assert all(hasattr(api, name) for name in PROMISED)


def test_it_only_lists_names():
    body = ast.parse((PROJECT / "core" / "api.py").read_text("utf-8")).body
    assert isinstance(body[0], ast.Expr)
    assert all(isinstance(node, ast.ImportFrom | ast.Assign) for node in body[1:])
    assigned = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    assert [ast.unparse(target) for target in assigned] == ["__all__"]
    imported = {a.name for n in body if isinstance(n, ast.ImportFrom) and n.module != "__future__" for a in n.names}
    assert imported == set(PROMISED)


def examples() -> list[str]:
    readme = (PROJECT / "README.md").read_text("utf-8")
    section = readme[readme.index("## Use it from Python") :]
    return re.findall(r"```python\n(.+?)```", section[: section.index("\n## ", 5)], re.DOTALL)


@pytest.mark.parametrize("number", range(3))
def test_the_examples_of_the_readme_run_and_print_what_they_say(number, tmp_path):
    source = examples()[number]
    assert set(re.findall(r"^from (\S+) import", source, re.MULTILINE)) == {"core.api", "pathlib"}
    path = tmp_path / "example.py"
    path.write_text(source, "utf-8")
    env = {"PYTHONPATH": str(PROJECT), "PATH": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = Forked("runpy:run_path", str(path), env=env, out=tmp_path / "out", log=tmp_path / "log")
    said, faults = done.communicate()
    assert done.returncode == 0, faults[-2000:]
    assert said.strip()


def test_the_readme_has_three_examples():
    assert len(examples()) == 3
