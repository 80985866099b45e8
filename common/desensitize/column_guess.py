"""What a column is, guessed from its name and from a sample of its values.

Invariants: values decide before the name does; a column about which nothing is known is text, never kept; the reason
holds no value. Not handled here: sampling and the policy that follows (``profile``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.policy import Action, ColumnClass, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.validity import is_valid
from fedward.common.desensitize.wordlists import word_list

MOSTLY = 0.8
"""From this share of valid values on, the values tell what a column is."""
_TEXT_LENGTH = 24
"""Median length from which values are prose."""
_CJK = re.compile(r"[\u3400-\u9fff]")
_MOBILE = re.compile(r"(?:\+?86[- ]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}")
_NANP = re.compile(r"(?:\+?1[ .-]?)?\(?[2-9][0-9]{2}\)?[ .-][2-9][0-9]{2}[ .-][0-9]{4}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}([-/.年])[0-9]{1,2}[-/.月][0-9]{1,2}日?(?:[T ][0-9:.+Z]{4,20})?"
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])|[0-9]{1,2}[/.][0-9]{1,2}[/.](?:19|20)[0-9]{2}"
)
_URL = re.compile(r"https?://\S+")
_SSN = re.compile(r"[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}")
_LATIN_NAME = re.compile(r"[A-Z][a-z'\u2019-]{1,15}(?: [A-Z]\.?)?(?:,? [A-Z][A-Za-z'\u2019-]{1,20}){1,2}")
_CODE = re.compile(r"[A-Za-z]{0,6}[-_]?[0-9]{4,20}[A-Za-z0-9]{0,4}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class ColumnGuess(NamedTuple):
    """What a column is taken for."""

    kind: ColumnClass
    type: EntityType | None
    action: Action
    reason: str


def guess_column(name: str, values: Sequence[str]) -> tuple[ColumnGuess, dict[EntityType, float]]:
    """Class, type and action of a column, with the share of ``values`` that each rule finds valid.

    Args:
        values: filled ones of the sample, stripped.
    """
    folded = [Document.of(value).text for value in values]
    valid = _pass_rates(folded)
    by_values = _of_values(valid)
    by_name = _of_name(name)
    if by_values is not None:
        share = f"{valid[by_values]:.0%} of the values are valid as {by_values.value}"
        if by_name is not None and by_name[1] is by_values:
            share += f", and so says the name ({by_name[2]})"
        kind = ColumnClass.QUASI if by_values in _QUASI_TYPES else ColumnClass.DIRECT
        return ColumnGuess(kind, by_values, _action(kind, by_values), share), valid
    if by_name is not None:
        kind, type_, word = by_name
        return ColumnGuess(kind, type_, _action(kind, type_), f"by its name ({word})"), valid
    return _of_shape(folded), valid


_QUASI_TYPES = frozenset({EntityType.DATE, EntityType.AGE, EntityType.ADDRESS, EntityType.POSTCODE, EntityType.LOC})


def _action(kind: ColumnClass, type_: EntityType | None) -> Action:
    if kind in (ColumnClass.SENSITIVE, ColumnClass.TEXT, ColumnClass.TECHNICAL) or type_ is None:
        return Action.KEEP
    return DesensitizePolicy().action_of(type_)


_TESTS: Mapping[EntityType, Callable[[str], object]] = {
    EntityType.ID_CN: lambda v: is_valid(EntityType.ID_CN, v),
    EntityType.CARD: lambda v: is_valid(EntityType.CARD, v),
    EntityType.IBAN: lambda v: is_valid(EntityType.IBAN, v),
    EntityType.ORG_ID: lambda v: is_valid(EntityType.ORG_ID, v),
    EntityType.VIN: lambda v: is_valid(EntityType.VIN, v),
    EntityType.EMAIL: lambda v: is_valid(EntityType.EMAIL, v),
    EntityType.IP: lambda v: "." in v and is_valid(EntityType.IP, v),
    EntityType.PLATE: lambda v: is_valid(EntityType.PLATE, v),
    EntityType.PHONE: lambda v: _MOBILE.fullmatch(v) or _NANP.fullmatch(v),
    EntityType.SSN: _SSN.fullmatch,
    EntityType.URL: _URL.fullmatch,
    EntityType.DATE: _DATE.fullmatch,
}
"""In order of trust: a value that two rules like is of the first."""


def _pass_rates(values: Sequence[str]) -> dict[EntityType, float]:
    if not values:
        return {}
    rates = {type_: sum(bool(test(value)) for value in values) / len(values) for type_, test in _TESTS.items()}
    return {type_: rate for type_, rate in rates.items() if rate}


def _of_values(valid: Mapping[EntityType, float]) -> EntityType | None:
    return next((type_ for type_ in _TESTS if valid.get(type_, 0) >= MOSTLY), None)


def _of_name(name: str) -> tuple[ColumnClass, EntityType | None, str] | None:
    """The longest word of the lists that the column's name holds."""
    spaced = " " + re.sub(r"[^0-9a-z\u3400-\u9fff]+", " ", _CAMEL.sub(" ", name).lower()).strip() + " "
    best: tuple[ColumnClass, EntityType | None, str] | None = None
    for word, kind, type_ in _header_words():
        found = word in spaced if _CJK.search(word) else f" {word} " in spaced
        if found and (best is None or len(word) > len(best[2])):
            best = (kind, type_, word)
    return best


