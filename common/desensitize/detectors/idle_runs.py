"""Digit groups of a whole block that no shape of the scan can make an identifier of, found with numpy.

Laboratory codes, standards, readings, book and batch numbers are most of the digits in real notes. Invariants: only
what stands clear of anything that a shape could join to it is idle; no window of its groups is one of the lengths
that ``numbers`` reads; so the scan without it gives the same hits. Behind a label it may still be a value: labelled
rules are to see it. Not handled here: groups whose reading depends on a label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.fields import field_starts, may_follow_age
from fedward.common.desensitize.detectors.label_ends import unlabelled
from fedward.common.desensitize.detectors.numbers import KNOWN_SHAPES
from fedward.common.desensitize.detectors.rules import PLATE_SUFFIXES
from fedward.common.desensitize.detectors.runs import (
    CARD_LEADS,
    IS_LETTER,
    Bytes,
    Flags,
    Groups,
    Offsets,
    among,
    flags_of,
    matrix,
    three_bytes,
)

_LETTER_OR_SLASH = IS_LETTER | flags_of(b"/")
_LETTER = IS_LETTER & ~flags_of(b"Xx")
"""Without X, which masks."""
_PLAIN = flags_of(b"\n\t,;:=|\"'<>!?[]{}")
"""ASCII that no shape has beside its digits; the colon only before them."""
_PLAIN_AFTER = _PLAIN & ~flags_of(b":")
_IDEOGRAPH = flags_of(bytes(range(0xE4, 0xEA)))
_PUNCTUATION = np.array([0xE38081, 0xE38082, 0xEFBC8C, 0xEFBC9A, 0xEFBC9B])
"""、 。 ， ： ； in UTF-8."""
_CONTINUING = np.array([0xE58886, 0xE58FB7, 0xE8BD89, 0xE8BDAC])
"""分 轉 转 of an extension, 号 of a record's number."""
_FOLLOWED = np.array(
    sorted(
        int.from_bytes(c.encode())
        for c in set("年月日号號岁歲余多周虚转轉分是为您你的本登注短动支手交验校确").union(
            PLATE_SUFFIXES.replace("|", "")
        )
    )
)
"""Ideographs with which a date, an age, a code's word, an extension or a plate may go on behind its digits."""
_ENVOY = int.from_bytes("使".encode())
"""Before the digits of a diplomatic plate."""
_HEX_OR_COLON = flags_of(b"0123456789ABCDEFabcdef:")
_NAMES_DATE = np.array(sorted(int.from_bytes(word.encode()) for word in ("时间", "效期")))
"""How labels of dates end that mostly have a time of day or a number of months behind them."""
_DATE_DIGITS = 8
_MAX_DOTTED = 3
_OLDEST = 150
_LONG = 20
"""No identifier has so many digits in one group."""
_SHORT = 9
_MAX_LENGTH, _MAX_GROUPS = 24, max(map(len, KNOWN_SHAPES))


def _trie() -> tuple[NDArray[np.int16], Flags]:
    """Transitions by group length from every beginning of a known shape, state 0 none, 1 empty; and which are whole."""
    beginnings = sorted({shape[:n] for shape in KNOWN_SHAPES for n in range(len(shape) + 1)}, key=len)
    states = {beginning: i + 1 for i, beginning in enumerate(beginnings)}
    follow = np.zeros((len(states) + 1, _MAX_LENGTH + 1), np.int16)
    for beginning, state in states.items():
        if beginning:
            follow[states[beginning[:-1]], beginning[-1]] = state
    whole = np.zeros(len(states) + 1, np.bool_)
    whole[[states[shape] for shape in KNOWN_SHAPES]] = True
    return follow, whole


_FOLLOW, _WHOLE = _trie()


def _clear_before(block: Bytes, starts: Offsets) -> Flags:
    """Whether nothing before could belong to a number, a plate or a code; a blank behind Latin letters may stand."""
    left, second, third = block[starts - 1], block[starts - 2], block[starts - 3]
    # a plate has a blank between its letter and its digits, but a province before the letter
    word = (left == 32) & _LETTER[second] & _LETTER_OR_SLASH[third]
    # WJ京12345, and the same with a blank
    ideograph = _IDEOGRAPH[third] & (block[starts - 4] != 74) & (block[starts - 4] != 32)
    plain = _PLAIN[left] & ~((left == 58) & _HEX_OR_COLON[second])  # fe80::12
    character = three_bytes(block, starts - 3)
    return np.asarray(plain | word | (ideograph & (character != _ENVOY)) | among(character, _PUNCTUATION))


def _clear_after(block: Bytes, ends: Offsets) -> Flags:
    return np.asarray(_PLAIN_AFTER[block[ends]] | among(three_bytes(block, ends), _PUNCTUATION))


def _long(groups: Groups, length: Offsets) -> Offsets:
    """Rows of single groups that are too long; behind these an ideograph may stand, too."""
    rows = np.flatnonzero(length >= _LONG)
    block, ends = groups.block, groups.ends[rows]
    after = _clear_after(block, ends) | _IDEOGRAPH[block[ends]]
    return np.asarray(rows[_clear_before(block, groups.starts[rows]) & after])


def lengthy_rows(groups: Groups) -> Offsets:
    """Rows of bare numbers of 9 to 19 digits that are at most of level 1, unless a label says what they are."""
    length = groups.ends - groups.starts
    rows = np.flatnonzero((length >= _SHORT) & (length < _LONG))
    block = groups.block
    after = three_bytes(block, groups.ends[rows])
    clear = _clear_after(block, groups.ends[rows]) | (_IDEOGRAPH[after >> 16] & ~among(after, _CONTINUING))
    rows = rows[clear & _clear_before(block, groups.starts[rows])]
    return np.asarray(rows[~_is_strong(groups, rows, length[rows])])


