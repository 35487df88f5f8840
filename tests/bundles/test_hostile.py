"""What a file must not be to be opened: every kind of hostile bundle is refused, soon, in little memory, in words."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import subprocess
import sys
import time
import zipfile

import pytest

from core.bundles.layout import MAX_ENTRIES, BadBundle, write
from core.bundles.manifest import MANIFEST, SCHEMA, manifest_json
from core.bundles.reading import open_bundle
from tests.bundles.filled import bundled, fill

SECONDS, MEMORY = 3.0, 300 << 20


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A bundle that is whole."""
    root = tmp_path_factory.mktemp("sound")
    fill(root / "cache")
    bundled(root / "cache", root / "sound.retrace")
    return (root / "sound.retrace").read_bytes()


def entries(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files):
    """The files as the program lays them out, the manifest where it is."""
    file = io.BytesIO()
    write(file, [(name, lambda data=data: [data]) for name, data in files.items()])
    return file.getvalue()


def zipped(files, *, method=zipfile.ZIP_STORED):
    """The files as another program zips them, under any names; a value may be a ZipInfo with its bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return file.getvalue()


def with_more(sound, name, data=b"x"):
    return zipped([*entries(sound).items(), (name, data)])


def with_manifest(sound, **changes):
    files = entries(sound)
    files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | changes).encode()
    return packed(files)


def a_link(sound):
    info = zipfile.ZipInfo("a-link")
    info.external_attr = 0o120777 << 16
    return with_more(sound, info, b"/etc/passwd")


def a_duplicate(sound):
    name = next(iter(entries(sound)))
    with pytest.warns(UserWarning, match="Duplicate name"):
        return with_more(sound, name)


def a_bomb(sound):
    return zipped([*entries(sound).items(), ("zeros", bytes(200 << 20))], method=zipfile.ZIP_DEFLATED)


def too_many(sound):
    return zipped([(f"{i:05}", b"") for i in range(MAX_ENTRIES + 1)])


def a_wrong_digest(sound):
    files = entries(sound)
    name = next(name for name in files if name.startswith("direction-"))
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    return packed(files)


def laid_over(sound):
    """Thousands of entries that all are the same bytes of the file."""
    name, data = "whole", bytes(1 << 20)
    file = bytearray(zipped([(name, data)]))
    at = file.index(b"PK\x01\x02")
    record, end = bytes(file[at : at + 46]), file[-22:]
    rows = b"".join(record + f"{i:05}".encode() for i in range(5_000))
    struct.pack_into("<HHL", end, 8, 5_000, 5_000, len(rows))
    return bytes(file[:at]) + rows + bytes(end)


HOSTILE = {
    "traversal": (lambda sound: with_more(sound, "../../evil"), "leads out"),
    "absolute path": (lambda sound: with_more(sound, "/etc/evil"), "absolute"),
    "drive": (lambda sound: with_more(sound, "C:evil"), "absolute"),
    "backslash": (lambda sound: with_more(sound, "..\\evil"), "backslash"),
    "folder": (lambda sound: with_more(sound, "a/b"), "no plain name"),
    "link": (a_link, "is a link"),
    "duplicate": (a_duplicate, "two files"),
    "bomb": (a_bomb, "compressed"),
    "entries over each other": (laid_over, "lie over each other"),
    "10,001 entries": (too_many, "10,001 files"),
    "nested archive": (lambda sound: with_more(sound, "inner.zip", zipped([("a", b"b")])), "archive in it"),
    "nested under another name": (lambda sound: with_more(sound, "notes", zipped([("a", b"b")])), "archive in it"),
    "foreign database": (lambda sound: with_more(sound, "cache.db", b"SQLite format 3\0"), "database"),
    "database under another name": (lambda sound: with_more(sound, "notes", b"SQLite format 3\0 xx"), "database"),
    "wrong digest": (a_wrong_digest, "not what the manifest says"),
    "newer schema": (lambda sound: with_manifest(sound, schema=SCHEMA + 1), "newer Retrace"),
    "not in the manifest": (lambda sound: with_more(sound, "more"), "not in its manifest"),
    "no manifest": (lambda sound: zipped([("a", b"b")]), "no manifest"),
    "manifest that is none": (lambda sound: packed({MANIFEST: b"[" * 100_000}), "manifest"),
    "truncated": (lambda sound: sound[: len(sound) // 2], "cut off"),
    "bytes at its end": (lambda sound: sound + b"\0", "cut off"),
    "not a zip": (lambda sound: b"GIF89a" + bytes(100), "no bundle"),
    "empty": (lambda sound: b"", "no bundle"),
    "packed again": (lambda sound: zipped(entries(sound).items()), "not laid out"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_in_words_and_soon(name, sound):
    make, words = HOSTILE[name]
    data = make(sound)
    began = time.monotonic()
    with pytest.raises(BadBundle) as refused:
        open_bundle(io.BytesIO(data))
    assert time.monotonic() - began < SECONDS
    assert words in refused.value.problem
    assert "\n" not in refused.value.problem


def test_all_are_refused_in_little_memory(sound, tmp_path):
    paths = []
    for name, (make, _) in HOSTILE.items():
        paths.append(tmp_path / f"{name}.retrace")
        paths[-1].write_bytes(make(sound))
    told = subprocess.run(
        [sys.executable, "-c", CHECK_ALL, *map(str, paths)], capture_output=True, text=True, timeout=120, check=True
    )
    refused, grown = json.loads(told.stdout)
    assert refused == len(HOSTILE)
    assert grown < MEMORY


CHECK_ALL = """
import json, resource, sys
from core.bundles.layout import BadBundle
from core.bundles.reading import open_bundle
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
before, refused = peak(), 0
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        try:
            open_bundle(file)
        except BadBundle:
            refused += 1
print(json.dumps([refused, peak() - before]))
"""


def test_a_flipped_byte_anywhere_is_noticed(sound):
    rng = random.Random(0)
    places = [rng.randrange(len(sound)) for _ in range(100)]
    structure = [sound.index(mark) + i for mark in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06") for i in range(22)]
    for place in places + structure:
        flipped = bytearray(sound)
        flipped[place] ^= 1 << rng.randrange(8)
        with pytest.raises(BadBundle):
            open_bundle(io.BytesIO(flipped))


@pytest.mark.parametrize(
    ("place", "key"),
    [("value", "../cache"), ("direction", "ABC"), ("traces", "../../x/set.json"), ("experiment", "a.json"), ("x", "y")],
)
def test_a_manifest_names_no_place_of_its_own(place, key, sound):
    files = entries(sound)
    said = json.loads(files[MANIFEST])
    said["items"][0] |= {"place": place, "key": key}
    with pytest.raises(BadBundle, match="manifest"):
        open_bundle(io.BytesIO(packed(files | {MANIFEST: json.dumps(said).encode()})))


def test_a_sound_bundle_is_opened_and_lists_what_is_in_it(sound):
    bundle = open_bundle(io.BytesIO(sound))
    said = bundle.manifest
    assert (said.count("direction"), said.count("run"), said.count("traces"), said.count("experiment")) == (1, 1, 1, 1)
    assert manifest_json(said) == entries(sound)[MANIFEST]
    for item in said.items:
        assert hashlib.sha256(bundle.read(item)).hexdigest() == item.sha256


def test_any_unzip_lists_a_bundle(sound):
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[-1] == MANIFEST
