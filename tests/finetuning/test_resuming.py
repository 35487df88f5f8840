"""Stopped at any moment, killed, gone on with: the same adapter to the bit, and the same account of how it went."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.finetuning import samples
from core.finetuning import work as finetuning
from core.finetuning.folder import RunFolder
from core.finetuning.values import Finetuned
from core.finetuning.work import finetune
from core.jobs import finish
from tests.finetuning.small import RECIPE, adapter_bytes, made_up, spec_of, trained
from tests.processes import Forked
from tests.tiny_models import tiny_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """A finetune that was never stopped; its base model lies beside it."""
    return trained(tmp_path_factory.mktemp("whole"))


def _told(done: Finetuned) -> object:
    """All of the course but the time."""
    return replace(done.course, seconds=0.0)


def _stopped(done: Finetuned, place: Path, steps_of_work: int) -> bool:
    """Run the same finetune for so many steps of the job, then stop it; whether it was still running."""
    work = finetune(done.spec, made_up(), RunFolder(place))
    try:
        n = 0
        while n < steps_of_work:
            n += not next(work).waiting
    except StopIteration:
        return False
    work.close()
    return True


@pytest.mark.parametrize("steps_of_work", [1, 4, 12, 21, 33])
def test_stop_and_go_on_give_the_same_adapter(whole: Finetuned, tmp_path: Path, steps_of_work: int) -> None:
    place = tmp_path / "out"
    assert _stopped(whole, place, steps_of_work)
    assert not (place / "adapter_config.json").exists()
    done = finish(finetune(whole.spec, made_up(), RunFolder(place)))
    assert adapter_bytes(place) == adapter_bytes(Path(whole.folder))
    assert _told(done) == _told(whole)


def test_stopped_after_every_step_it_is_the_same(whole: Finetuned, tmp_path: Path) -> None:
    n = 0
    while _stopped(whole, tmp_path / "out", 11):
        n += 1
        assert n < 20
    assert n > 2
    assert adapter_bytes(tmp_path / "out") == adapter_bytes(Path(whole.folder))


def test_a_finished_one_is_handed_out_without_loading(whole: Finetuned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "load_model", lambda *_, **__: pytest.fail("the base model was loaded"))
    assert finish(finetune(whole.spec, made_up(), RunFolder(Path(whole.folder)))).course == whole.course


def test_how_many_threads_the_caller_has_changes_nothing(whole: Finetuned, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    try:
        finish(finetune(whole.spec, made_up(), RunFolder(tmp_path / "out")))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert adapter_bytes(tmp_path / "out") == adapter_bytes(Path(whole.folder))


def test_another_seed_gives_another_adapter(whole: Finetuned, tmp_path: Path) -> None:
    spec = replace(whole.spec, recipe=replace(RECIPE, seed=1))
    finish(finetune(spec, made_up(), RunFolder(tmp_path / "out")))
    assert adapter_bytes(tmp_path / "out") != adapter_bytes(Path(whole.folder))


def go_on(base: Path, place: Path) -> None:
    """For a process of its own, which may be killed: the finetune, its state kept after every step."""
    finetuning.KEEP_EVERY, samples.NEW_TOKENS = 0.0, 3
    finish(finetune(spec_of(base), made_up(), RunFolder(place)))


@pytest.mark.slow
def test_killed_again_and_again_it_is_the_same(whole: Finetuned, tmp_path: Path) -> None:
    place, base = tmp_path / "out", Path(whole.spec.base.repo_id)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "RETRACE_MODEL_ROOTS": str(base.parent)}
    for _ in range(2):
        child = Forked("tests.finetuning.test_resuming:go_on", base, place, env=env, log=tmp_path / "log")
        state = place / "run" / "state.safetensors"
        before, deadline = _changed(state), time.monotonic() + 120
        while _changed(state) == before and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        child.kill()
        child.wait()
    finish(finetune(whole.spec, made_up(), RunFolder(place)))
    assert adapter_bytes(place) == adapter_bytes(Path(whole.folder))
    assert not list(place.rglob(".*.tmp"))


def _changed(path: Path) -> float:
    return path.stat().st_mtime_ns if path.exists() else 0.0


def test_a_base_model_that_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path, name="base")
    spec, place = spec_of(base), tmp_path / "out"
    work = finetune(spec, made_up(), RunFolder(place))
    while (progress := next(work)).waiting or progress.done < 3:
        pass
    work.close()
    tiny_folder(tmp_path, seed=7, name="base")
    with pytest.raises(Exception, match="base model has changed"):
        finish(finetune(spec, made_up(), RunFolder(place)))
    assert not (place / "adapter_config.json").exists()
