"""Surrogates of phone numbers: mobile and landline of China, North America, and others by country code.

A number keeps its country and area code where numbers of China stand, its length and its written form. North American
numbers take 555-01xx of a drawn area, which no subscriber has; China reserves no fictitious range. Not handled here:
which digits are a phone number.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from fedward.common.desensitize import tables
from fedward.common.desensitize.fpe_column import split_landline
from fedward.common.desensitize.ranking import InvalidValueError, LandlineRanking, MobileRanking
from fedward.common.desensitize.surrogates.canonical import plain
from fedward.common.desensitize.surrogates.draws import Stream, digits, number

_EXTENSION = re.compile(
    r"(?:转|轉|分机|分機|ext\.?|extension|#|(?<![a-z])x)\s{0,2}(?:[0-9]{1,6})$", re.IGNORECASE
).search
_ALLOWED = re.compile(r"[+(（]?[0-9](?:[0-9 .,()（）/_–—+-]{0,30})\)?").fullmatch
_MAX_DIGITS = 17
"""E.164 has 15; two more for 00."""
_NOT_DIGITS = re.compile(r"[^0-9]+")


class PhoneNumber(NamedTuple):
    """A phone number taken apart; digits only. Not for showing."""

    country: str
    """Country code as written ("" if none, with its 00)."""
    national: str
    extension: str

    @property
    def key(self) -> str:
        """What spellings share: +86 and the 0 of an area code do not count, nor does the extension."""
        code = self.country.lstrip("0")
        return self.national.removeprefix("0") if code in ("86", "1", "") else code + self.national

    @property
    def digits(self) -> str:
        """As they stand in the text."""
        return self.country + self.national + self.extension


def read_phone(original: str) -> PhoneNumber | None:
    """Take a phone number apart; None if the text is none."""
    if len(original) == 11 and original.isascii() and original.isdigit() and _is_mobile(original):
        return PhoneNumber("", original, "")
    text, extension = plain(original), ""
    found = _EXTENSION(text)
    if found:
        extension, text = _NOT_DIGITS.sub("", found[0]), text[: found.start()]
    text = text.strip()
    if not _ALLOWED(text):
        return None
    number_ = _NOT_DIGITS.sub("", text)
    if not 5 <= len(number_) <= _MAX_DIGITS:
        return None
    country = _country(number_, international=text.startswith(("+", "00", "(+")))
    return PhoneNumber(country, number_[len(country) :], extension)


def surrogate_phone(phone: PhoneNumber, draw: bytes) -> PhoneNumber:
    """Another number of the same country and kind; of landlines the area code stays."""
    extension = digits(draw[16:], len(phone.extension))
    return PhoneNumber(phone.country, _national(phone.country, phone.national, draw), extension)


def canonical_phone(original: str) -> str:
    """The key of a number, or the digits of what is none."""
    phone = read_phone(original)
    return _NOT_DIGITS.sub("", plain(original)) if phone is None else phone.key


def _country(number_: str, *, international: bool) -> str:
    """The country code that ``number_`` starts with, as written."""
    if international:
        start = "00" if number_.startswith("00") else ""
        rest = number_[len(start) :]
        for length in (1, 2, 3):
            if rest[:length] in _country_codes():
                return start + rest[:length]
        return start
    if len(number_) == 13 and number_.startswith("861"):
        return "86"
    if number_.startswith("86") and len(number_) in (11, 12) and _is_landline("0" + number_[2:]):
        return "86"
    if len(number_) == 12 and number_.startswith("0") and _is_mobile(number_[1:]):
        return "0"
    if len(number_) == 11 and number_.startswith("1") and number_[1:4] in _nanp() and number_[4] in "23456789":
        return "" if _is_mobile(number_) else "1"
    return ""


def _national(country: str, national: str, draw: bytes) -> str:
    code = country.lstrip("0")
    if code in ("", "86") and len(national) == 11 and national.startswith("1"):
        return _mobile().unrank(number(draw, _mobile().domain))
    if code in ("", "86"):
        landline = _landline(national, draw, with_zero=not code or national.startswith("0"))
        if landline:
            return landline
        if kept := _area_of(national):
            return _first_kept(kept + "2345678"[draw[0] % 7], len(national), draw)
    if (code == "1" and len(national) == 10) or (not code and _is_nanp(national)):
        if code == "" and national[:3] in ("400", "800"):
            return national[:3] + _first_kept("2", 7, draw)
        stream = Stream(draw)
        return f"{stream.choice(_nanp_list())}55501{stream.below(100):02d}"
    if not code and len(national) in (7, 8) and national[0] in "2345678":
        return LandlineRanking(area="", length=len(national)).unrank(number(draw, 7 * 10 ** (len(national) - 1)))
    return _first_kept(national[:1], len(national), draw)


def _landline(national: str, draw: bytes, *, with_zero: bool) -> str | None:
    try:
        area, local = split_landline(national if with_zero else "0" + national)
    except InvalidValueError:
        return None
    kept = national[: len(national) - len(local)]
    return kept + LandlineRanking(area=area, length=len(local)).unrank(number(draw, 7 * 10 ** (len(local) - 1)))


def _is_nanp(national: str) -> bool:
    return len(national) == 10 and national[0] in "23456789" and national[3] in "23456789"


def _area_of(national: str) -> str:
    """The 0 and area code of a number whose length is not (or no longer) the area's."""
    found = (national[:n] for n in (4, 3) if national[1:n] in tables.area_codes() and len(national) > n + 4)
    return next(found, "") if national.startswith("0") else ""


def _is_landline(number_: str) -> bool:
    try:
        split_landline(number_)
    except InvalidValueError:
        return False
    return True


def _first_kept(first: str, length: int, draw: bytes) -> str:
    """A number of a plan that we do not know; one with a 0 in front never looks like a broken landline of China."""
    fresh = first + digits(draw, length - len(first))
    if len(first) == 1 and first == "0" and length > 4:
        fresh = fresh[:3] + "".join("2345678"[int(c) % 7] for c in fresh[3:5]) + fresh[5:]
    return fresh


def _is_mobile(number_: str) -> bool:
    return len(number_) == 11 and (number_[:3] in _blocks() or number_[:5] in _blocks())


@cache
def _blocks() -> frozenset[str]:
    return frozenset(tables.mobile_blocks())


@cache
def _mobile() -> MobileRanking:
    return MobileRanking()


@cache
def _nanp_list() -> tuple[str, ...]:
    return tuple(tables.read_table("phone")["nanp"])


@cache
def _nanp() -> frozenset[str]:
    return frozenset(_nanp_list())


@cache
def _country_codes() -> frozenset[str]:
    return frozenset(tables.read_table("phone")["country"])


__all__ = ["canonical_phone", "PhoneNumber", "read_phone", "surrogate_phone"]
