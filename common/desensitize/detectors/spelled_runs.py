"""Mobile phones and resident ids in several groups, found with numpy where nothing but a look at the label is left.

Invariant: what is taken here ``numbers`` reads the same way from the same place: the whole chain of groups is the
longest window, and its shape is one of a mobile phone or a resident id. Whatever has an extension, an amount, a list
or another label beside it is left to the scan. Not handled here: 3-4-4, which ``runs`` types.
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from fedward.common.desensitize import validators as check
from fedward.common.desensitize.detectors.fields import field_starts, may_follow_age, windows_before
from fedward.common.desensitize.detectors.hits import Hit
from fedward.common.desensitize.detectors.label_ends import unlabelled
from fedward.common.desensitize.detectors.labels import MAX_LABEL_BYTES, MONEY, OTHER
from fedward.common.desensitize.detectors.numbers import ID_SHAPES, MOBILE_SHAPES, is_amount, with_extension
from fedward.common.desensitize.detectors.plain_phones import goes_on
from fedward.common.desensitize.detectors.runs import (
    IS_LETTER,
    Bytes,
    Flags,
    Groups,
    Offsets,
    among,
    are_ids,
    are_mobiles,
    flags_of,
    three_bytes,
)
from fedward.common.desensitize.detectors.values import continues_list
from fedward.common.desensitize.spans import EntityType

_JOINTS = b" .-"
_IS_JOINT = flags_of(_JOINTS)
_IS_MASK_JOINT, _IS_MASK = flags_of(b" -"), flags_of(b"*Xx")
_STARS = np.array(sorted(int.from_bytes(star.encode()) for star in "＊●•※"))
_PLATE_MARKS = np.array(sorted(int.from_bytes(mark.encode()) for mark in "使•・‧●"))
_ENVOY = int.from_bytes("使".encode())
_MOBILE_DIGITS, _ID_DIGITS = 11, 18
_BASE = 32
_MAX_GROUPS = 5


def _codes(shapes: Iterable[tuple[int, ...]], digits: int) -> Offsets:
    """The lengths of each shape as one number."""
    found = []
    for shape in shapes:
        if sum(shape) == digits and 1 < len(shape) <= _MAX_GROUPS:
            code = 0
            for length in shape:
                code = code * _BASE + length
            found.append(code)
    return np.array(sorted(found), np.int64)


_MOBILES = _codes(MOBILE_SHAPES, _MOBILE_DIGITS)
_IDS = _codes(ID_SHAPES, _ID_DIGITS)
_LOWERING = frozenset((OTHER, MONEY))
_IS_LABEL_END, _IS_DIGIT = flags_of(b':=|"'), flags_of(b"0123456789")
_ID = (EntityType.ID_CN, 3, "id_checked")
_PHONE = (EntityType.PHONE, 2, "mobile_prefix")
_WIDE_COLON = int.from_bytes("：".encode())
_NUMBERED = np.array(sorted(int.from_bytes(c.encode()) for c in "转轉机号"))
_MAX_CHAIN = _ID_DIGITS + _MAX_GROUPS - 1
_LETTERS = re.compile(rb"[A-Za-z]").search
_BEFORE = re.compile(
    "(?:(?:年龄|年齡|[Aa]ged?|AGE)[^0-9\\n]{0,20}|(?:转|轉|分机|号)(?:：|:)? ?|[A-Z] )$".encode()
).search
"""The label of an age or of an extension, or capitals that a labelled value may begin with."""


def _unmasked(block: Bytes, starts: Offsets, ends: Offsets) -> Flags:
    """Whether no character of a mask stands beside, or behind one blank or hyphen: XX 133-857-08079, ●●●4403."""
    left, right = starts - 1, ends
    left = left - _IS_MASK_JOINT[block[left]]
    right = right + _IS_MASK_JOINT[block[right]]
    masked = _IS_MASK[block[left]] | _IS_MASK[block[right]]
    masked |= among(three_bytes(block, left - 2), _STARS) | among(three_bytes(block, right), _STARS)
    return np.asarray(~masked)


def _off_plates(block: Bytes, starts: Offsets) -> Flags:
    """Whether no plate may end in the first digits: 川 B 18615, WJ京1397, 使 540 102."""
    left, second, third = block[starts - 1], block[starts - 2], block[starts - 3]
    plate = _IS_JOINT[left] & IS_LETTER[second] & ~IS_LETTER[third] & (third != 47)
    plate |= (third >= 0xE4) & ((block[starts - 4] == 74) | (block[starts - 4] == 32))
    plate |= among(three_bytes(block, starts - 3), _PLATE_MARKS) | ((left == 0xB7) & (second == 0xC2))
    plate |= (left == 32) & (three_bytes(block, starts - 4) == _ENVOY)
    return np.asarray(~plate)


def _chains(groups: Groups) -> tuple[Offsets, Offsets, Flags]:
    """Start and end of chains of the right shapes that stand free, and whether they have the length of an id."""
    block, starts, ends = groups.block, groups.starts, groups.ends
    joined = (starts[1:] - ends[:-1] == 1) & _IS_JOINT[block[ends[:-1]]]
    edges = np.flatnonzero(np.diff(joined, prepend=False, append=False))
    first, last = edges[0::2], edges[1::2]
    short = last - first < _MAX_GROUPS
    first, last = first[short], last[short]
    digits = ends[last] - starts[first] - (last - first)
    is_x = (digits == _ID_DIGITS - 1) & ((block[ends[last]] | 0x20) == 120)
    is_mobile = (digits == _MOBILE_DIGITS) & (block[starts[first]] == 49)
    rows = np.flatnonzero(is_mobile | is_x | (digits == _ID_DIGITS))
    first, last, is_x, is_mobile = first[rows], last[rows], is_x[rows], is_mobile[rows]
    code = np.zeros(len(first), np.int64)
    for step in range(_MAX_GROUPS):
        at = np.minimum(first + step, last)
        size = ends[at] - starts[at] + (is_x & (at == last))
        code = np.where(first + step <= last, code * _BASE + size, code)
    fits = np.flatnonzero(np.where(is_mobile, among(code, _MOBILES), among(code, _IDS)))
    begin, end, is_id = starts[first[fits]], (ends[last] + is_x)[fits], ~is_mobile[fits]
    free = groups.free(begin, end) & _unmasked(block, begin, end) & _off_plates(block, begin)
    return begin[free], end[free], is_id[free]


def _is_reached(block: Bytes, starts: Offsets, ends: Offsets) -> Flags:
    """Whether a password may reach into the first group, or an amount into the last."""
    left = block[starts - 1]
    reached = (left > 32) & (left < 0x80) & ~_IS_LABEL_END[left]
    return np.asarray(reached | ((block[ends] == 44) & _IS_DIGIT[block[ends + 1]]))


def _may_be_barred(block: Bytes, starts: Offsets) -> Flags:
    """Whether ``_BEFORE`` may match what stands before."""
    at = starts - (block[starts - 1] == 32)
    capital = (at < starts) & IS_LETTER[block[at - 1]]
    at = at - (block[at - 1] == 58)
    at = at - 3 * (three_bytes(block, at - 3) == _WIDE_COLON)
    return np.asarray(may_follow_age(block, starts) | capital | among(three_bytes(block, at - 3), _NUMBERED))


def _windows(block: Bytes, starts: Offsets, ends: Offsets) -> tuple[Bytes, Flags]:
    """(N, ``_MAX_CHAIN``): the bytes of each chain and what follows, and which are its own."""
    columns = np.arange(_MAX_CHAIN)
    windows = block[np.minimum(starts[:, None] + columns, len(block) - 1)]
    return windows, np.asarray(columns < (ends - starts)[:, None])


def _digits(block: Bytes, starts: Offsets, ends: Offsets) -> Offsets:
    """(N, 18): digits of each chain, those of a phone and zeros."""
    windows, inside = _windows(block, starts, ends)
    is_digit = _IS_DIGIT[windows] & inside
    rows, columns = np.nonzero(is_digit)
    digits = np.zeros((len(starts), _ID_DIGITS), np.int64)
    digits[rows, np.cumsum(is_digit, axis=1)[rows, columns] - 1] = windows[rows, columns].astype(np.int64) - 48
    return digits


def _candidates(groups: Groups, data: bytes) -> Iterator[tuple[int, int, bool, bool, bool, bool]]:
    """Start and end; whether it has the length of an id, may go on, may have what ``_BEFORE`` says, or any label."""
    starts, ends, is_id = _chains(groups)
    now = np.frombuffer(data, np.uint8)
    windows, inside = _windows(now, starts, ends)
    taken = (windows == 0) & inside
    rows = np.flatnonzero(~(taken.any(axis=1) | _is_reached(now, starts, ends)))
    starts, ends, is_id = starts[rows], ends[rows], is_id[rows]
    digits = _digits(now, starts, ends)
    goes = ~is_id & goes_on(now, starts, ends)
    rows = np.flatnonzero(goes | np.where(is_id, are_ids(digits[:, :17], now[ends - 1]), are_mobiles(digits)))
    starts, ends, is_id, goes = starts[rows], ends[rows], is_id[rows], goes[rows]
    barred = _may_be_barred(now, starts)
    told = ~unlabelled(now, starts, field_starts(now, starts)) | IS_LETTER[windows_before(now, starts)].any(axis=1)
    return zip(*(column.tolist() for column in (starts, ends, is_id, goes, barred, told)), strict=True)


def spelled_runs(groups: Groups, data: bytes, kind_before: Callable[[bytes, int], str | None]) -> list[Hit]:
    """Hits, disjoint, in order. ``kind_before`` gives the kind of the nearest label."""
    hits: list[Hit] = []
    if len(groups.starts) < 2:
        return hits
    reach = 0
    for start, end, is_id, goes, barred, told in _candidates(groups, data):
        # the extension of a phone that the scan will find, or the label of an age or of an extension
        if start < reach or (barred and _BEFORE(data, max(start - MAX_LABEL_BYTES, 0), start)):
            continue
        if goes:
            reach = with_extension(data, end)
            value = data[start:end].translate(None, _JOINTS)
            if reach != end or is_amount(data, start, end) or not check.is_mobile(value):
                continue
        if not told or _is_told(data, start, end, is_id, kind_before(data, start)):
            hits.append((start, end, *(_ID if is_id else _PHONE)))
    return hits


def _is_told(data: bytes, start: int, end: int, is_id: bool, kind: str | None) -> bool:
    """Whether the nearest label, or there being none, makes it what its digits say."""
    if kind is None or (is_id and kind in _LOWERING):
        # A label in Latin letters may hide in a longer word from the look back, but not from the scan.
        return _LETTERS(data, max(start - MAX_LABEL_BYTES, 0), start) is None
    return kind == ("ID" if is_id else "PHONE") and (is_id or not continues_list(data, end))


__all__ = ["spelled_runs"]
