"""``runs`` for short texts, in plain Python: below a few kilobytes numpy's fixed costs outweigh its speed.

Invariant: the same hits as ``runs.typed_runs``, which a test holds. Not handled here: anything else.
"""

from __future__ import annotations

import re

from fedward.common.desensitize import validators as check
from fedward.common.desensitize.detectors.hits import ALNUM, DIGITS
from fedward.common.desensitize.detectors.runs import CARD, DATE, DATE_ZH, ID_CN, LANDLINE, MOBILE, Typed

MAX_BYTES = 6000
"""Where numpy begins to pay (measured)."""

_GROUP = re.compile(rb"[0-9]+").finditer
_STICKY = ALNUM | frozenset(b"+@_*")
_SEPARATOR = frozenset(b" ().-")
_WIDE = tuple(c.encode() for c in "\u2011\u2013（）")
_YEAR, _MONTH = "年".encode(), "月".encode()
_DAY = ("日".encode(), "号".encode())
_DATE_MARKS = (b"-", b".", b"/")
Group = tuple[int, int]


def _is_free(data: bytes, start: int, end: int) -> bool:
    """As ``runs.Groups.free``; the text is padded."""
    left, right = data[start - 1], data[end]
    if left in _STICKY or right in _STICKY:
        return False
    if left in _SEPARATOR and (
        data[start - 2] in DIGITS or (data[start - 2] in _SEPARATOR and data[start - 3] in DIGITS)
    ):
        return False
    if right in _SEPARATOR and (data[end + 1] in DIGITS or (data[end + 1] in _SEPARATOR and data[end + 2] in DIGITS)):
        return False
    if data[start - 3 : start] in _WIDE and data[start - 4] in DIGITS:
        return False
    return not (data[end : end + 3] in _WIDE and data[end + 3] in DIGITS)


def _bare(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Type and end of a single group, type 0 for none."""
    n, value = end - start, data[start:end]
    if n == 11:
        return (MOBILE if check.is_mobile(value) else 0), end
    if n == 17 and data[end] in b"Xx" and data[end + 1] not in _STICKY:
        value, n, end = data[start : end + 1], 18, end + 1
    if n == 18 and check.id_has_check(value) and check.id_has_meaning(value):
        return ID_CN, end
    return (CARD if value.isdigit() and check.is_card(value) else 0), end


def _date_free(data: bytes, start: int, end: int, chinese: bool) -> bool:
    if data[start - 1] in _STICKY or (data[start - 1] in b"-./" and data[start - 2] in DIGITS):
        return False
    return chinese or not (data[end] in _STICKY or (data[end] in b"-./" and data[end + 1] in DIGITS))


def _three(data: bytes, a: Group, b: Group, c: Group) -> tuple[int, int]:
    """Type and end of a mobile phone or a date in three groups."""
    first, second = data[a[1] : b[0]], data[b[1] : c[0]]
    lengths = (a[1] - a[0], b[1] - b[0], c[1] - c[0])
    if lengths == (3, 4, 4):
        if first == second and first in (b" ", b".", b"-"):
            value = data[a[0] : a[1]] + data[b[0] : b[1]] + data[c[0] : c[1]]
            if check.is_mobile(value) and _is_free(data, a[0], c[1]):
                return MOBILE, c[1]
        return 0, 0
    if lengths[0] != 4 or lengths[1] > 2 or lengths[2] > 2:
        return 0, 0
    chinese = first == _YEAR and second == _MONTH and data[c[1] : c[1] + 3] in _DAY
    if not chinese and not (first == second and first in _DATE_MARKS):
        return 0, 0
    day = (int(data[x:y]) for x, y in (a, b, c))
    if not check.is_real_date(*day) or not _date_free(data, a[0], c[1], chinese):
        return 0, 0
    return (DATE_ZH, c[1] + 3) if chinese else (DATE, c[1])


def _fours(data: bytes, groups: list[Group]) -> tuple[int, int]:
    """Type and end of a card in four groups of four, and perhaps three digits more."""
    gap = data[groups[0][1] : groups[1][0]]
    gaps = [data[x[1] : y[0]] for x, y in zip(groups, groups[1:], strict=False)]
    if gap not in (b" ", b"-") or gaps[:3] != [gap] * 3 or any(b - a != 4 for a, b in groups[:4]):
        return 0, 0
    num = 5 if len(groups) > 4 and gaps[3] == gap and groups[4][1] - groups[4][0] == 3 else 4
    value = b"".join(data[a:b] for a, b in groups[:num])
    end = groups[num - 1][1]
    return (CARD, end) if check.is_card(value) and _is_free(data, groups[0][0], end) else (0, 0)


def typed_runs(data: bytes) -> Typed:
    """Start, end and type of whatever needs no second look in a padded short text."""
    groups = [match.span() for match in _GROUP(data)]
    hits: Typed = []
    for i, (start, end) in enumerate(groups):
        n = end - start
        kind, stop = 0, end
        if n >= 11:
            if n <= 19 and n != 12:
                kind, stop = _bare(data, start, end)
                kind = kind if kind and _is_free(data, start, stop) else 0
        elif n in (3, 4) and i + 1 < len(groups):
            following = groups[i + 1]
            m = following[1] - following[0]
            if m >= 7:
                if m <= 8 and m + n > 10 and data[end : following[0]] == b"-":
                    landline = check.is_landline(data[start:end] + data[following[0] : following[1]])
                    kind = LANDLINE if landline and _is_free(data, start, following[1]) else 0
                    stop = following[1]
            elif m <= 4 and i + 2 < len(groups):
                kind, stop = _three(data, groups[i], following, groups[i + 2])
                if not kind and n == m == 4 and i + 3 < len(groups):
                    kind, stop = _fours(data, groups[i : i + 5])
        if kind:
            hits.append((start, stop, kind))
    return hits


__all__ = ["MAX_BYTES", "typed_runs"]
