"""Judges what was put in: never the original, well formed, the same for the same value.

Invariants: rules of ``validity``, none of the generator. A surrogate that equals another value of its own scope is
refused where the generator could have redrawn it (names in full, numbers); dates and generalised values may coincide.
Not handled here: coincidences with other people's values, which are counted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.normalise import digits_of, normal_form
from fedward.common.desensitize.policy import Action
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.validity import is_valid

if TYPE_CHECKING:
    from fedward.common.desensitize.leakcheck import IssuedSpan

Found = tuple[Literal["surrogate", "inconsistent"], EntityType, int, int]

_KEYED = frozenset({Action.SURROGATE, Action.FPE})
_COARSE_DATE = re.compile(r"[0-9]{4}\s*(?:[-/.年]\s*[0-9]{1,2}月?)?|[A-Za-z]{3,9}\.?,? [0-9]{4}|[0-9]{4}年?")
"""A month or a year alone: a shift of days may leave it as it was."""
_MAY_COINCIDE = frozenset(
    {EntityType.DATE, EntityType.AGE, EntityType.ADDRESS, EntityType.POSTCODE, EntityType.LOC, EntityType.ORG}
)
_MIN_CONTAINED = 6


def surrogate_leaks(
    source: str, text: str, issued: Sequence[IssuedSpan], values: Mapping[EntityType, Collection[str]]
) -> Iterator[Found]:
    """(e) Every issued span that is no proper surrogate."""
    scope = {type_: {normal_form(value) for value in some} for type_, some in values.items()}
    seen: dict[tuple[EntityType, str], str] = {}
    for item in issued:
        type_ = item.span.type
        original, surrogate = source[item.span.start : item.span.end], text[item.start : item.end]
        if item.action is Action.KEEP or not _is_proper(type_, original, surrogate, item.action):
            yield "surrogate", type_, item.start, item.end
        elif item.action in _KEYED:
            plain, fresh = normal_form(original), normal_form(surrogate)
            if _telling(type_, surrogate) and fresh in scope.get(type_, ()):
                yield "surrogate", type_, item.start, item.end
            if type_ not in _MAY_COINCIDE and seen.setdefault((type_, plain), fresh) != fresh:
                yield "inconsistent", type_, item.start, item.end


def _is_proper(type_: EntityType, original: str, surrogate: str, action: Action) -> bool:
    if action is Action.DROP:
        return surrogate == ""
    plain, fresh = normal_form(original), normal_form(surrogate)
    if fresh == plain:
        # An address that is only a city stays one, and a month stays when days are added; nothing with a number does.
        coarse = type_ is EntityType.DATE and _COARSE_DATE.fullmatch(Document.of(original).text.strip())
        return bool(coarse) or (action is Action.GENERALISE and not digits_of(plain))
    if _telling(type_, original) and len(plain) >= _MIN_CONTAINED and plain in fresh:
        return False
    if action is Action.GENERALISE and type_ is EntityType.ADDRESS:
        return not re.search("[0-9]", fresh)
    if action not in _KEYED:
        return True
    folded = Document.of(original).text.strip()
    return not (is_valid(type_, folded) and is_valid(type_, Document.of(surrogate).text.strip()) is False)


def _telling(type_: EntityType, value: str) -> bool:
    """Long enough that two of them are not equal by chance."""
    if type_ in _MAY_COINCIDE:
        return False
    short = normal_form(value)
    if type_ is EntityType.PERSON:
        return len(short) > 2 if not short.isascii() else " " in value.strip()
    return len(short) >= _MIN_CONTAINED


__all__ = ["surrogate_leaks"]
