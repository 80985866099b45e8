"""A record and its replacement, by hand: what the tests of the leak check and of the layers start from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.leakcheck import Leak, check
from fedward.common.desensitize.policy import Action
from fedward.common.desensitize.spans import EntityType, Span
from fedward.common.desensitize.validity import is_valid

LEVELS = dict.fromkeys(EntityType, 2)
CONTEXT = Context(document_id="D-1", patient_id="P-1")
E = EntityType


class Issued(NamedTuple):
    """As the pipeline notes it."""

    start: int
    end: int
    span: Span
    action: Action


class Scrubbed(NamedTuple):
    """A record before and after."""

    source: str
    text: str
    issued: tuple[Issued, ...]

    def leaks(self, text: str | None = None, **options: object) -> tuple[Leak, ...]:
        """The leak check with a small detector of ids, phones and cards."""
        given = {"context": CONTEXT, "levels": LEVELS, "detector": PatternDetector(), "originals": {}} | options
        return check(self.source, self.text if text is None else text, self.issued, **given)  # type: ignore[arg-type]


class PatternDetector:
    """Eleven digits of a mobile phone, 18 of a resident id, 16 of a card: enough to see again what stayed."""

    _PATTERN = re.compile(r"(?<![0-9A-Za-z])(?:(1[3-9][0-9]{9})|([0-9]{17}[0-9X])|([0-9]{16}))(?![0-9A-Za-z])")
    _TYPES = (E.PHONE, E.ID_CN, E.CARD)

    def detect(self, document: Document) -> list[Span]:
        """Spans at level 2, or 1 where a check digit is wrong."""
        spans = []
        for found in self._PATTERN.finditer(document.text):
            type_ = self._TYPES[(found.lastindex or 1) - 1]
            level = 1 if is_valid(type_, found[0]) is False else 3
            spans.append(Span(*document.span_of_chars(*found.span()), type_, level, "test"))
        return spans


def scrub(
    source: str,
    replaced: Sequence[tuple[str, EntityType, str]],
    actions: Mapping[EntityType, Action] | None = None,
) -> Scrubbed:
    """Replace each (original, type, surrogate) at every place of ``source``."""
    pattern = re.compile("|".join(re.escape(old) for old, _, _ in sorted(replaced, key=lambda r: -len(r[0]))) or "(?!)")
    table = {old: (type_, new) for old, type_, new in replaced}
    parts: list[str] = []
    issued: list[Issued] = []
    place = length = 0
    for found in pattern.finditer(source):
        type_, new = table[found[0]]
        parts += (source[place : found.start()], new)
        start = length + found.start() - place
        length = start + len(new)
        action = (actions or {}).get(type_, Action.SURROGATE)
        issued.append(Issued(start, length, Span(*found.span(), type_, 3, "test"), action))
        place = found.end()
    return Scrubbed(source, "".join([*parts, source[place:]]), tuple(issued))


NOTE_ZH = scrub(
    "患者王芳，身份证号110101199001011237，电话13800138000，卡号4111111111111111，住院号ZY1234567，于2024年3月5日入院。王芳诉头痛。",
    [
        ("王芳", E.PERSON, "李娜"),
        ("110101199001011237", E.ID_CN, "440305197003295919"),
        ("13800138000", E.PHONE, "13343815088"),
        ("4111111111111111", E.CARD, "4111116452058011"),
        ("ZY1234567", E.MRN, "ZY3203968"),
        ("2024年3月5日", E.DATE, "2024年11月14日"),
    ],
)
NOTE_EN = scrub(
    "Patient John Smith (MRN 00482913, john.smith@example.com) was seen 2024-03-05. Mr Smith lives at 12 Elm Street.",
    [
        ("John Smith", E.PERSON, "Peter Olsen"),
        ("00482913", E.MRN, "77120354"),
        ("john.smith@example.com", E.EMAIL, "p.olsen@example.org"),
        ("2024-03-05", E.DATE, "2024-11-14"),
        ("Smith", E.PERSON, "Olsen"),
        ("12 Elm Street", E.ADDRESS, "Springfield"),
    ],
    {E.ADDRESS: Action.GENERALISE},
)
NOTES = (NOTE_ZH, NOTE_EN)

__all__ = ["CONTEXT", "Issued", "LEVELS", "NOTE_EN", "NOTE_ZH", "NOTES", "PatternDetector", "scrub", "Scrubbed"]
