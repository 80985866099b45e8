"""Record numbers in the columns of a table inside a text: the label stands in the header, the values lines below.

A header is a line of cells of which one is a label and nothing else; the lines below with as many cells are its rows.
Invariants: linear in the text; a header says nothing beyond its own text or a line with another number of cells.
Not handled here: values that are found without a label, names, tables that are files (``columns``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.labels import TRADITIONAL, WORDS, Find, kind_of, zh_pattern
from fedward.common.desensitize.detectors.values import CODE_TYPES
from fedward.common.desensitize.spans import EntityType, Level

_KINDS: Final = {**CODE_TYPES, "ACCOUNT": EntityType.ACCOUNT}
_MARKS: Final = ("|", "\t", ",", "，", ";")
_LATIN: Final = "MRN|mrn|Mrn|patient_id|PATIENT_ID|Patient ID|account_no|Account No|member_id|Member ID"
_VALUE: Final = re.compile(r"\s*([A-Za-z]{0,4}[0-9](?:[-_]?[0-9A-Za-z]){3,31})\s*").fullmatch
_SENTENCES: Final = re.compile("[。！？：:]").split
_MAX_CELLS: Final = 64
_MAX_ROWS: Final = 100_000
Column = tuple[int, int, EntityType, int, str]
"""Start and end in characters, type, level, method."""


HEADER: Final = f"(?:{zh_pattern(tuple(_KINDS))}|{_LATIN})(?:号码|号|码|编号)? ?(?:\\||\t|,|，|;|\n)"
"""A label before the end of its cell, for either engine: cheap, and rare in prose."""


_AS_TRADITIONAL: Final = str.maketrans(dict(TRADITIONAL))
_IS_MARK, _IS_LAST = 1, 2


@cache
def _character_flags() -> NDArray[np.uint8]:
    """(0x110000,): by code point, whether it is a mark, and whether a label may end in it."""
    words = {*(word for kind in _KINDS for word in WORDS[kind][0].split("|")), *_LATIN.split("|")}
    spelled = {form for word in words for form in (word, word.upper(), word.lower(), word.translate(_AS_TRADITIONAL))}
    flags = np.zeros(0x110000, np.uint8)
    flags[[ord(word[-1]) for word in spelled] + [ord(c) for c in "号码"]] = _IS_LAST
    flags[[ord(mark) for mark in (*_MARKS, "\n")]] = _IS_MARK
    return flags


def lines_with_header(text: str, data: bytes) -> list[tuple[int, int]]:
    """Start and end, with the newline, of the lines of ``data`` in which ``HEADER`` may be.

    Args:
        text: a block that begins and ends with newlines.
        data: the same in UTF-8.
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    flags = _character_flags()[points]
    marks = np.flatnonzero(flags == _IS_MARK)
    last = marks - 1 - (points[marks - 1] == 32)
    held = np.searchsorted(np.flatnonzero(points == 10), marks[flags[last] == _IS_LAST])
    if not len(held):
        return []
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
    held = np.unique(held)
    return list(zip(ends[held - 1].tolist(), ends[held].tolist(), strict=True))


@cache
def _labels() -> frozenset[str]:
    words = {word for kind in _KINDS for word in WORDS[kind][0].split("|")}
    return frozenset(words | {word + tail for word in words for tail in ("号", "号码", "编号")})


def column_hits(text: str, find: Find) -> Iterator[Column]:
    """Values below a label in ``text``, level 2, in order; ``find``: ``HEADER`` in UTF-8, by either engine."""
    done = -1
    for first in _header_lines(text, find):
        if first <= done:
            continue
        last = _line_end(text, first)
        line = text[first:last]
        mark = next((mark for mark in _MARKS if line.count(mark)), None)
        if mark is None or line.count(mark) >= _MAX_CELLS:
            continue
        cells = line.split(mark)
        cells[0] = _SENTENCES(cells[0])[-1]
        kinds = [_kind(cell) for cell in cells]
        # A line with a digit is a row, and a single label with a value beside it a field.
        if not any(kinds) or any(character.isdigit() for cell in cells for character in cell):
            continue
        done = last
        for _ in range(_MAX_ROWS):
            start, done = done + 1, _line_end(text, done + 1)
            row = text[start:done]
            if start >= len(text) or row.count(mark) + 1 != len(kinds):
                done = start - 1
                break
            yield from _row(row, start, mark, kinds)


def _header_lines(text: str, find: Find) -> Iterator[int]:
    """Where the lines begin that may be headers."""
    data = text.encode("utf-8", "surrogatepass")
    at = first_byte = first = 0
    while (span := find(data, at)) is not None:
        line = data.rfind(b"\n", 0, span[0]) + 1
        first, first_byte = first + len(data[first_byte:line].decode("utf-8", "surrogatepass")), line
        yield first
        end = data.find(b"\n", line)
        if end < 0:
            break
        at = end + 1


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _kind(cell: str) -> str | None:
    label = cell.strip(" *\"'")
    if label not in _labels() and not re.fullmatch(_LATIN, label):
        return None
    kind = kind_of(label.encode()) if label.isascii() or label in _labels_of_kind() else None
    return kind or next((kind for word, kind in _labels_of_kind().items() if label.startswith(word)), None)


@cache
def _labels_of_kind() -> dict[str, str]:
    return {word: kind for kind in _KINDS for word in sorted(WORDS[kind][0].split("|"), key=len, reverse=True)}


def _row(row: str, start: int, mark: str, kinds: list[str | None]) -> Iterator[Column]:
    at = start
    for cell, kind in zip(row.split(mark), kinds, strict=True):
        value = _VALUE(cell) if kind is not None else None
        if kind is not None and value is not None:
            yield at + value.start(1), at + value.end(1), _KINDS[kind], int(Level.WITNESS), "column"
        at += len(cell) + len(mark)


__all__ = ["Column", "column_hits", "HEADER", "lines_with_header"]
