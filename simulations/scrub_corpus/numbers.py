"""Numbers that are valid, and numbers that only look so. Written from the published rules, apart from the detectors'.

Sources: GB 11643-1999 (resident id), ISO/IEC 7812-1 (Luhn), ISO 13616 (IBAN), GB 32100-2015 (organisations),
49 CFR 565.15 (VIN), GA 36-2018 (plates).
"""

from __future__ import annotations

import datetime
from random import Random  # noqa: TID251  # reproducible fiction

_RESIDENT_CHECKS = "10X98765432"
_ORG_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_VIN_ALPHABET = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
_VIN_VALUES = {c: int(c) for c in "0123456789"}
_VIN_VALUES |= dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", [*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)], strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
REGIONS = (
    "110101",
    "110105",
    "110108",
    "120101",
    "130102",
    "130406",
    "140105",
    "150102",
    "210102",
    "210203",
    "220102",
    "230102",
    "310101",
    "310104",
    "310115",
    "320102",
    "320505",
    "330102",
    "330106",
    "340102",
    "350102",
    "350203",
    "360102",
    "370102",
    "370202",
    "410102",
    "420102",
    "420106",
    "430102",
    "440103",
    "440106",
    "440305",
    "450102",
    "460105",
    "500103",
    "510104",
    "510107",
    "520102",
    "530102",
    "540102",
    "610102",
    "610113",
    "620102",
    "630102",
    "640104",
    "650102",
)
_MOBILE_BLOCKS: tuple[tuple[int, int], ...] = (
    (130, 133),
    (135, 139),
    (150, 153),
    (155, 159),
    (166, 166),
    (173, 173),
    (175, 178),
    (180, 189),
)
_MOBILE_BLOCKS += ((191, 191), (193, 193), (195, 195), (198, 199))
MOBILE_PREFIXES = tuple(str(prefix) for first, last in _MOBILE_BLOCKS for prefix in range(first, last + 1))
UNALLOCATED = ("160", "161", "163", "164", "168", "169", "120", "119", "100")
AREA_CODES = ("010", "021", "022", "025", "028", "0311", "0512", "0571", "0755", "0769", "0532", "0851", "0931")
CARD_PREFIXES = (
    ("622202", 19),
    ("622848", 19),
    ("621700", 19),
    ("621661", 19),
    ("622588", 16),
    ("622575", 16),
    ("625912", 16),
    ("436742", 16),
    ("411111", 16),
    ("512345", 16),
    ("545623", 16),
    ("356833", 16),
    ("371234", 15),
)
IBAN_SHAPES = {"DE": "NNNNNNNNNNNNNNNNNN", "GB": "AAAANNNNNNNNNNNNNN", "FR": "NNNNNNNNNNNNNNNNNNNNNNN"}
IBAN_SHAPES |= {"NL": "AAAANNNNNNNNNN", "ES": "NNNNNNNNNNNNNNNNNNNN", "CH": "NNNNNNNNNNNNNNNNN"}


def digits(rng: Random, count: int, *, first: str = "0123456789") -> str:
    """``count`` digits, the first out of ``first``."""
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def resident_check(body: str) -> str:
    """The 18th character of a resident id (ISO 7064, MOD 11-2)."""
    return _RESIDENT_CHECKS[sum(int(d) * (2 ** (17 - i) % 11) for i, d in enumerate(body)) % 11]


def is_resident_id(value: str) -> bool:
    """Whether 18 characters have a real date and the right check character."""
    if len(value) != 18 or not (value[:17].isascii() and value[:17].isdigit()):
        return False
    try:
        datetime.date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return False
    return resident_check(value[:17]) == value[17].upper()


def resident_id(rng: Random, born: datetime.date) -> str:
    """A valid resident id, 18 characters."""
    body = f"{rng.choice(REGIONS)}{born:%Y%m%d}{rng.randrange(1, 1000):03d}"
    return body + resident_check(body)


def wrong_resident_id(rng: Random, born: datetime.date) -> str:
    """As ``resident_id``, with another check character: one mistyped digit."""
    value = resident_id(rng, born)
    return value[:17] + rng.choice([c for c in "0123456789" if c != value[17]])


def old_resident_id(rng: Random, born: datetime.date) -> str:
    """The form of before 1999: 15 digits, no check."""
    return f"{rng.choice(REGIONS)}{born:%y%m%d}{rng.randrange(1, 1000):03d}"


