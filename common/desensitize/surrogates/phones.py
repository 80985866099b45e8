"""Surrogates of phone numbers: mobile and landline of China, North America, and others by country code.

A number keeps its country and area code where numbers of China stand, its length and its written form. North American
numbers take 555-01xx of a drawn area, which no subscriber has; China reserves no fictitious range. Not handled here:
which digits are a phone number.
"""

from __future__ import annotations

import re
from functools import cache

from fedward.common.desensitize import tables
from fedward.common.desensitize.fpe_column import split_landline
from fedward.common.desensitize.ranking import InvalidValueError, LandlineRanking, MobileRanking
from fedward.common.desensitize.surrogates.canonical import plain, refill
from fedward.common.desensitize.surrogates.draws import Stream, digits, number

_EXTENSION = re.compile(r"(?:转|轉|分机|分機|ext\.?|extension|#|\bx)\s{0,2}(?:[0-9]{1,6})$", re.IGNORECASE).search
_ALLOWED = re.compile(r"[+(（]?[0-9](?:[0-9 .,()（）/_–—+-]{0,30})\)?").fullmatch
_NOT_DIGITS = re.compile(r"[^0-9]+")


def core_of(text: str) -> tuple[str, str, str] | None:
    """Country code as written ("" if none), national digits, extension; None if this is no phone number.

    Args:
        text: ``plain`` text of the span.
    """
    extension = ""
    found = _EXTENSION(text)
    if found:
        extension, text = _NOT_DIGITS.sub("", found[0]), text[: found.start()]
    text = text.strip()
    if not _ALLOWED(text):
        return None
    number_ = _NOT_DIGITS.sub("", text)
    if not 5 <= len(number_) <= 15 + 2:
        return None
    country = _country(number_, international=text.startswith(("+", "00", "(+", "(+")))
    return country, number_[len(country) :], extension


def phone(original: str, draw: bytes) -> str | None:
    """A phone number in the form of ``original``, or None."""
    text = plain(original)
    parts = core_of(text)
    if parts is None:
        return None
    country, national, extension = parts
    fresh = country + _national(country, national, draw)
    if extension:
        fresh += digits(draw[16:], len(extension))
    return refill(original, country + national + extension, fresh)


def canonical_phone(original: str) -> str:
    """National digits, so that +86 and its absence are one number; without the extension."""
    parts = core_of(plain(original))
    if parts is None:
        return _NOT_DIGITS.sub("", plain(original))
    country, national, _ = parts
    if country.lstrip("0") in ("86", "1", ""):
        return national.removeprefix("0")
    return country.lstrip("0") + national


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
    if code in ("", "1") and len(national) == 10 and national[0] in "23456789" and national[3] in "23456789":
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


def _is_landline(number_: str) -> bool:
    try:
        split_landline(number_)
    except InvalidValueError:
        return False
    return True


def _first_kept(first: str, length: int, draw: bytes) -> str:
    return first + digits(draw, length - len(first))


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


__all__ = ["canonical_phone", "core_of", "phone"]