@cache
def _header_words() -> tuple[tuple[str, ColumnClass, EntityType | None], ...]:
    rows = []
    for key, words in word_list("headers").items():
        kind, _, type_ = key.partition(".")
        rows += [(word, ColumnClass(kind), EntityType(type_) if type_ else None) for word in words]
    return tuple(rows)


def _of_shape(values: Sequence[str]) -> ColumnGuess:
    """For a column whose name says nothing and whose values have no check digit."""
    if not values:
        return ColumnGuess(ColumnClass.TEXT, None, Action.KEEP, "no value in the sample: read as text")
    distinct = len(set(values)) / len(values)
    if distinct > 0.3 and _share(values, _looks_like_name) >= MOSTLY:
        return ColumnGuess(
            ColumnClass.DIRECT, EntityType.PERSON, Action.SURROGATE, "the values look like names of people"
        )
    if distinct > 0.9 and len(values) > 20 and _share(values, _CODE.fullmatch) >= MOSTLY:
        reason = "a code of its own in nearly every row; technical, if it points to nobody"
        return ColumnGuess(ColumnClass.DIRECT, EntityType.MRN, Action.SURROGATE, reason)
    lengths = sorted(map(len, values))
    if lengths[len(lengths) // 2] >= _TEXT_LENGTH:
        return ColumnGuess(ColumnClass.TEXT, None, Action.KEEP, "long values: text")
    return ColumnGuess(ColumnClass.TEXT, None, Action.KEEP, "nothing is known of it: read as text")


def _share(values: Sequence[str], test: Callable[[str], object]) -> float:
    return sum(bool(test(value)) for value in values) / len(values)


def _looks_like_name(value: str) -> bool:
    if _LATIN_NAME.fullmatch(value):
        return True
    if not 2 <= len(value) <= 4 or not all(map(_CJK.match, value)):
        return False
    surnames = word_list("surnames")["zh"]
    return value[0] in surnames or value[:2] in surnames


def character_classes(values: Sequence[str]) -> dict[str, float]:
    """Share of digits, Latin letters, CJK characters, blanks and others in all of ``values``."""
    counts: Counter[str] = Counter()
    for value in values:
        counts.update(map(_class_of, value))
    total = counts.total()
    return {name: counts[name] / total for name in sorted(counts)} if total else {}


def _class_of(character: str) -> str:
    if character.isdigit():
        return "digit"
    if _CJK.match(character):
        return "cjk"
    if character.isalpha():
        return "letter"
    return "blank" if character.isspace() else "other"


__all__ = ["character_classes", "ColumnGuess", "guess_column", "MOSTLY"]
