"""QR codes, read again by a reader that shares nothing with the writer but the standard's tables."""

from __future__ import annotations

import pytest

from core.errors import BadInput
from core.sharing.qr import QUIET, code_of, qr_code, svg

# ISO/IEC 18004, Table 9, level M: check bytes of a block, and data bytes of every block.
TABLE = {
    1: (10, [16]),
    2: (16, [28]),
    3: (26, [44]),
    4: (18, [32] * 2),
    5: (24, [43] * 2),
    6: (16, [27] * 4),
    7: (18, [31] * 4),
    8: (22, [38] * 2 + [39] * 2),
    9: (22, [36] * 3 + [37] * 2),
    10: (26, [43] * 4 + [44]),
}
# Annex E: centres of alignment patterns.
ALIGNED = {1: [], 2: [6, 18], 3: [6, 22], 4: [6, 26], 5: [6, 30], 6: [6, 34], 7: [6, 22, 38]}
ALIGNED |= {8: [6, 24, 42], 9: [6, 26, 46], 10: [6, 28, 50]}
# Annex C, level M, masks 0 to 7, and Annex D, versions 7 to 10.
FORMATS = [0x5412, 0x5125, 0x5E7C, 0x5B4B, 0x45F9, 0x40CE, 0x4F97, 0x4AA0]
VERSIONS = {7: 0x07C94, 8: 0x085BC, 9: 0x09A99, 10: 0x0A4D3}
# Table 10, with i the row and j the column.
MASKS = [
    "(i + j) % 2",
    "i % 2",
    "j % 3",
    "(i + j) % 3",
    "(i // 2 + j // 3) % 2",
    "(i * j) % 2 + (i * j) % 3",
    "((i * j) % 2 + (i * j) % 3) % 2",
    "((i + j) % 2 + (i * j) % 3) % 2",
]
POWERS = [1]
for _ in range(254):
    POWERS.append(POWERS[-1] * 2 ^ (0x11D if POWERS[-1] >= 128 else 0))
LOGS = {value: exponent for exponent, value in enumerate(POWERS)}


def syndromes(block, n):
    """The block as a polynomial at the first n powers of 2: all zero where no byte is wrong."""
    found = []
    for exponent in range(n):
        value = 0
        for byte in block:
            value = (POWERS[(LOGS[value] + exponent) % 255] if value else 0) ^ byte
        found.append(value)
    return found


def fixed_places(version):
    size = 17 + 4 * version
    places = {(i, j) for i in range(size) for j in range(size) if i == 6 or j == 6}
    for rows, columns in ((range(9), range(9)), (range(9), range(size - 8, size)), (range(size - 8, size), range(9))):
        places |= {(i, j) for i in rows for j in columns}
    for y in ALIGNED[version]:
        for x in ALIGNED[version]:
            if (y, x) not in ((6, 6), (6, size - 7), (size - 7, 6)):
                places |= {(y + i, x + j) for i in range(-2, 3) for j in range(-2, 3)}
    if version >= 7:
        places |= {(i, j) for i in range(6) for j in range(size - 11, size - 8)}
        places |= {(j, i) for i in range(6) for j in range(size - 11, size - 8)}
    return places


def read_format(square):
    size = len(square)
    around = [square[8][j] for j in (0, 1, 2, 3, 4, 5, 7, 8)] + [square[i][8] for i in (7, 5, 4, 3, 2, 1, 0)]
    apart = [square[size - 1 - i][8] for i in range(7)] + [square[8][size - 8 + i] for i in range(8)]
    words = [int("".join(str(int(bit)) for bit in bits), 2) for bits in (around, apart)]
    assert words[0] == words[1]
    return FORMATS.index(words[0])


def read_blocks(bits, version):
    """The data bytes, taken apart into blocks, of which each has its check bytes."""
    words = [int("".join(map(str, bits[k : k + 8])), 2) for k in range(0, len(bits) - len(bits) % 8, 8)]
    n_checks, lengths = TABLE[version]
    blocks = [[] for _ in lengths]
    rest = iter(words)
    for k in range(max(lengths)):
        for block, length in zip(blocks, lengths, strict=True):
            if k < length:
                block.append(next(rest))
    data = [byte for block in blocks for byte in block]
    for _ in range(n_checks):
        for block in blocks:
            block.append(next(rest))
    assert not any(value for block in blocks for value in syndromes(block, n_checks))
    return data


def read(square):
    """The text of a code, every check of it made."""
    size = len(square)
    version = (size - 17) // 4
    mask, places = read_format(square), fixed_places(version)
    for top, left in ((0, 0), (0, size - 7), (size - 7, 0)):
        rows = ["".join(str(int(square[top + i][left + j])) for j in range(7)) for i in range(7)]
        assert rows == ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    assert [square[6][j] for j in range(8, size - 8)] == [j % 2 == 0 for j in range(8, size - 8)]
    assert square[size - 8][8]
    if version >= 7:
        told = sum(square[i // 3][size - 11 + i % 3] << i for i in range(18))
        assert told == VERSIONS[version] == sum(square[size - 11 + i % 3][i // 3] << i for i in range(18))
    bits, upwards, j = [], True, size - 1
    while j > 0:
        j -= j == 6
        for i in range(size - 1, -1, -1) if upwards else range(size):
            for column in (j, j - 1):
                if (i, column) not in places:
                    is_flipped = eval(MASKS[mask], {"i": i, "j": column}) == 0
                    bits.append(int(square[i][column] != is_flipped))
        upwards, j = not upwards, j - 2
    data = read_blocks(bits, version)
    stream = "".join(f"{byte:08b}" for byte in data)
    assert stream[:4] == "0100"
    width = 8 if version < 10 else 16
    n = int(stream[4 : 4 + width], 2)
    body = stream[4 + width : 4 + width + 8 * n]
    return bytes(int(body[k : k + 8], 2) for k in range(0, len(body), 8)).decode()


@pytest.mark.parametrize(
    "n", [0, 1, 14, 15, 26, 27, 42, 43, 62, 63, 84, 85, 106, 107, 122, 123, 152, 153, 180, 181, 213]
)
def test_a_code_is_read_again_at_every_version(n):
    text = "".join(chr(33 + (7 * i) % 90) for i in range(n))
    assert read(qr_code(text)) == text


def test_the_smallest_version_that_holds_a_text_is_taken():
    sizes = [(len(qr_code("x" * n)) - 17) // 4 for n in (14, 15, 26, 42, 62, 84, 106, 122, 152, 180, 213)]
    assert sizes == [1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("text", ["http://192.168.178.23:8501", "https://größe.example/?q=尺寸", "\x00\x00\x00"])
def test_addresses_and_other_letters(text):
    assert read(qr_code(text)) == text


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(BadInput, match="214 bytes"):
        qr_code("x" * 214)


def test_the_picture_has_a_quiet_zone_and_a_square_for_every_dark_module():
    square = qr_code("http://10.0.0.1:8501")
    picture = svg(square)
    assert picture.count("h1v1h-1z") == sum(map(sum, square))
    assert f'viewBox="0 0 {len(square) + 2 * QUIET} {len(square) + 2 * QUIET}"' in picture
    assert f"M{QUIET} {QUIET}h1v1h-1z" in picture


def test_the_picture_of_an_address_stands_alone_and_a_too_long_one_has_none():
    picture = code_of("http://192.168.1.7:8501")
    assert picture.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert 'fill="#ffffff"' in picture
    assert code_of("") == ""
    assert code_of("https://" + "a" * 250) == ""
