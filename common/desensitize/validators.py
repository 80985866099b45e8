"""Check digits and number plans: what tells an identifier from a number that merely looks like one.

Invariants: pure functions of ASCII bytes, without exceptions for any input of the stated shape; no table is guessed,
each names its public source. Not handled here: where a number stands, which labels stand beside it, and whether a
region existed in a year of birth (counties were renumbered later, so that test would reject people).
"""

from __future__ import annotations

import re
from itertools import chain
from operator import mul

ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
ID_CHECKS = b"10X98765432"
"""GB 11643 and ISO 7064 MOD 11-2: check character by weighted sum modulo 11."""
PROVINCES = frozenset((*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55)))
PROVINCES |= frozenset((*range(61, 66), 71, 81, 82, 83, 91))
"""GB/T 2260, with 81, 82, 83 of the residence permits for Hong Kong, Macao and Taiwan, and 91."""

_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LUHN = bytes(2 * (c - 48) - 9 * (c > 52) if 48 <= c < 58 else 0 for c in range(256))
_WEIGHT_OF_ZEROS = 48 * sum(ID_WEIGHTS)

MOBILE_PREFIXES = frozenset(
    b"%d" % p
    for p in chain(
        (*range(130, 140), *range(145, 150), *range(150, 154), *range(155, 160), 162, 165, 166, 167),
        (*range(170, 174), *range(175, 179), *range(180, 190), *range(190, 194), *range(195, 200)),
    )
)
"""Three digits of mainland mobile numbers: MIIT's numbering plan, with data and machine cards (146, 148, 149)."""
MOBILE_BLOCKS = frozenset(b"%d" % p for p in chain(range(17400, 17406), range(16100, 16110)))
"""Five digits, where only part of a prefix is allocated (satellite, maritime)."""

AREA_CODES = frozenset(
    b"0%d" % p
    for p in chain(
        (10, *range(20, 26), *range(27, 30)),
        (*range(310, 320), 335, 349, *range(350, 360), 370, 371, 372, 373, 374, 375, 376, 377, 379),
        (391, 392, 393, 394, 395, 396, 398, 411, 412, 413, 414, 415, 416, 417, 418, 419, 421, 427, 429, 431),
        (432, 433, 434, 435, 436, 437, 438, 439, 451, 452, 453, 454, 455, 456, 457, 458, 459, 464, 467, 468, 469),
        (*range(470, 480), 482, 483, *range(510, 520), 523, 527, 530, 531, 532, 533, 534, 535, 536, 537, 538, 539),
        (543, 546, 550, 551, 552, 553, 554, 555, 556, 557, 558, 559, 561, 562, 563, 564, 565, 566, 570, 571, 572),
        (573, 574, 575, 576, 577, 578, 579, 580, 591, 592, 593, 594, 595, 596, 597, 598, 599, 631, 632, 633, 634),
        (635, 660, 662, 663, 668, 691, 692, 701, 710, 711, 712, 713, 714, 715, 716, 717, 718, 719, 722, 724, 728),
        (730, 731, 734, 735, 736, 737, 738, 739, 743, 744, 745, 746, 750, 751, 752, 753, 754, 755, 756, 757, 758),
        (759, 760, 762, 763, 766, 768, 769, 770, 771, 772, 773, 774, 775, 776, 777, 778, 779, *range(790, 800)),
        (*range(811, 819), 825, 826, 827, *range(830, 840), 851, 852, 853, 854, 855, 856, 857, 858, 859, 870, 871),
        (872, 873, 874, 875, 876, 877, 878, 879, 881, 883, 886, 887, 888, *range(891, 899), 901, 902, 903, 906),
        (908, 909, *range(911, 918), 919, *range(930, 940), 941, 943, 951, 952, 953, 954, 955, 970, 971, 972, 973),
        (974, 975, 976, 977, 978, 979, *range(990, 1000)),
    )
)
"""Trunk codes of mainland landlines with their leading zero (public numbering plan of China)."""

CALLING_CODES = frozenset(
    b"%d" % p
    for p in chain(
        (1, 7, 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, *range(51, 59), *range(60, 67)),
        (81, 82, 84, 86, *range(90, 96), 98, 211, 212, 213, 216, 218, *range(220, 270), 290, 291, 297, 298, 299),
        (*range(350, 360), *range(370, 384), 385, 386, 387, 389, 420, 421, 423, *range(500, 510), *range(590, 600)),
        (670, *range(672, 693), 800, 808, 850, 852, 853, 855, 856, 870, 878, *range(880, 884), 886, 888),
        (*range(960, 969), *range(970, 978), 979, *range(992, 997), 998),
    )
)
"""ITU-T E.164 country calling codes."""

