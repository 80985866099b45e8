"""Chinese addresses: a chain of levels, from province to room, each named by its suffix.

The text is cut into parts that end in a level's suffix (省 市 区 县 镇 街道 路 号 栋 单元 室 村 组). Parts that
follow one another without a break make a chain; a chain with two levels, one of them below the district, is an
address (level 2, with a label or a known place level 3). A chain of districts and above is a place (LOC).

Invariants: pure; one pass for the suffixes, and each part is at most a dozen characters, so time is linear.
Not handled here: places without a suffix, what stays of an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from fedward.common.desensitize.detectors.addresses_en import Found
from fedward.common.desensitize.spans import EntityType, Level
from fedward.common.desensitize.tables import read_table, simplified

_CJK = "[\u3400-\u9fff\u3007]"
_DIGITS = "[0-9一二三四五六七八九十百零\u3007两]"
_NAMED: Final = (
    (1, "特别行政区|自治区|省"),
    (2, "自治州|地区|盟|市"),
    (3, "新区|开发区|高新区|自治县|区|县|旗"),
    (4, "街道办事处|街道|镇|乡|苏木|工业园|科技园|产业园|软件园|园区"),
    (5, "大道[东西南北中]段|大街[东西南北中]段|路[东西南北中]段|大道|大街|胡同|公路|环路|路|街|道|巷|里弄"),
    (
        6,
        "新村|自然村|行政村|村委会|村|屯|庄|社区|小区|花园|家园|公寓|大厦|大楼|广场|公馆|花苑|苑|新城|科学园"
        "|创业园|雅居|华府|豪庭|别墅",
    ),
)
"""Levels whose parts have a name; a group (李庄组) only behind its village."""
_NUMBERED: Final = (
    (7, "号院|号楼|弄|号|组|队|社"),
    (8, "幢|栋|座|楼|期|排"),
    (9, "单元|门"),
    (10, "层"),
    (11, "室|户|房|铺"),
)
"""Levels whose parts are a number."""
_STOP = "的了是在和与及或于住到至往从自由为对向将被把给有无不没我你他她它这那该本各每某家址：，。；、！？"
_NAME = rf"(?:(?![{_STOP}]){_CJK}|[0-9A-Za-z]){{1,9}}?"
_NUMBER = (
    rf"(?:[甲乙丙丁]?[A-Za-z]{{0,2}}[0-9]{{1,5}}[A-Za-z]?(?:[-\u2014\uff0d][0-9]{{1,5}})?|[A-Za-z]|{_DIGITS}{{1,4}}"
    "|[东西南北甲乙丙丁])"
)
_BACKWARDS: Final = {3: (2,), 7: (6,), 8: (6, 7), 9: (7,), 10: (7,)}
"""Levels that may follow a lower one: a county-level city its prefecture, an estate or room its road's number."""
_ESTATE: Final = rf"(?:(?![{_STOP}]){_CJK}){{2,10}}(?=第?{_NUMBER} ?(?:幢|栋|座|单元|室|房|号))"
"""A name without a suffix between two numbers: 907号翠湖天地3151房."""


@cache
def _part_after(last: int) -> re.Pattern[str]:
    """The parts that may follow one of level ``last``; 小区 is no 区 behind a road, nor 城市花园 a 市."""
    may = {level for level in range(1, 12) if level >= last} | set(_BACKWARDS.get(last, ()))
    parts = [rf"(?P<n{level}>{_NAME}(?:{words}))" for level, words in _NAMED if level in may]
    numbered = [
        rf"(?P<d{level}>第?{_NUMBER} ?(?:{words})(?:附[0-9]{{1,3}}号|之[0-9一二三四五六七八九])?)"
        for level, words in _NUMBERED
        if level in may
    ]
    ordered = numbered + parts if last > 4 else parts + numbered
    return re.compile("|".join(ordered + [rf"(?P<e6>{_ESTATE})"] * (last == 7)))


_GROUP = re.compile(rf"{_CJK}{{1,4}}?(?:村民小组|小组|组|队|社)")
_SUFFIX = re.compile(
    "|".join(
        sorted(
            {w for _, words in (*_NAMED, *_NUMBERED) for w in words.split("|") if "[" not in w}, key=len, reverse=True
        )
    )
)
_ROOM = re.compile(r" ?(?:[A-Za-z]?[0-9]{2,5}|[0-9]{1,3}[-\u2014\uff0d][0-9]{1,5})(?![0-9年月日%元]|\.[0-9])")
_LABEL = re.compile(
    r"(?:地址|住址|住所|居住地|家住|现住|住在|居住于|居住在|户籍地?|户口所在地|籍贯|单位地址|通讯地址|联系地址"
    r"|邮寄地址|送货地址|收货地址|家庭住址|出生地|位于|寄到|寄至|寄往|送到)"
    r"(?:为|是|在)?[ :：]{0,3}$"
)
_POSTCODE = re.compile(
    r"(?:邮编|邮政编码|郵編|郵遞區號|邮码)(?:为|是)?[ :：]{0,3}([0-9]{6}|[0-9]{5}|[0-9]{3})(?![0-9])"
)
_NOT_NAMES = re.compile(
    r"(?:城|市|郊|地|社|小|校|院|厂|景|灾|病|疫|牧|山|矿|库|片|辖|战|大|老|新|全|外|内|本|同|当|时|误|禁|盲|静"
    r"|听|视|额|枕|颞|顶|胸|腹|腰|骶|眶|肺|心|腺|下|上|前|后|左|右|中)(?:区|市|县|道|路|街|村|里)$"
)
"""Words that end like a place: 城区, 盲区, 同路, 内容."""


