"""Whether a value of a type is well formed, written a second time on purpose.

The leak check judges surrogates by these rules and not by those of the detectors or of the generator: a fault in either
must not vouch for itself. A type without a rule has no verdict. Sources: GB 11643 (resident id), ISO/IEC 7812 (Luhn),
ISO 13616 (IBAN), ISO 3779 and 49 CFR 565 (VIN), GB 32100 (organisations). Not handled here: whether a number was ever
issued.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Mapping

from fedward.common.desensitize.spans import EntityType

_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]+")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_PLATE = re.compile(r"[\u4e00-\u9fff][A-Z][A-Z0-9·. -]{4,8}[A-Z0-9\u4e00-\u9fff]?")
_YMD = re.compile(r"((?:19|20)[0-9]{2})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_VIN_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", [*range(1, 9), 1, 2, 3, 4, 5, 7, 9, *range(2, 10)], strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_ORG_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def compact(value: str) -> str:
    """Letters and digits alone, upper case."""
    return _NOT_ALNUM.sub("", value).upper()


def luhn_holds(digits: str) -> bool:
    """Luhn's sum is a multiple of ten."""
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    return (sum(int(d) for d in digits[::-2]) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def _id_cn(value: str) -> bool | None:
    number = compact(value)
    if len(number) == 15:
        return number.isdigit() and _is_date("19" + number[6:8], number[8:10], number[10:12])
    if len(number) != 18 or not number[:17].isdigit():
        return None
    total = sum(pow(2, 17 - i, 11) * int(d) for i, d in enumerate(number[:17]))
    check = "10X98765432"[total % 11]
    return check == number[17] and _is_date(number[6:10], number[10:12], number[12:14])


def _is_date(year: str, month: str, day: str) -> bool:
    try:
        datetime.date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _card(value: str) -> bool | None:
    number = compact(value)
    return luhn_holds(number) if number.isdigit() and 13 <= len(number) <= 19 else None


def _iban(value: str) -> bool:
    number = compact(value)
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", number):
        return False
    return int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1


def _vin(value: str) -> bool | None:
    number = compact(value)
    if len(number) != 17 or any(c in "IOQ" for c in number):
        return None
    values = (int(c) if c.isdigit() else _VIN_VALUES[c] for c in number)
    return "0123456789X"[sum(v * w for v, w in zip(values, _VIN_WEIGHTS, strict=True)) % 11] == number[8]


def _org_id(value: str) -> bool | None:
    number = compact(value)
    if len(number) != 18 or any(c not in _ORG_ALPHABET for c in number):
        return None
    total = sum(pow(3, i, 31) * _ORG_ALPHABET.index(c) for i, c in enumerate(number[:17]))
    return _ORG_ALPHABET[(31 - total % 31) % 31] == number[17]


def _imei(value: str) -> bool | None:
    number = compact(value)
    return luhn_holds(number) if len(number) == 15 and number.isdigit() else None


def _ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return False
    return True


def _date(value: str) -> bool | None:
    found = _YMD.fullmatch(value)
    return None if found is None else _is_date(*found.groups())


_RULES: Mapping[EntityType, Callable[[str], bool | None]] = {
    EntityType.ID_CN: _id_cn,
    EntityType.CARD: _card,
    EntityType.IBAN: _iban,
    EntityType.VIN: _vin,
    EntityType.ORG_ID: _org_id,
    EntityType.DEVICE: _imei,
    EntityType.IP: _ip,
    EntityType.DATE: _date,
    EntityType.EMAIL: lambda value: _EMAIL.fullmatch(value) is not None,
    EntityType.PLATE: lambda value: _PLATE.fullmatch(value) is not None,
}


def is_valid(type_: EntityType, value: str) -> bool | None:
    """True or False where a rule applies to ``value``, folded to ASCII; None where none does."""
    rule = _RULES.get(type_)
    return None if rule is None else rule(value)


__all__ = ["compact", "is_valid", "luhn_holds"]