_MAESTRO = (5018, 5020, 5038, 6304, 6759, 6761, 6762, 6763)
CARD_RANGES: tuple[tuple[bytes, tuple[int, ...]], ...] = (
    (b"62", (16, 17, 18, 19)),
    (b"4", (13, 16, 19)),
    *((b"%d" % p, (16,)) for p in range(51, 56)),
    *((b"%d" % p, (16,)) for p in chain(range(2221, 2230), range(223, 230), range(23, 27), range(270, 272), (2720,))),
    *((b"%d" % p, (15,)) for p in (34, 37, 1800, 2131)),
    *((b"%d" % p, (16,)) for p in (35,)),
    *((b"%d" % p, (14, 16)) for p in (300, 301, 302, 303, 304, 305, 36, 38, 39)),
    *((b"%d" % p, (16,)) for p in (644, 645, 646, 647, 648, 649, 65)),
    *((b"%d" % p, (16, 19)) for p in chain((60, 955, 9400, 9111), range(810, 817), (8170, 8171))),
    *((b"%d" % p, (16,)) for p in (56, 57, 58)),
    *((b"%d" % p, (12, 13, 14, 15, 16, 17, 19)) for p in _MAESTRO),
)
"""Leading digits and lengths of ISO/IEC 7812 cards: UnionPay (62, 81, and 60, 955, 94, 91 of older debit cards
of the mainland), Visa, Mastercard, American Express, JCB, Diners, Discover, Maestro. Eighteen digits are UnionPay's
alone: resident ids have as many, and one random number in ten has Luhn."""
_CARD_BY_LENGTH: dict[int, tuple[bytes, ...]] = {
    n: tuple(prefix for prefix, lengths in CARD_RANGES if n in lengths) for n in range(12, 20)
}

_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTHS = {c.encode(): length for length, countries in _IBAN_COUNTRIES.items() for c in countries.split()}
"""Length by country, from the IBAN registry (ISO 13616)."""

