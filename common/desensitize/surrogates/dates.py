"""Dates: read in any usual form, moved by a keyed shift, written in the form they had.

Invariants: one shift for all dates of a patient, so intervals are exact; a month without a day moves as its 15th; a
day that no calendar has is refused. Not handled here: where dates stand, and relative ones (两周前), which stay.
"""

from __future__ import annotations

import datetime
import hmac
import re
from dataclasses import dataclass, field
from functools import lru_cache

from fedward.common.desensitize.keys import ScrubKeys, length_prefixed
from fedward.common.desensitize.surrogates.canonical import plain, widened
from fedward.common.errors import DesensitizationError

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ZH_DIGITS = "零一二三四五六七八九"
_ZH_ZEROS = "\u3007零○"
_ZH = r"[\u3007零○一二三四五六七八九十廿卅百元两]"
_MONTH = r"(?P<m>(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*)\.?"
_DAY = r"(?P<d>[0-9]{1,2})(?P<o>st|nd|rd|th)?"
_WEEK = r"(?:(?P<w>(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*)\.?,?\s{1,2})?"
_ZH_WEEK = r"(?:\s?[(（]?(?:星期|周|礼拜)(?P<w>[一二三四五六日天])[)）]?)?"
_ZONE = r"(?:Z|\s?[+-][0-9]{2}:?[0-9]{2})?"
_TIME = rf"(?:(?:T|,?\s{{1,3}})[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:[.,][0-9]{{1,9}})?)?(?:\s?[ap]\.?m\.?)?{_ZONE})?"
_ZH_TIME = r"(?:\s?(?:凌晨|早上|上午|中午|下午|晚上|夜间)?\s?(?:[0-9]{1,2}[时時点:][0-9]{0,2}分?(?::?[0-9]{2}秒?)?)?)"
_Y, _N = r"(?P<y>[0-9]{4})", r"[0-9]{1,2}"
_ERA = r"(?P<era>民国|民國|中华民国|中華民國)"
_PART = r"(?P<part>上旬|中旬|下旬|初|中|底|末|份)?"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_ERA}?\s?(?P<y>[0-9]{{1,4}}|{_ZH}{{1,5}})\s?年\s?(?P<m>{_N}|{_ZH}{{1,3}})\s?月\s?(?P<d>{_N}|{_ZH}{{1,3}})\s?[日号號]?{_ZH_WEEK}{_ZH_TIME}",
        rf"{_ERA}?\s?(?P<y>[0-9]{{1,4}}|{_ZH}{{1,5}})\s?年\s?(?P<m>{_N}|{_ZH}{{1,3}})\s?月{_PART}",
        rf"(?P<m>{_N}|{_ZH}{{1,3}})\s?月\s?(?P<d>{_N}|{_ZH}{{1,3}})\s?[日号號]?{_ZH_WEEK}{_ZH_TIME}",
        r"(?P<y>[0-9]{4})\s?(?:年(?:度|初|底|末)?)?",
        rf"{_ERA}?\s?(?P<y>[0-9]{{2,4}}|{_ZH}{{2,5}})\s?年(?:度|初|底|末)?",
        rf"{_ERA}\s?(?P<y>[0-9]{{2,4}})(?P<s>[-/.])(?P<m>{_N})(?P=s)(?P<d>{_N}){_TIME}",
        rf"{_Y}(?P<s>[-/.])\s?(?P<m>{_N})(?P=s)\s?(?P<d>{_N}){_TIME}",
        rf"{_Y}(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})",
        rf"(?P<a>{_N})(?P<s>[-/.]\s?)(?P<b>{_N})(?P=s)(?P<y>[0-9]{{4}}|[0-9]{{2}}){_TIME}",
        rf"{_Y}[-/.](?P<m>{_N})",
        rf"(?P<m>{_N})[-/](?P<y>[0-9]{{4}})",
        rf"(?P<m>{_N})[-/.](?P<d>{_N})",
        rf"{_WEEK}{_MONTH}\s?{_DAY},?\s{{1,2}}(?P<y>[0-9]{{4}}){_TIME}",
        rf"{_WEEK}(?:the\s)?{_DAY}\s?(?:of\s)?{_MONTH},?\s{{1,2}}(?P<y>[0-9]{{4}}){_TIME}",
        rf"{_DAY}[-/]{_MONTH}[-/](?P<y>[0-9]{{4}}|[0-9]{{2}}){_TIME}",
        rf"{_MONTH}[-/]{_DAY}[-/](?P<y>[0-9]{{4}}|[0-9]{{2}})",
        rf"{_MONTH},?\s{{1,2}}(?:of\s)?(?P<y>[0-9]{{4}})",
        rf"{_MONTH}[-/'\u2019](?P<y>[0-9]{{4}}|[0-9]{{2}})",
        rf"{_WEEK}{_MONTH}\s?{_DAY}{_TIME}",
        rf"{_WEEK}(?:the\s)?{_DAY}\s?(?:of\s)?{_MONTH}{_TIME}",
    )
)
_MAX_LENGTH = 64
_REFERENCE_YEAR = 2023
"""For days without a year: no leap year, so that a shift never crosses a 29 February."""
_LEAP_REFERENCE = 2024
_OLD_AGE = 90
_PIVOT = 50
"""Two-digit years below are 20xx."""


