"""The store answers by spec, keeps to its size, and turns every fault of the disk into a miss and one sentence."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core.attribution.values import Attribution
from core.directions.folder import DirectionFolder
from core.disk import codec, database, files
from core.disk import store as store_module
from core.disk.codec import key_of
from core.disk.store import Store
from core.extraction.values import DirectionSet
from core.runs.journal import RunJournal
from core.runs.values import Generation
from tests import stored_values as sv

KILLS = 50 if os.environ.get("RETRACE_FULL") else 6


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def put(store: Store, number: int = 0, **changes: int) -> bool:
    value = sv.generation(number, **changes)
    return store.put("generation", value.spec, value)


def get(store: Store, number: int = 0) -> Generation | None:
    return store.get(Generation, "generation", sv.generation_spec(number))


def database_of(root: Path) -> Path:
    return root / "values" / "cache.db"


def sql(root: Path, statement: str, *parameters: object) -> list[tuple]:
    db = sqlite3.connect(database_of(root))
    with db:
        rows = db.execute(statement, parameters).fetchall()
    db.close()
    return rows


def test_a_value_is_found_by_an_equal_spec_also_after_a_restart(root):
    store = Store(root)
    assert get(store) is None
    assert put(store)
    sv.assert_same(get(store), sv.generation())
    sv.assert_same(get(Store(root)), sv.generation())
    assert get(store, 1) is None
    assert store.warning is None


def test_every_kind_of_value_is_kept(root):
    store = Store(root)
    store.put("attribution", sv.attribution().spec, sv.attribution())
    sv.assert_same(store.get(Attribution, "attribution", sv.attribution().spec), sv.attribution())
    assert store.get(Generation, "attribution", sv.attribution().spec) is None


def test_files_are_kept_apart_and_private(root):
    store, value = Store(root), sv.direction_set(d_model=4096)
    assert store.get_file(DirectionSet, "extraction", value.spec) is None
    assert store.put_file("extraction", value.spec, value)
    sv.assert_same(Store(root).get_file(DirectionSet, "extraction", value.spec), value)
    path = root / "files" / "extraction" / f"{key_of('extraction', value.spec)}.safetensors"
    assert path.stat().st_mode & 0o777 == 0o600
    assert {p.stat().st_mode & 0o777 for p in (root, root / "values", root / "files", path.parent)} == {0o700}


def test_delete_clear_and_size(root):
    store, value = Store(root), sv.direction_set(d_model=4096)
    for number in range(3):
        put(store, number, tokens=2000)
    store.put_file("extraction", value.spec, value)
    full = store.size_bytes()
    assert full > 4 * value.vectors.nbytes / 5
    store.delete("generation", sv.generation_spec(1))
    assert [get(store, n) is None for n in range(3)] == [False, True, False]
    store.clear()
    assert store.size_bytes() < full / 2
    assert get(store) is None
    assert store.get_file(DirectionSet, "extraction", value.spec) is None
    assert put(store)


def test_clearing_leaves_the_users_data(root):
    directions, journal = DirectionFolder(root), RunJournal(root)
    direction_id = directions.save(sv.direction())
    journal.begin("run", (sv.generation_spec(),)).close()
    store = Store(root)
    (root / "notes-0.safetensors").write_text("mine")
    store.clear()
    assert directions.load(direction_id).name == "number 0"
    assert len(journal.interrupted()) == 1
    assert (root / "notes-0.safetensors").exists()


@pytest.mark.parametrize("kind", ["values", "directions", "runs", "history", "traces", "mean_vectors", "files"])
def test_kinds_of_files_do_not_mix_with_the_users_folders(root, kind):
    own = DirectionFolder(root).save(sv.direction())
    others = [root / name / "mine.safetensors" for name in ("history", "traces", "mean_vectors")]
    for path in others:
        path.parent.mkdir()
        path.write_bytes(b"mine")
    store = Store(root)
    assert store.put_file(kind, 1, sv.direction_set())
    sv.assert_same(store.get_file(DirectionSet, kind, 1), sv.direction_set())
    store.clear()
    assert store.get_file(DirectionSet, kind, 1) is None
    assert DirectionFolder(root).load(own) == sv.direction()
    assert all(path.exists() for path in others)


def test_recent_is_newest_first_and_of_one_kind(root):
    store = Store(root)
    for number in range(6):
        put(store, number)
        store.put("attribution", number, sv.attribution())
    put(store, 2)
    found = store.recent("generation", Generation, 4)
    assert [stored.value.token_ids[0] for stored in found] == [2, 5, 4, 3]
    times = [stored.stored_at for stored in found]
    assert times == sorted(times, reverse=True)
    assert times[0] == pytest.approx(time.time(), abs=60)
    assert found[0].key == key_of("generation", sv.generation_spec(2))


def test_the_oldest_are_trimmed_and_reading_does_not_matter(root):
    store = Store(root, limit_bytes=2 << 20)
    for number in range(120):
        assert put(store, number, tokens=1500)
        get(store, 119)
    assert store.size_bytes() <= 0.8 * store.limit_bytes + (64 << 10)
    kept = [number for number in range(120) if get(store, number) is not None]
    assert kept == list(range(kept[0], 120))
    assert 10 < len(kept) < 120


def test_files_are_trimmed_with_the_values_oldest_first(root):
    store = Store(root, limit_bytes=4 << 20)
    for number in range(8):
        assert store.put_file("extraction", number, sv.direction_set(d_model=20_000))
        os.utime(store._large.path("extraction", key_of("extraction", number)), (number, number))
    kept = [n for n in range(8) if store.get_file(DirectionSet, "extraction", n) is not None]
    assert kept == list(range(kept[0], 8))
    assert store.size_bytes() <= 0.8 * store.limit_bytes + (64 << 10)


def test_a_value_too_large_for_the_store_wipes_nothing(root):
    store = Store(root, limit_bytes=1 << 20)
    assert put(store, 1)
    assert not put(store, 2, tokens=8000)
    assert not store.put_file("extraction", 1, sv.direction_set(d_model=50_000))
    assert get(store, 1) is not None
    assert get(store, 2) is None
    assert store.warning is None


def test_a8_a_flipped_byte_is_a_miss_and_the_value_goes(root):
    store, rng = Store(root), random.Random(0)
    for number in range(100):
        put(store, number)
    for key, data in sql(root, "SELECT key, value FROM Cache"):
        damaged = bytearray(data)
        damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
        sql(root, "UPDATE Cache SET value = ? WHERE key = ?", bytes(damaged), key)
    assert [get(store, number) for number in range(100)] == [None] * 100
    assert sql(root, "SELECT COUNT(*) FROM Cache") == [(0,)]
    assert store.warning is None


def test_a8_a_flipped_byte_in_a_file_is_a_miss_and_the_file_goes(root):
    store, rng = Store(root), random.Random(1)
    for number in range(20):
        store.put_file("extraction", number, sv.direction_set())
        path = store._large.path("extraction", key_of("extraction", number))
        damaged = bytearray(path.read_bytes())
        damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        assert store.get_file(DirectionSet, "extraction", number) is None
        assert not path.exists()


def test_a8_a_value_moved_to_another_key_is_a_miss(root):
    store = Store(root)
    put(store, 1)
    put(store, 2)
    ((data,),) = sql(root, "SELECT value FROM Cache WHERE key = ?", key_of("generation", sv.generation_spec(1)))
    sql(root, "UPDATE Cache SET value = ? WHERE key = ?", data, key_of("generation", sv.generation_spec(2)))
    assert get(store, 2) is None
    assert get(store, 1) is not None
    store.put_file("extraction", 1, sv.direction_set())
    shutil.move(*(store._large.path("extraction", key_of("extraction", n)) for n in (1, 2)))
    assert store.get_file(DirectionSet, "extraction", 2) is None


def test_damaged_values_are_left_out_of_the_recent(root):
    store = Store(root)
    for number in range(3):
        put(store, number)
    sql(root, "UPDATE Cache SET value = x'00' WHERE rowid = 2")
    assert [stored.value.token_ids[0] for stored in store.recent("generation", Generation, 5)] == [2, 0]


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "other tables", "scrambled"])
def test_a_damaged_database_is_set_aside_and_a_new_one_works(root, damage):
    store = Store(root)
    for number in range(50):
        put(store, number)
    store.close()
    path = database_of(root)
    data = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(b"not a database" * 100)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "scrambled":
        path.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
    else:
        path.unlink()
        sql(root, "CREATE TABLE Cache (x)")
    left = path.read_bytes()

    started = time.monotonic()
    store = Store(root)
    served = [get(store, number) for number in range(50)]
    assert time.monotonic() - started < 5
    for number, value in enumerate(served):
        if value is not None:
            sv.assert_same(value, sv.generation(number))
    assert put(store, 7)
    assert get(store, 7) is not None
    aside = list(root.glob("values.broken-*"))
    if damage != "empty":
        assert len(aside) == 1
        assert left[:100] in (aside[0] / "cache.db").read_bytes()
        assert aside[0].name in (store.warning or "")
    assert Store(root).warning is None


def test_a_database_damaged_while_open_is_set_aside(root):
    store = Store(root)
    for number in range(50):
        put(store, number)
    sql(root, "PRAGMA wal_checkpoint(TRUNCATE)")
    size = database_of(root).stat().st_size
    with database_of(root).open("r+b") as file:
        file.seek(0)
        file.write(os.urandom(size))
    assert get(store, 3) is None
    assert "set aside" in (store.warning or "")
    assert put(store)
    assert get(store) is not None
    assert "set aside" in (store.warning or "")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception, *names: str) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    for name in names:
        monkeypatch.setattr(store_module.database.Cache, name, fail)


FAULTS = [
    OSError(28, "No space left on device"),
    OSError(5, "Input/output error"),
    sqlite3.OperationalError("database or disk is full"),
    sqlite3.OperationalError("database is locked"),
    sqlite3.DatabaseError("database disk image is malformed"),
    database.Timeout(),
    RuntimeError("surprise"),
]


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_a10_every_fault_is_a_miss_and_one_warning(root, monkeypatch, error):
    store = Store(root)
    put(store)
    fail_with(monkeypatch, error, "get", "set", "delete", "volume", "clear")
    assert get(store) is None
    assert not put(store, 1)
    assert store.recent("generation", Generation, 3) == []
    assert store.size_bytes() == 0
    store.delete("generation", sv.generation_spec())
    store.clear()
    assert store.warning
    assert store.warning.count(". ") == 1
    monkeypatch.undo()
    store._retry_at = min(store._retry_at, 0.001)
    assert put(store)
    assert get(store) is not None
    assert store.warning is None


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_a10_the_store_starts_whatever_opening_says(root, monkeypatch, error):
    fail_with(monkeypatch, error, "__init__")
    store = Store(root)
    assert get(store) is None
    assert not put(store)
    assert store.warning
    assert len(list(root.glob("values.broken-*"))) <= 1


def test_a10_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "cache")
    assert not put(store)
    assert not store.put_file("extraction", 1, sv.direction_set())
    assert store.get_file(DirectionSet, "extraction", 1) is None
    assert store.size_bytes() == 0
    assert "folder cannot be used" in (store.warning or "")


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A disk of 3 MB. Mounting one needs root and a kernel that allows it."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a tmpfs needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this system refuses to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    with (place / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue


def test_a10_a_disk_full_before_the_start(tiny_disk):
    fill(tiny_disk)
    started = time.monotonic()
    store = Store(tiny_disk / "cache")
    journal, directions = RunJournal(tiny_disk / "cache"), DirectionFolder(tiny_disk / "cache")
    assert not put(store)
    assert get(store) is None
    run_log = journal.begin("run", (sv.generation_spec(),))
    run_log.append(1, "a")
    run_log.finish("eos")
    with pytest.raises(Exception, match="could not be saved"):
        directions.save(sv.direction())
    assert directions.list() == []
    assert directions.broken() == []
    assert time.monotonic() - started < 5
    assert "disk is full" in (store.warning or "")
    (tiny_disk / "ballast").unlink()
    store._retry_at = 0.0
    assert put(store)
    assert store.warning is None


def test_a10_a_disk_that_fills_up(tiny_disk):
    store, directions = Store(tiny_disk / "cache"), DirectionFolder(tiny_disk / "cache")
    journal = RunJournal(tiny_disk / "cache")
    for number in range(5):
        assert put(store, number, tokens=500)
    saved = directions.save(sv.direction())
    run_log = journal.begin("run", (sv.generation_spec(),))
    fill(tiny_disk)
    refused = [n for n in range(10, 40) if not put(store, n, tokens=4000)]
    assert refused
    assert "full" in (store.warning or "")
    assert not store.put_file("extraction", 1, sv.direction_set(d_model=5000))
    for number in range(2000):
        run_log.append(number, " token")
    with pytest.raises(Exception, match="could not be saved"):
        directions.save(sv.direction(1, d_model=8192))
    assert [s.direction_id for s in directions.list()] == [saved]
    assert directions.broken() == []
    assert not list(tiny_disk.rglob(".*.tmp"))
    (tiny_disk / "ballast").unlink()
    store._retry_at = min(store._retry_at, 0.001)
    for number in range(5):
        sv.assert_same(get(store, number), sv.generation(number, tokens=500))
    assert put(store, 50)
    assert store.warning is None
    run_log.close()
    (run,) = journal.interrupted()
    tokens = run.generations[0].token_ids
    assert tokens == tuple(range(len(tokens)))


def test_a_full_disk_can_be_cleared(tiny_disk):
    store = Store(tiny_disk / "cache")
    for number in range(20):
        put(store, number, tokens=2000)
    fill(tiny_disk)
    refused = [n for n in range(20, 60) if not put(store, n, tokens=4000)]
    assert refused
    store.clear()
    assert get(store) is None
    assert put(store)
    assert store.warning is None


def test_a_database_that_is_a_link_is_not_followed(root, tmp_path):
    Store(root).close()
    shutil.move(database_of(root), tmp_path / "other.db")
    database_of(root).symlink_to(tmp_path / "other.db")
    before = (tmp_path / "other.db").read_bytes()
    store = Store(root)
    assert put(store)
    assert "set aside" in (store.warning or "")
    assert (tmp_path / "other.db").read_bytes() == before


def test_another_process_holding_the_lock_costs_seconds_not_the_run(root, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    store = Store(root)
    put(store)
    holder = sqlite3.connect(database_of(root), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    late = Store(root)
    results = [put(store, n) for n in range(5)] + [put(late, n) for n in range(5)]
    assert time.monotonic() - started < 4
    assert not any(results)
    assert "Another process" in (store.warning or "")
    assert "Another process" in (late.warning or "")
    holder.execute("ROLLBACK")
    holder.close()
    for waiting in (store, late):
        waiting._retry_at = min(waiting._retry_at, 0.001)
        assert get(waiting) is not None
        assert waiting.warning is None


def test_a_failed_commit_does_not_keep_the_lock(root, monkeypatch):
    store = Store(root)
    put(store)
    cache = store._opened()
    monkeypatch.setattr(store, "_trim", lambda cache: cache._sql("BEGIN IMMEDIATE") and 1 / 0)
    assert not put(store, 1)
    monkeypatch.undo()
    assert store._opened() is cache
    assert put(Store(root), 2)


def test_many_threads_read_and_write_at_once(root):
    store, faults = Store(root, limit_bytes=4 << 20), []

    def work(offset: int) -> None:
        rng = random.Random(offset)
        for _ in range(40):
            number = rng.randrange(30)
            if rng.random() < 0.5:
                put(store, number, tokens=200)
            else:
                value = get(store, number)
                if value is not None and value.token_ids[0] != number:
                    faults.append((number, value))
            store.recent("generation", Generation, 2)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert store.warning is None


def check_after_kill(root: Path, saved: list[str]) -> None:
    started = time.monotonic()
    store, journal, directions = Store(root), RunJournal(root), DirectionFolder(root)
    assert time.monotonic() - started < 5
    assert store.warning is None
    for stored in store.recent("generation", Generation, 10_000):
        first = stored.value.token_ids[0]
        sv.assert_same(stored.value, sv.generation(first, tokens=40))
    for (key,) in sql(root, "SELECT key FROM Cache"):
        assert store._read(store._opened(), Generation, key) is not None
    for path in (root / "files" / "extraction").glob("*"):
        codec.load(DirectionSet, files.read_regular(path), key=path.stem)
    for run in journal.interrupted():
        (partial,), number = run.generations, int(run.meta["number"])
        whole = sv.generation(number, tokens=40)
        assert partial.pieces == whole.pieces[: len(partial.pieces)]
        assert partial.stop_reason == "interrupted"
        journal.discard(run.run_id)
    assert set(saved) <= {s.direction_id for s in directions.list()}
    assert directions.broken() == []
    assert [p.name for p in (root / "values").iterdir() if not p.name.startswith("cache.db")] == []
    assert list(root.rglob(".*.tmp")) == []
    assert list((root / "runs").iterdir()) == []
    store.close()


def test_a9_kill_9_while_writing_loses_and_corrupts_nothing(root):
    saved: list[str] = []
    rng = random.Random(5)
    for _ in range(KILLS):
        env = os.environ | {"PYTHONPATH": "."}
        command = [sys.executable, "-m", "tests.stored_values", str(root)]
        writer = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        saved.append(writer.stdout.readline().strip())
        time.sleep(rng.random() * 0.2)
        writer.kill()
        lines = writer.stdout.read().splitlines(keepends=True)
        saved += [line.strip() for line in lines if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        check_after_kill(root, saved)
    assert len(saved) > KILLS


def test_opening_a_full_store_is_quick(root):
    store = Store(root)
    for number in range(500):
        put(store, number)
    store.close()
    started = time.monotonic()
    store = Store(root)
    assert time.monotonic() - started < 3
    assert len(store.recent("generation", Generation, 20)) == 20


def test_specs_that_differ_in_nothing_but_names_share_a_value(root):
    store, value = Store(root), sv.generation()
    put(store)
    (steer,) = value.spec.steering
    renamed = dataclasses.replace(steer, direction=dataclasses.replace(steer.direction, name="other"))
    assert store.get(Generation, "generation", dataclasses.replace(value.spec, steering=(renamed,))) is not None


def test_a_hundred_damaged_or_foreign_values_do_not_shorten_the_list_of_the_newest(root):
    store = Store(root)
    value = sv.generation(tokens=1)
    for number in range(105):
        store.put("generation", number, value)
    rows = "SELECT rowid FROM Cache ORDER BY rowid DESC LIMIT"
    sql(root, f"UPDATE Cache SET value = x'00' WHERE rowid IN ({rows} 50)")
    sql(root, f"UPDATE Cache SET key = 'generation-' || rowid WHERE rowid IN ({rows} 50 OFFSET 50)")
    copy = shutil.copytree(root, root.with_name("copy"))
    assert [found.key for found in store.recent("generation", Generation, 3)] == [
        key_of("generation", number) for number in (4, 3, 2)
    ]
    one_more = Store(copy)
    sql(copy, "UPDATE Cache SET value = x'00' WHERE key = ?", key_of("generation", 4))
    assert [found.key for found in one_more.recent("generation", Generation, 3)] == [
        key_of("generation", number) for number in (3, 2)
    ]
