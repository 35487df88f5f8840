"""Saved directions stay until the user deletes them; a file from anybody becomes a Direction or a sentence."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from core.directions import tensors
from core.directions.folder import NOTE, DirectionFolder, direction_bytes, id_of, read_direction_bytes
from core.disk.codec import dump
from core.errors import BadDirection, BadInput, UserFacingError
from tests import stored_values as sv

HOSTILE_IDS = ["", ".", "..", "../x", "a/b", "/etc/passwd", "0" * 19, "0" * 21, "G" * 20, "0" * 20 + "\n", "\0" * 20]


@pytest.fixture
def folder(tmp_path: Path) -> DirectionFolder:
    return DirectionFolder(tmp_path / "cache")


def by_hand(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_a_saved_direction_is_there_after_a_restart(folder, tmp_path):
    direction_id = folder.save(sv.direction())
    again = DirectionFolder(tmp_path / "cache")
    sv.assert_same(again.load(direction_id), sv.direction())
    (saved,) = again.list()
    assert saved.direction_id == direction_id
    assert saved.saved_at == pytest.approx(time.time(), abs=60)
    assert (tmp_path / "cache" / "directions").stat().st_mode & 0o777 == 0o700


def test_an_empty_folder_lists_nothing(folder):
    assert folder.list() == folder.broken() == []


def test_the_list_is_newest_first(folder):
    ids = [folder.save(sv.direction(n)) for n in range(4)]
    assert [saved.direction_id for saved in folder.list()] == ids[::-1]


def test_the_id_tells_apart_everything_but_the_name(folder):
    one = sv.direction()
    others = [
        dataclasses.replace(one, layer=3),
        dataclasses.replace(one, norm=2.0),
        dataclasses.replace(one, fingerprint="x"),
        dataclasses.replace(one, provenance=()),
        sv.direction(1),
    ]
    assert len({folder.save(d) for d in [one, *others]}) == 6
    assert folder.save(dataclasses.replace(one, name="other")) == folder.save(one)
    assert len(folder.list()) == 6


def test_renaming_keeps_id_and_time(folder):
    ids = [folder.save(sv.direction(n)) for n in range(2)]
    before = folder.list()
    folder.rename(ids[0], "  A <b>new</b>\nname\x00 ")
    after = folder.list()
    assert [(s.direction_id, s.saved_at) for s in after] == [(s.direction_id, s.saved_at) for s in before]
    assert after[1].direction.name == "A <b>new</b> name"
    for name in ("", "  \n", "\u202e"):
        with pytest.raises(BadInput, match="empty"):
            folder.rename(ids[0], name)


def test_a_note_stays_with_the_direction_and_makes_no_other(folder):
    direction_id = folder.save(sv.direction())
    folder.annotate(direction_id, " steers <b>best</b>\nat 8 ")
    (saved,) = folder.list()
    assert saved.direction_id == direction_id
    assert dict(saved.direction.provenance) == {"label": "backtracking", NOTE: "steers <b>best</b> at 8"}
    assert id_of(saved.direction) == direction_id
    folder.annotate(direction_id, "second")
    assert folder.load(direction_id).provenance == (("label", "backtracking"), (NOTE, "second"))
    folder.rename(direction_id, "renamed")
    assert (NOTE, "second") in folder.load(direction_id).provenance
    folder.annotate(direction_id, " ")
    assert folder.load(direction_id).provenance == sv.direction().provenance


def test_a_deleted_direction_is_gone(folder):
    direction_id = folder.save(sv.direction())
    folder.delete(direction_id)
    assert folder.list() == []
    for act in (folder.load, folder.delete, lambda i: folder.rename(i, "x")):
        with pytest.raises(BadInput, match="no saved direction"):
            act(direction_id)


@pytest.mark.parametrize("direction_id", HOSTILE_IDS)
def test_an_id_that_is_none_touches_no_disk(folder, monkeypatch, direction_id):
    folder.save(sv.direction())

    def refuse(*args, **kwargs):
        raise AssertionError(args)

    for name in ("open", "unlink", "lstat", "stat", "replace"):
        monkeypatch.setattr(os, name, refuse)
    for act in (folder.load, folder.delete, lambda i: folder.rename(i, "x")):
        with pytest.raises(BadInput, match="no saved direction"):
            act(direction_id)
    monkeypatch.undo()


def test_broken_files_are_named_and_left_alone(folder):
    ids = [folder.save(sv.direction(n)) for n in range(4)]
    paths = [folder.folder / f"{i}.safetensors" for i in ids]
    damaged = bytearray(paths[0].read_bytes())
    damaged[-1] ^= 1
    paths[0].write_bytes(damaged)
    paths[1].write_bytes(paths[1].read_bytes()[:-5])
    paths[2].write_bytes(paths[3].read_bytes())
    (folder.folder / "mine.safetensors").write_bytes(direction_bytes(sv.direction(9)))
    (folder.folder / f"{'a' * 20}.safetensors").symlink_to("/etc/passwd")
    assert [saved.direction_id for saved in folder.list()] == ids[3:]
    broken = folder.broken()
    assert {name for name, _ in broken} == {p.name for p in paths[:3]} | {"mine.safetensors", f"{'a' * 20}.safetensors"}
    assert all(reason.endswith(".") for _, reason in broken)
    assert all(path.exists() for path in paths)
    with pytest.raises(BadDirection, match="damaged"):
        folder.load(ids[0])
    folder.delete(ids[0])
    assert not paths[0].exists()


CHANGES = {
    "vector": {"vector": sv.direction(1).vector},
    "sign": {"vector": -sv.direction().vector},
    "norm": {"norm": 2.0},
    "layer": {"layer": 3},
    "model": {"fingerprint": "another"},
    "provenance": {"provenance": (("label", "deduction"),)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_written_anew_with_other_content_under_its_name_is_refused_and_stays(folder, change):
    direction_id = folder.save(sv.direction())
    path = folder.folder / f"{direction_id}.safetensors"
    other = dataclasses.replace(sv.direction(), **CHANGES[change])
    path.write_bytes(dump(other, key=direction_id, saved_at=5.0))
    assert folder.list() == []
    ((name, reason),) = folder.broken()
    assert name == path.name
    assert "changed outside this app: its content is not the direction that its name stands for" in reason
    with pytest.raises(BadDirection, match="changed outside this app"):
        folder.load(direction_id)
    assert path.exists()
    back = read_direction_bytes(path.read_bytes(), name=path.name)
    sv.assert_same(back, other)
    assert folder.load(folder.save(back)) == other


def test_the_saved_file_itself_can_be_imported(folder):
    direction_id = folder.save(sv.direction())
    data = (folder.folder / f"{direction_id}.safetensors").read_bytes()
    sv.assert_same(read_direction_bytes(data, name=f"{direction_id}.safetensors"), sv.direction())


def test_numbers_of_any_type_keep_the_id_that_their_file_has(folder):
    odd = dataclasses.replace(sv.direction(), layer=np.int64(2), norm=np.float32(0.1), resid_norm=3)
    assert folder.load(folder.save(odd)).norm == np.float32(0.1)


def test_a_listed_file_is_read_again_when_it_changes(folder):
    direction_id = folder.save(sv.direction())
    path = folder.folder / f"{direction_id}.safetensors"
    os.utime(path, (1e9, 1e9))
    assert folder.list()[0].direction is folder.list()[0].direction
    folder.rename(direction_id, "renamed")
    assert folder.list()[0].direction.name == "renamed"
    path.write_bytes(b"junk")
    assert folder.list() == []


def test_a_full_disk_is_a_sentence_and_leaves_the_old(folder, monkeypatch):
    direction_id = folder.save(sv.direction())

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserFacingError, match="No space left"):
        folder.rename(direction_id, "new")
    with pytest.raises(UserFacingError, match="could not be saved"):
        folder.save(sv.direction(1))
    assert [s.direction.name for s in folder.list()] == ["number 0"]
    assert len(list(folder.folder.iterdir())) == 1


def test_unfinished_files_are_swept_at_the_start(folder, tmp_path):
    folder.save(sv.direction())
    (folder.folder / f".{'1' * 16}.tmp").write_bytes(b"half")
    DirectionFolder(tmp_path / "cache")
    assert len(list(folder.folder.iterdir())) == 1


def test_an_export_comes_back_exactly():
    sv.assert_same(read_direction_bytes(direction_bytes(sv.direction()), name="file.safetensors"), sv.direction())


BAD_FILES = {
    "empty": b"",
    "short": b"\x01",
    "zip": b"PK\x03\x04" + b"\0" * 100,
    "pickle": b"\x80\x04\x95" + b"\0" * 100,
    "text": b"[1, 2, 3]" * 10,
    "header beyond the end": (1 << 40).to_bytes(8, "little") + b"{}",
    "header too large": by_hand(b"{" + b" " * (1 << 20) + b"}"),
    "header nested": by_hand(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "header not an object": by_hand([1, 2]),
    "offsets beyond the end": by_hand({"v": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
    "offsets negative": by_hand({"v": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}),
    "shape too large": by_hand({"v": {"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 8]}}, b"\0" * 8),
    "overlap": by_hand(
        {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in ("a", "b")},
        b"\0" * 8,
    ),
    "unknown dtype": by_hand({"v": {"dtype": "PY", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
    "export with a changed byte": dump(sv.direction())[:-1] + b"\xff",
    "export that is cut": dump(sv.direction())[:-1],
    "export with a large header": dump(dataclasses.replace(sv.direction(), provenance=(("k", "v" * (1 << 20)),))),
    "export of another type": dump(sv.generation()),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_foreign_and_broken_files_are_a_sentence(name):
    with pytest.raises(BadInput) as caught:
        read_direction_bytes(BAD_FILES[name], name=f"{name}.safetensors")
    assert name in caught.value.problem
    assert caught.value.remedy


def test_a_large_file_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(tensors, "MAX_UPLOAD_BYTES", 1 << 20)
    with pytest.raises(BadInput, match="1 MB are allowed"):
        read_direction_bytes(b"\0" * (3 << 20), name="large")


def test_texts_of_an_export_are_cut_to_one_line():
    long = dataclasses.replace(
        sv.direction(), name="a\n" + "b" * 5000, source_model="\ud800m", provenance=(("k", "v" * 5000),) * 100
    )
    found = read_direction_bytes(direction_bytes(long), name="f")
    assert found.name.startswith("a b")
    assert len(found.name) <= 120
    assert found.source_model == "m"
    assert len(found.provenance) <= 64
    assert len(found.provenance[0][1]) <= 1000
    nameless = dataclasses.replace(sv.direction(), name="\u200b")
    assert read_direction_bytes(direction_bytes(nameless), name="file.safetensors").name == "file"


@pytest.mark.parametrize(
    "change", [{"layer": -1}, {"layer": 10**9}, {"resid_norm": float("nan")}, {"resid_norm": -1.0}]
)
def test_impossible_numbers_in_an_export_are_refused(change):
    with pytest.raises(BadDirection, match="layer"):
        read_direction_bytes(direction_bytes(dataclasses.replace(sv.direction(), **change)), name="f")


def test_a_forged_vector_in_an_export_is_named(monkeypatch):
    bad = sv.direction()
    bad.vector[0] = np.nan
    with pytest.raises(BadDirection, match="NaN"):
        read_direction_bytes(direction_bytes(bad), name="f")
