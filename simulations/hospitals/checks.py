"""Check digits of the identifiers that occur in the notes.

Sources: GB 11643-1999 (resident identity number; check character by ISO/IEC 7064, MOD 11-2) and ISO/IEC 7812-1
annex B (Luhn). Neither says that a number was ever issued.
"""

from __future__ import annotations

from datetime import date

_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))
_CHECK_CHARACTERS = "10X98765432"


def resident_check_character(body: str) -> str:
    """Return the 18th character for the 17 digits of ``body``."""
    return _CHECK_CHARACTERS[sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11]


def resident_id_is_valid(number: str) -> bool:
    """Tell whether ``number`` has 18 characters, a date of birth of the calendar and the right check character."""
    if len(number) != 18 or not (number[:17].isascii() and number[:17].isdigit()):
        return False
    return resident_birth_date(number) is not None and resident_check_character(number[:17]) == number[17]


def resident_birth_date(number: str) -> date | None:
    """Return the date of birth in places 7 to 14, or None where it is no date."""
    try:
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None


def luhn_check_digit(body: str) -> str:
    """Return the digit that makes ``body`` followed by it pass the Luhn test."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body))]
    return str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def luhn_is_valid(number: str) -> bool:
    """Tell whether ``number`` consists of at least two ASCII digits and passes the Luhn test."""
    if len(number) < 2 or not (number.isascii() and number.isdigit()):
        return False
    return luhn_check_digit(number[:-1]) == number[-1]


__all__ = [
    "luhn_check_digit",
    "luhn_is_valid",
    "resident_birth_date",
    "resident_check_character",
    "resident_id_is_valid",
]
