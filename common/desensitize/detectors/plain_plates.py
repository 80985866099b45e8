"""Plates of cars in their plain form, found in a whole block with numpy: 粤B12345, 沪A·D12345.

Invariant: what is taken here the scan takes as well, at the same level: no other rule and no label has a province's
character in it, so nothing else can reach over a plate's first character, and what stands behind one does not look
back at it. Whatever is written otherwise is left to the scan: wide dots, small letters, I and O, plates
of schools and police, masks.
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

from typing import Final

import numpy as np

from fedward.common.desensitize.detectors.label_ends import unlabelled
from fedward.common.desensitize.detectors.labels import FIELD_ENDS
from fedward.common.desensitize.detectors.rules import NOT_XINJIANG, PLATE_SUFFIXES, PROVINCES
from fedward.common.desensitize.detectors.runs import Bytes, Flags, Offsets, among, flags_of, three_bytes


def _codes(characters: str) -> Offsets:
    return np.array(sorted(int.from_bytes(c.encode()) for c in characters), np.int64)


_PROVINCES: Final = _codes(PROVINCES.replace("|", ""))
_SUFFIXES: Final = _codes(PLATE_SUFFIXES.replace("|", ""))
_NEW: Final = int.from_bytes("新".encode())
_NOT_NEW: Final = _codes(NOT_XINJIANG)
_WIDE_STAR: Final = int.from_bytes("＊".encode())
_DIGIT: Final = flags_of(b"0123456789")
_LETTER: Final = flags_of(b"ABCDEFGHJKLMNPQRSTUVWXYZ")
_PART: Final = _DIGIT | _LETTER
_NO_END: Final = flags_of(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*")
_BESIDE: Final = flags_of(b"J *")
"""WJ京12345 and a mask are other plates."""
_PLAIN_AFTER: Final = flags_of(b"\n\t|\"'!?" + bytes(range(0x80, 0x100)))
_NARROW_ENDS: Final = flags_of(bytes(mark[0] for mark in FIELD_ENDS if len(mark) == 1))
_WIDE_ENDS: Final = _codes("".join(mark.decode() for mark in FIELD_ENDS if len(mark) == 3))
_JOINT: Final = flags_of(b" .-")
_LENGTHS: Final = (5, 6)


def plain_plates(block: Bytes) -> tuple[Offsets, Offsets]:
    """Starts and ends of the plates in a padded block, in order."""
    letter = np.flatnonzero((block[:-1] >= 0x80) & ((block[1:] - np.uint8(65)) < 26)) + 1
    letter = letter[(letter > 6) & (letter < len(block) - 12)]
    province = three_bytes(block, letter - 3)
    is_plate = among(province, _PROVINCES) & _LETTER[block[letter]]
    letter, province = letter[is_plate], province[is_plate]
    start = letter - 3
    before = three_bytes(block, start - 3)
    is_plate = ~_BESIDE[block[start - 1]] & (before != _WIDE_STAR) & ~((province == _NEW) & among(before, _NOT_NEW))
    letter, start = letter[is_plate], start[is_plate]
    joint = block[letter + 1]
    tail = letter + 1 + 2 * ((joint == 0xC2) & (block[letter + 2] == 0xB7)) + _JOINT[joint]
    part = _PART[block[tail[:, None] + np.arange(_LENGTHS[1])]]
    length = np.where(part.all(axis=1), _LENGTHS[1], np.where(part[:, :-1].all(axis=1), _LENGTHS[0], 0))
    end = tail + length
    fits = (length > 0) & _ends_there(block, end) & _reads_as_plate(block, letter, tail, length)
    return start[fits], end[fits]


def _ends_there(block: Bytes, end: Offsets) -> Flags:
    after = three_bytes(block, end)
    return np.asarray(~_NO_END[block[end]] & ~among(after, _SUFFIXES))


def _reads_as_plate(block: Bytes, letter: Offsets, tail: Offsets, length: Offsets) -> Flags:
    """Enough digits, and nothing in it that may be a label of what follows in the field."""
    inside = np.arange(_LENGTHS[1]) < length[:, None]
    digits = _DIGIT[block[tail[:, None] + np.arange(_LENGTHS[1])]] & inside
    end = tail + length
    ends_field = _NARROW_ENDS[block[end]] | among(three_bytes(block, end), _WIDE_ENDS)
    after = block[end]
    plain_after = _PLAIN_AFTER[after] | ((after == 32) & (_PLAIN_AFTER | _LETTER)[block[end + 1]])
    says_nothing = unlabelled(block, end, letter)
    return np.asarray((digits.sum(axis=1) >= 2) & (ends_field | (says_nothing & plain_after)))


__all__ = ["plain_plates"]