_ORG_ALPHABET = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORG_VALUE = {c: i for i, c in enumerate(_ORG_ALPHABET)}
_ORG_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_VIN_VALUE = dict(zip(b"0123456789ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "012345678912345678123457923456789"), strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_IBAN_SHAPE = re.compile(rb"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


def is_real_date(year: int, month: int, day: int) -> bool:
    """Whether the Gregorian calendar has this day, between 1850 and 2099."""
    if not (1850 <= year <= 2099 and 1 <= month <= 12 and 1 <= day <= _DAYS[month]):
        return False
    return not (month == 2 and day == 29 and (year % 4 or (year % 100 == 0 and year % 400)))


def id_check_character(digits: bytes) -> int:
    """The check character (ASCII code) of the first 17 digits of a resident identity number."""
    total: int = sum(map(mul, digits, ID_WEIGHTS))
    return ID_CHECKS[(total - _WEIGHT_OF_ZEROS) % 11]


def id_has_check(value: bytes) -> bool:
    """Whether an 18-character resident identity number ends in its check character; ``x`` counts as ``X``."""
    return id_check_character(value) == (value[17] & 0xDF if value[17] > 57 else value[17])


def id_has_date(value: bytes) -> bool:
    """Whether digits 7 to 14 are a calendar date from 1850 on."""
    return is_real_date(int(value[6:10]), int(value[10:12]), int(value[12:14]))


def id_has_meaning(value: bytes) -> bool:
    """Whether an 18-character number names a province, a calendar date and a sequence above 000."""
    return int(value[:2]) in PROVINCES and value[14:17] != b"000" and id_has_date(value)


def old_id_has_meaning(value: bytes) -> bool:
    """Whether 15 digits, the form until 1999, name a province, a date of the 1900s and a sequence above 000."""
    return (
        int(value[:2]) in PROVINCES
        and value[12:15] != b"000"
        and is_real_date(1900 + int(value[6:8]), int(value[8:10]), int(value[10:12]))
    )


def has_luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1 annex B: cards, IMEI, NPI. One random digit string in ten passes."""
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(odd) - 48 * len(odd) + sum(even.translate(_LUHN))) % 10 == 0


def has_card_range(digits: bytes) -> bool:
    """Whether the leading digits and the length are those of a payment card."""
    return digits.startswith(_CARD_BY_LENGTH.get(len(digits), ()))


def is_card(digits: bytes) -> bool:
    """Luhn and an issuer's range."""
    return has_card_range(digits) and has_luhn(digits)


def is_mobile(digits: bytes) -> bool:
    """Whether 11 digits begin with an allocated mainland mobile prefix."""
    return len(digits) == 11 and (digits[:3] in MOBILE_PREFIXES or digits[:5] in MOBILE_BLOCKS)


def is_landline(digits: bytes) -> bool:
    """Whether digits are a trunk code with its zero and a subscriber number of seven or eight digits from 2 to 8."""
    if digits[:3] in AREA_CODES:
        return len(digits) == 11 and 50 <= digits[3] <= 56
    return digits[:4] in AREA_CODES and len(digits) in (11, 12) and 50 <= digits[4] <= 56


def is_nanp(digits: bytes) -> bool:
    """Whether ten digits obey the North American plan: area and exchange from 2, neither of them N11."""
    return len(digits) == 10 and digits[0] > 49 and digits[3] > 49 and digits[1:3] != b"11" and digits[4:6] != b"11"


def is_ssn(digits: bytes) -> bool:
    """Whether nine digits lie in the areas, groups and serials that the SSA has issued."""
    return (
        len(digits) == 9
        and digits[:3] not in (b"000", b"666")
        and digits[0] != 57
        and digits[3:5] != b"00"
        and digits[5:] != b"0000"
    )


def is_e164(digits: bytes) -> bool:
    """Whether digits after a plus begin with a country calling code and have a possible length."""
    return 8 <= len(digits) <= 15 and any(digits[:n] in CALLING_CODES for n in (1, 2, 3))


def is_iban(value: bytes) -> bool:
    """ISO 13616: length of the country, MOD 97-10. ``value`` holds upper-case letters and digits only."""
    if IBAN_LENGTHS.get(value[:2]) != len(value) or not _IBAN_SHAPE.fullmatch(value):
        return False
    return int("".join(str(int(chr(c), 36)) for c in value[4:] + value[:4])) % 97 == 1


def is_vin(value: bytes) -> bool:
    """ISO 3779 with the check digit of GB 16735 and 49 CFR 565: 17 upper-case characters without I, O, Q."""
    if len(value) != 17 or any(c not in _VIN_VALUE for c in value):
        return False
    remainder = sum(_VIN_VALUE[c] * w for c, w in zip(value, _VIN_WEIGHTS, strict=True)) % 11
    return value[8] == b"0123456789X"[remainder]


def is_org_id(value: bytes) -> bool:
    """GB 32100: 18 upper-case characters, region in digits, weights 3^i modulo 31.

    Digits alone must begin with a common registrar and kind: one random number in 31 has the check.
    """
    if len(value) != 18 or any(c not in _ORG_VALUE for c in value) or not value[1:8].isdigit():
        return False
    if value.isdigit() and not value.startswith((b"51", b"52", b"91", b"92", b"93")):
        return False
    if value[0] not in b"123456789ANY" or int(value[2:4]) not in PROVINCES | {10}:
        return False
    total = sum(_ORG_VALUE[c] * w for c, w in zip(value[:17], _ORG_WEIGHTS, strict=True))
    return _ORG_ALPHABET[(31 - total % 31) % 31] == value[17]


def is_imei(digits: bytes) -> bool:
    """3GPP TS 23.003: 15 digits with Luhn."""
    return len(digits) == 15 and digits.isdigit() and has_luhn(digits)


def is_npi(digits: bytes) -> bool:
    """45 CFR 162.406: ten digits from 1 or 2, Luhn behind the prefix 80840."""
    return len(digits) == 10 and digits.isdigit() and digits[0] in b"12" and has_luhn(b"80840" + digits)


def is_dea(value: bytes) -> bool:
    """21 CFR 1301: two characters and seven digits; (d1+d3+d5) + 2 (d2+d4+d6) ends in d7. Upper case."""
    d = [c - 48 for c in value[2:]]
    return len(d) == 7 and all(0 <= x <= 9 for x in d) and (d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10 == d[6]


__all__ = [
    "AREA_CODES",
    "CALLING_CODES",
    "CARD_RANGES",
    "has_card_range",
    "has_luhn",
    "IBAN_LENGTHS",
    "id_check_character",
    "ID_CHECKS",
    "id_has_check",
    "id_has_date",
    "id_has_meaning",
    "ID_WEIGHTS",
    "is_card",
    "is_dea",
    "is_e164",
    "is_iban",
    "is_imei",
    "is_landline",
    "is_mobile",
    "is_nanp",
    "is_npi",
    "is_org_id",
    "is_real_date",
    "is_ssn",
    "is_vin",
    "MOBILE_BLOCKS",
    "MOBILE_PREFIXES",
    "old_id_has_meaning",
    "PROVINCES",
]