def luhn_sum(value: str) -> int:
    """Zero for a number that passes."""
    doubled = ((int(d) * (1 + i % 2)) for i, d in enumerate(reversed(value)))
    return sum(n - 9 * (n > 9) for n in doubled) % 10


def card(rng: Random) -> str:
    """A card number of a known issuer range that passes Luhn."""
    prefix, length = rng.choice(CARD_PREFIXES)
    body = prefix + digits(rng, length - len(prefix) - 1)
    return body + str(-luhn_sum(body + "0") % 10)


def wrong_luhn(rng: Random, length: int = 16) -> str:
    """Digits of a card's length that fail Luhn."""
    body = digits(rng, length - 1, first="13789")
    return body + str((1 - luhn_sum(body + "0")) % 10)


def mobile(rng: Random) -> str:
    """Eleven digits under an allocated prefix."""
    return rng.choice(MOBILE_PREFIXES) + digits(rng, 8)


def landline(rng: Random) -> tuple[str, str]:
    """Area code and number."""
    code = rng.choice(AREA_CODES)
    return code, digits(rng, 8 if len(code) == 3 or rng.random() < 0.5 else 7, first="2345678")


def iban(rng: Random) -> str:
    """A valid IBAN without spaces."""
    country = rng.choice(sorted(IBAN_SHAPES))
    body = "".join(rng.choice("ABCDEFGHKLMNPRSTW" if c == "A" else "0123456789") for c in IBAN_SHAPES[country])
    check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    return f"{country}{check:02d}{body}"


def is_iban(value: str) -> bool:
    """Whether an IBAN without spaces passes mod 97."""
    value = value.upper()
    if not (value.isascii() and value.isalnum() and len(value) > 14):
        return False
    return int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1


def organisation_id(rng: Random) -> str:
    """A valid unified social credit code, 18 characters."""
    body = rng.choice(("91", "12", "52")) + rng.choice(REGIONS)
    body += "".join(rng.choice(_ORG_ALPHABET) for _ in range(9))
    total = sum(_ORG_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + _ORG_ALPHABET[-total % 31]


def vin(rng: Random) -> str:
    """Seventeen characters with the right check digit."""
    value = rng.choice(("LSV", "LVS", "WBA", "1HG", "LFV")) + "".join(rng.choice(_VIN_ALPHABET) for _ in range(14))
    return value[:8] + vin_check(value) + value[9:]


def vin_check(value: str) -> str:
    """The ninth character of a vehicle identification number (49 CFR 565.15)."""
    return "0123456789X"[sum(_VIN_VALUES[c] * w for c, w in zip(value, _VIN_WEIGHTS, strict=True)) % 11]


def imei(rng: Random) -> str:
    """Fifteen digits that pass Luhn."""
    body = "86" + digits(rng, 12)
    return body + str(-luhn_sum(body + "0") % 10)


def plate(rng: Random) -> str:
    """A mainland plate of one of the common forms, without separators."""
    province = rng.choice("京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新")
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    body = list(digits(rng, 5))
    for place in rng.sample(range(5), rng.choice((0, 0, 1, 1, 2))):
        body[place] = rng.choice(letters)
    kind = rng.random()
    if kind < 0.25:  # new energy: eight characters
        return province + rng.choice(letters[:8]) + rng.choice("DF") + rng.choice("ABCDE012345") + digits(rng, 4)
    if kind < 0.33:
        return province + rng.choice(letters[:8]) + "".join(body[:4]) + rng.choice("学警挂")
    if kind < 0.36:
        return "粤Z" + "".join(body[:4]) + rng.choice("港澳")
    return province + rng.choice(letters[:15]) + "".join(body)


def ssn(rng: Random) -> str:
    """A US number of an assigned area, with hyphens."""
    area = rng.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10_000):04d}"


def nanp(rng: Random) -> tuple[str, str, str]:
    """Area, exchange and line of a North American number."""
    area = rng.choice(("212", "415", "617", "312", "206", "713", "404", "305", "702", "416", "604"))
    return area, digits(rng, 1, first="23456789") + rng.choice(("02", "34", "57", "68", "85")), digits(rng, 4)


def birthday(rng: Random) -> datetime.date:
    """Of someone between about 5 and 100 years old."""
    return datetime.date(1924, 1, 1) + datetime.timedelta(days=rng.randrange(35_000))
