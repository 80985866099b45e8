"""Surrogates of numbers: drawn in their rank order, so check digits and prefixes are right by construction.

Every maker takes the compact upper-case value and a draw of 32 bytes and gives a value of the same length, or None if
the value has not the form of its type (which then becomes a placeholder: a merged span may hold anything). Not
handled here: separators and widths (``canonical.refill``), phones (``phones``) and redraws (``document``).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import cache

from fedward.common.desensitize import checksums, tables
from fedward.common.desensitize.surrogates.draws import Stream, digits, number

Maker = Callable[[str, bytes], str | None]

_CONSONANTS = "BCDFGHJKLMNPRSTVWXYZ"
_MAX_KEPT_LETTERS = 4
_MAX_LENGTH = 64
_BANK_CODE = 4
_TEXT = re.compile(r"[0-9A-Z]+").fullmatch
_REGIONS_OF_PERMITS = ("810000", "820000", "830000")
_PLATE = re.compile(r"([\u4e00-\u9fff])([A-Z])([0-9A-Z]{4,6})([警学挂港澳领使试超]?)").fullmatch
_PLATE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_FIRST_SSN_AREAS = [f"{area:03d}" for area in range(1, 900) if area != 666]


def resident_id(value: str, born: datetime.date, draw: bytes) -> str | None:
    """18 or 15 digits: region in force, birth date ``born``, sequence of the same parity. Permits keep their region.

    Args:
        value: compact; its check character may be wrong, which never survives.
        born: the shifted birth date.
        draw: 32 bytes.
    """
    if len(value) == 18 and _is_digits(value[:17]):
        sequence_at, year = 14, f"{born.year:04d}"
    elif len(value) == 15 and _is_digits(value) and 1900 <= born.year <= 1999:
        sequence_at, year = 12, f"{born.year % 100:02d}"
    else:
        return None
    odd = int(value[sequence_at + 2]) % 2
    permit = value[:6] in _REGIONS_OF_PERMITS
    regions = (value[:6],) if permit else tables.county_codes(in_force=True)
    region, rank = divmod(number(draw, len(regions) * (499 + odd)), 499 + odd)
    body = f"{regions[region]}{year}{born.month:02d}{born.day:02d}{2 * rank + 2 - odd:03d}"
    return body + checksums.id_cn_digit(body) if len(value) == 18 else body


def id_key(value: str) -> str:
    """The 18 digits of a 15-digit id, so that both are one id; any other value itself."""
    if len(value) != 15 or not _is_digits(value):
        return value
    body = f"{value[:6]}19{value[6:]}"
    return body + checksums.id_cn_digit(body)


def card(value: str, draw: bytes) -> str | None:
    """The issuer's six digits stay, Luhn's digit is right."""
    if not 12 <= len(value) <= 19 or not _is_digits(value):
        return None
    body = value[:6] + digits(draw, len(value) - 7)
    return body + checksums.luhn_digit(body)


def account(value: str, draw: bytes) -> str | None:
    """Digits of the same length; letters as in ``record_number``."""
    return record_number(value, draw)


def record_number(value: str, draw: bytes) -> str | None:
    """Up to four letters stay, digits are drawn; of more letters, or with under four digits, letters are drawn too."""
    if not _TEXT(value) or len(value) > _MAX_LENGTH:
        return None
    num_digits = sum(c.isdigit() for c in value)
    if len(value) - num_digits > _MAX_KEPT_LETTERS or num_digits < 4:
        return shape(value, draw)
    if num_digits == len(value):
        return _leading(value, digits(draw, num_digits))
    fresh = iter(digits(draw, num_digits))
    return "".join(next(fresh) if c.isdigit() else c for c in value)


def shape(value: str, draw: bytes) -> str | None:
    """Digits for digits, consonants for letters."""
    if not _TEXT(value) or len(value) > _MAX_LENGTH:
        return None
    stream = Stream(draw)
    return "".join(str(stream.below(10)) if c.isdigit() else stream.choice(_CONSONANTS) for c in value)


def ssn(value: str, draw: bytes) -> str | None:
    """Area 001 to 899 but 666, group 01 to 99, serial 0001 to 9999."""
    if len(value) != 9 or not _is_digits(value):
        return None
    rest, serial = divmod(number(draw, len(_FIRST_SSN_AREAS) * 99 * 9999), 9999)
    area, group = divmod(rest, 99)
    return f"{_FIRST_SSN_AREAS[area]}{group + 1:02d}{serial + 1:04d}"


def licence(value: str, draw: bytes) -> str | None:
    """Licences: an NPI and a DEA number stay valid, an 18-digit one is numbered like a resident id elsewhere."""
    if len(value) == 10 and _is_digits(value) and checksums.luhn_holds("80840" + value):
        body = value[0] + digits(draw, 8)
        return body + checksums.luhn_digit("80840" + body)
    if re.fullmatch(r"[A-Z][A-Z9][0-9]{7}", value) and checksums.dea_digit(value[2:8]) == value[8]:
        body = digits(draw, 6)
        return value[0] + Stream(draw).choice(_CONSONANTS) + body + checksums.dea_digit(body)
    return record_number(value, draw)


def iban(value: str, draw: bytes) -> str | None:
    """Country and letters of the bank's code stay, letters of the account are drawn, mod 97 is right."""
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}", value):
        return None
    stream = Stream(draw)
    bank = "".join(
        str(stream.below(10)) if c.isdigit() else c if i < _BANK_CODE else stream.choice(_CONSONANTS)
        for i, c in enumerate(value[4:])
    )
    return value[:2] + checksums.iban_digits(value[:2], bank) + bank


