"""A7: nothing that is planted in the cache's database or folder is executed, read, served or deleted."""

from __future__ import annotations

import builtins
import os
import pickle
import sqlite3
import time
from pathlib import Path

import pytest
from diskcache import Timeout

from core.disk import database, files
from core.disk.codec import key_of
from core.disk.store import Store
from core.runs.values import Generation
from tests import stored_values as sv

SPEC = sv.generation_spec()
KEY = key_of("generation", SPEC)
NAME = "ab/cd/" + "0" * 28 + ".val"


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


@pytest.fixture
def scene(tmp_path: Path):
    """A store with one good value, a bomb, a victim file outside the cache's folder, and one inside."""
    root = tmp_path / "cache"
    store = Store(root)
    assert store.put("generation", sv.generation_spec(1), sv.generation(1))
    victim = root / "victim.txt"
    victim.write_text("precious")
    inside = root / "values" / NAME
    inside.parent.mkdir(parents=True)
    inside.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    yield store, tmp_path
    assert not (tmp_path / "exploded").exists()
    assert victim.read_text() == "precious"
    assert inside.exists()


def bomb(folder: Path) -> bytes:
    return pickle.dumps(Bomb(folder / "exploded"))


def plant(
    folder: Path, *, key: object = KEY, raw: object = 1, mode: object = 1, filename=None, value=None, expire=None
):
    db = sqlite3.connect(folder / "cache" / "values" / "cache.db")
    with db:
        db.execute("DELETE FROM Cache WHERE key = ?", (key,))
        db.execute(
            "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, tag, size, mode, filename, value)"
            " VALUES (?, ?, 0, ?, 0, NULL, 0, ?, ?, ?)",
            (key, raw, expire, mode, filename, value),
        )
    db.close()


def exercise(store: Store, folder: Path) -> None:
    """Everything that touches rows: get, iterate, trim, expire, evict, cull, overwrite, delete, reopen, clear."""
    assert store.get(Generation, "generation", SPEC) is None
    assert [s.value.token_ids for s in store.recent("generation", Generation, 10)] == [sv.generation(1).token_ids]
    cache = store._opened()
    assert KEY not in [k for k in cache.iterkeys() if cache.get(k) is not None]
    cache.expire(now=time.time() + 10)
    cache.evict(None)
    cache.cull()
    store.limit_bytes = 1
    store._guarded(store._trim, None)
    store.limit_bytes = 1 << 30
    assert store.put("generation", SPEC, sv.generation())
    assert store.get(Generation, "generation", SPEC) is not None
    store.delete("generation", SPEC)
    again = Store(folder / "cache")
    assert again.get(Generation, "generation", SPEC) is None
    again.clear()
    assert store.warning is again.warning is None


@pytest.mark.parametrize(
    "row",
    [
        {"mode": 4, "value": "bomb"},
        {"mode": 4, "filename": NAME},
        {"mode": 2, "filename": NAME},
        {"mode": 3, "filename": NAME},
        {"mode": 2, "filename": "../victim.txt"},
        {"mode": 3, "filename": "../victim.txt"},
        {"mode": 2, "filename": "../../../../../../etc/passwd"},
        {"mode": 2, "filename": "/etc/passwd"},
        {"mode": 2, "filename": b"../victim.txt"},
        {"mode": 1, "filename": "../victim.txt", "value": b"x"},
        {"mode": 1, "value": "text"},
        {"mode": 1, "value": 5},
        {"mode": 1, "value": None},
        {"mode": "1; DROP TABLE Cache", "value": b"x"},
        {"mode": None, "value": b"x"},
        {"mode": 1, "value": b"bytes that are no value"},
        {"mode": 4, "value": "bomb", "expire": 5.0},
        {"mode": 2, "filename": "../victim.txt", "expire": 4e9},
    ],
    ids=str,
)
def test_a7_a_planted_row_is_a_miss(scene, row):
    store, folder = scene
    plant(folder, **{k: bomb(folder) if v == "bomb" else v for k, v in row.items()})
    exercise(store, folder)


@pytest.mark.parametrize("raw", [0, None, "x", 2])
def test_a7_a_planted_key_is_not_unpickled(scene, raw):
    store, folder = scene
    plant(folder, key=bomb(folder), raw=raw, mode=1, value=b"x", filename="../victim.txt")
    exercise(store, folder)


@pytest.mark.parametrize("key", [b"bytes", 7, 2.5, KEY.encode()])
def test_a7_a_key_of_another_type_is_passed_over(scene, key):
    store, folder = scene
    plant(folder, key=key, value=b"x")
    exercise(store, folder)


