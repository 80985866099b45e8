"""What a hit of the scan is: the second look, with neighbour bytes, labels, calendars and check digits.

Invariant: reading a hit gives identifiers that begin inside it and the place where the scan goes on, which is always
behind the hit's start. The table of labels seen before is bounded and changes no result.
Not handled here: bare digit runs, links and e-mail addresses, which are taken out of the text before.
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import partial

from fedward.common.desensitize import validators as check
from fedward.common.desensitize.detectors.anchors import image_file_start, spelt_address
from fedward.common.desensitize.detectors.dates import read_age, read_date
from fedward.common.desensitize.detectors.hits import ALNUM, DIGITS, LETTERS, LOWER, Hit, num_digits, touches_alnum
from fedward.common.desensitize.detectors.labels import (
    FIELD_ENDS,
    MAX_LABEL_BYTES,
    MONEY,
    OTHER,
    Labels,
    field_start,
    kind_of,
)
from fedward.common.desensitize.detectors.numbers import is_amount, read_at, with_extension
from fedward.common.desensitize.detectors.plain_phones import CLOSE, LONG_PHONE_WORDS, PHONE_WORDS
from fedward.common.desensitize.detectors.rules import (
    LABELLED_AT,
    NOT_XINJIANG,
    NUMBER_AT,
    PLATE_AT,
    PROVINCE_CHARACTERS,
    SEPARATORS_AT,
)
from fedward.common.desensitize.detectors.values import CODE_TYPES, read_labelled, read_list
from fedward.common.desensitize.spans import EntityType as T

Taken = tuple[list[Hit], int]
Match = Callable[[bytes, int], re.Match[bytes] | None]
_MAX_REMEMBERED = 1 << 13
_PHONE_TAILS = frozenset(word.encode() for word in (*PHONE_WORDS, *LONG_PHONE_WORDS))
_NARROW_ENDS = frozenset(mark[0] for mark in FIELD_ENDS if len(mark) == 1)
_CLOSE_TO_LABEL = frozenset(mark.encode() for mark in CLOSE)
_NUMBER_WORD = re.compile(rb" (no|nr|id|num|NO|NR|ID)$").search
_IS_GLUED = re.compile(rb"[A-Za-z]+[-_]?").fullmatch
"""A label that is part of its value: MRN12345678, SN-2024-001."""
_NOTHING: list[Hit] = []
_ODD_ON_PLATES = b"abcdefghijklmnopqrstuvwxyzIO"
_MAX_LINE = 512
"""How far back bold marks are counted."""
_KNOWN_SHORT = frozenset((b"mrn", b"ssn", b"txn"))
_NEW = "新".encode()
_RECORD_BEFORE = re.compile(rb"[A-Z]{0,3}[0-9](?:-?[0-9]){3,15}$").search
_MAX_RECORD = 40
_NOT_XINJIANG = tuple(c.encode() for c in NOT_XINJIANG)
_VERSION = re.compile(
    rb"(?:version|ver|v|section|chapter|release|rev|ec|\xe7\x89\x88\xe6\x9c\xac|\xe7\xab\xa0|\xe8\x8a\x82)[ .:]{0,2}$",
    re.I,
)


class Reader:
    """Reads hits of the scan in one engine's labels."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._remembered: dict[bytes, tuple[str, int] | None] = {}
        self._fields: dict[bytes, tuple[str, int] | None] = {}
        self._first_of: dict[int, int] = {}
        self._unlabelled: set[int] = set()

    def forget(self) -> None:
        """Forget the fields of the last text."""
        self._fields.clear()
        self._first_of.clear()
        self._unlabelled.clear()

    def expect(self, starts: Iterable[int], firsts: Iterable[int]) -> None:
        """Where the fields before some places of the text begin, if that is known."""
        self._first_of.update(zip(starts, firsts, strict=True))

    def expect_none(self, starts: Iterable[int]) -> None:
        """Places before which no label stands in their field."""
        self._unlabelled.update(starts)

    def kind_before(self, data: bytes, start: int) -> str | None:
        """Kind of the nearest label in the field."""
        nearest = self._nearest(data, start)
        return None if nearest is None else nearest[0]

    def _nearest(self, data: bytes, start: int) -> tuple[str, int] | None:
        """Kind of the nearest label, and how far before ``start`` it ends.

        Forms repeat themselves, so fields are remembered: the bytes between the last mark that ends a field and
        ``start``, with one more to the left; the one to the right counts only if it goes on with a word.
        """
        if start in self._unlabelled:
            return None
        floor = max(start - MAX_LABEL_BYTES, 0)
        first = self._first_of.get(start)
        if first is None:
            first = field_start(data, floor, start)
        key = data[max(first - 1, 0) : start]
        if data[start] in LOWER:
            key += b"a"
        try:
            return self._fields[key]
        except KeyError:
            if len(self._fields) > _MAX_REMEMBERED:
                self._fields.clear()
        nearest = self._labels.nearest_from(data, floor, first, start)
        found = self._fields[key] = None if nearest is None else (nearest[0], start - nearest[1])
        return found

    def phone(self, data: bytes, start: int, end: int) -> Hit:
        """A number of an allocated prefix: level 2, lowered beside a label of another kind, retyped behind one."""
        left = data[start - 1]
        is_first = left in _NARROW_ENDS or self._first_of.get(start) == start
        if not is_first or not (data[end] in _NARROW_ENDS or data[end : end + 3] in FIELD_ENDS):
            end = with_extension(data, end)
            if is_amount(data, start, end):
                return start, end, T.PHONE, 1, "mobile_prefix"
        if is_first:
            return start, end, T.PHONE, 2, "mobile_prefix"
        tail = data[max(0, start - 24) : start].rstrip(b" :=\"'(")
        if tail[-3:] in _CLOSE_TO_LABEL:
            tail = tail[:-3]
        if tail[-6:] not in _PHONE_TAILS and tail[-9:] not in _PHONE_TAILS:
            nearest = self._nearest(data, start)
            divided = not data[start:end].lstrip(b"+").isdigit()
            if nearest is not None and (nearest[0] == OTHER or (nearest[0] == MONEY and not divided)):
                return start, end, T.PHONE, 1, "mobile_prefix"
            if nearest is not None and nearest[0] in RETYPED:
                between = SEPARATORS_AT(data, start - nearest[1], start)
                if between is not None and between.end() == start:
                    return start, end, RETYPED[nearest[0]], 2, f"{nearest[0].lower()}_labelled"
        return start, end, T.PHONE, 2, "mobile_prefix"

    def take(self, data: bytes, start: int, label_end: int, shape: Match, floor: int) -> Taken:
        """Identifiers that begin at ``start`` and where the scan goes on; nothing before ``floor`` is free.

        Args:
            label_end: 0, or where a label with the first character of its value seems to end.
            shape: the rules that may begin here, of those without a label.
        """
        first = data[start]
        if first >= 0x80:
            if data[start : start + 3] in PROVINCE_CHARACTERS and (match := PLATE_AT(data, start)):
                return self._plate(data, start, match.end(), floor)
            if label_end and (taken := self._take_labelled(data, start, label_end)) is not None:
                return taken
        elif label_end and (taken := self._take_labelled(data, start, label_end)) is not None:
            if not taken[0] and (match := shape(data, start)) and match.lastgroup in _READERS:
                # What looked like a label is the head of a code: cc:7d:ff:03:5a:b5
                return _READERS[match.lastgroup](self, data, start, match.end(), floor)
            return taken
        match = shape(data, start)
        if match is None:  # cut short by a bound: not this reading
            return _NOTHING, start + 1
        rule = match.lastgroup or ""
        end = match.end()
        if rule in _READERS:
            return _READERS[rule](self, data, start, end, floor)
        hit = read_date(rule, data, start, end, partial(self.kind_before, data, start))
        return ([hit], end) if hit is not None else self._else_number(data, start)

    def _take_labelled(self, data: bytes, start: int, end: int) -> Taken | None:
        """A value behind its label; None if the hit is of another rule."""
        key = data[start : end - 1]
        known = self._remembered.get(key)
        if known is None:
            match = LABELLED_AT(data, start)
            if match is None:
                return None
            label = next(group for group in match.groups() if group is not None)
            known = (kind_of(label), match.start(match.lastindex or 0) - start)
            if known[1] == len(label) and (word := _NUMBER_WORD(label)):  # VIN NR034JUT…: no word, but the value
                known = (known[0], word.start(1))
            if len(self._remembered) < _MAX_REMEMBERED and b"(" not in key and "（".encode() not in key:
                self._remembered[key] = known
        kind, offset = known
        value = start + offset
        first = data[start]
        if first < 0x80 and start and data[start - 1] in ALNUM and not (data[start - 1] > 96 and first < 97):
            return _NOTHING, start + 1
        glued = first < 0x80 and _IS_GLUED(key, 0, offset) is not None
        if glued and kind in _NAMES_ITSELF and offset < 4 and not self._may_be_glued(data, key[:offset], value):
            return _NOTHING, _after_alnum(data, start)  # SN9558, DL-154319: as likely a model or a flight
        hit = read_labelled(kind, data, value, key[:offset])
        if hit is None:
            return _NOTHING, max(value, start + 1)
        hits = read_list(kind, data, hit, key[:offset])
        if glued and kind in CODE_TYPES:
            hits[0] = (start, *hits[0][1:])
        return hits, hits[-1][1]

    @staticmethod
    def _may_be_glued(data: bytes, label: bytes, value: int) -> bool:
        """Whether a label of two or three letters may begin a code without anything between."""
        word = label.lower().rstrip(b"-_")
        return word in _KNOWN_SHORT or (word == b"qq" and data[value] in DIGITS)

    def _number(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        hit, resume = read_at(data, start, partial(self.kind_before, data, start))
        return ([hit] if hit is not None else _NOTHING), resume

    def _else_number(self, data: bytes, start: int) -> Taken:
        """What looked like a date, but is none, may still begin a number: 86-10-62345678."""
        if data[start] in DIGITS and NUMBER_AT(data, start):
            return self._number(data, start, start, start)
        return _NOTHING, _after_group(data, start)

    def _token(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        """A run of capitals and digits: a number, an IBAN, a VIN or an organisation's code."""
        value = data[start:end]
        if value.isdigit() or (len(value) == 18 and value[17] == 88 and value[:17].isdigit()):
            return self._number(data, start, end, floor)
        if touches_alnum(data, start, end):
            return _NOTHING, _after_alnum(data, start)
        if check.is_iban(value):
            return [(start, end, T.IBAN, 3, "iban")], end
        if len(value) == 17 and check.is_vin(value) and not value.isalpha():
            return [(start, end, T.VIN, 2, "vin_checked")], end
        if check.is_org_id(value) and not value.isalpha():
            return [(start, end, T.ORG_ID, 3, "org_checked")], end
        return _NOTHING, end

    def _iban(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        """An IBAN in groups of four; its length comes from the country, so a following word is left alone."""
        length = check.IBAN_LENGTHS.get(data[start : start + 2], 0)
        stop, value = start, b""
        while stop < end and len(value) < length:
            value += data[stop : stop + 1].strip()
            stop += 1
        if touches_alnum(data, start, stop) or not check.is_iban(value):
            return _NOTHING, start + 2
        return [(start, stop, T.IBAN, 3, "iban")], stop

    def _plate(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        """Province, letter and a tail with at least two digits, or one beside a label."""
        value = data[start:end]
        if (end < len(data) and data[end] in ALNUM) or (data[start] < 0x80 and start and data[start - 1] in ALNUM):
            return _NOTHING, start + 3
        if value.startswith(_NEW) and data[start - 3 : start] in _NOT_XINJIANG:
            return _NOTHING, start + 3
        digits = num_digits(value)
        if b"*" in value:
            return ([(start, end, T.MASKED, 3, "plate_masked")], end) if digits else (_NOTHING, start + 3)
        if digits < 2 and (digits == 0 or self.kind_before(data, start) != "PLATE"):
            return _NOTHING, start + 3
        if digits < 4 and value.translate(None, _ODD_ON_PLATES) != value and self.kind_before(data, start) != "PLATE":
            return _NOTHING, start + 3
        return [(start, end, T.PLATE, 2, "plate")], end

    def _ipv4(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        octets = data[start:end].split(b".")
        joined = start > 1 and data[start - 1] == 46 and data[start - 2] in ALNUM
        more = data[end : end + 1] == b"." and data[end + 1 : end + 2].isdigit()
        if touches_alnum(data, start, end) or joined or more or max(map(int, octets)) > 255:
            return _NOTHING, _after_dotted(data, start)
        if any(len(o) > 1 and o[0] == 48 for o in octets):
            return _NOTHING, end
        kind = self.kind_before(data, start)
        is_section = len(octets) == end - start - 3 and kind != "IP"
        is_version = is_section or kind == OTHER or _VERSION.search(data[max(0, start - 12) : start])
        return [(start, end, T.IP, 1 if is_version else 2, "ipv4")], end

    def _ipv6(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        text = data[start:end].decode("ascii")
        groups = text.split(":")
        plausible = sum(bool(g) for g in groups) >= 3 or (
            text.count(":") >= 2 and self.kind_before(data, start) == "IP"
        )
        if touches_alnum(data, start, end) or not plausible or not any(c.isdigit() for c in text):
            return _NOTHING, _after_alnum(data, start)
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            return _NOTHING, _after_alnum(data, start)
        return [(start, end, T.IP, 3, "ipv6")], end

    def _mac(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        value = data[start:end]
        beside = data[start - 1 : start] in (b":", b"-", b".") or data[end : end + 1] == b":"
        if touches_alnum(data, start, end) or (beside and data[start - 1] != 10 and data[start - 2] in ALNUM):
            return _NOTHING, _after_alnum(data, start)
        letters = any(c in LETTERS for c in value)
        certain = (b":" in value and (letters or len(set(value)) > 2)) or (letters and b"-" in value)
        if not certain and self.kind_before(data, start) != "DEVICE":
            return _NOTHING, _after_group(data, start)
        return [(start, end, T.DEVICE, 3, "mac")], end

    def _masked(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        """Half masks; ``**`` of bold text is none."""
        value = data[start:end]
        if data[start] >= 0x80 and data[start] not in (0xE2, 0xEF):
            back = max(0, start - _MAX_LINE)
            line = max(back, data.rfind(b"\n", back, start) + 1)
            if data[start - 1] == 42 or data.count(b"**", line, start) % 2 or data[end : end + 1] == b"*":
                return _NOTHING, start + 3
            if b"**" in value or "＊＊".encode() in value:
                end = start + max(value.rfind(b"*") + 1, value.rfind("＊".encode()) + 3)
            return [(start, end, T.MASKED, 2, "name_masked")], end
        if touches_alnum(data, start, end) or data[end : end + 1] == b"*" or data[start - 1] == 42:
            return _NOTHING, _after_alnum(data, start)
        if data[end : end + 3] == "＊".encode():
            return _NOTHING, start + 1
        return [(start, end, T.MASKED, 2, "stars_and_digits")], end

    def _age(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        hit = read_age(data, start, end)
        if hit is not None:
            return [hit], end
        return _NOTHING, _after_group(data, start) if data[start] in DIGITS else start + 3

    def _code(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        """A code before its word: 123456是您的验证码."""
        stop = start
        while data[stop] in DIGITS:
            stop += 1
        if data[start - 1] in ALNUM:
            return _NOTHING, stop
        return [(start, stop, T.SECRET, 2, "code_before_label")], end

    def _record(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        """A record number before its word: 00080115号病历."""
        match = _RECORD_BEFORE(data[max(floor, start - _MAX_RECORD) : start])
        first = start - len(match.group()) if match else start
        if first == start or data[first - 1] in ALNUM:
            return _NOTHING, end
        return [(first, start, T.MRN, 2, "mrn_before_label")], end

    def _image(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        first = image_file_start(data, start, floor)
        if first == start or (end < len(data) and data[end] in ALNUM):
            return _NOTHING, end
        return [(first, end, T.IMAGE, 2, "image_file")], end

    def _spelt(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        hit = spelt_address(data, start, floor)
        return ([hit], hit[1]) if hit is not None else (_NOTHING, end)

    def _passport(self, data: bytes, start: int, end: int, floor: int) -> Taken:
        if touches_alnum(data, start, end):
            return _NOTHING, _after_alnum(data, start)
        return [(start, end, T.PASSPORT, 1, "passport_shape")], end


RETYPED = {**CODE_TYPES, "ACCOUNT": T.ACCOUNT, "NATIONAL_ID": T.NATIONAL_ID}
"""What a number of a phone's form is right behind such a label."""
RETYPED.pop("PASSPORT")
_NAMES_ITSELF = frozenset((*CODE_TYPES, "HANDLE", "ACCOUNT", "NATIONAL_ID", "CARD"))
_READERS: dict[str, Callable[[Reader, bytes, int, int, int], Taken]] = {
    "number": Reader._number,
    "token": Reader._token,
    "iban": Reader._iban,
    "plate": Reader._plate,
    "ipv4": Reader._ipv4,
    "ipv6": Reader._ipv6,
    "mac": Reader._mac,
    "masked": Reader._masked,
    "age": Reader._age,
    "code_before": Reader._code,
    "record_before": Reader._record,
    "image_file": Reader._image,
    "spelt": Reader._spelt,
    "passport": Reader._passport,
}


def _after_group(data: bytes, start: int) -> int:
    """Behind the first run of digits; one byte on where there is none."""
    stop = start
    while stop < len(data) and data[stop] in DIGITS:
        stop += 1
    return max(stop, start + 1)


def _after_alnum(data: bytes, start: int) -> int:
    """Behind the letters and digits from ``start``: an atom is never entered in its middle."""
    stop = start
    while stop < len(data) and data[stop] in ALNUM:
        stop += 1
    return max(stop, start + 1)


def _after_dotted(data: bytes, start: int) -> int:
    """Behind a whole dotted number, 1.2.840.10008.1.2, no part of which is an address."""
    stop = start
    while stop < len(data) and (data[stop] in DIGITS or (data[stop] == 46 and data[stop + 1 : stop + 2].isdigit())):
        stop += 1
    return max(stop, start + 1)


__all__ = ["Match", "Reader", "RETYPED", "Taken"]
