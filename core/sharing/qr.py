"""QR codes of short texts (ISO/IEC 18004): bytes, versions 1 to 10, error correction M. No package draws them here.

A code is a square of dark (True) and light modules, without the quiet zone around it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import pairwise

from core.errors import BadInput

Square = list[list[bool]]

QUIET = 4
"""Light modules that a reader needs around a code."""
BLOCKS = (
    (10, 1, 16, 0),
    (16, 1, 28, 0),
    (26, 1, 44, 0),
    (18, 2, 32, 0),
    (24, 2, 43, 0),
    (16, 4, 27, 0),
    (18, 4, 31, 0),
    (22, 2, 38, 2),
    (22, 3, 36, 2),
    (26, 4, 43, 1),
)
"""By version at level M: check bytes of a block, blocks, data bytes of each, and further blocks of one byte more."""
CENTRES = ((), (6, 18), (6, 22), (6, 26), (6, 30), (6, 34), (6, 22, 38), (6, 24, 42), (6, 26, 46), (6, 28, 50))
"""By version: rows and columns of the alignment patterns' centres."""
MASKS: tuple[Callable[[int, int], bool], ...] = (
    lambda y, x: (y + x) % 2 == 0,
    lambda y, x: y % 2 == 0,
    lambda y, x: x % 3 == 0,
    lambda y, x: (y + x) % 3 == 0,
    lambda y, x: (y // 2 + x // 3) % 2 == 0,
    lambda y, x: y * x % 2 + y * x % 3 == 0,
    lambda y, x: (y * x % 2 + y * x % 3) % 2 == 0,
    lambda y, x: ((y + x) % 2 + y * x % 3) % 2 == 0,
)
_LIKE_A_FINDER = ((1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0), (0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1))


def qr_code(text: str) -> Square:
    """The code of a text. Raises BadInput for one of more than 213 bytes."""
    data = text.encode()
    fits = [v for v in range(1, len(BLOCKS) + 1) if 4 + _count_bits(v) + 8 * len(data) <= 8 * _n_data(v)]
    if not fits:
        raise BadInput(f"A QR code of {len(data)} bytes is too large.", "Use a shorter address.")
    version = fits[0]
    bits = _bits(_with_checks(_padded(data, version), version))
    drawn = [_masked(version, bits, mask) for mask in range(len(MASKS))]
    return min(drawn, key=penalty)


@functools.lru_cache(maxsize=4)
def code_of(text: str) -> str:
    """The code of a text as a picture; "" for no text, and for one that is too long for a code."""
    try:
        return svg(qr_code(text)) if text else ""
    except BadInput:
        return ""


def svg(square: Square) -> str:
    """The code as a picture, dark on white whatever the theme, with its quiet zone."""
    size = len(square) + 2 * QUIET
    dark = "".join(
        f"M{x + QUIET} {y + QUIET}h1v1h-1z" for y, row in enumerate(square) for x, is_dark in enumerate(row) if is_dark
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size * 8}" height="{size * 8}" '
        'shape-rendering="crispEdges">'
        f'<path fill="#ffffff" d="M0 0h{size}v{size}h-{size}z"/><path fill="#000000" d="{dark}"/></svg>'
    )


def _count_bits(version: int) -> int:
    return 8 if version < 10 else 16


def _n_data(version: int) -> int:
    _, n, length, longer = BLOCKS[version - 1]
    return n * length + longer * (length + 1)


def _padded(data: bytes, version: int) -> bytes:
    """The data with its mode and length before it, filled up to what the version holds."""
    n = _n_data(version)
    bits = f"0100{len(data):0{_count_bits(version)}b}" + "".join(f"{byte:08b}" for byte in data)
    bits += "0" * min(4, 8 * n - len(bits))
    bits += "0" * (-len(bits) % 8)
    found = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return found + bytes((0xEC, 0x11)[i % 2] for i in range(n - len(found)))


