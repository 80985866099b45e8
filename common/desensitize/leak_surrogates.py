"""Judges what was put in: never the original, well formed, the same for the same value.

Invariants: rules of ``validity``, none of the generator. A surrogate that equals another value of its own scope is
refused where the generator could have redrawn it (names in full, numbers); dates and generalised values may coincide.
Not handled here: coincidences with other people's values, which are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from fedward.common.desensitize.normalise import Spelt, digits_of
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
    source: str, text: str, issued: Sequence[IssuedSpan], values: Mapping[EntityType, Mapping[str, Spelt]]
) -> Iterator[Found]:
    """(e) Every issued span that is no proper surrogate.

    Args:
        values: by type, every original of the scope as it stands in a source, those of ``issued`` among them.
    """
    scope: dict[EntityType, set[str]] = {}
    seen: dict[tuple[EntityType, str], str] = {}
    for item in issued:
        type_ = item.span.type
        original, surrogate = source[item.span.start : item.span.end], text[item.start : item.end]
        old, new = values[type_][original], Spelt.of(surrogate)
        if item.action is Action.KEEP or not _is_proper(type_, old, new, surrogate, item.action):
            yield "surrogate", type_, item.start, item.end
        elif item.action in _KEYED and type_ not in _MAY_COINCIDE:
            if type_ not in scope:
                scope[type_] = {value.short for value in values[type_].values()}
            if new.short in scope[type_] and _is_telling(type_, new):
                yield "surrogate", type_, item.start, item.end
            if seen.setdefault((type_, old.short), new.short) != new.short:
                yield "inconsistent", type_, item.start, item.end


def _is_proper(type_: EntityType, old: Spelt, new: Spelt, surrogate: str, action: Action) -> bool:
    if action is Action.DROP:
        return surrogate == ""
    if new.short == old.short:
        # An address that is only a city stays one, and a month stays when days are added; nothing with a number does.
        coarse = type_ is EntityType.DATE and _COARSE_DATE.fullmatch(old.cased.strip())
        return bool(coarse) or (action is Action.GENERALISE and not digits_of(old.short))
    if old.short in new.short and len(old.short) >= _MIN_CONTAINED and _is_telling(type_, old):
        return False
    if action is Action.GENERALISE and type_ is EntityType.ADDRESS:
        return not re.search("[0-9]", new.short)
    if action not in _KEYED:
        return True
    # A surrogate must be valid where the original was.
    return is_valid(type_, new.cased.strip()) is not False or not is_valid(type_, old.cased.strip())


def _is_telling(type_: EntityType, value: Spelt) -> bool:
    """Long enough that two of them are not equal by chance."""
    if type_ in _MAY_COINCIDE:
        return False
    if type_ is EntityType.PERSON:
        return len(value.short) > 2 if not value.short.isascii() else " " in value.text.strip()
    return len(value.short) >= _MIN_CONTAINED


__all__ = ["surrogate_leaks"]
