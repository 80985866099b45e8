"""Synthetic identifiers for the canaries, in the spellings that people use.

Invariants: no table and no code of the detectors or of the surrogates, so that a gap in those shows; nobody's real
number on purpose, though a number drawn here may be in use. Not handled here: where a canary is put (``canaries``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.validity import luhn_holds
from fedward.common.desensitize.wordlists import word_list


class Spelt(NamedTuple):
    """One value as it is written."""

    text: str
    spelling: str
    """Plain, separated, full_width, prefixed, or lower: for the report."""


def _luhn(body: str) -> str:
    return next(body + str(d) for d in range(10) if luhn_holds(body + str(d)))


def _respelt(draw: KeyedStream, digits: str, shapes: tuple[tuple[int, ...], ...], prefix: str = "") -> Spelt:
    """Plain in half of the cases, else grouped, in full width, or behind a prefix."""
    way = draw.below(8)
    if way < 4:
        return Spelt(digits, "plain")
    if way == 4:
        return Spelt(digits.translate({ord(str(d)): chr(0xFF10 + d) for d in range(10)}), "full_width")
    if way == 5 and prefix:
        return Spelt(prefix + digits, "prefixed")
    fitting = [shape for shape in shapes if sum(shape) == len(digits)]
    if not fitting:
        return Spelt(digits, "plain")
    groups, place = [], 0
    for size in draw.choice(fitting):
        groups.append(digits[place : place + size])
        place += size
    return Spelt(draw.choice(" -").join(groups), "separated")


def _date(draw: KeyedStream) -> str:
    return f"{1940 + draw.below(70)}{1 + draw.below(12):02d}{1 + draw.below(28):02d}"


def _id_cn(draw: KeyedStream) -> Spelt:
    body = draw.choice(word_list("canaries")["id_regions"]) + _date(draw) + f"{1 + draw.below(999):03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(w * int(d) for w, d in zip(weights, body, strict=True))
    number = body + str("10X98765432"[total % 11])
    if number.endswith("X") and draw.below(2):
        return Spelt(number.lower(), "lower")
    return _respelt(draw, number, ((6, 8, 4), (6, 4, 4, 4)))


def _phone(draw: KeyedStream) -> Spelt:
    number = draw.choice(word_list("canaries")["mobile_prefixes"])
    number += draw.digits(11 - len(number))
    return _respelt(draw, number, ((3, 4, 4),), draw.choice(("+86", "+86 ", "+86-", "86-")))


def _phone_en(draw: KeyedStream) -> Spelt:
    area = f"{draw.choice(word_list('canaries')['area_codes'])}"
    exchange, line = f"{2 + draw.below(8)}{draw.below(10)}{2 + draw.below(8)}", draw.digits(4)
    shape = draw.choice(("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "+1 {} {} {}", "+1-{}-{}-{}"))
    return Spelt(shape.format(area, exchange, line), "prefixed" if shape.startswith("+") else "separated")


def _card(draw: KeyedStream) -> Spelt:
    start, length = draw.choice(word_list("canaries")["card_starts"]).split(":")
    number = _luhn(start + draw.digits(int(length) - 1 - len(start)))
    return _respelt(draw, number, ((4, 4, 4, 4), (4, 6, 5), (4, 4, 4, 4, 3), (6, 13)))


def _email(draw: KeyedStream) -> Spelt:
    words = word_list("canaries")
    local = draw.choice(words["mail_words"]) + draw.choice((".", "_", "-", "")) + draw.choice(words["mail_words"])
    local += draw.choice(("", draw.digits(2), draw.digits(4)))
    address = f"{local}@{draw.choice(words['mail_hosts'])}"
    return Spelt(address.upper(), "upper") if draw.below(8) == 0 else Spelt(address, "plain")


def _plate(draw: KeyedStream) -> Spelt:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    place = draw.choice("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼") + draw.choice(letters[:10])
    if draw.below(4) == 0:
        number = draw.choice("DF") + draw.choice(letters) + draw.digits(4)
    else:
        places = draw.sample(5, draw.below(3))  # GA 36: two letters at most
        number = "".join(draw.choice(letters) if place in places else draw.digits(1) for place in range(5))
    dotted = draw.below(3) == 0
    return Spelt(place + ("·" if dotted else "") + number, "separated" if dotted else "plain")


def _ssn(draw: KeyedStream) -> Spelt:
    area = draw.choice([n for n in range(1, 900) if n != 666])
    number = f"{area:03d}-{1 + draw.below(99):02d}-{1 + draw.below(9999):04d}"
    return Spelt(number.replace("-", " "), "separated") if draw.below(4) == 0 else Spelt(number, "plain")


def _iban(draw: KeyedStream) -> Spelt:
    country, length = draw.choice(("DE:18", "FR:23", "ES:20", "CH:17", "AT:16", "BE:12")).split(":")
    body = draw.digits(int(length))
    check = 98 - int(body + "".join(str(int(c, 36)) for c in country) + "00") % 97
    number = f"{country}{check:02d}{body}"
    if draw.below(2):
        return Spelt(" ".join(number[i : i + 4] for i in range(0, len(number), 4)), "separated")
    return Spelt(number, "plain")


def _ip(draw: KeyedStream) -> Spelt:
    first = draw.choice([n for n in range(1, 224) if n != 127])  # no multicast, no loopback
    return Spelt(".".join(map(str, (first, *(draw.below(256) for _ in range(2)), 1 + draw.below(254)))), "plain")


def _mrn(draw: KeyedStream) -> Spelt:
    return Spelt(draw.choice(("", "", "ZY", "MZ", "M", "H-")) + draw.digits(7 + draw.below(3)), "plain")


def _account(draw: KeyedStream) -> Spelt:
    return _respelt(draw, draw.choice("123456789") + draw.digits(11 + draw.below(7)), ((4, 4, 4), (4, 4, 4, 4)))


def _passport(draw: KeyedStream) -> Spelt:
    return Spelt(draw.choice("EGPD") + draw.digits(8), "plain")


def _txn(draw: KeyedStream) -> Spelt:
    return Spelt(f"20{draw.digits(2)}{1 + draw.below(12):02d}{1 + draw.below(28):02d}{draw.digits(10)}", "plain")


def _name_zh(draw: KeyedStream) -> Spelt:
    words = word_list("canaries")
    given = "".join(draw.choice(words["given_zh"]) for _ in range(1 + (draw.below(3) > 0)))
    return Spelt(draw.choice(words["surnames_zh"]) + given, "plain")


def _name_en(draw: KeyedStream) -> Spelt:
    words = word_list("canaries")
    given, surname = draw.choice(words["given_en"]), draw.choice(words["surnames_en"])
    shape = draw.choice(("{0} {1}", "{0} {1}", "{0} {2}. {1}", "{1}, {0}"))
    return Spelt(shape.format(given, surname, draw.choice("ABCDEFGHJKLMNPRSTW")), "plain")


VALUES: Mapping[tuple[EntityType, str], Callable[[KeyedStream], Spelt]] = {
    (EntityType.ID_CN, "zh"): _id_cn,
    (EntityType.PHONE, "zh"): _phone,
    (EntityType.PHONE, "en"): _phone_en,
    (EntityType.CARD, "zh"): _card,
    (EntityType.CARD, "en"): _card,
    (EntityType.EMAIL, "zh"): _email,
    (EntityType.EMAIL, "en"): _email,
    (EntityType.PLATE, "zh"): _plate,
    (EntityType.SSN, "en"): _ssn,
    (EntityType.IBAN, "en"): _iban,
    (EntityType.IP, "zh"): _ip,
    (EntityType.IP, "en"): _ip,
    (EntityType.MRN, "zh"): _mrn,
    (EntityType.MRN, "en"): _mrn,
    (EntityType.ACCOUNT, "zh"): _account,
    (EntityType.ACCOUNT, "en"): _account,
    (EntityType.PASSPORT, "zh"): _passport,
    (EntityType.PASSPORT, "en"): _passport,
    (EntityType.TXN, "zh"): _txn,
    (EntityType.TXN, "en"): _txn,
    (EntityType.PERSON, "zh"): _name_zh,
    (EntityType.PERSON, "en"): _name_en,
}
"""How a value of a type is drawn, in a text of a language."""

__all__ = ["Spelt", "VALUES"]
