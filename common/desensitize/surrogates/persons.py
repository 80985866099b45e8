"""Names of people in either script, or both ("张伟 (Zhang Wei)"): which reader takes which part of a span.

Not handled here: other scripts (Cyrillic, Arabic, kana, hangul); such a name becomes a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from fedward.common.desensitize.surrogates import names_en, names_zh
from fedward.common.desensitize.surrogates.canonical import latin, plain
from fedward.common.desensitize.surrogates.names_zh import GIVEN, SURNAME, Part, Redraw

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff\u3007"
_LATIN = r"A-Za-z\uff21-\uff3a\uff41-\uff5a\u00c0-\u024f\u1e00-\u1eff"
_ZERO = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_RUN = re.compile(
    rf"(?P<zh>[{_HAN}](?:[{_HAN} \u3000\xa0·•‧・.{_ZERO}]*[{_HAN}])?)"
    rf"|(?P<en>[{_LATIN}](?:[{_LATIN}\s.,'\u2019\xa0{_ZERO}-]*[{_LATIN}.])?(?:[,\s]*[{_LATIN}.]+)*)"
)
_GLUE = re.compile(rf"[\s()（）\[\]【】/,，、.\"“”·{_ZERO}-]*").fullmatch
_MAX_LENGTH = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """The readings of a span's runs."""

    runs: tuple[tuple[int, int, names_zh.ChineseName | names_en.LatinName], ...] = field(repr=False)


def read_person(text: str) -> Person | None:
    """The readings of every run, or None if some part of the span is no name."""
    if len(text) > _MAX_LENGTH:
        return None
    runs: list[tuple[int, int, names_zh.ChineseName | names_en.LatinName]] = []
    at = 0
    for found in _RUN.finditer(text):
        run = found[0]
        name = names_zh.read_name(run) if found["zh"] else names_en.read_name(plain(run))
        if name is None or not _GLUE(text[at : found.start()]):
            return None
        runs.append((found.start(), found.end(), name))
        at = found.end()
    return Person(runs=tuple(runs)) if runs and _GLUE(text[at:]) else None


@dataclass(kw_only=True, slots=True)
class People:
    """The people of one scope: which surname and given name stood together, and which role a lone word has."""

    _given_of: dict[str, set[str]] = field(default_factory=dict, repr=False)
    _roles: dict[str, str] = field(default_factory=dict, repr=False)
    _surname_of: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, text: str) -> list[Part]:
        """Remember a name of the scope and give its parts."""
        person = read_person(text)
        if person is None:
            return []
        parts: list[Part] = []
        for start, end, name in person.runs:
            run = text[start:end]
            if isinstance(name, names_zh.ChineseName):
                found = names_zh.parts_of(run, name)
            else:
                found = names_en.parts_of(plain(run), name)
            self._remember(found, alone=isinstance(name, names_en.LatinName) and name.alone)
            parts += found
        return parts

    def _remember(self, parts: list[Part], *, alone: bool) -> None:
        surnames = [canonical for type_, canonical in parts if type_ == SURNAME]
        given = [canonical for type_, canonical in parts if type_ == GIVEN]
        for surname in surnames:
            self._given_of.setdefault(surname, set()).update(given)
        if not alone:
            self._roles.update(dict.fromkeys(given, GIVEN) | dict.fromkeys(surnames, SURNAME))

    def given_with(self, initial: str, surname: str) -> str | None:
        """The only given name beside ``surname`` that begins so."""
        found = [given for given in sorted(self._given_of.get(surname, ())) if given.startswith(initial)]
        return found[0] if len(found) == 1 else None

    def role(self, word: str) -> str | None:
        """Whether a lone Latin word is a surname or a given name of the scope."""
        return self._roles.get(word)

    def key_of(self, text: str) -> str:
        """What two mentions of one person share: the surname where it is known, else the given name."""
        parts = self.add(text)
        surnames = [canonical for type_, canonical in parts if type_ == SURNAME]
        given = [canonical for type_, canonical in parts if type_ == GIVEN]
        if surnames and not given:
            given = sorted(self._given_of.get(surnames[0], ()))[:1]
        return "\0".join([*surnames[:1], *given]) if parts else latin(text)


def rewrite(text: str, person: Person, redraw: Redraw, people: People) -> str | None:
    """The span anew, run by run."""
    out: list[str] = []
    at = 0
    for start, end, name in person.runs:
        run = text[start:end]
        if isinstance(name, names_zh.ChineseName):
            fresh = names_zh.rewrite(run, name, redraw)
        else:
            fresh = names_en.rewrite(plain(run), _in_role(plain(run), name, people), redraw, people.given_with)
        if fresh is None:
            return None
        out += [text[at:start], fresh]
        at = end
    return "".join([*out, text[at:]])


def _in_role(run: str, name: names_en.LatinName, people: People) -> names_en.LatinName:
    """A lone word takes the role that it has elsewhere in the scope."""
    if not name.alone:
        return name
    spans = (*name.surnames, *name.given)
    role = people.role(latin("".join(run[a:b] for a, b in spans)))
    if role == SURNAME:
        return names_en.LatinName(surnames=spans, given=(), alone=True)
    return names_en.LatinName(surnames=(), given=spans, alone=True) if role == GIVEN else name


def parts_in(texts: Iterable[str], people: People) -> dict[str, set[str]]:
    """The canonical parts of many names, by type."""
    found: dict[str, set[str]] = {SURNAME: set(), GIVEN: set()}
    for text in texts:
        for type_, canonical in people.add(text):
            found[type_].add(canonical)
    return found


__all__ = ["parts_in", "People", "Person", "read_person", "rewrite"]
