"""What a detector says: which characters of a text are an identifier, of which type, and how sure it is.

Offsets are code points of the source text, half open. Not handled here: who detects (``detectors``) and what stands
in an identifier's place (``surrogates``).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import NamedTuple


class EntityType(StrEnum):
    """The catalogue of types; docs/desensitization.md says what each one covers and what stands in its place."""

    PERSON = "PERSON"
    PHONE = "PHONE"
    EMAIL = "EMAIL"
    URL = "URL"
    ID_CN = "ID_CN"
    SSN = "SSN"
    NATIONAL_ID = "NATIONAL_ID"
    """A labelled national number of another country."""
    PASSPORT = "PASSPORT"
    LICENCE = "LICENCE"
    MRN = "MRN"
    HEALTH_PLAN = "HEALTH_PLAN"
    CARD = "CARD"
    ACCOUNT = "ACCOUNT"
    IBAN = "IBAN"
    TXN = "TXN"
    SECRET = "SECRET"  # noqa: S105 - a type's name
    PLATE = "PLATE"
    VIN = "VIN"
    DEVICE = "DEVICE"
    IP = "IP"
    HANDLE = "HANDLE"
    ORG_ID = "ORG_ID"
    """统一社会信用代码, the unified social credit code of an organisation."""
    MASKED = "MASKED"
    DATE = "DATE"
    AGE = "AGE"
    ADDRESS = "ADDRESS"
    POSTCODE = "POSTCODE"
    LOC = "LOC"
    ORG = "ORG"
    IMAGE = "IMAGE"
    """Links to images and ``data:`` URIs: photographs and biometrics."""


class Level(IntEnum):
    """The confidence ladder: what stands behind a hit."""

    PATTERN = 1
    WITNESS = 2
    """A pattern and one witness: a label in the field, an allocated prefix, a checksum alone."""
    CHECKED = 3
    """A checksum and a meaning, or a grammar that nothing else has."""
    LABELLED = 4
    KNOWN = 5
    """The value stands in the record's own columns."""


class Span(NamedTuple):
    """One hit. A tuple and no dataclass: dense text has fourteen of them in a kilobyte."""

    start: int
    end: int
    type: EntityType
    level: int
    method: str
    """The rule that found it, from a closed list; never text of the record."""


def merge(spans: Iterable[Span]) -> list[Span]:
    """Unite spans that share a character; the redacted set is exactly the union of ``spans``.

    The united span has the type, level and method of the highest level, then of the longest, then of the first.
    Spans that only touch stay apart. The result is sorted and disjoint.
    """
    merged: list[Span] = []
    best: Span | None = None
    for span in sorted(spans):
        if best is not None and span.start < merged[-1].end:
            if (span.level, span.end - span.start) > (best.level, best.end - best.start):
                best = span
            start, end = merged[-1].start, max(merged[-1].end, span.end)
            merged[-1] = best._replace(start=start, end=end)
        else:
            best = span
            merged.append(span)
    return merged


__all__ = ["EntityType", "Level", "merge", "Span"]
