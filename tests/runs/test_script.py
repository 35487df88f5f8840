""" "Copy as code": ten different runs, each repeated by its script in a fresh process, give the same tokens."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.forward.edits import SteeringSpec
from core.models.loaded import encode_prompt
from core.runs.generation import stream_completions
from core.runs.script import script_of
from core.runs.values import GenerationSpec
from core.values import ModelSpec, Positions, SamplingSpec
from core.weights import hub_fingerprint
from tests.tiny_models import tiny_loaded

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("RETRACE_FULL") == "1"
HOSTILE = "Why '''\"\"\" \\ {x} ${y} \u202e </script>\n#!? é 漢"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return tiny_loaded(root, seed=2), tiny_loaded(root, seed=1, chat_template=None)


def ten_runs(models, make_direction):
    reasoner, base = models

    def spec(loaded=reasoner, question="What is 3 plus 4?", steering=(), prefix=(), **sampling):
        return GenerationSpec(
            model=loaded.spec,
            fingerprint=loaded.fingerprint,
            prompt=encode_prompt(loaded, question),
            sampling=SamplingSpec(**{"max_new_tokens": 10, **sampling}),
            steering=tuple(steering),
            prefix=tuple(prefix),
        )

    def edit(seed=0, layer=1, **fields):
        return SteeringSpec(direction=make_direction(32, seed=seed), layer=layer, **({"coefficient": 7.5} | fields))

    sliced = Positions(region="thinking", start=1, stop=7, every=2, until=("wait", "hmm"))
    return [
        [spec()],
        [spec(), spec(steering=[edit()])],
        [spec(steering=[edit(operator="ablate")]), spec(steering=[edit(operator="clamp", coefficient=-2.0)])],
        [spec(steering=[edit(operator="amplify"), edit(seed=3, layer=2, ramp=4)])],
        [spec(steering=[edit(positions=sliced)])],
        [spec(temperature=0.9, top_p=0.8, seed=11, steering=[edit()])],
        [spec(question=HOSTILE), spec(question=HOSTILE, steering=[edit()])],
        [spec(prefix=(5, 17, 42), steering=[edit(positions=Positions(region="completion", start=3))])],
        [spec(loaded=base), spec(loaded=base, steering=[edit()]), spec()],
        [replace(spec(), sampling=SamplingSpec(max_new_tokens=8, banned=(7, 9, 300)))],
    ]


def expected(models, specs):
    by_model = {loaded.spec: loaded for loaded in models}
    found = []
    for model in dict.fromkeys(spec.model for spec in specs):
        lanes = [spec for spec in specs if spec.model == model]
        rows = [list(spec.prefix) for spec in lanes]
        for step in stream_completions(by_model[model], lanes):
            for token in step:
                rows[token.row].append(token.token_id)
        found += rows
    return found


def test_ten_scripts_give_the_tokens_of_their_runs_in_fresh_processes(models, make_direction, tmp_path):
    runs = ten_runs(models, make_direction)
    paths = [tmp_path / f"run{i}.py" for i in range(len(runs))]
    for path, specs in zip(paths, runs, strict=True):
        path.write_text(script_of(specs), encoding="ascii")
    groups = [[path] for path in paths] if FULL else [paths]
    printed = []
    for group in groups:
        code = "import runpy, sys\nfor path in sys.argv[1:]:\n    print('=====')\n    runpy.run_path(path)"
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, group)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        printed += done.stdout.split("=====\n")[1:]
    for text, specs in zip(printed, runs, strict=True):
        lines = [line for line in text.splitlines() if line.startswith("--- ")]
        assert [ast.literal_eval(re.search(r"\[.*\]", line)[0]) for line in lines] == expected(models, specs)


def test_a_script_is_plain_ascii_source_that_holds_the_vector_once(models, make_direction):
    runs = ten_runs(models, make_direction)
    source = script_of([*runs[1], *runs[5]])
    assert source.isascii()
    assert source.count("DIRECTION_1 = ") == 1
    assert "DIRECTION_2" not in source
    assert max(map(len, source.splitlines())) < 200
    compile(source, "run.py", "exec")


def test_a_script_loads_the_commit_that_was_used_and_a_folder_as_it_is_named(models, make_direction):
    commit = "0123456789abcdef" * 2 + "01234567"
    of_hub = ModelSpec(repo_id="maker/model", revision="main", precision="bf16")
    local = ten_runs(models, make_direction)[0][0]
    hub = replace(local, model=of_hub, fingerprint=hub_fingerprint(of_hub, commit))
    unnamed = replace(hub, model=replace(of_hub, revision=None))
    assert revisions(script_of([hub])) == revisions(script_of([unnamed])) == [commit]
    assert revisions(script_of([local, hub])) == [None, commit]
    assert f"fingerprint='maker/model@{commit}'" in script_of([hub])


def test_a_script_loads_the_adapter_at_the_commit_that_was_used(models, make_direction):
    base, mine = "0123456789abcdef" * 2 + "01234567", "f" * 40
    lane = ten_runs(models, make_direction)[0][0]
    merged = ModelSpec(repo_id="maker/model", precision="bf16", adapter="maker/mine", adapter_revision="main")
    used = replace(lane, model=merged, fingerprint=f"maker/model@{base}+maker/mine@{mine}")
    source = script_of([used])
    assert revisions(source) == [base]
    assert "adapter='maker/mine'" in source
    assert revisions(source, of="adapter_revision") == [mine]
    folder = replace(merged, adapter="/models/mine", adapter_revision=None)
    source = script_of([replace(used, model=folder, fingerprint=f"maker/model@{base}+{'0' * 64}")])
    assert (revisions(source), revisions(source, of="adapter_revision")) == ([base], [None])
    assert "adapter" not in script_of([lane])


def revisions(source, of="revision"):
    """The revisions of all models, or of their adapters, that the script loads."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    specs = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "ModelSpec"]
    return [ast.literal_eval(key.value) for call in specs for key in call.keywords if key.arg == of]