def _is_strong(groups: Groups, rows: Offsets, length: Offsets) -> Flags:
    """Whether digits that ``runs`` does not type could be more than a pattern of level 1 without a label."""
    block, starts = groups.block, groups.starts[rows]
    first = block[starts]
    strong = ((length == 15) & (first == 48)) | ((length == 18) & ((first == 53) | (first == 57)))
    for n in (13, 18):
        at = np.flatnonzero(length == n)
        strong[at] |= CARD_LEADS[n][matrix(block, starts[at], 5) @ (10000, 1000, 100, 10, 1)]
    return np.asarray(strong)


def _chains(groups: Groups, length: Offsets, *, sections: bool) -> tuple[Offsets, Offsets]:
    """First and last rows of groups joined by single hyphens or full stops, with no known shape and no date in them.

    Args:
        sections: whether numbers such as 1.2.3.4 are idle, too, which are an address only behind a label.
    """
    block, starts, ends = groups.block, groups.starts, groups.ends
    joint = np.where(starts[1:] - ends[:-1] == 1, block[ends[:-1]], np.uint8(0))
    edges = np.flatnonzero(np.diff((joint == 45) | (joint == 46), prepend=False, append=False))
    first, last = edges[0::2], edges[1::2]
    after = three_bytes(block, ends[last])
    clear = _clear_after(block, ends[last]) | (_IDEOGRAPH[after >> 16] & ~among(after, _FOLLOWED))
    clear &= _clear_before(block, starts[first])
    first, last = first[clear], last[clear]
    if not len(first):
        return first, last
    size = last - first + 1
    before = np.concatenate(([0], np.cumsum(size)[:-1]))
    rows = np.repeat(first - before, size) + np.arange(size.sum())
    stop = np.repeat(last, size)
    bad = _is_known(length, rows, stop) | _is_dated(length, rows, stop)
    dots = np.add.reduceat(np.append(joint, np.uint8(0))[rows] == 46, before, dtype=np.int64)
    dots -= (joint[np.minimum(last, len(joint) - 1)] == 46) & (last < len(joint))
    idle = ~np.logical_or.reduceat(bad, before)
    idle &= (dots == 0) | ((dots == size - 1) & (size <= _MAX_DOTTED) & ~_may_be_age(groups, first, length))
    if sections:
        short = np.logical_and.reduceat(length[rows] == 1, before) & (size == 4) & (dots == 3)
        short[short] = unlabelled(block, starts[first[short]], field_starts(block, starts[first[short]]))
        idle |= short
    return first[idle], last[idle]


def _may_be_age(groups: Groups, rows: Offsets, length: Offsets) -> Flags:
    """Whether a group may be the age of someone old, behind its label: 年龄：95.5."""
    starts = groups.starts[rows]
    number = groups.value(rows) + np.where(length[rows] == 3, 100 * (groups.block[starts].astype(np.int64) - 48), 0)
    may = ((length[rows] == 2) | (length[rows] == 3)) & (number >= 90) & (number < _OLDEST)
    may[may] = may_follow_age(groups.block, starts[may])
    return np.asarray(may)


def _is_known(length: Offsets, rows: Offsets, stop: Offsets) -> Flags:
    """Whether a window that begins at the row and ends by ``stop`` has a known shape."""
    state = np.ones(len(rows), np.int64)
    found = np.zeros(len(rows), np.bool_)
    for step in range(_MAX_GROUPS):
        at = rows + step
        inside = at <= stop
        size = np.minimum(length[np.minimum(at, stop)], _MAX_LENGTH)
        state = np.where(inside, _FOLLOW[state, size], 0)
        found |= _WHOLE[state]
    return found


def _is_dated(length: Offsets, rows: Offsets, stop: Offsets) -> Flags:
    """Whether the group and the next could be part of a date, a machine's address or a diplomatic plate."""
    here, after = length[rows], length[np.minimum(rows + 1, stop)]
    short = ((after <= 2) & ((here <= 2) | (here == 4))) | ((after == 4) & (here <= 2))
    return np.asarray((rows < stop) & (short | ((here == 3) & (after == 3))))


def idle_runs(groups: Groups, *, sections: bool = False) -> list[tuple[int, int]]:
    """Start and end of what the shapes of the scan need not see, in no order; ``sections``: see ``_chains``."""
    length = groups.ends - groups.starts
    long = _long(groups, length)
    found = [(groups.starts[long], groups.ends[long])]
    if len(length) > 1:
        first, last = _chains(groups, length, sections=sections)
        found.append((groups.starts[first], groups.ends[last]))
    return [span for starts, ends in found for span in zip(starts.tolist(), ends.tolist(), strict=True)]


def undated_rows(groups: Groups) -> Offsets:
    """Rows of groups right behind a label of a date that are none, and so no value of any label."""
    starts = groups.starts
    rows = np.flatnonzero((groups.block[starts - 1] >= 0x80) & (groups.ends - starts != _DATE_DIGITS))
    at = starts[rows]
    word = (three_bytes(groups.block, at - 6) << 24) | three_bytes(groups.block, at - 3)
    return np.asarray(rows[among(word, _NAMES_DATE)])


__all__ = ["idle_runs", "lengthy_rows", "undated_rows"]
