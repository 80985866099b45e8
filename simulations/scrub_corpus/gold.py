"""What a document of the corpus is: a text, and which characters of it are an identifier.

Invariants: gold spans are sorted, disjoint and hold exactly the value; a neutral span counts neither way, for people
would not agree on it. Not handled here: how values and sentences are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

NEUTRAL = "NEUTRAL"
"""Type of a span whose finding is neither right nor wrong."""


class Gold(NamedTuple):
    """One identifier."""

    start: int
    end: int
    type: str
    """A name of the catalogue, or ``NEUTRAL``."""
    spelling: str
    """How it is written and which cue it has, for sorting misses: ``plain``, ``spaced``, ``header`` …"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One document.

    Args:
        document_id: unique within its corpus.
        patient_id: whose document it is.
        kind: language and template family, as ``zh.clinical``.
        text: as a desensitiser gets it.
        gold: sorted and disjoint.
        known: values of the patient's own columns, by type.
    """

    document_id: str
    patient_id: str
    kind: str
    text: str
    gold: tuple[Gold, ...]
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def value_of(self, gold: Gold) -> str:
        """The characters of a gold span."""
        return self.text[gold.start : gold.end]


class Draft:
    """A document while it is written."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._gold: list[Gold] = []

    @property
    def text(self) -> str:
        """What is written so far."""
        return "".join(self._parts)

    @property
    def num_hits(self) -> int:
        """Identifiers so far."""
        return sum(gold.type != NEUTRAL for gold in self._gold)

    def add(self, text: str) -> None:
        """Write what is no identifier."""
        self._parts.append(text)
        self._length += len(text)

    def put(self, type_: str, value: str, spelling: str = "plain") -> None:
        """Write an identifier."""
        self._gold.append(Gold(self._length, self._length + len(value), type_, spelling))
        self.add(value)

    def gold(self) -> tuple[Gold, ...]:
        """The spans, in order."""
        return tuple(self._gold)
