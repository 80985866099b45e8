"""``runs`` for short texts, in plain Python: below a few kilobytes numpy's fixed costs outweigh its speed.

Invariant: the same hits as ``runs.typed_runs``, which a test holds. Not handled here: anything else.
"""

from __future__ import annotations

import itertools
import re

from fedward.common.desensitize import validators as check
from fedward.common.desensitize.detectors.hits import ALNUM, DIGITS
from fedward.common.desensitize.detectors.runs import (
    CARD,
    DATE,
    DATE_ZH,
    ID_CN,
    LANDLINE,
    MOBILE,
    WIDE_LAST,
    WIDE_LEAD,
    Typed,
)

MAX_BYTES = 12_000
"""Where numpy begins to pay (measured)."""

_GROUP = re.compile(rb"[0-9]+").finditer
_STICKY = ALNUM | frozenset(b"+@_*")
_SEPARATOR = frozenset(b" ().-")
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
    if data[start - 3] in WIDE_LEAD and left in WIDE_LAST and data[start - 4] in DIGITS:
        return False
    return not (right in WIDE_LEAD and data[end + 2] in WIDE_LAST and data[end + 3] in DIGITS)


def _bare(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Type and end of a single group, type 0 for none."""
    n, value = end - start, data[start:end]
    if n == 11 or n == 13:
        national = value if n == 11 else value[2:]
        return (MOBILE if check.is_mobile(national) and (n == 11 or value[:2] == b"86") else 0), end
    if n == 17 and data[end] in b"Xx" and data[end + 1] not in _STICKY:
        value, n, end = data[start : end + 1], 18, end + 1
    if n == 18:
        return (ID_CN if check.id_has_check(value) and check.id_has_meaning(value) else 0), end
    return (CARD if check.is_card(value) else 0), end


def _with_country(data: bytes, groups: list[Group], i: int) -> int:
    """As ``runs.Groups.with_country``."""
    start, end = groups[i]
    if end - start == 13:
        return start - (data[start - 1] == 43)
    if (
        i
        and groups[i - 1] == (start - 3, start - 1)
        and data[start - 3 : start - 1] == b"86"
        and data[start - 1] in b" .-"
    ):
        return start - 3 - (data[start - 4] == 43)
    return start


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
            if check.is_mobile(value):
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
    gaps = [data[x[1] : y[0]] for x, y in itertools.pairwise(groups)]
    if gap not in (b" ", b"-") or gaps[:3] != [gap] * 3 or any(b - a != 4 for a, b in groups[:4]):
        return 0, 0
    num = 5 if len(groups) > 4 and gaps[3] == gap and groups[4][1] - groups[4][0] == 3 else 4
    if num == 5 and data[groups[4][1]] in b",." and data[groups[4][1] + 1] in DIGITS:
        num = 4
    value = b"".join(data[a:b] for a, b in groups[:num])
    end = groups[num - 1][1]
    return (CARD if check.is_card(value) else 0), end


def _landline(data: bytes, area: Group, subscriber: Group) -> tuple[int, int]:
    """Type and start of an area code and a subscriber number."""
    gap, start = data[area[1] : subscriber[0]], area[0]
    if gap == b")" and data[start - 1] == 40:
        start -= 1
    elif gap not in (b"-", b" "):
        return 0, 0
    return (LANDLINE if check.is_landline(data[slice(*area)] + data[slice(*subscriber)]) else 0), start


def _at(data: bytes, groups: list[Group], i: int) -> tuple[int, int, int]:
    """Start, end and type of what begins with the ``i``-th group; type 0 for nothing."""
    start, end = groups[i]
    n = end - start
    kind = 0
    if n >= 11:
        if n <= 19 and n != 12:
            kind, end = _bare(data, start, end)
    elif n in (3, 4) and i + 1 < len(groups):
        following = groups[i + 1]
        m = following[1] - following[0]
        if m in (7, 8) and m + n > 10:
            kind, start = _landline(data, groups[i], following)
            end = following[1]
        elif m <= 4 and i + 2 < len(groups):
            kind, end = _three(data, groups[i], following, groups[i + 2])
            if not kind and n == m == 4 and i + 3 < len(groups):
                kind, end = _fours(data, groups[i : i + 5])
    if kind == MOBILE:
        start = _with_country(data, groups, i)
    if kind in (0, DATE, DATE_ZH) or _is_free(data, start, end):
        return start, end, kind
    return 0, 0, 0


def typed_runs(data: bytes) -> Typed:
    """Start, end and type of whatever needs no second look in a padded short text."""
    groups = [match.span() for match in _GROUP(data)]
    hits = (_at(data, groups, i) for i in range(len(groups)))
    return [hit for hit in hits if hit[2]]


__all__ = ["MAX_BYTES", "typed_runs"]