def test_a7_no_file_is_opened_for_a_row(scene, monkeypatch):
    store, folder = scene
    plant(folder, mode=2, filename="../victim.txt")

    def refuse(*args, **kwargs):
        raise AssertionError(f"opened {args}")

    for module, name in ((builtins, "open"), (os, "open"), (os, "remove"), (os, "unlink"), (os, "removedirs")):
        monkeypatch.setattr(module, name, refuse)
    assert store.get(Generation, "generation", SPEC) is None
    store._opened().delete(KEY)
    monkeypatch.undo()
    assert store.warning is None


def test_a7_planted_settings_do_not_reach_diskcache(scene):
    _, folder = scene
    db = sqlite3.connect(folder / "cache" / "values" / "cache.db")
    planted = {
        "_directory": "/tmp",
        "_disk": "x",
        "disk_directory": "/",
        "eviction_policy": "least-recently-used",
        "cull_limit": 10,
        "size_limit": 1,
        "size": "many",
        "sqlite_mmap_size": 1 << 30,
        "sqlite_query_only": 1,
    }
    with db:
        db.executemany("INSERT OR REPLACE INTO Settings VALUES (?, ?)", planted.items())
    db.close()
    store = Store(folder / "cache")
    cache = store._opened()
    assert cache.directory == str(folder / "cache" / "values")
    assert cache.eviction_policy == "none"
    assert cache._sql("PRAGMA mmap_size").fetchone() == (0,)
    exercise(store, folder)


def test_opening_removes_rows_that_can_never_be_served(scene):
    store, folder = scene
    plant(folder, mode=4, value=bomb(folder))
    store.close()
    assert len(Store(folder / "cache")._opened()) == 1


def test_the_disk_takes_text_keys_and_bytes_only(tmp_path):
    disk = database.SafeDisk(str(tmp_path))
    for key in (b"k", 1, None, ("a",)):
        with pytest.raises(TypeError):
            disk.put(key)
    for value in ("text", 1, None, bytearray(b"x")):
        with pytest.raises(TypeError):
            disk.store(value, False)
    with pytest.raises(TypeError):
        disk.store(b"x", True)


@pytest.mark.parametrize(
    ("error", "environment", "word"),
    [
        (OSError(28, "No space left on device"), True, "full"),
        (OSError(13, "Permission denied: /home/secret"), True, "Permission denied"),
        (sqlite3.OperationalError("database or disk is full"), True, "full"),
        (sqlite3.OperationalError("database is locked"), True, "database"),
        (Timeout(), True, "Another process"),
        (sqlite3.DatabaseError("file is not a database"), False, "database"),
        (ValueError("<b>/home/secret</b>"), False, "database"),
    ],
)
def test_faults_are_told_apart_and_named_without_their_own_text(error, environment, word):
    assert database.blames_environment(error) is environment
    sentence = database.sentence_for(error)
    assert word in sentence
    assert "secret" not in sentence