def vin(value: str, draw: bytes) -> str | None:
    """The manufacturer's three characters stay; the ninth is the check digit."""
    if len(value) != 17 or any(c not in checksums.VIN_ALPHABET for c in value):
        return None
    stream = Stream(draw)
    rest = "".join(str(stream.below(10)) if c.isdigit() else stream.choice(_VIN_LETTERS) for c in value[3:])
    body = value[:3] + rest
    return body[:8] + checksums.vin_digit(body) + body[9:]


def device(value: str, draw: bytes) -> str | None:
    """IMEI: the model's eight digits stay, Luhn; MAC addresses are drawn by ``mac``; serials by ``record_number``."""
    if len(value) == 15 and _is_digits(value):
        body = value[:8] + digits(draw, 6)
        return body + checksums.luhn_digit(body)
    return record_number(value, draw)


def mac(value: str, draw: bytes) -> str | None:
    """Twelve hexadecimal digits of a locally administered unicast address: no vendor has it."""
    if not re.fullmatch(r"[0-9A-F]{12}", value):
        return None
    return f"02{number(draw, 16**10):010X}"


def organisation_id(value: str, draw: bytes) -> str | None:
    """GB 32100: the kind stays; region in force, organisation code and both check characters are right."""
    if len(value) != 18 or not _TEXT(value):
        return None
    regions = tables.county_codes(in_force=True)
    region, code = divmod(number(draw, len(regions) * 10**8), 10**8)
    kind = value[:2] if all(c in checksums.USCC_ALPHABET for c in value[:2]) else "91"
    body = f"{kind}{regions[region]}{code:08d}"
    body += checksums.org_digit(f"{code:08d}")
    return body + checksums.uscc_digit(body)


def plate(value: str, draw: bytes) -> str | None:
    """Province and office stay, as does what marks the kind: 学, 警, D or F of new-energy vehicles."""
    found = _PLATE(value)
    if found is None or found[1] not in _plate_provinces():
        return shape(value, draw) if value.isascii() and 4 <= len(value) <= 8 else None
    stream = Stream(draw)
    kept = {0, 5} if len(found[3]) == 6 else set()
    number_ = (
        c if i in kept and not c.isdigit() else str(stream.below(10)) if c.isdigit() else stream.choice(_PLATE_LETTERS)
        for i, c in enumerate(found[3])
    )
    return found[1] + found[2] + "".join(number_) + found[4]


@cache
def _plate_provinces() -> frozenset[str]:
    return frozenset("京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新港澳使")


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _leading(old: str, new: str) -> str:
    """A number that does not start with 0 stays one; the last digit moves to the front instead."""
    return new if old[0] == "0" or new[0] != "0" else f"{int(new[-1]) % 9 + 1}{new[1:]}"


_VIN_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"

__all__ = [
    "account",
    "card",
    "device",
    "iban",
    "id_key",
    "licence",
    "mac",
    "Maker",
    "organisation_id",
    "plate",
    "record_number",
    "resident_id",
    "shape",
    "ssn",
    "vin",
]
