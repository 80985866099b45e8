"""A hit in bytes of the scanned block, before it becomes a span, and small tests of neighbour bytes."""

from __future__ import annotations

from fedward.common.desensitize.spans import EntityType

Hit = tuple[int, int, EntityType, int, str]
"""Start and end in bytes, type, level, method. A plain tuple: dense text has fourteen of them in a kilobyte."""

DIGITS = frozenset(b"0123456789")
LOWER = frozenset(b"abcdefghijklmnopqrstuvwxyz")
LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
ALNUM = DIGITS | LETTERS


_NO_DIGITS = bytes(range(48, 58))


def num_digits(value: bytes) -> int:
    """How many ASCII digits ``value`` holds."""
    return len(value) - len(value.translate(None, _NO_DIGITS))


def touches_alnum(data: bytes, start: int, end: int) -> bool:
    """Whether an ASCII letter or digit stands beside ``[start, end)``."""
    return (start > 0 and data[start - 1] in ALNUM) or (end < len(data) and data[end] in ALNUM)


def is_decimal_left(data: bytes, start: int) -> bool:
    """Whether ``start`` follows a digit and a full stop, as decimals and parts of versions do."""
    return start > 1 and data[start - 1] == 46 and data[start - 2] in DIGITS


def is_decimal_right(data: bytes, end: int) -> bool:
    """Whether a full stop and one or two digits follow, as in ``13800138000.00``; a list number does not count."""
    tail = data[end : end + 4]
    if len(tail) < 2 or tail[0] != 46 or tail[1] not in DIGITS:
        return False
    rest = tail[2:]
    if rest and rest[0] in DIGITS:
        rest = rest[1:]
    return not rest or (rest[0] not in ALNUM and rest[0] != 46)


__all__ = [
    "ALNUM",
    "DIGITS",
    "Hit",
    "is_decimal_left",
    "is_decimal_right",
    "LETTERS",
    "LOWER",
    "num_digits",
    "touches_alnum",
]
