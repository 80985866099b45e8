"""Every way in which a value from a column may be written in a text, as squeezed literals with their conditions.

Not handled here: the search (``literals``) and the conditions themselves (``known``).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from enum import Enum, auto
from functools import cache
from typing import Final, NamedTuple

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.lexicon_en import english_lexicon, name_key
from fedward.common.desensitize.detectors.literals import squeeze
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.tables import read_table

MIN_CJK: Final = 2
MIN_ASCII: Final = 4
_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_PARTS = re.compile(r"[\s,，·•・‧∙.]+")
_HONOURS = re.compile(
    r"^(?:(?:mr|mrs|ms|miss|dr|prof|sir|madam)\.?\s+)+|,?\s+(?:jr|sr|ii|iii|iv|md|m\.d|phd|ph\.d|rn)\.?$", re.IGNORECASE
)
_ADMIN = re.compile(
    r"^(?:中国)?(?:[\u4e00-\u9fff]{2,8}?(?:省|自治区))?(?:[\u4e00-\u9fff]{1,8}?(?:市|自治州|地区|盟))?"
    r"(?:[\u4e00-\u9fff]{1,6}?(?:区|县|旗|市))?"
)


class Condition(Enum):
    """What must stand beside a literal for it to count."""

    NONE = auto()
    CUE = auto()
    """A label, a role or a title."""
    TITLE = auto()
    """The literal is a surname: a title follows it, 老 or 小 stands before it, or half of it is masked."""
    PROPER = auto()
    """A part of a Latin name: with a capital, or beside a cue if it is an everyday word."""


class Spelling(NamedTuple):
    """One squeezed literal of a value."""

    literal: str
    type: EntityType
    condition: Condition
    cjk: bool


def spellings(type_: EntityType, value: str) -> Iterator[Spelling]:
    """The spellings of ``value``; none for an empty one."""
    text = Document.of(value).text.strip()
    if not squeeze(text):
        return
    if type_ is EntityType.PERSON:
        yield from _person(_HONOURS.sub("", text))
    elif type_ is EntityType.DATE:
        yield from (_whole(type_, spelling) for spelling in _dates(text))
    else:
        yield _whole(type_, _national(text) if type_ is EntityType.PHONE else text)
        if type_ is EntityType.ADDRESS and len(rest := _ADMIN.sub("", text)) >= 2 * MIN_ASCII - 2:
            yield _whole(type_, rest)


def _whole(type_: EntityType, text: str) -> Spelling:
    literal = squeeze(text)
    num_cjk = len(_CJK.findall(literal))
    long = num_cjk >= MIN_CJK or len(literal) >= MIN_ASCII
    return Spelling(literal, type_, Condition.NONE if long else Condition.CUE, num_cjk == len(literal))


def _national(text: str) -> str:
    """A phone number without its country code, which the search takes along where it stands."""
    digits = squeeze(text)
    match = re.fullmatch(r"(?:\+?86|0086)(1[3-9]\d{9}|\d{9,11})", digits) or re.fullmatch(r"\+1(\d{10})", digits)
    return match[1] if match else text.lstrip("+")


def _person(text: str) -> Iterator[Spelling]:
    parts = [part for part in _PARTS.split(text) if part]
    if len(parts) == 1 and not _CJK.search(text):
        yield Spelling(squeeze(text), EntityType.PERSON, _part_condition(text), False)
        return
    yield _whole(EntityType.PERSON, text)
    if _CJK.search(text):
        yield from _chinese(text, parts)
    elif "," in text and len(parts) > 1:
        last, *first = parts
        yield from _latin([*first, last])
    else:
        yield from _latin(parts)


def _chinese(text: str, parts: list[str]) -> Iterator[Spelling]:
    if len(parts) > 1 and not all(len(part) == 1 for part in parts) and len(squeeze(text)) > 4:
        for part in parts:
            if len(part) > 1:
                yield _whole(EntityType.PERSON, part)
        return
    name = squeeze(text)
    size = 2 if name[:2] in _compound() and len(name) > 2 else 1
    if 1 < len(name) <= 4:
        yield Spelling(name[:size], EntityType.PERSON, Condition.TITLE, True)
        if len(name) - size > 1:
            yield Spelling(name[size:], EntityType.PERSON, Condition.CUE, True)


@cache
def _compound() -> frozenset[str]:
    return frozenset(read_table("names_zh")["compound_surnames"])


def _latin(parts: list[str]) -> Iterator[Spelling]:
    if len(parts) < 2:
        return
    first, last, middle = parts[0], parts[-1], parts[1:-1]
    orders = {(*parts,), (last, first, *middle), (first, last), (last, first)}
    orders |= {(first[0], last), (last, first[0])}
    if middle:
        initials = [word[0] for word in middle]
        orders |= {(first, *initials, last), (last, first, *initials), (first[0], *initials, last)}
    for order in sorted(orders):
        spelling = _whole(EntityType.PERSON, " ".join(order))
        yield spelling
    for part in {first, last}:
        if len(key := squeeze(part)) > 1:
            yield Spelling(key, EntityType.PERSON, _part_condition(part), False)


def _part_condition(part: str) -> Condition:
    ordinary = name_key(part) in english_lexicon().words or name_key(part) in english_lexicon().places
    return Condition.CUE if ordinary or len(squeeze(part)) < MIN_ASCII else Condition.PROPER


_DATE = re.compile(r"(\d{4})\D{0,2}(\d{1,2})\D{0,2}(\d{1,2})\D{0,10}.*")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _dates(text: str) -> Iterator[str]:
    """Year first in the column; in the text year first, day first, month first, or with the month's name."""
    yield text
    match = _DATE.fullmatch(text)
    try:
        date = datetime.date(*map(int, match.groups())) if match else None
    except ValueError:
        return
    if date is None:
        return
    y, m, d = date.year, date.month, date.day
    for month, day in {(f"{m:02}", f"{d:02}"), (str(m), str(d))}:
        yield from (f"{y}年{month}月{day}日", f"{y}-{month}-{day}", f"{day}.{month}.{y}", f"{month}/{day}/{y}")
        yield from (f"{y}年{month}月{day}号",)
    name = _MONTHS[m - 1]
    for month in (name, name[:3]):
        yield from (f"{d} {month} {y}", f"{month} {d}, {y}", f"{d:02}-{month}-{y}")


__all__ = ["Condition", "MIN_ASCII", "MIN_CJK", "Spelling", "spellings"]
