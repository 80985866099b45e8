"""Chinese names: taken apart, and written anew with the same length, script, titles and gender cue.

Surname and given name are drawn apart (types ``PERSON.surname``, ``PERSON.given``), so 张伟, 张医生 and 老张 stay one
person. Invariant: everything that is not a part of the name stays as it is written, and it is from closed lists of
titles, kin and roles; else there is no reading and the span becomes a placeholder. Not handled here: Latin parts of a
mixed name (``persons``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from fedward.common.desensitize import tables
from fedward.common.desensitize.surrogates.draws import Stream
from fedward.common.desensitize.tables import simplified

SURNAME, GIVEN = "PERSON.surname", "PERSON.given"
Part = tuple[str, str]
"""A part's type (``SURNAME`` or ``GIVEN``) and its canonical form."""
Redraw = Callable[[str, str, Callable[[bytes], str]], str | None]
"""Draws for a part until the maker's result is none of the originals."""

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff\u3007]")
_GLUE = " \u3000·•‧・.\t\u200b\u200c\u200d\u2060\ufeff\u00ad\xa0"
_DOTS = "·•‧・."
_ROLES = ("患者", "病人", "病员", "客户", "用户", "储户", "户主", "当事人", "患儿", "产妇", "委托人", "家属", "其")
_MAX_LENGTH = 12
_FREQUENT = 300
"""小X and 阿X are a surname only if X is among so many; 小明 is a given name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChineseName:
    """Where the parts of a name stand, as offsets into the text. Shows no text."""

    surname: tuple[int, ...] = field(repr=False)
    given: tuple[tuple[int, ...], ...] = field(repr=False)
    """Several for a name with dots; each part is drawn by itself."""
    foreign: bool = False


def read_name(text: str) -> ChineseName | None:
    """Take a Chinese name apart.

    Args:
        text: the span, as it stands; with titles, kin, roles, spaces or dots.

    Returns:
        None if it is none: too long, or with characters that no name has.
    """
    places = [i for i, c in enumerate(text) if _CJK.match(c)]
    if not places or (len(places) < len(text) and any(c not in _GLUE and not _CJK.match(c) for c in text)):
        return None
    core = simplified("".join([text[i] for i in places]))
    start, end = _core(core)
    if not 0 < end - start <= _MAX_LENGTH:
        return None
    if any(c in _DOTS for c in text[places[start] : places[end - 1]]):
        return _with_dots(text, places[start:end])
    surname, given = _split(core, start, end)
    return ChineseName(
        surname=tuple(places[i] for i in surname),
        given=(tuple(places[i] for i in given),) if given else (),
        foreign=not surname and len(given) > 3,
    )


def parts_of(text: str, name: ChineseName) -> list[Part]:
    """The parts in canonical form, for the originals of a scope."""
    parts = [(SURNAME, canonical_part(text, name.surname))] if name.surname else []
    return parts + [(GIVEN, canonical_part(text, given)) for given in name.given]


def rewrite(text: str, name: ChineseName, redraw: Redraw) -> str | None:
    """The name anew; titles, kin, roles, spaces and dots stay."""
    out = list(text)
    if name.surname:
        fresh = redraw(SURNAME, canonical_part(text, name.surname), _surname_maker(len(name.surname)))
        if fresh is None or not _write(text, out, name.surname, fresh):
            return None
    for given in name.given:
        canonical = canonical_part(text, given)
        fresh = redraw(GIVEN, canonical, _given_maker(canonical, foreign=name.foreign or len(name.given) > 1))
        if fresh is None or not _write(text, out, given, fresh):
            return None
    return "".join(out)


def canonical_part(text: str, places: tuple[int, ...]) -> str:
    """Simplified, without separators."""
    return simplified("".join(text[i] for i in places))


def _write(text: str, out: list[str], places: tuple[int, ...], fresh: str) -> bool:
    """Exchange the characters; Traditional if the part shows it."""
    if len(fresh) != len(places):
        return False
    if any(simplified(text[i]) != text[i] for i in places):
        fresh = fresh.translate(tables.to_traditional())
    for i, character in zip(places, fresh, strict=True):
        out[i] = character
    return True


@cache
def _kin_edges() -> tuple[frozenset[str], frozenset[str]]:
    """First and last characters of kin: most names have neither, and need not be compared with every word."""
    return frozenset({word[0] for word in _kin()} | {"之", "的"}), frozenset(word[-1] for word in _kin())


@cache
def _title_finals() -> frozenset[str]:
    return frozenset(title[-1] for title in _titles())


def _core(core: str) -> tuple[int, int]:
    """Where the name itself stands between roles, kin and titles."""
    start, end = 0, len(core)
    for role in _ROLES:
        if core.startswith(role) and end - len(role) >= 2:
            start = len(role)
            break
    initials, finals = _kin_edges()
    for word in _kin() if core[start : start + 1] in initials else ():
        for before in ("之", "的", ""):
            prefix = before + word
            # A single character of kin before a name needs its 之; 父 and 子 begin names too.
            if (len(word) > 1 or before) and core.startswith(prefix, start) and end - start - len(prefix) >= 2:
                return start + len(prefix), _without_titles(core, start + len(prefix), end)
    for word in _kin() if core[-1:] in finals else ():
        for before in ("之", "的", ""):
            suffix = before + word
            if (len(word) > 1 or before) and core.endswith(suffix) and end - start - len(suffix) >= 1:
                return start, end - len(suffix)
    return start, _without_titles(core, start, end)


def _without_titles(core: str, start: int, end: int) -> int:
    if core[end - 1 : end] not in _title_finals():
        return end
    for title in _titles():
        rest = end - start - len(title)
        if rest < 1 or not core.endswith(title, start, end):
            continue
        name = core[start : end - len(title)]
        # One character after a full name (张伟工) belongs to the name; after a surname (张工) it is a title.
        if len(title) > 1 or name in _compound() or (len(name) == 1 and name in _surnames()):
            return end - len(title)
    return end


def _split(core: str, start: int, end: int) -> tuple[range, range]:
    """Surname and given name as ranges of ``core``."""
    name = core[start:end]
    if len(name) == 2 and name[0] in "老小阿大" and name not in _compound():
        if name[0] == "老" or name[1] in _surnames()[:_FREQUENT]:
            return range(start + 1, end), range(0)
        if name[0] in "小阿":
            return range(0), range(start + 1, end)
    if name[:2] in _compound():
        return range(start, start + 2), range(start + 2, end)
    if len(name) == 1:
        # Alone, 芳 is a given name; before a title it is a surname.
        alone = len(core) == 1 and name not in _surnames()[:_FREQUENT] and gender_of(name)
        return (range(0), range(start, end)) if alone else (range(start, end), range(0))
    if len(name) <= 4 and name[0] in _surnames():
        return range(start, start + 1), range(start + 1, end)
    return range(0), range(start, end)


def _with_dots(text: str, places: list[int]) -> ChineseName:
    parts: list[list[int]] = [[places[0]]]
    for before, here in pairwise(places):
        if any(c in _DOTS for c in text[before + 1 : here]):
            parts.append([])
        parts[-1].append(here)
    return ChineseName(surname=(), given=tuple(map(tuple, parts)), foreign=True)


def _surname_maker(length: int) -> Callable[[bytes], str]:
    names = _surnames() if length == 1 else tuple(tables.read_table("names_zh")["compound_surnames"])
    return lambda draw: names[int.from_bytes(draw[:16], "big") % len(names)]


def _given_maker(canonical: str, *, foreign: bool) -> Callable[[bytes], str]:
    """Names of the same length, of the gender that the characters show, without a character at its old place."""
    table = tables.read_table("names_zh")
    if foreign:
        first = last = table["transliterated"]
    else:
        cue = table[gender] if (gender := gender_of(canonical)) else table["male"] + table["female"]
        first, last = cue + table["neutral"], cue
    doubled = len(canonical) == 2 and canonical[0] == canonical[1]

    def make(draw: bytes) -> str:
        stream = Stream(draw)
        if doubled:
            return 2 * str(stream.choice(last))
        signs = [stream.choice(first) for _ in canonical[1:]] + [stream.choice(last)]
        return "" if any(a == b for a, b in zip(signs, canonical, strict=True)) else "".join(signs)

    return make


def gender_of(given: str) -> str | None:
    """``male`` or ``female`` by the characters of a given name, the last one first; None if they do not say."""
    table = tables.read_table("names_zh")
    for character in reversed(given):
        for gender in ("female", "male"):
            if character in table[gender]:
                return gender
    return None


@cache
def _surnames() -> str:
    return str(tables.read_table("names_zh")["surnames"])


@cache
def _compound() -> frozenset[str]:
    return frozenset(tables.read_table("names_zh")["compound_surnames"])


@cache
def _titles() -> tuple[str, ...]:
    return tuple(sorted(tables.read_table("names_zh")["titles"], key=len, reverse=True))


@cache
def _kin() -> tuple[str, ...]:
    return tuple(sorted(tables.read_table("names_zh")["kin"], key=len, reverse=True))


__all__ = [
    "canonical_part",
    "ChineseName",
    "gender_of",
    "GIVEN",
    "Part",
    "parts_of",
    "read_name",
    "Redraw",
    "rewrite",
    "SURNAME",
]
