"""Latin names: taken apart, and written anew with the same order, initials, titles, case and gender cue.

John Smith, Mr Smith, J. Smith and "Smith, John" stay one person: surname and given names are drawn apart. Invariant:
what stays as it is comes from closed lists of titles, kin and particles. Not handled here: other alphabets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from fedward.common.desensitize import tables
from fedward.common.desensitize.surrogates.canonical import latin
from fedward.common.desensitize.surrogates.draws import Stream, number
from fedward.common.desensitize.surrogates.names_zh import GIVEN, SURNAME, Part, Redraw

_LETTERS = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_TOKEN = re.compile(rf"[{_LETTERS}]+(?:['\u2019][{_LETTERS}]+)*")
_GLUE = re.compile(r"[\s.,'\u2019()/\u00b7-]*").fullmatch
_TITLES = frozenset(
    """mr mrs ms miss mx dr doctor prof professor sir madam madame lady lord rev fr sister nurse capt captain sgt
    officer judge hon jr sr ii iii iv md phd rn do np pa dds dmd esq cpa mph bsn mba dvm father mother patient client
    customer wife husband son daughter brother aunt uncle grandma grandpa grandmother grandfather mom dad
    guardian""".split()  # noqa: SIM905 - reads as a list
)
_PARTICLES = frozenset("de la van der von den del di da dos das du le el al bin ibn ter ten zu st san".split())  # noqa: SIM905
_MAX_TOKENS = 8
_INITIALS = "ABCDEFGHJKLMNPRSTW"


@dataclass(frozen=True, kw_only=True, slots=True)
class LatinName:
    """Where the parts of a name stand. Shows no text."""

    surnames: tuple[tuple[int, int], ...] = field(repr=False)
    given: tuple[tuple[int, int], ...] = field(repr=False)
    alone: bool = False
    """A single word without a title: which part it is, the rest of the scope may say."""


def read_name(text: str) -> LatinName | None:
    """Take a Latin name apart, or None if it is none.

    Args:
        text: ``plain`` text: "Dr. Mary-Ann van der Berg", "SMITH, JOHN A.", "J. Smith's".
    """
    tokens = [found.span() for found in _TOKEN.finditer(text)]
    tokens = _without_possessive(text, tokens)
    ends = [0, *(end for _, end in tokens)]
    starts = [*(start for start, _ in tokens), len(text)]
    glue = [text[a:b].lower().removeprefix("'s").removeprefix("\u2019s") for a, b in zip(ends, starts, strict=True)]
    if not 0 < len(tokens) <= _MAX_TOKENS or not all(map(_GLUE, glue)):
        return None
    words = [text[a:b].casefold() for a, b in tokens]
    titles = {i for i, word in enumerate(words) if word in _TITLES}
    names = [i for i in range(len(tokens)) if i not in titles]
    names = [i for i in names if words[i] not in _PARTICLES or i == names[-1]]
    if not names:
        names = [len(tokens) - 1]
    surnames, given = _roles(text, tokens, names, words)
    titled = any(i < names[0] for i in titles)
    return LatinName(
        surnames=tuple(tokens[i] for i in surnames),
        given=tuple(tokens[i] for i in given),
        alone=len(names) == 1 and not titled,
    )


def parts_of(text: str, name: LatinName) -> list[Part]:
    """The parts in canonical form; initials are none."""
    parts = [(SURNAME, latin(text[a:b])) for a, b in name.surnames]
    return parts + [(GIVEN, latin(text[a:b])) for a, b in name.given if b - a > 1]


def rewrite(text: str, name: LatinName, redraw: Redraw, givens: Callable[[str, str], str | None]) -> str | None:
    """The name anew.

    Args:
        text: as given to ``read_name``.
        name: its reading.
        redraw: draws for a part.
        givens: the only given name of the scope with that initial beside that surname, or None.
    """
    fresh: dict[tuple[int, int], str | None] = {}
    surname = latin("".join(text[a:b] for a, b in name.surnames[-1:]))
    for span in name.surnames:
        fresh[span] = redraw(SURNAME, latin(text[slice(*span)]), _surname)
    for a, b in name.given:
        canonical = latin(text[a:b])
        full = givens(canonical, surname) if b - a == 1 else canonical
        drawn = redraw(GIVEN, full or canonical, _given(full) if full else _initial)
        fresh[a, b] = drawn[:1] if drawn and b - a == 1 else drawn
    out, at = [], 0
    for (a, b), word in sorted(fresh.items()):
        if not word:
            return None
        out += [text[at:a], _in_case(text[a:b], word)]
        at = b
    return "".join([*out, text[at:]])


def is_given(canonical: str) -> bool:
    """Whether a word is a first name in our lists and no surname."""
    return canonical in _given_names() and canonical not in _surnames_folded()


def _roles(text: str, tokens: list[tuple[int, int]], names: list[int], words: list[str]) -> tuple[list[int], list[int]]:
    """Which of ``names`` are surnames and which given names; parts joined by a hyphen go together."""
    groups: list[list[int]] = []
    for i in names:
        joined = groups and i and text[tokens[i - 1][1] : tokens[i][0]] == "-" and groups[-1][-1] == i - 1
        groups[-1].append(i) if joined else groups.append([i])
    comma = next((g for g in range(1, len(groups)) if "," in _between(text, tokens, groups, g)), 0)
    if comma:
        return _flat(groups[:comma]), _flat(groups[comma:])
    if len(groups) == 1:
        alone = groups[0]
        titled = alone[0] > 0
        return ([], alone) if not titled and all(is_given(words[i]) for i in alone) else (alone, [])
    first, last = words[groups[0][0]], words[groups[-1][0]]
    if first in _pinyin() and last not in _pinyin() and last not in _surnames_folded():
        return groups[0], _flat(groups[1:])
    return groups[-1], _flat(groups[:-1])


def _between(text: str, tokens: list[tuple[int, int]], groups: list[list[int]], g: int) -> str:
    return text[tokens[groups[g - 1][-1]][1] : tokens[groups[g][0]][0]]


def _flat(groups: list[list[int]]) -> list[int]:
    return [i for group in groups for i in group]


def _without_possessive(text: str, tokens: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(a, b - 2) if b - a > 2 and text[b - 2 : b].lower() in ("'s", "\u2019s") else (a, b) for a, b in tokens]


def _in_case(old: str, new: str) -> str:
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new.lower() if old.islower() else new


def _surname(draw: bytes) -> str:
    names = tables.read_table("names_en")["surnames"]
    return str(names[number(draw, len(names))])


def _initial(draw: bytes) -> str:
    return _INITIALS[number(draw, len(_INITIALS))]


def _given(canonical: str) -> Callable[[bytes], str]:
    table = tables.read_table("names_en")
    by_gender = [table[gender] for gender in ("male", "female") if canonical in _folded(gender)]
    names = by_gender[0] if by_gender else table["male"] + table["female"] + table["neutral"]
    return lambda draw: str(Stream(draw).choice(names))


@cache
def _folded(key: str) -> frozenset[str]:
    return frozenset(latin(name) for name in tables.read_table("names_en")[key])


@cache
def _given_names() -> frozenset[str]:
    return _folded("male") | _folded("female") | _folded("neutral")


def _surnames_folded() -> frozenset[str]:
    return _folded("surnames")


def _pinyin() -> frozenset[str]:
    return _folded("pinyin_surnames")


__all__ = ["is_given", "LatinName", "parts_of", "read_name", "rewrite"]
