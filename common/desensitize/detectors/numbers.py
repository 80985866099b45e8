"""Numbers: digit groups between separators, compared with the shapes that identifiers are written in.

Invariants: groups are atomic, so a phone is never found inside a longer number; only windows that begin at the first
group are tried, longest first, and if none fits the scan goes on after that group, so one run never swallows the next
item. Not handled here: bare runs that need no label (``runs``) and values with letters (``values``).
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from fedward.common.desensitize import validators as check
from fedward.common.desensitize.detectors.hits import (
    ALNUM,
    DIGITS,
    Hit,
    is_decimal_left,
    is_decimal_right,
)
from fedward.common.desensitize.detectors.rules import NUMBER_SEPARATOR
from fedward.common.desensitize.spans import EntityType as T

Kind = Callable[[], str | None]
"""Gives the kind of the nearest label, looked up only where it decides."""
Lengths = tuple[int, ...]
Reading = tuple[T, int, str]

_GROUPS = re.compile(f"[0-9]+(?:{NUMBER_SEPARATOR}{{1,2}}[0-9]+){{0,6}}".encode()).match
_GROUP = re.compile(rb"[0-9]+").finditer
EXTENSION = re.compile(
    "(?: ?(?:转|轉|分机|分机号|[Ee][Xx][Tt](?:\\.|ension)?|[Xx]|#|-)(?:：|:)? ?[0-9]{1,6})".encode()
).match
MONEY_LEFT = tuple(mark.encode() for mark in ("¥", "￥", "$", "€", "£"))
UNITS = tuple(
    unit.encode()
    for unit in ("元", "万", "亿", "%", "％", "‰", "美元", "块", "円", "股", "份", "倍", "千", "/mL", "×10")
)

_ID: set[Lengths] = {
    (18,), (6, 8, 4), (6, 4, 4, 4), (4, 4, 4, 4, 2), (3, 3, 4, 4, 4), (3, 3, 8, 4), (6, 12), (6, 8, 3, 1), (14, 4),
    (10, 8), (6, 4, 8), (6, 4, 2, 2, 4), (8, 10), (3, 4, 4, 4, 3), (6, 6, 6), (2, 4, 8, 4), (10, 4, 4),
}  # fmt: skip
_OLD_ID: set[Lengths] = {(15,), (6, 6, 3)}
_CARD: set[Lengths] = {(n,) for n in range(12, 20)} | {(4, 4, 4, n) for n in range(1, 8)} | {(4, 6, 5), (4, 6, 4)}
_CARD |= {(4, 4, 4, 4, n) for n in (1, 2, 3)} | {(6, 10), (6, 13), (8, 8), (4, 12), (4, 15), (4, 4, 8), (5, 5, 5, 4)}
_CARD |= {(8, 11), (6, 4, 6), (6, 4, 4, 2), (6, 6, 7), (6, 6, 4)}
_MOBILE: set[Lengths] = {
    (11,), (3, 4, 4), (3, 8), (4, 4, 3), (7, 4), (5, 6), (3, 3, 5), (5, 3, 3), (4, 7), (3, 4, 2, 2), (3, 2, 2, 2, 2),
    (3, 5, 3), (3, 2, 2, 4), (4, 3, 4), (5, 2, 2, 2), (6, 5),
}  # fmt: skip
_MOBILE |= {(2, *s) for s in _MOBILE} | {(4, *s) for s in _MOBILE} | {(12,), (13,), (15,), (5, 4, 4), (7, 8)}
_LANDLINE: set[Lengths] = {(3, 8), (3, 4, 4), (4, 7), (4, 8), (4, 4, 4), (4, 3, 4), (11,), (12,), (4, 4, 3), (3, 2, 6)}
_INTERNATIONAL_LANDLINE: set[Lengths] = {
    (2, 2, 8), (2, 2, 4, 4), (2, 3, 8), (2, 3, 7), (2, 3, 4, 4), (2, 3, 3, 4), (12,), (4, 8), (2, 10), (5, 8),
    (4, 2, 8), (4, 3, 8), (4, 3, 7), (4, 2, 4, 4),
}  # fmt: skip
_TOLL: set[Lengths] = {(10,), (3, 3, 4), (3, 4, 3), (3, 7), (3, 2, 5)}
_NANP: set[Lengths] = {(10,), (11,), (3, 3, 4), (1, 3, 3, 4), (1, 10), (3, 7), (1, 3, 7), (3, 3, 3, 4)}
_SPACED: set[Lengths] = {(3, 3, 4), (1, 3, 3, 4)}
_SSN: set[Lengths] = {(9,), (3, 2, 4)}
MOBILE_SHAPES, ID_SHAPES = frozenset(_MOBILE), frozenset(_ID)
SHAPES = frozenset(_ID | _OLD_ID | _CARD | _MOBILE | _LANDLINE | _INTERNATIONAL_LANDLINE | _TOLL | _NANP | _SSN)
# With the check character X in the last place the last group is one digit shorter.
_SHAPES_X = frozenset((*shape[:-1], shape[-1] - 1) for shape in _ID)
KNOWN_SHAPES = SHAPES | _SHAPES_X
_BLANKS = bytes(c if c in DIGITS else 32 for c in range(256))
_UNIT_FIRST = frozenset(unit[0] for unit in UNITS)
_MONEY_LAST = frozenset(mark[-1] for mark in MONEY_LEFT)
EXTENSION_WORDS = " 转轉分EeXx#-"
"""First characters of what may be an extension."""
_EXTENSION_FIRST = frozenset(EXTENSION_WORDS.encode())
_YEARS = re.compile(rb"(?:19|20)[0-9]{2}.(?:19|20)[0-9]{2}").fullmatch
_MAX_E164 = 15
_OPEN, _CLOSE = "（".encode(), "）".encode()


def _resident_id(value: bytes, kind: Kind) -> Reading | None:
    """ISO 7064 and a meaning: level 3; a real date or the check alone: 2 beside an id label, else 1."""
    checked = check.id_has_check(value)
    if checked and check.id_has_meaning(value):
        return T.ID_CN, 3, "id_checked"
    if kind() in ("ID", "LICENCE"):
        return T.ID_CN, 2, "id_labelled"
    return (T.ID_CN, 1, "id_date") if check.id_has_date(value) else None


def _card(digits: bytes, kind: Kind) -> Reading | None:
    luhn, known = check.has_luhn(digits), check.has_card_range(digits)
    if luhn and known and len(digits) > 12:  # thirteen digits are article numbers, too
        return T.CARD, 3 if len(digits) > 13 else 2, "card_luhn_bin"
    label = kind()
    if label == "ACCOUNT":
        return T.ACCOUNT, 2, "account_labelled"
    if label in ("CARD", "TAIL"):
        return T.CARD, 2, "card_labelled"
    return (T.CARD, 1, "card_luhn") if luhn and len(digits) > 12 else None


def _mobile(digits: bytes, shape: Lengths, kind: Kind) -> Reading | None:
    if len(digits) > 11 and digits[:-11] not in (b"86", b"0086", b"0"):
        return None
    trunk, digits = digits[:-11], digits[-11:]
    if digits[0] != 49:
        return None
    if trunk == b"0" and kind() != "PHONE":
        return T.PHONE, 1, "mobile_prefix"
    if check.is_mobile(digits):
        return T.PHONE, 2, "mobile_prefix"
    if digits[1] > 50 and kind() == "PHONE":
        return T.PHONE, 2, "phone_labelled"
    return (T.PHONE, 1, "mobile_shape") if digits[1] > 50 and len(shape) == 1 else None


def _landline(digits: bytes, shape: Lengths, kind: Kind) -> Reading | None:
    if digits.startswith(b"0086"):
        digits = digits[2:]
    if digits.startswith(b"86"):
        digits = digits[2:] if digits[2] == 48 else b"0" + digits[2:]
    if not check.is_landline(digits):
        return None
    return T.PHONE, 2 if len(shape) > 1 or kind() == "PHONE" else 1, "area_code"


def _american(digits: bytes, shape: Lengths, kind: Kind, blank: bool) -> Reading | None:
    if len(digits) == 11:
        if digits[0] != 49:
            return None
        digits = digits[1:]
    if len(digits) == 13 and digits.startswith(b"001"):
        digits = digits[3:]
    if not check.is_nanp(digits):
        # An exchange N11 is not in the plan, but made-up and mistyped numbers have it.
        likely = len(digits) == 10 and len(shape) > 2 and not blank and digits[0] > 49 and digits[3] > 49
        return (T.PHONE, 2, "nanp_shape") if likely and digits[1:3] != b"11" else None
    label = kind()
    witness = label == "PHONE" or (len(shape) > 1 and not blank)
    return T.PHONE, 1 + witness, "nanp"


def _read(digits: bytes, shape: Lengths, kind: Kind, blank: bool) -> Reading | None:
    """What digits in this shape are, or None."""
    n = len(digits)
    if n == 18 and shape in _ID:
        reading = _resident_id(digits, kind)
        if reading is None and digits[17] < 58 and check.is_org_id(digits):
            return T.ORG_ID, 3, "org_checked"
        if reading is not None and (reading[1] > 1 or digits[17] > 57 or check.id_has_meaning(digits)):
            return reading
    if digits[-1] > 57:
        return None
    if shape in _MOBILE and n > 10:
        reading = _mobile(digits, shape, kind)
        if reading is not None:
            return reading
    if shape in _CARD or shape in _OLD_ID:
        if n == 15 and shape in _OLD_ID and check.old_id_has_meaning(digits) and not check.is_card(digits):
            return T.ID_CN, 2 if kind() in ("ID", "LICENCE") else 1, "id_15"
        reading = _card(digits, kind) if shape in _CARD else None
        if reading is not None:
            return reading
    if shape in _LANDLINE or shape in _INTERNATIONAL_LANDLINE:
        reading = _landline(digits, shape, kind)
        if reading is not None:
            return reading
    return _short(digits, shape, kind, blank)


def _short(digits: bytes, shape: Lengths, kind: Kind, blank: bool) -> Reading | None:
    """Service, North American and social security numbers."""
    if shape in _TOLL and digits[:3] in (b"400", b"800"):
        label = kind()
        if len(shape) > 1 or label == "PHONE":
            return T.PHONE, 2, "service_number"
    if shape in _NANP:
        reading = _american(digits, shape, kind, blank)
        if reading is not None:
            return reading
    if shape in _SSN and check.is_ssn(digits):
        witness = (len(shape) > 1 and not blank) or kind() == "SSN"
        return T.SSN, 1 + witness, "ssn_area"
    return None


def _lowered(data: bytes, start: int, end: int, reading: Reading, kind: Kind, *, divided: bool) -> Reading | None:
    """A label of another kind, a currency sign or a unit takes one from levels 1 and 2.

    No amount is ``divided`` into three groups and more by blanks or hyphens, so what seems to be its label is
    something else: Chloe Price - 702-657-3217.
    """
    type_, level, method = reading
    if level > 2:
        return reading
    label = kind()
    if label == "OTHER" or (label == "MONEY" and not divided) or is_amount(data, start, end):
        return (type_, level - 1, method) if level > 1 else None
    return reading


def is_amount(data: bytes, start: int, end: int) -> bool:
    """Whether a currency sign stands before, or a unit or decimals behind."""
    if data[end] in _UNIT_FIRST and data.startswith(UNITS, end):
        return True
    if data[start - 1] in _MONEY_LAST and data[start - 3 : start].endswith(MONEY_LEFT):
        return True
    return data[end] == 46 and is_decimal_right(data, end)


def read_at(data: bytes, start: int, kind: Kind) -> tuple[Hit | None, int]:
    """The identifier that begins at the digit ``start`` of a padded text; else None, and where the scan goes on."""
    match = _GROUPS(data, start)
    assert match is not None  # noqa: S101 - callers stand on a digit
    text = match.group()
    groups = [text] if text.isdigit() else text.translate(_BLANKS).split()
    resume = start + len(groups[0])
    left = data[start - 1]
    if left in ALNUM and (left in DIGITS or kind() in (None, "OTHER", "MONEY")):
        return None, resume  # unless the letters end a label: Tel13800138000
    if left == 43 and (hit := _international(data, start, text, groups)) is not None:
        return hit, hit[1]
    shape = tuple(map(len, groups))
    weak: Hit | None = None
    while shape:
        if shape in KNOWN_SHAPES:
            end = match.end() if len(shape) == len(groups) else start + _length(text, len(shape))
            hit = _window(data, start, end, shape, groups, kind)
            # A bare pattern yields to a shorter window that a checksum and a meaning confirm: a card and an amount.
            if hit is not None and (hit[3] > 2 or (weak is None and hit[3] > 1)):
                return hit, hit[1]
            weak = weak or hit
        shape = shape[:-1]
    return (None, resume) if weak is None else (weak, weak[1])


def _length(text: bytes, num: int) -> int:
    """Bytes up to the end of the ``num``-th group."""
    return next(itertools.islice(_GROUP(text), num - 1, None)).end()


def _window(data: bytes, start: int, end: int, shape: Lengths, groups: list[bytes], kind: Kind) -> Hit | None:
    digits = b"".join(groups[: len(shape)])
    after = data[end]
    if after in b"Xx" and shape in _SHAPES_X and data[end + 1] not in ALNUM:
        end, digits, shape = end + 1, digits + b"X", (*shape[:-1], shape[-1] + 1)
    elif shape not in SHAPES or (len(shape) > 1 and shape[-1] < 4 and _is_grouped(data, end)):
        return None
    first = start + shape[0]
    blank = len(shape) > 1 and data[first] == 32 and data[first + 1] in DIGITS
    reading = _read(digits, shape, kind, blank)
    if reading is None:
        return None
    if reading[0] is T.PHONE:
        end = with_extension(data, end)
    if data[end] in ALNUM:
        return None
    if reading[1] < 3:
        if data[start - 1] == 46 and is_decimal_left(data, start) and not _is_list_number(data, start):
            return None
        if reading[2] == "nanp" and shape in _SPACED and blank and _is_lone(data, start, end):
            reading = (T.PHONE, 2, "nanp_spaced")
        lowered = _lowered(data, start, end, reading, kind, divided=len(shape) > 2)
        if lowered is None:
            return None
        reading = lowered
    return (_with_opening(data, start, end) if reading[0] is T.PHONE else start), end, *reading


def with_extension(data: bytes, end: int) -> int:
    """The end of a phone with its extension, if one follows."""
    if data[end] in _EXTENSION_FIRST and (match := EXTENSION(data, end)) and not continues(data, match.end()):
        return match.end()
    return end


def continues(data: bytes, end: int) -> bool:
    """Whether more of a number follows: then what looked like an extension is the next item."""
    return data[end] in ALNUM or (data[end] in b".-" and data[end + 1] in DIGITS)


def _is_grouped(data: bytes, end: int) -> bool:
    """Whether the last group begins an amount: 220,944.20 behind a card."""
    return (data[end] == 44 and data[end + 1 : end + 4].isdigit()) or is_decimal_right(data, end)


def _is_lone(data: bytes, start: int, end: int) -> bool:
    """Whether no other number stands beside it, one blank away, as in a table of numbers."""
    return not (
        (data[start - 1] in b" (" and data[start - 2] in DIGITS) or (data[end] == 32 and data[end + 1] in DIGITS)
    )


def _is_list_number(data: bytes, start: int) -> bool:
    """Whether the digit before the full stop is a list number, 1 to 9 and alone."""
    return data[start - 2] != 48 and (start < 3 or data[start - 3] not in ALNUM | {46})


def _with_opening(data: bytes, start: int, end: int) -> int:
    """Take a plus, or the bracket whose partner is inside, along with a phone."""
    if data[start - 1] == 43:
        start -= 1
    left = data[start - 1]
    if left == 40:
        inside = data[start:end]
        return start - (inside.count(b")") > inside.count(b"("))
    if left == _OPEN[2] and data[start - 3 : start] == _OPEN:
        inside = data[start:end]
        return start - 3 * (inside.count(_CLOSE) > inside.count(_OPEN))
    return start


def _international(data: bytes, start: int, text: bytes, groups: list[bytes]) -> Hit | None:
    """E.164 behind a plus: the longest run of groups of at most 15 digits. +86 and +1 obey their own plans."""
    for num in range(len(groups), 0, -1):
        digits = b"".join(groups[:num])
        if len(digits) > _MAX_E164 or not _is_allocated(digits):
            continue
        end = start + _length(text, num)
        if data[end] not in ALNUM or with_extension(data, end) > end:
            end = with_extension(data, end)
            return _with_opening(data, start, end), end, T.PHONE, 2, "e164"
    return None


def _is_allocated(digits: bytes) -> bool:
    if digits.startswith(b"86"):
        national = digits[2:].removeprefix(b"0")
        return check.is_mobile(national) or check.is_landline(b"0" + national) or check.is_landline(national)
    if digits.startswith(b"1"):
        return check.is_nanp(digits[1:])
    return check.is_e164(digits)


def read_phone(data: bytes, start: int) -> Hit | None:
    """A phone of any country right behind a phone label: 7 to 13 digits, or a service number of five and more."""
    match = _GROUPS(data, start)
    if match is None:
        return None
    total = num = 0
    for group in match.group().translate(_BLANKS).split():
        if total >= 7 and (total + len(group) > 11 or len(group) > 4):
            break
        total, num = total + len(group), num + 1
    end = start + _length(match.group(), num)
    service = total >= 5 and data.startswith((b"95", b"96", b"100", b"12"), start)
    if not (7 <= total <= 13 or (service and total < 9)) or _is_date_or_years(data[start:end]):
        return None
    end = with_extension(data, end)
    if data[end] in ALNUM or is_amount(data, start, end):
        return None
    return _with_opening(data, start, end), end, T.PHONE, 2, "phone_labelled"


def _is_date_or_years(text: bytes) -> bool:
    if _YEARS(text):
        return True
    digits = bytes(c for c in text if c in DIGITS)
    return (
        len(digits) == 8
        and digits[:2] in (b"19", b"20")
        and check.is_real_date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    )


__all__ = [
    "EXTENSION_WORDS",
    "ID_SHAPES",
    "is_amount",
    "Kind",
    "KNOWN_SHAPES",
    "MOBILE_SHAPES",
    "MONEY_LEFT",
    "read_at",
    "read_phone",
    "SHAPES",
    "UNITS",
    "with_extension",
]