def _times(a: int, b: int) -> int:
    """The product in the field of 256 elements with x⁸ + x⁴ + x³ + x² + 1."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def _checks(data: bytes, n: int) -> bytes:
    """The n Reed–Solomon check bytes of a block."""
    generator, root = [1], 1
    for _ in range(n):
        shifted = [*generator, 0]
        generator = [a ^ _times(b, root) for a, b in zip(shifted, [0, *generator], strict=True)]
        root = _times(root, 2)
    rest = [0] * n
    for byte in data:
        factor = byte ^ rest[0]
        rest = [a ^ _times(b, factor) for a, b in zip([*rest[1:], 0], generator[1:], strict=True)]
    return bytes(rest)


def _with_checks(data: bytes, version: int) -> bytes:
    """Data and check bytes, taken from the blocks in turn."""
    n_checks, n, length, longer = BLOCKS[version - 1]
    starts = [0]
    for size in [length] * n + [length + 1] * longer:
        starts.append(starts[-1] + size)
    blocks = [data[a:b] for a, b in pairwise(starts)]
    checks = [_checks(block, n_checks) for block in blocks]
    mixed = [block[i] for i in range(length + 1) for block in blocks if i < len(block)]
    return bytes(mixed + [check[i] for i in range(n_checks) for check in checks])


def _bits(data: bytes) -> list[bool]:
    return [bool(byte >> (7 - i) & 1) for byte in data for i in range(8)]


def _function_modules(version: int) -> dict[tuple[int, int], bool]:
    """What is the same in every code of a version, by row and column; places of the format light for now."""
    size = 17 + 4 * version
    fixed = {(y, x): False for y in range(9) for x in range(9)}
    fixed |= {(y, x): False for y in range(9) for x in range(size - 8, size)}
    fixed |= {(y, x): False for y in range(size - 8, size) for x in range(9)}
    for top, left in ((0, 0), (0, size - 7), (size - 7, 0)):
        fixed |= {(top + y, left + x): _ring(y - 3, x - 3) != 2 for y in range(7) for x in range(7)}
    for i in range(8, size - 8):
        fixed[6, i] = fixed[i, 6] = i % 2 == 0
    for cy in CENTRES[version - 1]:
        for cx in CENTRES[version - 1]:
            if (cy, cx) not in ((6, 6), (6, size - 7), (size - 7, 6)):
                fixed |= {(cy + y, cx + x): _ring(y, x) != 1 for y in range(-2, 3) for x in range(-2, 3)}
    fixed[size - 8, 8] = True
    if version >= 7:
        told = version << 12 | _rest(version, 0x1F25, 12)
        for i in range(18):
            place = i // 3, size - 11 + i % 3
            fixed[place] = fixed[place[::-1]] = bool(told >> i & 1)
    return fixed


def _ring(y: int, x: int) -> int:
    return max(abs(y), abs(x))


def _rest(value: int, divisor: int, n: int) -> int:
    """The n bits that make value · 2ⁿ a multiple of the divisor, as polynomials over two elements."""
    rest = value << n
    while rest.bit_length() > n:
        rest ^= divisor << (rest.bit_length() - divisor.bit_length())
    return rest


def _path(size: int) -> Iterator[tuple[int, int]]:
    """Rows and columns in the order in which bits are laid: columns by twos from the right, up and down."""
    for turn, right in enumerate([*range(size - 1, 6, -2), 5, 3, 1]):
        for y in range(size) if turn % 2 else range(size - 1, -1, -1):
            yield y, right
            yield y, right - 1


def _masked(version: int, bits: list[bool], mask: int) -> Square:
    size, fixed = 17 + 4 * version, _function_modules(version)
    for i, places in enumerate(format_places(size)):
        for place in places:
            fixed[place] = bool(_format(mask) >> i & 1)
    square = [[fixed.get((y, x), False) for x in range(size)] for y in range(size)]
    rest = iter(bits)
    for y, x in _path(size):
        if (y, x) not in fixed:
            square[y][x] = next(rest, False) != MASKS[mask](y, x)
    return square


def _format(mask: int) -> int:
    """The 15 bits that tell level M (00) and the mask."""
    return (mask << 10 | _rest(mask, 0x537, 10)) ^ 0x5412


def format_places(size: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where each bit of the format stands twice, from the least."""
    first = [(y, 8) for y in (0, 1, 2, 3, 4, 5, 7, 8)] + [(8, x) for x in (7, 5, 4, 3, 2, 1, 0)]
    second = [(8, size - 1 - i) for i in range(8)] + [(size - 7 + i, 8) for i in range(7)]
    return list(zip(first, second, strict=True))


def penalty(square: Square) -> int:
    """How hard a code is to read: long runs, squares, what looks like a finder, and an uneven share of dark."""
    size, total = len(square), 0
    columns = [list(column) for column in zip(*square, strict=True)]
    for line in [*square, *columns]:
        run = 1
        for before, now in pairwise([*line, not line[-1]]):
            total += run - 2 if before != now and run >= 5 else 0
            run = run + 1 if before == now else 1
        total += sum(40 for i in range(size - 10) if tuple(map(int, line[i : i + 11])) in _LIKE_A_FINDER)
    for upper, lower in pairwise(square):
        total += sum(3 for x in range(size - 1) if upper[x] == upper[x + 1] == lower[x] == lower[x + 1])
    share = 100 * sum(map(sum, square)) / size**2
    return total + 10 * int(abs(share - 50) / 5)
