"""Dates in every written form, and ages above 89.

A date has a year and a month, or a month and a day. A year alone is none (45 CFR 164.514(b)(2)(i)(C) lets it stand, and
``于2025年办理`` must stay readable), nor are times of day, durations and relative dates. An impossible day is no date.
The span of an age is its number: ``92`` of ``92岁``, so that what stands in its place keeps the sentence.
Not handled here: shifting and generalising.
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import re
from collections.abc import Callable

from fedward.common.desensitize.detectors.hits import ALNUM, DIGITS, LETTERS, Hit
from fedward.common.desensitize.spans import EntityType as T
from fedward.common.desensitize.validators import is_real_date

Kind = Callable[[], str | None]
_NUMBERS = re.compile(rb"[0-9]+").findall
_ZH_DIGITS = {c.encode(): i for i, c in enumerate("〇一二三四五六七八九")}
_ZH_DIGITS |= {c.encode(): 0 for c in "零○"} | {c.encode(): 1 for c in "元正"}
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_MONTH_NAME = re.compile(rb"[A-Za-z]{3,9}")
_YEAR, _MONTH, _DAY = "年".encode(), "月".encode(), re.compile("日|号|號".encode())
_PREFIX = re.compile("中华民国|民国|民國".encode())
_AFTER_T = re.compile(rb"T[0-9]{2}:?[0-9]{2}").match
_AGE_NUMBER = re.compile(
    "9[0-9]|1[0-4][0-9]|九十(?:一|二|三|四|五|六|七|八|九)?|一百(?:零|〇|一|二|十|三|四|五|六|七|八|九){0,4}|"
    "[Nn]inety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?".encode()
).search
_NO_AGE = re.compile(
    " ?(?:天|日|个月|月|周|小时|分|days?|weeks?|months?|hours?|min|%|mg|kg|cm|~|-|–|至)".encode()
).match
_BOUND = tuple(
    mark.encode()
    for mark in ("≥", "≤", ">", "<", "＞", "＜", "超过", "大于", "小于", "以上", "-", "~", "～", "至", "–")
)
_OR_MORE = tuple(mark.encode() for mark in ("以上", "以下", "及以上", "以内", "及以下", " or older", " and older", "+"))
_UNCERTAIN = frozenset(("dmy_short", "ym", "name_day"))


def chinese_number(text: bytes) -> int:
    """A Chinese numeral below 200, positional or with 十 and 百; characters it does not know count nothing."""
    total = digit = 0
    positional = "十".encode() not in text and "百".encode() not in text
    for i in range(0, len(text), 3):
        c = text[i : i + 3]
        if c in _ZH_DIGITS:
            digit = digit * 10 + _ZH_DIGITS[c] if positional else _ZH_DIGITS[c]
        elif c in (b"\xe5\x8d\x81", b"\xe7\x99\xbe"):
            total, digit = total + (digit or 1) * (10 if c[1] == 0x8D else 100), 0
    return total + digit


def _value(text: bytes) -> int:
    text = text.strip()
    return int(text) if text[:1].isdigit() else chinese_number(text)


def _century(year: int) -> int:
    return year if year > 99 else 1900 + year if year > 50 else 2000 + year


def _is_any_day(month: int, day: int) -> bool:
    return is_real_date(2000, month, day)


def _is_chinese_date(text: bytes) -> bool:
    """年月日, in digits or numerals, with or without year and day."""
    year, month, day = 2000, 0, 1
    head, _, rest = text.rpartition(_YEAR)
    if head:
        republic = _PREFIX.match(head)
        year = 1911 + _value(head[republic.end() :]) if republic else _century(_value(head))
    month_text, _, rest = rest.partition(_MONTH)
    month = _value(month_text)
    rest = rest.replace("份".encode(), b"").strip()
    if rest:
        day = _value(_DAY.split(rest)[0])
    return is_real_date(year, month, day)


def _is_numeric_date(rule: str, text: bytes) -> bool:
    v = [int(x) for x in _NUMBERS(text)]
    if not _has_one_mark(text):
        return False
    if rule == "ymd":
        return is_real_date(v[0], v[1], v[2])
    if rule in ("ym", "my"):
        return True
    if rule == "dmy_short" and is_real_date(_century(v[0]), v[1], v[2]):
        return True
    year = _century(v[2])
    return is_real_date(year, v[0], v[1]) or is_real_date(year, v[1], v[0])


def _is_named_date(text: bytes) -> bool:
    name = _MONTH_NAME.search(re.sub(rb"(?<=[0-9])(?:st|nd|rd|th|ST|ND|RD|TH)| of", b" ", text))
    assert name is not None  # noqa: S101 - the rule has a month's name
    month = _MONTHS.index(name.group()[:3].lower()) + 1
    numbers = [int(x) for x in _NUMBERS(text)]
    day = next((n for n in numbers if n < 100), 1)
    years = [n for n in numbers if n > 99]
    return is_real_date(years[0], month, day) if years else _is_any_day(month, day)


def _has_one_mark(text: bytes) -> bool:
    """Whether year, month and day are separated alike: 8.3/19 is a score."""
    return len(set(text.translate(None, b"0123456789 '"))) == 1


def is_date(rule: str, text: bytes) -> bool:
    """Whether ``text``, a hit of the date rule ``rule``, is a day or a month of the calendar."""
    if _MONTH in text:
        return _is_chinese_date(text)
    if "name" in rule:
        return _is_named_date(text)
    return _is_numeric_date(rule, text)


def read_date(rule: str, data: bytes, start: int, end: int, kind: Kind) -> Hit | None:
    """The date at ``[start, end)``, or None: no real day, or part of something longer."""
    text = data[start:end]
    if text[0] in ALNUM and start and data[start - 1] in ALNUM and not _is_glued(data, start, kind):
        return None
    if start > 1 and text[0] in DIGITS and data[start - 1] in b"-/." and data[start - 2] in DIGITS:
        return None  # the tail of a longer number: 1.12.3.2024, 3-2024-03-05 of a form
    if text[-1] in ALNUM and end < len(data):
        after = data[end]
        if after in LETTERS and not _AFTER_T(data, end):
            return None
        if after in DIGITS or (after in b"-/." and data[end + 1 : end + 2].isdigit()):
            return None
    if not is_date(rule, text):
        return None
    if rule not in _UNCERTAIN or (rule == "dmy_short" and b"/" in text) or _is_certain_name(rule, text):
        return start, end, T.DATE, 2, f"date_{rule}"
    return start, end, T.DATE, 2 if kind() == "DATE" else 1, f"date_{rule}"


def _is_glued(data: bytes, start: int, kind: Kind) -> bool:
    """Whether the letters right before a number are its own label: DOB1948年8月21日."""
    return data[start] in DIGITS and data[start - 1] in LETTERS and kind() == "DATE"


def _is_certain_name(rule: str, text: bytes) -> bool:
    """Whether a month's name and a day leave no doubt; May 10 and Mar 5 might be something else."""
    return rule == "name_day" and (text[:3] not in (b"May", b"Mar", b"mar") or text[-1] in LETTERS)


