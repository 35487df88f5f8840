"""Files that are no text: named as what they are, with the way to make a text of them."""

from __future__ import annotations

import codecs
import re

from core.errors import BadInput

_UNPACK = "Unpack it first, then choose the file inside."
_TABLE = (
    'Save it as JSON Lines first, in Python: pandas.read_{reader}("{file}")'
    '.to_json("traces.jsonl", orient="records", lines=True).'
)
_AS_TEXT = "Save its traces as JSON Lines or plain text first."
_LEFT = "Choose a file of text: JSON, JSON Lines or plain text."
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"PK\x03\x04", "a zip archive (also .npz, .xlsx and .docx are)", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", _LEFT),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x04\x22\x4d\x18", "an LZ4 archive", _UNPACK),
    (b"\xff\x06\x00\x00sNaPpY", "a Snappy archive", _UNPACK),
    (b"PAR1", "a Parquet table", _TABLE.format(reader="parquet", file="traces.parquet")),
    (b"ARROW1", "an Arrow table", _TABLE.format(reader="feather", file="traces.arrow")),
    (b"FEA1", "a Feather table", _TABLE.format(reader="feather", file="traces.feather")),
    (b"ORC", "an ORC table", _TABLE.format(reader="orc", file="traces.orc")),
    (b"Obj\x01", "an Avro file", _AS_TEXT),
    (b"\xff\xff\xff\xff", "an Arrow stream", _AS_TEXT),
    (b"\x89HDF", "an HDF5 file", _AS_TEXT),
    (b"\x93NUMPY", "a NumPy array", _AS_TEXT),
    (b"SQLite format 3\x00", "an SQLite database", _AS_TEXT),
    (b"GGUF", "a GGUF model", _LEFT),
    (b"%PDF-", "a PDF document", _AS_TEXT),
    (b"\xd0\xcf\x11\xe0", "an old Office document", _AS_TEXT),
    (b"{\\rtf", "a rich text document", _AS_TEXT),
    (b"\x89PNG", "a picture", _LEFT),
    (b"\xff\xd8\xff", "a picture", _LEFT),
    (b"GIF8", "a picture", _LEFT),
    (b"\x7fELF", "a program", _LEFT),
    (b"version https://git-lfs", "a pointer to a file in Git LFS, not the file", "Fetch it with git lfs pull first."),
    (codecs.BOM_UTF32_LE, "encoded as UTF-32", "Save it as UTF-8."),
    (codecs.BOM_UTF16_LE, "encoded as UTF-16", "Save it as UTF-8."),
    (codecs.BOM_UTF16_BE, "encoded as UTF-16", "Save it as UTF-8."),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95(}\]cX\x8c]")
_PAGE = re.compile(rb"\s*<(?:!doctype html|html[\s>])", re.IGNORECASE)
_TAR_AT, _TAR = 257, b"ustar"


def refuse_what_is_no_text(head: bytes) -> None:
    """Raises BadInput where a file that begins so is none of text."""
    for magic, what, remedy in _KINDS:
        if head.startswith(magic):
            raise BadInput(f"The file is {what}.", remedy)
    if _PICKLE.match(head):
        raise BadInput("The file is a Python pickle, which is never opened: it could run any program.", _AS_TEXT)
    if head[_TAR_AT:].startswith(_TAR):
        raise BadInput("The file is a tar archive.", _UNPACK)
    if _PAGE.match(head):
        raise BadInput("The file is a web page.", "Download the file itself, not the page that shows it.")
    if head.count(b"\0") > len(head) // 50:
        pairs = head[: len(head) // 2 * 2]
        wide = min(pairs[::2].count(b"\0"), pairs[1::2].count(b"\0")) * 8 < pairs.count(b"\0")
        what = "encoded as UTF-16" if wide else "no text: it holds many bytes that are zero"
        raise BadInput(f"The file is {what}.", "Save it as UTF-8." if wide else _LEFT)
