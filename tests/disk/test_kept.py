"""Kept values: a damaged file says what it was and how to come by it again."""

import pytest

from core.directions.folder import DirectionFolder
from core.directions.mean_vectors import MeanVectorFolder
from core.disk.store import Store
from core.errors import BadDirection, BadInput, UserFacingError
from core.runs.history import RunHistory
from tests import every_kind


@pytest.mark.parametrize(
    ("made", "folder", "error", "advice"),
    [
        (lambda root: DirectionFolder(root).save(every_kind.direction()), "directions", BadDirection, "extract or up"),
        (lambda root: MeanVectorFolder(root).save(every_kind.mean_vectors()), "mean_vectors", BadInput, "import it"),
        (lambda root: RunHistory(root, Store(root)).keep(every_kind.generation()), "history", BadInput, "generate it"),
    ],
)
def test_a_damaged_value_is_of_its_own_kind(tmp_path, made, folder, error, advice):
    item_id = made(tmp_path)
    (tmp_path / folder / f"{item_id}.safetensors").write_bytes(b"cut")
    kept = {
        "directions": DirectionFolder(tmp_path)._kept,
        "mean_vectors": MeanVectorFolder(tmp_path)._kept,
        "history": RunHistory(tmp_path, Store(tmp_path))._kept,
    }[folder]
    with pytest.raises(error, match=rf"is damaged\. Delete it, and {advice}") as raised:
        kept.get(item_id)
    assert type(raised.value) is error
    ((name, reason),) = kept.scan()[1]
    assert name.startswith(item_id)
    assert reason.endswith(f"{raised.value.remedy.removeprefix('Delete')[1:].split('it, and ')[1]}")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (MemoryError(), "the memory is full"),
    ],
)
def test_what_the_disk_or_the_memory_refuses_is_no_damage(tmp_path, monkeypatch, fault, reason):
    saved = DirectionFolder(tmp_path).save(every_kind.direction())
    history = RunHistory(tmp_path, Store(tmp_path))
    run = every_kind.generation()
    history.annotate(run, "mine")

    def refuse(*args, **kwargs):
        raise fault

    for place in ("files.read_regular", "codec.parse_container", "codec.load_stamped"):
        monkeypatch.setattr(f"core.disk.kept.{place}", refuse, raising=True)
        folder = DirectionFolder(tmp_path)
        with pytest.raises(UserFacingError, match=f"cannot be read now: {reason}") as raised:
            folder.load(saved)
        assert "elete" not in raised.value.remedy
        ((_, said),) = folder.broken()
        assert reason in said
        assert "elete" not in said
        with pytest.raises(UserFacingError, match=reason):
            RunHistory(tmp_path, Store(tmp_path)).pin(run, 5.0)
        monkeypatch.undo()
    assert RunHistory(tmp_path, Store(tmp_path)).kept(run.spec).note == "mine"
