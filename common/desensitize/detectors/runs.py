"""Bare digit runs of a whole block, typed with numpy: resident ids, cards and mobile phones.

A run counts as bare if nothing beside it could make it part of more: no letter, digit or plus, and no digit behind a
separator. Every other number goes through ``numbers``, which reads the same run the same way.
Invariant: what is typed here needs no label: checksum and meaning, or an allocated prefix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize import validators as check

Offsets = NDArray[np.int64]
Bytes = NDArray[np.uint8]
PAD = b"\n\n\n\n"
"""What must stand before and after the block, so that neighbours exist."""
ID_CN, CARD, MOBILE = 1, 2, 3

_ALNUM = np.zeros(256, np.bool_)
_ALNUM[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+@_")] = True
_DIGIT = np.zeros(256, np.bool_)
_DIGIT[48:58] = True
_SEPARATOR = np.zeros(256, np.bool_)
_SEPARATOR[list(b" ().-")] = True
_SEPARATOR[[0x91, 0x93, 0x88, 0x89]] = True  # last bytes of – ‑ （ ）
_WEIGHTS = np.array(check.ID_WEIGHTS, np.int64)
_CHECKS = np.frombuffer(check.ID_CHECKS, np.uint8)
_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_PROVINCE = np.isin(np.arange(100), list(check.PROVINCES))
_LUHN = np.array([2 * d - 9 * (d > 4) for d in range(10)])


def _prefix_table(prefixes: tuple[bytes, ...]) -> NDArray[np.bool_]:
    """(100000,): whether five leading digits begin with one of ``prefixes``."""
    table = np.zeros(100_000, np.bool_)
    for prefix in prefixes:
        size = 10 ** (5 - len(prefix))
        table[int(prefix) * size : (int(prefix) + 1) * size] = True
    return table


_MOBILE = _prefix_table((*check.MOBILE_PREFIXES, *check.MOBILE_BLOCKS))
_CARD = {n: _prefix_table(tuple(p for p, lengths in check.CARD_RANGES if n in lengths)) for n in range(13, 20)}


def bare_runs(block: Bytes) -> tuple[Offsets, Offsets]:
    """Starts and ends of bare digit runs of 11 or 13 to 19 digits in a padded block."""
    digit = (block - np.uint8(48)) < 10
    edges = np.flatnonzero(digit[1:] != digit[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    length = ends - starts
    keep = (length == 11) | ((length >= 13) & (length <= 19))
    starts, ends, length = starts[keep], ends[keep], length[keep]
    if not len(starts):
        return starts, ends
    right = block[ends]
    is_x = (length == 17) & ((right == 88) | (right == 120)) & ~_ALNUM[block[ends + 1]]
    ends = ends + is_x
    free = ~_ALNUM[block[starts - 1]] & ~_ALNUM[block[ends]]
    free &= ~_is_joined(block, starts - 1, -1) & ~_is_joined(block, ends, 1)
    return starts[free], ends[free]


def _is_joined(block: Bytes, beside: Offsets, step: int) -> NDArray[np.bool_]:
    """Whether a digit stands behind one, two or three separator bytes."""
    joined = np.zeros(len(beside), np.bool_)
    open_ = _SEPARATOR[block[beside]] | ((block[beside] == 0xE2) | (block[beside] == 0xEF))
    for distance in (1, 2, 3):
        byte = block[beside + step * distance]
        joined |= open_ & _DIGIT[byte]
        open_ = open_ & (_SEPARATOR[byte] | (byte >= 0x80))
    return joined


def _matrix(block: Bytes, starts: Offsets, width: int) -> NDArray[np.int64]:
    """(N, width): the digits from each start, as numbers."""
    return block[starts[:, None] + np.arange(width)].astype(np.int64) - 48


def _is_id(block: Bytes, digits: NDArray[np.int64], starts: Offsets) -> NDArray[np.bool_]:
    """ISO 7064, province, date and sequence of 18 characters each; ``digits`` are their first 17."""
    year = digits[:, 6:10] @ (1000, 100, 10, 1)
    month, day = digits[:, 10:12] @ (10, 1), digits[:, 12:14] @ (10, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    real = (year >= 1850) & (year <= 2099) & (month >= 1) & (month <= 12) & (day >= 1)
    real &= (day <= _DAYS[np.minimum(month, 12)]) & ~((month == 2) & (day == 29) & ~leap)
    last = block[starts + 17]
    last = np.where(last > 57, last & 0xDF, last)
    checked = _CHECKS[(digits @ _WEIGHTS) % 11] == last
    return checked & real & _PROVINCE[digits[:, :2] @ (10, 1)] & (digits[:, 14:17].sum(axis=1) > 0)


def _has_luhn(digits: NDArray[np.int64]) -> NDArray[np.bool_]:
    total = digits[:, ::-2].sum(axis=1) + _LUHN[digits[:, -2::-2]].sum(axis=1)
    return np.asarray(total % 10 == 0)


def typed_runs(block: Bytes) -> tuple[list[int], list[int], list[int]]:
    """Starts, ends and types (ID_CN, CARD, MOBILE) of bare runs that need no label, in order."""
    starts, ends = bare_runs(block)
    if not len(starts):
        return [], [], []
    length = ends - starts
    kinds = np.zeros(len(starts), np.int64)
    for n in np.unique(length).tolist():
        rows = np.flatnonzero(length == n)
        first = starts[rows]
        lead = _matrix(block, first, 5) @ (10000, 1000, 100, 10, 1)
        if n == 11:
            kinds[rows[_MOBILE[lead]]] = MOBILE
            continue
        if n == 18:
            is_id = _is_id(block, _matrix(block, first, 17), first)
            kinds[rows[is_id]] = ID_CN
            rest = ~is_id & _DIGIT[block[first + 17]]
            rows, first, lead = rows[rest], first[rest], lead[rest]
        known = _CARD[n][lead]
        rows, first = rows[known], first[known]
        kinds[rows[_has_luhn(_matrix(block, first, n))]] = CARD
    keep = kinds > 0
    return starts[keep].tolist(), ends[keep].tolist(), kinds[keep].tolist()


__all__ = ["bare_runs", "CARD", "ID_CN", "MOBILE", "PAD", "typed_runs"]
