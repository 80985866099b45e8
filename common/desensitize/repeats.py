"""The second pass: what was once accepted is looked for in the whole text, in every spelling.

A detector needs a cue; a name that had one in the first line has none in the fifth, and a phone written
``(702) 557-0530`` comes back as ``702 557 0530``. Values are compared without separators, case, accents and the
difference of Traditional and Simplified; a surname counts before a title alone. Linear in the text whatever the number
of literals. Not handled here: values of the record's columns (``detectors.known``).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.lists_zh import titles_pattern
from fedward.common.desensitize.detectors.spelling_search import SpellingSearch
from fedward.common.desensitize.detectors.spellings import Condition, Spelling, spellings
from fedward.common.desensitize.detectors.surnames import surnames
from fedward.common.desensitize.spans import EntityType, Span

METHOD = "repeat"
_NUMBERS = frozenset(
    {
        EntityType.PHONE,
        EntityType.EMAIL,
        EntityType.ID_CN,
        EntityType.SSN,
        EntityType.NATIONAL_ID,
        EntityType.PASSPORT,
        EntityType.LICENCE,
        EntityType.MRN,
        EntityType.HEALTH_PLAN,
        EntityType.CARD,
        EntityType.ACCOUNT,
        EntityType.IBAN,
        EntityType.PLATE,
        EntityType.VIN,
        EntityType.DEVICE,
        EntityType.HANDLE,
        EntityType.ORG_ID,
    }
)
_LEAST = {EntityType.PERSON: 1, EntityType.ORG: 4, EntityType.ADDRESS: 6}
"""Squeezed characters below which a value repeats by chance; a name's other conditions come with its spelling."""
_MIN_NUMBER_CHARS, _MIN_LATIN_CHARS = 6, 4
_CERTAIN_NUMBER_CHARS = 9
"""From here on a number is the same whatever separates its digits; 20240506 is not 2024-05-06."""
_DATE_OR_DECIMAL = re.compile(r"[./:,]|[0-9]-[0-9]")
_EXTENSION = re.compile(r"\s*(?:转|轉|分机|ext\.?|x|#)[:：]?\s*[0-9]{1,6}$", re.IGNORECASE)
_TITLE = re.compile(f"(?<=[\u3400-\u9fff])(?:{titles_pattern()})$")

_OFFICES = frozenset(("主管", "分管", "高管", "总管", "协管", "城管", "语文", "国文", "中文"))
"""Words that end like a surname and stand before a title: 主管医生."""

Literals = Mapping[str, tuple[EntityType, int]]
"""Folded value to the type and the highest level it was accepted with."""
Inside = Callable[[str, int, int], bool]
"""Whether characters ``[start, end)`` of a text are part of a longer, harmless term."""


def literals_of(document: Document, accepted: Iterable[Span]) -> dict[str, tuple[EntityType, int]]:
    """What of ``accepted`` is searched for on its own: names, numbers, organisations and addresses."""
    found: dict[str, tuple[EntityType, int]] = {}
    for span in accepted:
        if span.type not in _NUMBERS and span.type not in _LEAST:
            continue
        value = Document.of(document.source[span.start : span.end]).text.strip()
        if _is_long_enough(value, span.type) and (value not in found or found[value][1] < span.level):
            found[value] = (span.type, span.level)
    return found


def repeats(document: Document, literals: Literals, inside: Inside | None = None) -> list[Span]:
    """Every place of ``document`` where a literal stands by itself, in any spelling.

    Args:
        inside: for names only: a place within a longer term (张力 in 张力性头痛) does not count.
    """
    if not literals:
        return []
    text, spans = document.text, []
    for span in _search(tuple(sorted(literals.items()))).spans(document, METHOD):
        if document.kept is None:
            start, end = span.start, span.end
        else:
            start, end = bisect_left(document.kept, span.start), bisect_left(document.kept, span.end)
        if span.type is EntityType.PERSON:
            if (
                text[start - 1 : end] in _OFFICES
                or "\n" in text[start:end]
                or (inside is not None and inside(text, start, end))
            ):
                continue
        elif span.type in _NUMBERS and _is_another(text[start:end]):
            continue
        spans.append(span)
    return spans


@lru_cache(maxsize=1)
def _search(literals: tuple[tuple[str, tuple[EntityType, int]], ...]) -> SpellingSearch:
    """One entry: the texts of one document come one after the other."""
    return SpellingSearch(
        ((spelling, level) for value, (type_, level) in literals for spelling in _spellings(type_, value)), seen=True
    )


def _spellings(type_: EntityType, value: str) -> Iterator[Spelling]:
    """The spellings that may repeat: none that needs a cue, for a cue has been looked for already."""
    if type_ is EntityType.PERSON:
        value = _TITLE.sub("", value)
    elif type_ is EntityType.PHONE and (base := _EXTENSION.sub("", value)) != value:
        yield from _spellings(type_, base)
    for spelling in spellings(type_, value):
        if spelling.cjk and type_ is EntityType.PERSON and _is_surname(spelling.literal):
            yield spelling._replace(condition=Condition.TITLE)
        elif (
            spelling.condition is Condition.NONE and len(spelling.literal) >= _least(spelling)
        ) or spelling.condition is Condition.PROPER:
            yield spelling


def _least(spelling: Spelling) -> int:
    if spelling.type in _NUMBERS:
        return _MIN_NUMBER_CHARS
    return _LEAST[spelling.type] if spelling.cjk else max(_LEAST[spelling.type], _MIN_LATIN_CHARS)


def _is_surname(literal: str) -> bool:
    return literal in surnames().single or literal in surnames().compound


def _is_another(found: str) -> bool:
    """Whether a short number's digits are a date or a decimal where they stand."""
    digits = sum(character.isdigit() for character in found)
    return digits < _CERTAIN_NUMBER_CHARS and _DATE_OR_DECIMAL.search(found) is not None and "@" not in found


def _is_long_enough(value: str, type_: EntityType) -> bool:
    if type_ in _NUMBERS:
        return len(value) >= _MIN_NUMBER_CHARS
    return len(value) >= (_MIN_LATIN_CHARS if value.isascii() else _LEAST[type_])


__all__ = ["Inside", "Literals", "literals_of", "METHOD", "repeats"]