def read_compact_date(data: bytes, start: int) -> Hit | None:
    """Eight digits right behind a date label."""
    text = data[start : start + 8]
    if not (len(text) == 8 and text.isdigit() and not data[start + 8 : start + 9].isdigit()):
        return None
    if is_real_date(int(text[:4]), int(text[4:6]), int(text[6:])):
        return start, start + 8, T.DATE, 2, "date_compact"
    return None


def read_age(data: bytes, start: int, end: int) -> Hit | None:
    """The number of an age above 89; None for bounds and ranges (≥ 90岁, 18-90岁), which are nobody's age."""
    number = _AGE_NUMBER(data, start, end)
    if number is None:
        return None
    first, last = number.span()
    if first and data[first] in ALNUM and data[first - 1] in ALNUM | {46}:
        return None
    if start and data[start] in LETTERS and data[start - 1] in LETTERS:
        return None  # average of 140
    if end < len(data) and data[end - 1] in DIGITS and (data[end] in DIGITS or _NO_AGE(data, end)):
        return None
    if data.startswith(_OR_MORE, end):
        return None
    if data[max(0, first - 7) : first].rstrip(b" ").endswith(_BOUND):
        return None
    return first, last, T.AGE, 2, "age_over_89"


__all__ = ["chinese_number", "is_date", "read_age", "read_compact_date", "read_date"]
