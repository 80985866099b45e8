"""Digit groups of a whole block, typed with numpy where they need no second look: ids, cards, phones, dates.

A window of groups counts as free if nothing beside it could make it part of more: no letter, digit or plus, and no
digit behind a separator. Every other number goes through ``numbers`` and ``dates``, which read these the same way.
Invariant: what is typed here needs no label: checksum and meaning, an allocated prefix, or a calendar date.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize import validators as check

Offsets = NDArray[np.int64]
Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
PAD_BYTES = 4
"""Newlines that must stand before and after the block, so that neighbours exist."""
ID_CN, CARD, MOBILE, LANDLINE, DATE, DATE_ZH = 1, 2, 3, 4, 5, 6
Typed = list[tuple[int, int, int]]
"""Start, end and type of each hit, in order, disjoint."""
Rows = tuple[Offsets, Offsets, Offsets]
"""The same as three arrays of one length."""


def flags_of(members: bytes) -> Flags:
    """(256,): which bytes are among ``members``."""
    table = np.zeros(256, np.bool_)
    table[list(members)] = True
    return table


_STICKY = flags_of(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+@_*")
IS_LETTER = flags_of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_DIGIT = flags_of(b"0123456789")
_SEPARATOR = flags_of(b" ().-")
WIDE_LEAD, WIDE_LAST = b"\xe2\xe3\xef", b"\x80\x88\x89\x90\x91\x92\x93\x94\xaf"
"""First and last bytes of separators outside ASCII: hyphens, dashes, minus, blanks, brackets; and of some others."""
_WIDE_LEAD, _WIDE_LAST = flags_of(WIDE_LEAD), flags_of(WIDE_LAST)
_BETWEEN = flags_of(b" .-")
_WEIGHTS = np.array(check.ID_WEIGHTS, np.int64)
_CHECKS = np.frombuffer(check.ID_CHECKS, np.uint8)
_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_PROVINCE = np.isin(np.arange(100), list(check.PROVINCES))
_LUHN = np.array([2 * d - 9 * (d > 4) for d in range(10)])
_YEAR, _MONTH, _DAY, _NUMBERED = (np.frombuffer(c.encode(), np.uint8) for c in "年月日号")


def _prefix_table(prefixes: tuple[bytes, ...]) -> Flags:
    """(100000,): whether five leading digits begin with one of ``prefixes``."""
    table = np.zeros(100_000, np.bool_)
    for prefix in prefixes:
        size = 10 ** (5 - len(prefix))
        table[int(prefix) * size : (int(prefix) + 1) * size] = True
    return table


_MOBILE = _prefix_table((*check.MOBILE_PREFIXES, *check.MOBILE_BLOCKS))
CARD_LEADS = {n: _prefix_table(tuple(p for p, lengths in check.CARD_RANGES if n in lengths)) for n in range(13, 20)}
_AREA = _prefix_table(tuple(check.AREA_CODES))


def matrix(block: Bytes, starts: Offsets, width: int) -> Offsets:
    """(N, width): the digits from each start, as numbers."""
    return np.asarray(block[starts[:, None] + np.arange(width)], np.int64) - 48


def three_bytes(block: Bytes, at: Offsets) -> Offsets:
    """Three bytes from each offset as one number, big-endian."""
    high = (block[at].astype(np.int64) << 16) | (block[at + 1].astype(np.int64) << 8)
    return np.asarray(high | block[at + 2], np.int64)


def among(values: Offsets, members: Offsets) -> Flags:
    """Which values are among ``members``, few and sorted: for few values faster than ``numpy.isin``."""
    at = np.searchsorted(members, values)
    return np.asarray(members[np.minimum(at, len(members) - 1)] == values)


def _has_luhn(digits: Offsets) -> Flags:
    total = digits[:, ::-2].sum(axis=1) + _LUHN[digits[:, -2::-2]].sum(axis=1)
    return np.asarray(total % 10 == 0)


def _is_real(year: Offsets, month: Offsets, day: Offsets) -> Flags:
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    real = (year >= 1850) & (year <= 2099) & (month >= 1) & (month <= 12) & (day >= 1)
    return np.asarray(real & (day <= _DAYS[np.minimum(month, 12)]) & ~((month == 2) & (day == 29) & ~leap))


def _is_id(block: Bytes, starts: Offsets) -> Flags:
    """Of the 18 characters from each start."""
    return are_ids(matrix(block, starts, 17), block[starts + 17])


def are_ids(digits: Offsets, last: Bytes) -> Flags:
    """ISO 7064, province, date and sequence of (N, 17) digits and their check characters."""
    real = _is_real(digits[:, 6:10] @ (1000, 100, 10, 1), digits[:, 10:12] @ (10, 1), digits[:, 12:14] @ (10, 1))
    last = np.where(last > 57, last & 0xDF, last)
    checked = _CHECKS[(digits @ _WEIGHTS) % 11] == last
    return np.asarray(checked & real & _PROVINCE[digits[:, :2] @ (10, 1)] & (digits[:, 14:17].sum(axis=1) > 0))


def are_mobiles(digits: Offsets) -> Flags:
    """Whether (N, 5 or more) digits begin with an allocated mobile prefix."""
    return np.asarray(_MOBILE[digits[:, :5] @ (10000, 1000, 100, 10, 1)])


@dataclass(frozen=True, slots=True)
class Groups:
    """Every maximal digit run of a padded block."""

    block: Bytes
    starts: Offsets
    ends: Offsets

    @classmethod
    def of(cls, block: Bytes) -> Groups:
        """Digit runs; the padding guarantees that they come in pairs of edges."""
        digit = (block - np.uint8(48)) < 10
        edges = np.flatnonzero(digit[1:] != digit[:-1]) + 1
        return cls(block, edges[0::2], edges[1::2])

    def free(self, starts: Offsets, ends: Offsets) -> Flags:
        """Whether nothing beside ``[start, end)`` could make it part of more."""
        block = self.block
        free = ~_STICKY[block[starts - 1]] & ~_STICKY[block[ends]]
        for beside, step in ((starts - 1, -1), (ends, 1)):
            first, second, third = block[beside], block[beside + step], block[beside + 2 * step]
            single = _SEPARATOR[first]
            free &= ~(single & (_DIGIT[second] | (_SEPARATOR[second] & _DIGIT[third])))
            lead, last = (third, first) if step < 0 else (first, third)
            free &= ~(_WIDE_LEAD[lead] & _WIDE_LAST[last] & _DIGIT[block[beside + 3 * step]])
        return free

    def with_country(self, rows: Offsets) -> Offsets:
        """Starts of phones, moved before a group ``86`` and a plus in front of them."""
        block, starts = self.block, self.starts[rows]
        prior = np.maximum(rows - 1, 0)
        first, last = self.starts[prior], self.ends[prior]
        is_86 = (rows > 0) & (starts - last == 1) & (last - first == 2) & _BETWEEN[block[starts - 1]]
        is_86 &= (block[first] == 56) & (block[first + 1] == 54)
        begin = np.where(is_86, first, starts)
        return np.asarray(begin - (is_86 & (block[begin - 1] == 43)), np.int64)

    def value(self, rows: Offsets) -> Offsets:
        """Groups of one or two digits as numbers."""
        last = self.block[self.ends[rows] - 1].astype(np.int64) - 48
        tens = self.block[self.ends[rows] - 2].astype(np.int64) - 48
        return np.where(self.ends[rows] - self.starts[rows] > 1, tens * 10 + last, last)

    def followed_by(self, rows: Offsets, character: Bytes) -> Flags:
        """Whether a three-byte character stands right behind each group."""
        at, block = self.ends[rows], self.block
        return np.asarray(
            (block[at] == character[0]) & (block[at + 1] == character[1]) & (block[at + 2] == character[2])
        )


def _bare(groups: Groups, length: Offsets) -> Rows:
    """Single groups: resident ids, cards, mobile phones with or without +86."""
    block = groups.block
    rows = np.flatnonzero((length == 11) | ((length >= 13) & (length <= 19)))
    starts, ends, length = groups.starts[rows], groups.ends[rows], length[rows]
    is_x = (length == 17) & ((block[ends] | 0x20) == 120) & ~_STICKY[block[ends + 1]]
    ends, length = ends + is_x, length + is_x
    kinds = np.zeros(len(starts), np.int64)
    for n in np.unique(length).tolist():
        at = np.flatnonzero(length == n)
        lead = matrix(block, starts[at], 5) @ (10000, 1000, 100, 10, 1)
        if n == 11:
            at = at[_MOBILE[lead]]
            kinds[at] = MOBILE
            starts[at] = groups.with_country(rows[at])
        elif n == 13:
            at = at[lead // 1000 == 86]
            at = at[_MOBILE[matrix(block, starts[at] + 2, 5) @ (10000, 1000, 100, 10, 1)]]
            kinds[at] = MOBILE
            starts[at] -= block[starts[at] - 1] == 43
        elif n == 18:
            kinds[at[_is_id(block, starts[at])]] = ID_CN
        else:
            at = at[CARD_LEADS[n][lead]]
            kinds[at[_has_luhn(matrix(block, starts[at], n))]] = CARD
    return _typed(groups, starts, ends, kinds)


def _typed(groups: Groups, starts: Offsets, ends: Offsets, kinds: Offsets | int) -> Rows:
    """Those of known kind that stand free."""
    kinds = np.broadcast_to(np.asarray(kinds), starts.shape)
    keep = np.flatnonzero(kinds > 0)
    starts, ends, kinds = starts[keep], ends[keep], kinds[keep]
    free = groups.free(starts, ends)
    return starts[free], ends[free], kinds[free]


def _phones(groups: Groups, length: Offsets, joint: Bytes) -> list[Rows]:
    """3-4-4 mobile phones, and area code with subscriber number; ``joint``: the one byte behind a group, else 0."""
    block, starts, ends = groups.block, groups.starts, groups.ends
    same = _BETWEEN[joint[:-1]] & (joint[:-1] == joint[1:])
    rows = np.flatnonzero((length[:-2] == 3) & (length[1:-1] == 4) & (length[2:] == 4) & same)
    lead = matrix(block, starts[rows], 3) @ (10000, 1000, 100) + matrix(block, starts[rows + 1], 2) @ (10, 1)
    rows = rows[_MOBILE[lead]]
    mobiles = _typed(groups, groups.with_country(rows), ends[rows + 2], MOBILE)
    a, b = length[:-1], length[1:]
    closing = (joint == 41) & (block[starts[:-1] - 1] == 40)
    shape = ((a == 3) & (b == 8)) | ((a == 4) & ((b == 7) | (b == 8)))
    rows = np.flatnonzero(shape & ((joint == 45) | (joint == 32) | closing))
    fourth = (block[starts[rows] + 3].astype(np.int64) - 48) * 10
    lead = matrix(block, starts[rows], 3) @ (10000, 1000, 100) + np.where(length[rows] == 4, fourth, 0)
    subscriber = block[starts[rows + 1]]
    rows = rows[_AREA[lead] & (subscriber >= 50) & (subscriber <= 56)]
    return [mobiles, _typed(groups, starts[rows] - closing[rows], ends[rows + 1], LANDLINE)]


_FOURS = np.array([0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18])


def _cards(groups: Groups, length: Offsets, joint: Bytes) -> list[Rows]:
    """4-4-4-4 with blanks or hyphens, and 4-4-4-4-3 of 19 digits."""
    block, starts, ends = groups.block, groups.starts, groups.ends
    four = length == 4
    same = (joint[:-2] == joint[1:-1]) & (joint[:-2] == joint[2:]) & ((joint[:-2] == 32) | (joint[:-2] == 45))
    rows = np.flatnonzero(four[:-3] & four[1:-2] & four[2:-1] & four[3:] & same)
    if not len(rows):
        return []
    after = np.minimum(rows + 4, len(length) - 1)
    long = (
        (after == rows + 4)
        & (length[after] == 3)
        & (starts[after] - ends[rows + 3] == 1)
        & (block[ends[rows + 3]] == joint[rows])
    )
    # Three digits that begin an amount belong to no card: 6225 7501 8160 9997 220,944.20
    last = ends[after]
    long &= ~(((block[last] == 44) | (block[last] == 46)) & _DIGIT[block[last + 1]])
    found: list[Rows] = []
    for at, offsets in ((rows[~long], _FOURS), (rows[long], np.append(_FOURS, (20, 21, 22)))):
        digits = block[starts[at][:, None] + offsets].astype(np.int64) - 48
        good = CARD_LEADS[len(offsets)][digits[:, :5] @ (10000, 1000, 100, 10, 1)] & _has_luhn(digits)
        at = at[good]
        found.append(_typed(groups, starts[at], ends[at + (3 if len(offsets) == 16 else 4)], CARD))
    return found


def _dates(groups: Groups, length: Offsets, joint: Bytes) -> Rows:
    """Year, month and day of the calendar: 2024-03-05, 2024/3/5, 2024.3.5 and 2024年3月5日."""
    block, starts, ends = groups.block, groups.starts, groups.ends
    rows = np.flatnonzero((length[:-2] == 4) & (length[1:-1] <= 2) & (length[2:] <= 2))
    gaps = (starts[rows + 1] - ends[rows], starts[rows + 2] - ends[rows + 1])
    mark = joint[rows]
    plain = (mark == joint[rows + 1]) & ((mark == 45) | (mark == 46) | (mark == 47))
    zh = (gaps[0] == 3) & (gaps[1] == 3)
    zh[zh] = (
        groups.followed_by(rows[zh], _YEAR)
        & groups.followed_by(rows[zh] + 1, _MONTH)
        & (groups.followed_by(rows[zh] + 2, _DAY) | groups.followed_by(rows[zh] + 2, _NUMBERED))
    )
    rows, zh = rows[plain | zh], zh[plain | zh]
    year = matrix(block, starts[rows], 4) @ (1000, 100, 10, 1)
    real = _is_real(year, groups.value(rows + 1), groups.value(rows + 2))
    rows, zh = rows[real], zh[real]
    first, last = starts[rows], ends[rows + 2]
    before, after = block[first - 1], block[last]
    free = ~_STICKY[before] & (zh | ~_STICKY[after])
    free &= ~((before >= 45) & (before <= 47) & _DIGIT[block[first - 2]])
    free &= zh | ~((after >= 45) & (after <= 47) & _DIGIT[block[last + 1]])
    rows = np.flatnonzero(free)
    return first[rows], (last + 3 * zh)[rows], np.where(zh, DATE_ZH, DATE)[rows]


def typed_rows(groups: Groups) -> Rows:
    """Whatever of a padded block's digit groups needs no second look."""
    block = groups.block
    starts, ends = groups.starts, groups.ends
    length = ends - starts
    found = [_bare(groups, length)]
    if len(starts) > 1:
        joint = np.where(starts[1:] - ends[:-1] == 1, block[ends[:-1]], np.uint8(0))
        found += _phones(groups, length, joint) + _cards(groups, length, joint) + [_dates(groups, length, joint)]
    first, last, kinds = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(first, kind="stable")
    return first[order], last[order], kinds[order]


def typed_runs(groups: Groups) -> Typed:
    """The same as tuples."""
    return list(zip(*(column.tolist() for column in typed_rows(groups)), strict=True))


__all__ = [
    "among",
    "are_ids",
    "are_mobiles",
    "Bytes",
    "CARD",
    "CARD_LEADS",
    "DATE",
    "DATE_ZH",
    "Flags",
    "flags_of",
    "Groups",
    "ID_CN",
    "IS_LETTER",
    "LANDLINE",
    "matrix",
    "MOBILE",
    "Offsets",
    "PAD_BYTES",
    "Rows",
    "three_bytes",
    "Typed",
    "typed_rows",
    "typed_runs",
    "WIDE_LAST",
    "WIDE_LEAD",
]
