"""Values right behind their label: record numbers, accounts, licences, passports, codes, handles.

Invariants: the label is the witness (level 2), a check digit lifts the hit to 3; a value that its type cannot have
is no hit, and the scan goes on at the value, where another rule may read it. Not handled here: finding the label.
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import re
from collections.abc import Callable

from fedward.common.desensitize import validators as check
from fedward.common.desensitize.detectors.dates import read_compact_date
from fedward.common.desensitize.detectors.hits import ALNUM, Hit, is_decimal_right, num_digits
from fedward.common.desensitize.detectors.numbers import read_at, read_phone
from fedward.common.desensitize.detectors.rules import SPOKEN
from fedward.common.desensitize.spans import EntityType as T

_CODE = re.compile(
    rb"(?:[A-Z]{1,4} |[A-Za-z]{0,8}[-/]?)[0-9][0-9A-Za-z]{0,31}(?:[-_][0-9A-Za-z]{1,16}){0,5}(?:\([0-9A-Z]{1,2}\))?"
).match
_ACCOUNT = re.compile(rb"[A-Za-z]{0,4}[0-9]{1,32}(?:[ -][0-9]{2,8}){0,7}").match
_NATIONAL = re.compile(
    rb"(?:[A-Z]{1,4} |[A-Za-z]{0,6})[0-9][0-9A-Za-z]{0,17}(?:[ ./-][0-9A-Z]{1,8}){0,4}"
    rb"(?:\([0-9A-Z]\)|\xef\xbc\x88[0-9A-Z]\xef\xbc\x89)?"
).match
_PLATE = re.compile(rb"[A-Z0-9]{1,4}[ -]?[A-Z0-9]{2,6}").match
_VIN = re.compile(rb"[A-Za-z0-9]{17}").match
_ORG = re.compile(rb"[0-9A-Za-z]{18}|[0-9]{15}|[0-9A-Z]{8}-?[0-9X]|[0-9]{2}-[0-9]{7}").match
_POSTCODE = re.compile(
    rb"[0-9]{6}|[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]|[0-9]{3,5}(?:[ -][0-9]{2,4})?"
).match
_IBAN = re.compile(rb"[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30}").match
_TAIL = re.compile(rb"[0-9]{3,6}[Xx]?").match
_SHORT_CODE = re.compile(rb"[0-9A-Za-z]{3,12}(?:-[0-9A-Za-z]{3,8})?").match
_WORD = re.compile(rb"[!-~]{3,64}").match
_WECHAT = re.compile(rb"@?[A-Za-z0-9_][A-Za-z0-9_.-]{3,31}").match
_SPOKEN = re.compile((SPOKEN + "(?:[ -]?" + SPOKEN + "){3,19}[Xx]?").encode()).match
_IS_DATE = re.compile(rb"(?:19|20)[0-9]{2}[-/.]?(?:0?[1-9]|1[0-2])[-/.]?(?:[0-2]?[0-9]|3[01])$").match
_IS_NAMED_DATE = re.compile(rb"[0-9]{1,2}-?[A-Za-z]{3}-?(?:[0-9]{2}|[0-9]{4})").fullmatch
_AFTER_QUANTITY = re.compile(
    " ?(?:年|月|日|岁|歲|元|万|次|天|人|例|张|％|%|周|个|名|位|页|小时|分钟|mg|ml|kg|years?|days?|people|"
    "patients)".encode()
).match
_PLAIN_PHONE = re.compile(rb"(?i)t|ph|mo|fax|land|what|hot|.*[:#=]|.*\xef\xbc\x9a|.*(?:no|number)\b").match
"""Labels that only mean a phone; after ``cell``, ``call``, ``contact`` a colon or ``number`` must say so."""
_BARE_ID = re.compile(rb"[Ii][Dd][^A-Za-z]*$").match
_STRONG = re.compile(rb"[:#=]|\xef\xbc\x9a|[Nn][Oo]|[Ii][Dd]|umber").search
CODE_TYPES = {
    "MRN": T.MRN,
    "HEALTH_PLAN": T.HEALTH_PLAN,
    "TXN": T.TXN,
    "LICENCE": T.LICENCE,
    "PASSPORT": T.PASSPORT,
    "DEVICE": T.DEVICE,
}
_MIN_DIGITS = {"PASSPORT": 5, "LICENCE": 5, "HEALTH_PLAN": 5, "DEVICE": 3}
_MAX_SERIAL = 20
_MY_NUMBER_DIGITS = 12


def _code(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    """A record number of letters, digits and hyphens with enough digits, neither date nor quantity."""
    match = _CODE(data, start)
    if match is None:
        return None
    value, end = match.group(), match.end()
    digits = num_digits(value)
    weak = label[:1].isascii() and not _STRONG(label)
    if digits < _MIN_DIGITS.get(kind, 4) + weak or (end < len(data) and data[end] in ALNUM):
        return None
    if (digits < 7 and _AFTER_QUANTITY(data, end)) or (data[end] == 46 and is_decimal_right(data, end)):
        return None
    if b"-" in value and digits <= 8 and digits == len(value.replace(b"-", b"")) and _IS_DATE(value):
        return None
    if _IS_NAMED_DATE(value):
        return None
    if weak and digits == 4 and value[:2] in (b"19", b"20"):
        return None
    if kind == "DEVICE" and (check.is_imei(value) or len(value) > _MAX_SERIAL):
        return (start, end, T.DEVICE, 3, "imei_luhn") if len(value) == 15 else None
    level = 3 if kind == "LICENCE" and (check.is_npi(value) or _is_dea(value)) else 2
    return start, end, CODE_TYPES[kind], level, f"{kind.lower()}_labelled"


def _is_dea(value: bytes) -> bool:
    return len(value) == 9 and value[:1].isalpha() and value[2:].isdigit() and check.is_dea(value)


def _matched(
    pattern: Callable[[bytes, int], re.Match[bytes] | None], type_: T, least: int, name: str
) -> Callable[[str, bytes, int, bytes], Hit | None]:
    """A reader for values of one pattern with at least ``least`` digits."""

    def read(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
        match = pattern(data, start)
        if match is None or num_digits(match.group()) < least:
            return None
        end = match.end()
        return None if end < len(data) and data[end] in ALNUM else (start, end, type_, 2, name)

    return read


def _number(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    """Phone, id, card, account and social security numbers: by shape first, then whatever the label allows."""
    first = start
    while first < start + 3 and data[first : first + 1] in (b"(", b"+"):
        first += 1
    hit = read_at(data, first, lambda: kind)[0] if data[first : first + 1].isdigit() else None
    if kind == "ACCOUNT" and (hit is None or hit[3] < 3 or hit[2] is T.PHONE):
        return _account(kind, data, start, label) or hit
    if kind == "CARD" and hit is None:
        return _account(kind, data, start, label)
    if kind == "PHONE" and hit is None:
        return read_phone(data, first) if not label[:1].isascii() or _PLAIN_PHONE(label) else None
    if kind == "ID" and hit is None and not _BARE_ID(label):
        return _national(kind, data, start, label)
    return hit


_national_chars = _matched(_NATIONAL, T.NATIONAL_ID, 6, "national_id_labelled")


def _account(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    match = _ACCOUNT(data, start)
    if match is None:
        return None
    value, end = match.group(), match.end()
    if (
        data[end] in ALNUM
        or num_digits(value) < 6
        or _AFTER_QUANTITY(data, end)
        or _IS_DATE(value)
        or is_decimal_right(data, end)
    ):
        return None
    return start, end, T.ACCOUNT, 2, "account_labelled"


def _national(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    match = _NATIONAL(data, start)
    if match is None or _IS_DATE(match.group()):
        return None
    if label.lower().startswith(b"my number") and num_digits(match.group()) != _MY_NUMBER_DIGITS:
        return _number("PHONE", data, start, b"number:")  # what a caller says; the Japanese id has twelve digits
    return _national_chars(kind, data, start, label)


def _iban(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    """By the length of its country; a mistyped one behind its label still counts."""
    match = _IBAN(data, start)
    if match is None:
        return None
    length = check.IBAN_LENGTHS.get(match.group()[:2].upper(), 0)
    end, value = start, b""
    while end < match.end() and len(value) < length:
        value += data[end : end + 1].strip()
        end += 1
    if len(value) != length or not length or (end < len(data) and data[end] in ALNUM):
        return None
    return start, end, T.IBAN, 3 if check.is_iban(value.upper()) else 2, "iban"


def _plate(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    """A plate of another country: letters and digits, or digits alone where the label says number."""
    match = _PLATE(data, start)
    if match is None or data[match.end()] in ALNUM or not num_digits(match.group()):
        return None
    if match.group().replace(b" ", b"").isdigit() and b" " not in label.strip() and not _STRONG(label):
        return None
    return start, match.end(), T.PLATE, 2, "plate_labelled"


def _vin(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    match = _VIN(data, start)
    if match is None or (match.end() < len(data) and data[match.end()] in ALNUM):
        return None
    if num_digits(match.group()) < 3 and not check.is_vin(match.group()):
        return None  # a long word; of capitals with the right check digit it is none
    return start, match.end(), T.VIN, 3 if check.is_vin(match.group().upper()) else 2, "vin"


def _org(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    match = _ORG(data, start)
    if match is None or (match.end() < len(data) and data[match.end()] in ALNUM):
        return None
    return start, match.end(), T.ORG_ID, 3 if check.is_org_id(match.group().upper()) else 2, "org_id"


def _date(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    return read_compact_date(data, start)


def _tail(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    match = _TAIL(data, start)
    if match is None or (match.end() < len(data) and data[match.end()] in ALNUM):
        return None
    return start, match.end(), T.SECRET, 2, "last_digits"


def _short_code(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    match = _SHORT_CODE(data, start)
    if match is None or num_digits(match.group()) < 3 or (match.end() < len(data) and data[match.end()] in ALNUM):
        return None
    return None if _AFTER_QUANTITY(data, match.end()) else (start, match.end(), T.SECRET, 2, "code_labelled")


def _word(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    """A password: printable ASCII to the next blank; letters alone count only behind a colon or an equals sign."""
    match = _WORD(data, start)
    if match is None:
        return None
    value = match.group().rstrip(b".,;:!?)]}>\"'")
    if len(value) < 3 or (value.isalpha() and not re.search(rb"[:=]|\xef\xbc\x9a", label)):
        return None
    return start, start + len(value), T.SECRET, 2, "password_labelled"


def _handle(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    """An account name of a messenger; letters alone count only behind a colon or an equals sign."""
    match = _WECHAT(data, start)
    if match is None:
        return None
    value = match.group().rstrip(b".-")
    if len(value) < 4 or (value.isalpha() and not re.search(rb"[:=@]|\xef\xbc\x9a|\xe5\x8f\xb7", label)):
        return None
    return start, start + len(value), T.HANDLE, 2, "handle_labelled"


_SPOKEN_TYPES = {
    "PHONE": (T.PHONE, 7, 12),
    "ID": (T.ID_CN, 15, 18),
    "CARD": (T.CARD, 12, 19),
    "ACCOUNT": (T.ACCOUNT, 6, 20),
    "MRN": (T.MRN, 4, 20),
    "HEALTH_PLAN": (T.HEALTH_PLAN, 6, 20),
    "TXN": (T.TXN, 6, 20),
    "CODE": (T.SECRET, 4, 8),
    "TAIL": (T.SECRET, 4, 6),
    "WORD": (T.SECRET, 4, 12),
    "HANDLE": (T.HANDLE, 5, 12),
    "POSTCODE": (T.POSTCODE, 6, 6),
}


def _spoken(kind: str, data: bytes, start: int) -> Hit | None:
    """Digits in Chinese characters, one by one: 一三八零零…; a numeral with 十 or 百 is none."""
    match = _SPOKEN(data, start)
    if match is None or kind not in _SPOKEN_TYPES:
        return None
    type_, least, most = _SPOKEN_TYPES[kind]
    count = len(match.group().replace(b" ", b"").replace(b"-", b"")) // 3
    return (start, match.end(), type_, 2, "spoken_digits") if least <= count <= most else None


_READERS: dict[str, Callable[[str, bytes, int, bytes], Hit | None]] = {
    **dict.fromkeys(CODE_TYPES, _code),
    **dict.fromkeys(("PHONE", "ID", "CARD", "ACCOUNT", "SSN"), _number),
    "NATIONAL_ID": _national,
    "IBAN": _iban,
    "PLATE": _plate,
    "VIN": _vin,
    "ORG_ID": _org,
    "POSTCODE": _matched(_POSTCODE, T.POSTCODE, 2, "postcode_labelled"),
    "DATE": _date,
    "TAIL": _tail,
    "CODE": _short_code,
    "WORD": _word,
    "HANDLE": _handle,
}


def read_labelled(kind: str, data: bytes, start: int, label: bytes) -> Hit | None:
    """The value of ``kind`` at ``start``; ``label`` is the label with what stands between it and the value."""
    if data[start] >= 0x80:
        return _spoken(kind, data, start)
    hit = _READERS[kind](kind, data, start, label)
    return None if hit is None or data.startswith(_STARS, hit[1]) else hit


_STARS = tuple(star.encode() for star in "*＊•●※")
_NEXT = re.compile("(?: ?(?:、|/|和|及|与|或|；|;|,|，) ?| and | or )".encode()).match
_NEXT_FIRST = frozenset("、和及与或；，;,/ ".encode())
_MAX_LIST = 16
_LISTED = frozenset(("MRN", "HEALTH_PLAN", "TXN", "LICENCE", "PASSPORT", "DEVICE", "ACCOUNT", "PHONE"))


def continues_list(data: bytes, end: int) -> bool:
    """Whether another value of the same list may follow."""
    if data[end] not in _NEXT_FIRST or not (mark := _NEXT(data, end)):
        return False
    return mark.end() < len(data) and data[mark.end()] in ALNUM


def read_list(kind: str, data: bytes, hit: Hit, label: bytes) -> list[Hit]:
    """The hit, and further values of the same length that share its label: ``住院号：ZY1234567、ZY1234568``."""
    hits = [hit]
    if data[hit[1]] not in _NEXT_FIRST or kind not in _LISTED:
        return hits
    while len(hits) < _MAX_LIST and (mark := _NEXT(data, hits[-1][1])):
        start = mark.end()
        if start >= len(data) or data[start] not in ALNUM:
            break
        more = _READERS[kind](kind, data, start, label)
        if more is None or more[1] - more[0] != hit[1] - hit[0]:
            break
        hits.append(more)
    return hits


__all__ = ["CODE_TYPES", "continues_list", "read_labelled", "read_list"]