class ImpossibleDateError(DesensitizationError):
    """A day that no calendar has, or a shifted year that the form cannot write. Stays inside the room."""

    def __init__(self) -> None:
        super().__init__("no such date")


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenDate:
    """A date with where its components stand in ``plain`` text. Shows nothing."""

    day: datetime.date = field(repr=False)
    spans: dict[str, tuple[int, int]] = field(repr=False)
    text: str = field(repr=False)

    @property
    def only_year(self) -> bool:
        """Nothing finer than a year."""
        return "m" not in self.spans

    @property
    def has_year(self) -> bool:
        """Whether a year is written."""
        return "y" in self.spans

    @property
    def year_text(self) -> str:
        """The year as it is written, with 年 where it has one."""
        start, end = self.spans["y"]
        start = self.spans["era"][0] if "era" in self.spans else start
        if self.spans["y"][1] - self.spans["y"][0] == 2 and self.text[slice(*self.spans["y"])].isdigit():
            return str(self.day.year) if "era" not in self.spans else self.text[start:end]
        return self.text[start:end] + ("年" if self.text[end : end + 2].strip().startswith("年") else "")


def shift_days(keys: ScrubKeys, scope: str, scope_id: str, *, keep_weekday: bool = False) -> int:
    """s: from -364 to 364, never 0; whole weeks if ``keep_weekday``. One for all dates of a patient."""
    return _shift(keys.derive("date", "DATE"), scope, scope_id, keep_weekday)


@lru_cache(maxsize=65536)
def _shift(key: bytes, scope: str, scope_id: str, keep_weekday: bool) -> int:
    tag = hmac.digest(key, length_prefixed(scope) + length_prefixed(scope_id), "sha256")
    u = int.from_bytes(tag[:8], "big")
    if keep_weekday:
        u %= 104
        return 7 * (u - 52) if u < 52 else 7 * (u - 51)
    u %= 728
    return u - 364 if u < 364 else u - 363


def read_date(text: str, default_year: int | None = None) -> WrittenDate | None:
    """Read a date of any form, or None if ``text`` has none.

    Args:
        text: the span as it stands.
        default_year: of days without a year.

    Raises:
        ImpossibleDateError: the form of a date, but no such day.
    """
    folded = plain(text)
    start = len(folded) - len(folded.lstrip())
    impossible = False
    if len(folded) > _MAX_LENGTH:
        return None
    for form in _FORMS:
        found = form.fullmatch(folded, start, len(folded.rstrip()))
        if found is None:
            continue
        for groups in _orders(found):
            try:
                return WrittenDate(day=_day_of(groups, found, default_year), spans=groups, text=folded)
            except ImpossibleDateError:
                impossible = True
    if impossible:
        raise ImpossibleDateError
    return None


def _orders(found: re.Match[str]) -> list[dict[str, tuple[int, int]]]:
    """Spans of the components; for 03/05/2024 month first, else day first; with dots the day stands first."""
    spans = {name: found.span(name) for name, value in found.groupdict().items() if value}
    if "a" not in spans:
        return [spans]
    a, b = spans.pop("a"), spans.pop("b")
    month_first, day_first = {**spans, "m": a, "d": b}, {**spans, "d": a, "m": b}
    if found["s"].startswith("."):
        return [day_first]
    return [month_first, day_first]


def _day_of(spans: dict[str, tuple[int, int]], found: re.Match[str], default_year: int | None) -> datetime.date:
    text = found.string
    month = _number(text[slice(*spans["m"])]) if "m" in spans else 7
    day = _number(text[slice(*spans["d"])]) if "d" in spans else 15
    if "y" in spans:
        year = _year(text[slice(*spans["y"])], era="era" in spans)
    else:
        year = _LEAP_REFERENCE if (month, day) == (2, 29) else default_year or _REFERENCE_YEAR
    try:
        return datetime.date(year, month, day)
    except ValueError:
        raise ImpossibleDateError from None


def _year(text: str, *, era: bool) -> int:
    year = _number(text)
    if era:
        return year + 1911
    if len(text) == 2 and text != "元":
        return year + (2000 if year < _PIVOT else 1900) if 0 <= year < 100 else year
    if not 1000 <= year <= 9999:
        raise ImpossibleDateError
    return year


def _number(text: str) -> int:
    """Arabic, month names, 二〇二四, 二十五, 廿五, 一百一十三, 元."""
    if text.isascii() and text.isdigit():
        return int(text)
    lowered = text.lower().rstrip(".")
    if lowered.isascii():
        months = [i for i, name in enumerate(_MONTHS, 1) if name.startswith(lowered) or lowered == name[:4]]
        return months[0] if months and len(lowered) >= 3 else 0
    if text == "元":
        return 1
    digits = "".join("0" if c in _ZH_ZEROS else str(_ZH_DIGITS.find(c)) for c in text if c not in "十廿卅百")
    if not set(text) & set("十廿卅百"):
        return int(digits) if "-" not in digits else 0
    return _positional(text)