def test_whole_files_replace_or_leave_the_old(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_whole(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o600

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        files.write_whole(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_unfinished_files_go_unless_somebody_is_writing_them(tmp_path):
    left = tmp_path / f".{'0' * 16}.tmp"
    left.write_bytes(b"half")
    other = tmp_path / "my.tmp"
    other.write_bytes(b"mine")
    writing, fd = files._new_locked(tmp_path)
    files.remove_unfinished(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {writing.name, "my.tmp"}
    os.close(fd)
    files.remove_unfinished(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["my.tmp"]


def test_links_devices_and_large_files_are_not_read(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "missing"):
        with pytest.raises(OSError):
            files.read_regular(tmp_path / name)
    with pytest.raises(OSError, match="large"):
        files.read_regular(target, limit=4)
    assert files.read_regular(target, limit=5) == b"12345"


def test_folders_are_private(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("open", "new"):
        assert files.private_folder(tmp_path / name).stat().st_mode & 0o777 == 0o700


def tamper(folder: Path, *statements: str) -> None:
    db = sqlite3.connect(folder / "cache" / "values" / "cache.db")
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t BEFORE INSERT ON Cache BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE TRIGGER t BEFORE DELETE ON Cache BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE TRIGGER t AFTER UPDATE ON Settings BEGIN DELETE FROM Cache; END",
        'CREATE TRIGGER "a ""b; DROP TABLE Cache" AFTER INSERT ON Cache BEGIN UPDATE Cache SET value = x\'00\'; END',
        "CREATE UNIQUE INDEX one ON Cache(raw)",
        "CREATE INDEX slow ON Cache(hex(value))",
        "CREATE VIEW v AS SELECT * FROM Cache",
    ],
)
def test_foreign_parts_of_a_copied_cache_are_dropped_with_a_sentence_and_nothing_of_ours_is_lost(
    scene, statement, caplog
):
    store, folder = scene
    store.close()
    tamper(folder, statement)
    again = Store(folder / "cache")
    assert "is not ours; it was dropped" in caplog.text
    assert again.get(Generation, "generation", sv.generation_spec(1)) == sv.generation(1)
    assert again.put("generation", SPEC, sv.generation())
    assert Store(folder / "cache").get(Generation, "generation", SPEC) == sv.generation()
    assert again.warning is None


def test_a_trigger_in_the_place_of_one_of_diskcache_is_put_right(scene):
    store, folder = scene
    store.close()
    tamper(
        folder,
        "DROP TRIGGER Settings_count_insert",
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
    )
    again = Store(folder / "cache")
    assert again.put("generation", SPEC, sv.generation())
    assert again.get(Generation, "generation", SPEC) == sv.generation()


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE Cache ADD COLUMN more INTEGER DEFAULT 5",),
        ("ALTER TABLE Cache ADD COLUMN more GENERATED ALWAYS AS (hex(value)) VIRTUAL",),
        ("ALTER TABLE Cache RENAME TO old", "CREATE VIEW Cache AS SELECT * FROM old"),
        ("ALTER TABLE Cache RENAME TO old", "CREATE TABLE cache AS SELECT * FROM old"),
        ("ALTER TABLE Settings RENAME TO old", "CREATE VIEW Settings AS SELECT * FROM old"),
        (
            "ALTER TABLE Settings RENAME TO old",
            "CREATE TABLE Settings (key TEXT NOT NULL UNIQUE, value CHECK (value < 2))",
        ),
    ],
    ids=lambda statements: statements[-1][:40],
)
def test_a_table_of_another_form_is_set_aside_and_the_store_goes_on(scene, statements):
    store, folder = scene
    store.close()
    tamper(folder, *statements)
    again = Store(folder / "cache")
    assert "set aside" in again.warning
    assert again.put("generation", SPEC, sv.generation())
    assert again.get(Generation, "generation", SPEC) == sv.generation()
    assert (set_aside(folder) / "cache.db").exists()


def set_aside(folder: Path) -> Path:
    """The folder that was set aside; what the scene planted in it is put back in its place."""
    (kept,) = (folder / "cache").glob("values.broken-*")
    inside = folder / "cache" / "values" / NAME
    inside.parent.mkdir(parents=True)
    (kept / NAME).rename(inside)
    return kept


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_copied_cache_whose_database_leads_elsewhere_is_set_aside_and_nothing_there_is_touched(
    scene, tmp_path, suffix, kind
):
    store, folder = scene
    store.close()
    victim, planted = tmp_path / "victim.txt", folder / "cache" / "values" / f"cache.db{suffix}"
    victim.write_bytes(b"mine " * 3000)
    planted.unlink(missing_ok=True)
    planted.symlink_to(victim) if kind == "link" else os.mkfifo(planted)
    again = Store(folder / "cache")
    assert again.put("generation", SPEC, sv.generation())
    assert again.get(Generation, "generation", SPEC) == sv.generation()
    assert "set aside" in again.warning
    again.close()
    assert victim.read_bytes() == b"mine " * 3000
    set_aside(folder)


def test_a_trigger_planted_in_an_open_store_is_said_and_dropped(scene):
    store, folder = scene
    tamper(folder, "CREATE TRIGGER t BEFORE INSERT ON Cache BEGIN SELECT RAISE(IGNORE); END")
    assert not store.put("generation", SPEC, sv.generation())
    assert "not kept" in store.warning
    assert store.put("generation", SPEC, sv.generation())
    assert store.get(Generation, "generation", SPEC) == sv.generation()
    assert store.warning is None


def test_a_foreign_table_is_left_as_it_is(scene):
    store, folder = scene
    store.close()
    tamper(folder, "CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('mine')")
    assert Store(folder / "cache").warning is None
    db = sqlite3.connect(folder / "cache" / "values" / "cache.db")
    assert db.execute("SELECT * FROM notes").fetchall() == [("mine",)]
    db.close()


def test_foreign_rows_take_no_place_among_the_newest(scene):
    store, folder = scene
    for i in range(150):
        plant(folder, key=f"generation-{i:064d}", mode=4, value=b"x")
    assert [s.value.token_ids for s in store.recent("generation", Generation, 10)] == [sv.generation(1).token_ids]
