"""The one interface of everything that finds identifiers."""

from __future__ import annotations

from typing import Protocol

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.spans import Span


class Detector(Protocol):
    """Finds identifiers. Pure: the same document gives the same spans."""

    def detect(self, document: Document) -> list[Span]:
        """Spans in code points of ``document.source``, in any order; overlaps are united later."""


__all__ = ["Detector"]
