"""What cannot be trained, or gone on with, ends in a sentence; what was kept stays, nothing half-made is left."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.disk import files
from core.errors import BadInput, ModelUnavailable, UserFacingError
from core.finetuning import costs, training
from core.finetuning import values as finetuning_values
from core.finetuning.folder import FinetuneFolder, RunFolder
from core.finetuning.work import finetune
from core.jobs import finish
from core.models.loaded import load_model
from tests.finetuning.small import RECIPE, adapter_bytes, made_up, spec_of, trained
from tests.tiny_models import tiny_folder


def _refused(spec, traces, place: Path, error: type[UserFacingError], says: str) -> None:
    with pytest.raises(error, match=says):
        finish(finetune(spec, traces, RunFolder(place)))
    assert not place.exists()


def test_a_base_model_above_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "MAX_PARAMS", 1000)
    _refused(spec_of(tiny_folder(tmp_path)), made_up(), tmp_path / "out", ModelUnavailable, "are finetuned here")


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.finetuning.work.available_memory", lambda _: 1000)
    _refused(spec_of(tiny_folder(tmp_path)), made_up(), tmp_path / "out", ModelUnavailable, "needs about")


@pytest.mark.parametrize(
    ("traces", "says"),
    [
        (made_up(19), "19 traces are given"),
        (tuple(replace(t, prompt=" ") for t in made_up()), "only 0 of the 24 traces have a question"),
        (tuple(replace(t, text="\n") for t in made_up()), "only 0 of the 24 traces have a question and reasoning"),
        (tuple(replace(t, prompt="word " * 200) for t in made_up()), "only 0 of the 24 traces"),
        (made_up(21), "only 19 of the 21 traces are not held out"),
    ],
)
def test_traces_that_teach_too_little(tmp_path: Path, traces, says: str) -> None:
    _refused(spec_of(tiny_folder(tmp_path), traces), traces, tmp_path / "out", BadInput, says)


def test_a_loss_that_is_not_finite_keeps_the_steps_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, place = spec_of(tiny_folder(tmp_path)), tmp_path / "out"
    real, calls = training.batch_loss, []

    def broken(loaded, rows):
        if torch.is_grad_enabled():
            calls.append(rows)
        return real(loaded, rows) * (float("nan") if len(calls) > 3 else 1.0)

    monkeypatch.setattr(training, "batch_loss", broken)
    with pytest.raises(UserFacingError, match="not finite at step"):
        finish(finetune(spec, made_up(), RunFolder(place)))
    monkeypatch.undo()
    assert not RunFolder(place).is_finished
    kept = RunFolder(place).kept()
    assert kept is not None
    assert 0 < kept.course.step < RECIPE.steps
    finish(finetune(spec, made_up(), RunFolder(place)))
    assert adapter_bytes(place) == adapter_bytes(Path(trained(tmp_path / "again").folder))


def test_a_full_disk_says_so_and_leaves_no_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, place = spec_of(tiny_folder(tmp_path)), tmp_path / "out"
    real = files.write_whole

    def full(path: Path, data: bytes) -> None:
        if path.name == "adapter_model.safetensors" and path.parent == place:
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(UserFacingError, match="No space left on device"):
        finish(finetune(spec, made_up(), RunFolder(place)))
    assert not RunFolder(place).is_finished
    monkeypatch.undo()
    finish(finetune(spec, made_up(), RunFolder(place)))
    assert RunFolder(place).is_finished


def test_damaged_bytes_are_not_gone_on_with(tmp_path: Path) -> None:
    spec, place = spec_of(tiny_folder(tmp_path)), tmp_path / "out"
    work = finetune(spec, made_up(), RunFolder(place))
    while (progress := next(work)).waiting or progress.done < 3:
        pass
    work.close()
    state = place / "run" / "state.safetensors"
    data = bytearray(state.read_bytes())
    data[-5] ^= 1
    state.write_bytes(data)
    with pytest.raises(BadInput, match="is damaged"):
        finish(finetune(spec, made_up(), RunFolder(place)))


def test_two_runs_of_one_folder(tmp_path: Path) -> None:
    spec, place = spec_of(tiny_folder(tmp_path)), tmp_path / "out"
    first = finetune(spec, made_up(), RunFolder(place))
    next(first)
    with pytest.raises(BadInput, match="is being run already"):
        finish(finetune(spec, made_up(), RunFolder(place)))
    first.close()
    finish(finetune(spec, made_up(), RunFolder(place)))


def test_an_adapter_on_other_weights_of_the_same_shape_is_refused(tmp_path: Path) -> None:
    done = trained(tmp_path)
    other = tiny_folder(tmp_path, seed=5)
    with pytest.raises(ModelUnavailable, match="was trained on other weights than those of"):
        load_model(replace(done.pair.reasoner, repo_id=str(other)))
    moved = tmp_path / "moved"
    shutil.copytree(done.pair.base.repo_id, moved)
    load_model(replace(done.pair.reasoner, repo_id=str(moved)))


def test_a_template_of_another_vocabulary(tmp_path: Path) -> None:
    other = tiny_folder(tmp_path, name="other")
    text = (other / "tokenizer.json").read_text().replace('"Ġthe"', '"Ġthf"').replace('"Ġt","he"', '"Ġt","hf"')
    (other / "tokenizer.json").write_text(text.replace('"h","e"', '"h","f"').replace('"he"', '"hf"'))
    spec = spec_of(tiny_folder(tmp_path), template=str(other))
    with pytest.raises(ModelUnavailable):
        finish(finetune(spec, made_up(), RunFolder(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_app_lists_stopped_and_finished_ones(tmp_path: Path) -> None:
    folder = FinetuneFolder(tmp_path / "cache")
    spec = spec_of(tiny_folder(tmp_path))
    stopped = replace(spec, name="stopped one")
    finish(finetune(spec, made_up(), folder.place(spec.name)))
    work = finetune(stopped, made_up(), folder.place(stopped.name))
    while (progress := next(work)).waiting or progress.done < 3:
        pass
    work.close()
    (folder.folder / "broken" / "run").mkdir(parents=True)
    (folder.folder / "broken" / "run" / "finetune.json").write_text("{")
    found = {one.spec.name: one for one in folder.list()}
    assert {name: one.finished for name, one in found.items()} == {"thinker": True, "stopped one": False}
    assert found["stopped one"].course.step == 3
    assert [step for step, _ in folder.place("thinker").checkpoints()] == [0, 2, 4, 6]
    folder.delete(found["stopped one"].folder)
    assert [one.spec.name for one in folder.list()] == ["thinker"]
    with pytest.raises(BadInput):
        folder.delete(str(tmp_path))
    assert finetuning_values.usual_recipe(10**6) != finetuning_values.usual_recipe(10**8)