_SIZES: Final = (11, 9, 8, 7, 6, 5, 4, 3, 2)
"""Lengths of the names of places, longest first."""


class _Part(NamedTuple):
    start: int
    end: int
    level: int
    named: bool


def chinese_addresses(text: str) -> Iterator[Found]:
    """Every address, postcode and place of ``text``; overlapping ones are united later."""
    text = simplified(text)
    for match in _POSTCODE.finditer(text):
        yield Found(match.start(1), match.end(1), EntityType.POSTCODE, Level.WITNESS, "zh.postcode")
    end = 0
    for match in _SUFFIX.finditer(text):
        if match.start() < end:
            continue
        chain = _chain(text, _first_start(text, match.start(), end))
        if chain and (place := _place_inside(text, chain[0])):
            chain = _chain(text, place)
        if chain:
            end = max(end, chain[-1].end)
            found = _judged(text, chain)
            if found is not None:
                end = found.end
                yield found


def _first_start(text: str, suffix: int, floor: int) -> int:
    """Where the name before the first suffix begins: at a known place, else after the last break."""
    low = max(floor, suffix - 12)
    place = known_place(text, low, suffix)
    if place is not None:
        return place
    start = suffix
    while start > max(low, suffix - 8) and _may_name(text[start - 1]):
        start -= 1
    return start


def _place_inside(text: str, part: _Part) -> int | None:
    """Where a known place begins inside a part that began too early: 户籍地河南省."""
    return known_place(text, part.start + 1, part.end - 1)


def known_place(text: str, start: int, end: int) -> int | None:
    """Where the first province or prefecture begins in ``text[start:end]``."""
    places, heads = _places(), _heads()
    for at in range(start, end):
        if text[at : at + 2] in heads and any(text[at : at + size] in places for size in _SIZES):
            return at
    return None


@cache
def _heads() -> frozenset[str]:
    """The first two characters of every place."""
    return frozenset(name[:2] for name in _places())


def _may_name(character: str) -> bool:
    return (
        "\u3400" <= character <= "\u9fff" or (character.isascii() and character.isalnum())
    ) and character not in _STOP


@cache
def _places() -> frozenset[str]:
    """Provinces and prefectures, with and without their suffix (北京市, 北京)."""
    table = read_table("places")
    names = {*table["provinces"].values(), *table["cities"].values()}
    short = {re.sub("(?:特别行政区|.{1,3}族自治区|.{1,3}族自治州|自治区|省|市|地区|盟)$", "", name) for name in names}
    return frozenset(names | {name for name in short if len(name) > 1} - {"中山", "海南", "白山"})


def _chain(text: str, start: int) -> list[_Part]:
    """Parts one after the other, each of a lower level than the one before it."""
    parts: list[_Part] = []
    for size in _SIZES:
        if text[start : start + size] in _places():
            if not text.startswith(("省", "市"), start + size):
                parts.append(_Part(start, start + size, 1, True))
                start += size
            break
    while len(parts) < 14:
        at = start + (text[start : start + 1] in " ,，" and bool(parts) and not text.startswith(("，", ","), start))
        last = parts[-1].level if parts else 0
        if last == 6 and (group := _GROUP.match(text, at)) is not None:
            parts.append(_Part(at, group.end(), 7, False))
            start = group.end()
            continue
        match = _part_after(last).match(text, at)
        if match is None:
            break
        kind = match.lastgroup or ""
        level = int(kind[1:])
        if kind[0] == "n" and _NOT_NAMES.fullmatch(match[0]):
            break
        parts.append(_Part(at, match.end(), level, kind[0] != "d"))
        start = match.end()
    return parts


def _judged(text: str, chain: list[_Part]) -> Found | None:
    start, end = chain[0].start, chain[-1].end
    levels = {part.level for part in chain}
    labelled = _LABEL.search(text[max(0, start - 12) : start]) is not None
    known = any(text[start : start + size] in _places() for size in _SIZES)
    if max(levels) < 4:
        if not (known and (len(chain) > 1 or labelled)):
            return None
        return Found(start, end, EntityType.LOC, Level.WITNESS, "zh.place")
    named = [part for part in chain if part.named]
    if not named or (len(levels) < 2 and not labelled):
        return None
    if max(levels) > 6 and not known and not any(p.level in (4, 5, 6) for p in named) and not labelled:
        return None
    room = _ROOM.match(text, end) if max(levels) in (7, 8, 9) else None
    level = Level.CHECKED if labelled or (known and len(levels) > 2) else Level.WITNESS
    return Found(start, room.end() if room else end, EntityType.ADDRESS, level, "zh.address")


__all__ = ["chinese_addresses", "known_place"]
