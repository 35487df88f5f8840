"""Kept values: a damaged file says what it was and how to come by it again."""

import pytest

from core.directions.folder import DirectionFolder
from core.directions.mean_vectors import MeanVectorFolder
from core.disk.store import Store
from core.errors import BadDirection, BadInput
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
