"""Whether a text is a valid value of its type: what every surrogate must be.

Written from the rules of the types and not from the makers, so that it can prove them. Not handled here: whether a
number is in use.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable
from functools import cache

from fedward.common.desensitize import checksums, tables
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates.ages import generalised_age
from fedward.common.desensitize.surrogates.canonical import compact, plain
from fedward.common.desensitize.surrogates.dates import ImpossibleDateError, read_date
from fedward.common.desensitize.surrogates.persons import read_person

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}").fullmatch
_NANP = re.compile(r"[2-9][0-9]{2}[2-9][0-9]{6}").fullmatch
_PLATE = re.compile(r"[\u4e00-\u9fff][A-Z][0-9A-HJ-NP-Z]{4,6}[警学挂港澳领使试超]?").fullmatch
_CODE = re.compile(r"[0-9A-Z]{2,64}").fullmatch


def is_valid(type_: EntityType, text: str) -> bool:
    """Whether ``text`` is a valid value, in any written form; False for types that have no form (MASKED, IMAGE)."""
    check = _CHECKS.get(type_)
    return bool(text) and check is not None and check(plain(text))


def bin_is_known(number: str) -> bool:
    """Whether a card number starts in an issuer's range and has one of its lengths."""
    if not (number.isascii() and number.isdigit()):
        return False
    return any(low <= number[: len(low)] <= high and len(number) in lengths for low, high, lengths in _ranges())


def _phone(text: str) -> bool:
    digits = re.sub(r"(?:转|分机|ext\.?|x|#).*$", "", text, flags=re.IGNORECASE)
    abroad = bool(re.match(r"\s*\(?\+", digits)) or re.sub(r"[^0-9]", "", digits).startswith("00")
    digits = re.sub(r"[^0-9]", "", digits)
    if abroad:
        digits = digits.removeprefix("00")
        if digits.startswith("1"):
            return bool(_NANP(digits[1:]))
        return _chinese_number(digits[2:]) if digits.startswith("86") else 5 <= len(digits) <= 15
    digits = re.sub(r"^86(?=1[0-9]{10}$)", "", digits)
    return _chinese_number(digits)


def _chinese_number(digits: str) -> bool:
    """Allotted where it has the form of a mobile or landline number of China; any other is only bounded in length."""
    if re.fullmatch(r"0?1[3-9][0-9]{9}", digits):
        number = digits[-11:]
        return number[:3] in tables.mobile_blocks() or number[:5] in tables.mobile_blocks()
    national = digits.removeprefix("0")
    for n in (2, 3):
        if digits != national and len(national) - n in tables.area_codes().get(national[:n], ()):
            return national[n] in "2345678"
    return 5 <= len(digits) <= 15


def _resident_id(text: str) -> bool:
    value = compact(text).upper()
    if not re.fullmatch(r"[0-9]{17}[0-9X]|[0-9]{15}", value):
        return False
    born = value[6:14] if len(value) == 18 else "19" + value[6:12]
    region_known = value[:6] in _counties() or value[:6] in ("810000", "820000", "830000")
    digit_right = len(value) == 15 or checksums.id_cn_digit(value[:17]) == value[17]
    return region_known and digit_right and value[-4:-1] != "000" and _is_day(born)


def _ssn(text: str) -> bool:
    value = compact(text)
    return bool(re.fullmatch(r"(?!000|666|9)[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}", value))


def _card(text: str) -> bool:
    value = compact(text)
    return 12 <= len(value) <= 19 and value.isascii() and value.isdigit() and checksums.luhn_holds(value)


def _iban(text: str) -> bool:
    value = compact(text).upper()
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}", value):
        return False
    return int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1


def _vin(text: str) -> bool:
    value = compact(text).upper()
    return len(value) == 17 and set(value) <= set(checksums.VIN_ALPHABET) and checksums.vin_digit(value) == value[8]


def _device(text: str) -> bool:
    value = compact(text).upper()
    if re.fullmatch(r"[0-9]{15}", value):
        return checksums.luhn_holds(value)
    return bool(_CODE(value))


def _organisation_id(text: str) -> bool:
    value = compact(text).upper()
    if len(value) != 18 or not set(value) <= set(checksums.USCC_ALPHABET):
        return False
    return checksums.uscc_digit(value[:17]) == value[17] and checksums.org_digit(value[8:16]) == value[16]


def _plate(text: str) -> bool:
    value = compact(text).upper()
    return bool(_PLATE(value)) or bool(re.fullmatch(r"[0-9A-Z]{4,8}", value))


def _ip(text: str) -> bool:
    host = re.sub(r"/[0-9]{1,3}$", "", text.strip())
    host = re.sub(r"^\[(.*)\](?::[0-9]+)?$|^([0-9.]+):[0-9]+$", lambda found: found[1] or found[2], host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _date(text: str) -> bool:
    try:
        return read_date(text) is not None
    except ImpossibleDateError:
        return False


def _code(text: str) -> bool:
    return bool(_CODE(compact(text).upper()))


def _some_text(text: str) -> bool:
    return text.isprintable() and any(map(str.isalnum, text))


_CHECKS: dict[EntityType, Callable[[str], bool]] = {
    EntityType.PERSON: lambda text: read_person(text) is not None,
    EntityType.PHONE: _phone,
    EntityType.EMAIL: lambda text: bool(_EMAIL(text)),
    EntityType.URL: _some_text,
    EntityType.ID_CN: _resident_id,
    EntityType.SSN: _ssn,
    EntityType.CARD: _card,
    EntityType.IBAN: _iban,
    EntityType.PLATE: _plate,
    EntityType.VIN: _vin,
    EntityType.DEVICE: _device,
    EntityType.IP: _ip,
    EntityType.HANDLE: _some_text,
    EntityType.ORG_ID: _organisation_id,
    EntityType.DATE: _date,
    EntityType.AGE: lambda text: generalised_age(text) == text or "90+" in text,
    EntityType.ADDRESS: _some_text,
    EntityType.POSTCODE: lambda text: bool(re.fullmatch(r"[0-9]{5,6}(?:-[0-9]{4})?", text)),
    EntityType.LOC: _some_text,
    EntityType.ORG: _some_text,
    **dict.fromkeys(
        (
            EntityType.NATIONAL_ID,
            EntityType.PASSPORT,
            EntityType.LICENCE,
            EntityType.MRN,
            EntityType.HEALTH_PLAN,
            EntityType.ACCOUNT,
            EntityType.TXN,
            EntityType.SECRET,
        ),
        _code,
    ),
}


def _is_day(digits: str) -> bool:
    try:
        datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


@cache
def _counties() -> frozenset[str]:
    return frozenset(tables.county_codes())


@cache
def _ranges() -> tuple[tuple[str, str, frozenset[int]], ...]:
    ranges = tables.read_table("cards")["ranges"]
    return tuple((entry["from"], entry["to"], frozenset(entry["lengths"])) for entry in ranges)


__all__ = ["bin_is_known", "is_valid"]
