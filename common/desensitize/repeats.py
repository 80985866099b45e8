"""The second pass: what was once accepted is looked for in the whole text, as a literal.

A detector needs a cue; a name that had one in the first line has none in the fifth. Linear in the text whatever the
number of literals. Not handled here: spellings of known values (``detectors.known``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from fedward.common.desensitize.detectors.document import Document
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
_MIN_NUMBER_CHARS, _MIN_CJK_CHARS, _MIN_LATIN_CHARS = 6, 2, 4
_FEW = 24
"""Up to so many literals, ``str.find`` for each is faster than one pass over the text."""
_LONG_KEY, _SHORT_KEY = 6, 2

Literals = Mapping[str, tuple[EntityType, int]]
"""Folded value to the type and the highest level it was accepted with."""
Inside = Callable[[str, int, int], bool]
"""Whether characters ``[start, end)`` of a text are part of a longer, harmless term."""


def literals_of(document: Document, accepted: Iterable[Span]) -> dict[str, tuple[EntityType, int]]:
    """What of ``accepted`` is long enough to be searched for on its own."""
    found: dict[str, tuple[EntityType, int]] = {}
    for span in accepted:
        if span.type not in _NUMBERS and span.type is not EntityType.PERSON:
            continue
        value = Document.of(document.source[span.start : span.end]).text.strip()
        if _is_long_enough(value, span.type) and (value not in found or found[value][1] < span.level):
            found[value] = (span.type, span.level)
    return found


def repeats(document: Document, literals: Literals, inside: Inside | None = None) -> list[Span]:
    """Every place of ``document`` where a literal stands by itself.

    Args:
        inside: for names only: a place within a longer term (张力 in 张力性头痛) does not count.
    """
    text, spans = document.text, []
    for value, start in _places(text, literals):
        end = start + len(value)
        if not _stands_alone(text, start, end):
            continue
        type_, level = literals[value]
        if type_ is EntityType.PERSON and inside is not None and inside(text, start, end):
            continue
        spans.append(Span(*document.span_of_chars(start, end), type_, level, METHOD))
    return spans


def _is_long_enough(value: str, type_: EntityType) -> bool:
    if type_ is not EntityType.PERSON:
        return len(value) >= _MIN_NUMBER_CHARS
    return len(value) >= (_MIN_LATIN_CHARS if value.isascii() else _MIN_CJK_CHARS)


def _places(text: str, literals: Literals) -> Iterator[tuple[str, int]]:
    if len(literals) <= _FEW:
        for value in literals:
            start = text.find(value)
            while start >= 0:
                yield value, start
                start = text.find(value, start + 1)
        return
    long, short = _by_key(literals, _LONG_KEY), _by_key(literals, _SHORT_KEY)
    for start in range(len(text) - 1):
        for value in _candidates(text, start, long, short):
            if text.startswith(value, start):
                yield value, start


def _by_key(literals: Literals, size: int) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for value in literals:
        if (len(value) >= _LONG_KEY) == (size == _LONG_KEY):
            keys.setdefault(value[:size], []).append(value)
    return keys


def _candidates(
    text: str, start: int, long: Mapping[str, Sequence[str]], short: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    yield from long.get(text[start : start + _LONG_KEY], ())
    yield from short.get(text[start : start + _SHORT_KEY], ())


def _stands_alone(text: str, start: int, end: int) -> bool:
    """No ASCII letter or digit goes on beyond either end: Ann is not in Anna, nor a phone in a longer number."""
    before = start > 0 and _is_word(text[start - 1]) and _is_word(text[start])
    after = end < len(text) and _is_word(text[end]) and _is_word(text[end - 1])
    return not before and not after


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


__all__ = ["Inside", "Literals", "literals_of", "METHOD", "repeats"]
