"""Check digits: what makes a number of its type valid.

Arguments are plain (ASCII digits, upper-case letters, no separators). Not handled here: whether a number is allotted.
"""

from __future__ import annotations

from operator import mul

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_ZEROS = 48 * sum(_ID_WEIGHTS)
"""What the codes of 17 zeros weigh: ASCII codes are summed, for speed."""
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = tuple(pow(3, i, 31) for i in range(17))
_ORG_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_VALUES = dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, *range(2, 10)), strict=True)
)
_VIN_VALUES |= {str(i): i for i in range(10)}
_DOUBLED = tuple(2 * d - 9 * (d > 4) for d in range(10))


def id_cn_digit(body: str) -> str:
    """GB 11643: the check character of 17 digits."""
    return "10X98765432"[(sum(map(mul, _ID_WEIGHTS, body.encode("ascii"))) - _ID_ZEROS) % 11]


def luhn_digit(body: str) -> str:
    """ISO/IEC 7812-1 annex B: the digit that completes ``body``."""
    digits = [ord(c) - 48 for c in reversed(body)]
    total = sum([_DOUBLED[d] for d in digits[::2]]) + sum(digits[1::2])
    return str(-total % 10)


def luhn_holds(number: str) -> bool:
    """Whether the last digit is Luhn's."""
    return luhn_digit(number[:-1]) == number[-1]


def iban_digits(country: str, account: str) -> str:
    """ISO 13616: the two check digits of a country code and a BBAN."""
    return f"{98 - int(''.join(str(int(c, 36)) for c in f'{account}{country}00')) % 97:02d}"


def vin_digit(vin: str) -> str:
    """ISO 3779 as North America uses it: the ninth character; the one that stands there does not count.

    Raises:
        KeyError: a letter that no VIN has (I, O, Q).
    """
    return "0123456789X"[sum(w * _VIN_VALUES[c] for w, c in zip(_VIN_WEIGHTS, vin, strict=True)) % 11]


def org_digit(body: str) -> str:
    """GB 11714: the check character of the eight characters of an organisation code."""
    return "0X987654321"[sum(w * int(c, 36) for w, c in zip(_ORG_WEIGHTS, body, strict=True)) % 11]


def uscc_digit(body: str) -> str:
    """GB 32100: the check character of 17 characters of a unified social credit code.

    Raises:
        ValueError: a letter that the code does not have (I, O, S, V, Z).
    """
    total = sum(w * _USCC_ALPHABET.index(c) for w, c in zip(_USCC_WEIGHTS, body, strict=True))
    return _USCC_ALPHABET[-total % 31]


def dea_digit(body: str) -> str:
    """The last of a DEA number's seven digits, from the six before it."""
    digits = [int(c) for c in body]
    return str((sum(digits[::2]) + 2 * sum(digits[1::2])) % 10)


USCC_ALPHABET = _USCC_ALPHABET
VIN_ALPHABET = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"

__all__ = [
    "dea_digit",
    "iban_digits",
    "id_cn_digit",
    "luhn_digit",
    "luhn_holds",
    "org_digit",
    "USCC_ALPHABET",
    "uscc_digit",
    "VIN_ALPHABET",
    "vin_digit",
]
