"""Addresses by grammar, Chinese and English.

Level 2 takes two levels of an address (a road and a number, a town and a village), level 3 a label or a full tail.
Not handled here: what stays of an address (the policy's ``address``), towns and countries alone.
"""

from __future__ import annotations

from typing import Literal

from fedward.common.desensitize.detectors.addresses_en import street_addresses
from fedward.common.desensitize.detectors.addresses_zh import chinese_addresses
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.spans import Span

Language = Literal["zh", "en"]


class AddressDetector:
    """ADDRESS, POSTCODE and LOC in the way of one language."""

    def __init__(self, language: Language) -> None:
        self._find = chinese_addresses if language == "zh" else street_addresses

    def detect(self, document: Document) -> list[Span]:
        """Addresses with everything that belongs to them; overlaps are united later."""
        return [
            Span(*document.span_of_chars(hit.start, hit.end), hit.type, int(hit.level), hit.method)
            for hit in self._find(document.text)
        ]


__all__ = ["AddressDetector", "Language"]