def _positional(text: str) -> int:
    total, unit = 0, 0
    for character in text:
        if character in "十百":
            total += max(unit, 1) * (10 if character == "十" else 100)
            unit = 0
        elif character in "廿卅":
            total += 20 if character == "廿" else 30
        elif character in _ZH_DIGITS:
            unit = _ZH_DIGITS.index(character)
    return total + unit


def write_date(original: str, written: WrittenDate, new: datetime.date) -> str:
    """``new`` in the form of ``original``.

    Raises:
        ImpossibleDateError: the form cannot write that year.
    """
    text = written.text
    fresh: dict[tuple[int, int], str] = {}
    for name, value in (("y", new.year), ("m", new.month), ("d", new.day)):
        if name in written.spans:
            old = text[slice(*written.spans[name])]
            padded = _padded(written)
            fresh[written.spans[name]] = _component(old, name, value, era="era" in written.spans, padded=padded)
    if "o" in written.spans:
        suffix = "th" if 11 <= new.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(new.day % 10, "th")
        fresh[written.spans["o"]] = _like(text[slice(*written.spans["o"])], suffix)
    if "w" in written.spans:
        fresh[written.spans["w"]] = _weekday(text[slice(*written.spans["w"])], new)
    out: list[str] = []
    at = 0
    for (start, end), component in sorted(fresh.items()):
        out += [text[at:start], component]
        at = end
    return widened(original, "".join([*out, text[at:]]))


def implies_old_age(written: WrittenDate, recorded: datetime.date | None) -> bool:
    """Whether somebody born then would be over 89 at the record's date."""
    if recorded is None:
        return False
    day = written.day
    return recorded.year - day.year - ((recorded.month, recorded.day) < (day.month, day.day)) >= _OLD_AGE


def _padded(written: WrittenDate) -> bool:
    """Whether one-digit days and months are written with a 0."""
    parts = [written.text[slice(*written.spans[name])] for name in ("m", "d") if name in written.spans]
    numeric = [part for part in parts if part.isascii() and part.isdigit()]
    if any(len(part) == 1 for part in numeric):
        return False
    if any(part.startswith("0") for part in numeric):
        return True
    return "年" not in written.text and "月" not in written.text and len(numeric) == 2


def _component(old: str, name: str, value: int, *, era: bool, padded: bool) -> str:
    if name == "y":
        return _year_text(old, value, era=era)
    if old.isascii() and old.isdigit():
        return f"{value:02d}" if padded else str(value)
    if old.isascii():
        full = _MONTHS[value - 1]
        short = len(old) <= 4 and old.lower() not in ("may", "june", "july")
        return _like(old, ("sept" if value == 9 and len(old) == 4 else full[:3]) if short else full)
    return _chinese(value, old)


def _year_text(old: str, year: int, *, era: bool) -> str:
    number = year - 1911 if era else year
    if number < 1 or number > 9999:
        raise ImpossibleDateError
    if old.isascii():
        if len(old) == 2 and not era:
            return f"{number % 100:02d}"
        return f"{number:0{len(old)}d}" if old.startswith("0") else str(number)
    if set(old) & set("十廿卅百元"):
        return "元" if number == 1 and old == "元" else _chinese(number, old)
    zero = next((c for c in old if c in _ZH_ZEROS), "\u3007")
    digits = f"{number % 100:02d}" if len(old) == 2 and not era else str(number)
    return "".join(zero if c == "0" else _ZH_DIGITS[int(c)] for c in digits)


def _chinese(value: int, old: str) -> str:
    """1 to 999 as 三, 十二, 二十五, 一百一十三; digit by digit if ``old`` is written so (一五)."""
    if len(old) > 1 and not set(old) & set("十廿卅百"):
        return "".join("\u3007" if c == "0" else _ZH_DIGITS[int(c)] for c in f"{value:02d}")
    hundreds, rest = divmod(value, 100)
    tens, ones = divmod(rest, 10)
    out = f"{_ZH_DIGITS[hundreds]}百" if hundreds else ""
    if tens:
        out += ("" if tens == 1 and not hundreds else _ZH_DIGITS[tens]) + "十"
    elif hundreds and ones:
        out += "零"
    return out + (_ZH_DIGITS[ones] if ones else "")


def _weekday(old: str, new: datetime.date) -> str:
    if not old.isascii():
        sunday = old if old in "日天" else "日"
        return sunday if new.weekday() == 6 else _ZH_DIGITS[new.weekday() + 1]
    full = _WEEKDAYS[new.weekday()]
    return _like(old, full if len(old) > 4 else full[:3])


def _like(old: str, new: str) -> str:
    return new.upper() if old.isupper() and len(old) > 1 else new.capitalize() if old[:1].isupper() else new


__all__ = ["implies_old_age", "ImpossibleDateError", "read_date", "shift_days", "write_date", "WrittenDate"]
