"""The values of the record's own columns, searched as literals in every spelling: recall that depends on no model.

Invariants: a hit is level 5; a value under two Chinese or four other characters, and one inside a medical or
financial term, counts only beside a cue; a number is never found inside a longer number.
Not handled here: values of other patients (give them as known where they matter), spoken digits, the second pass
(``repeats``).
"""

from __future__ import annotations

from collections.abc import Mapping

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.spelling_search import SpellingSearch
from fedward.common.desensitize.detectors.spellings import spellings
from fedward.common.desensitize.spans import EntityType, Level, Span


class KnownValueDetector:
    """Finds the values of ``known`` in every spelling.

    Args:
        known: values by type, as the columns hold them.
        one_pass: None: Aho-Corasick beyond some fifty literals, else one ``find`` each; the hits are the same.
    """

    def __init__(self, known: Mapping[EntityType, tuple[str, ...]], *, one_pass: bool | None = None) -> None:
        self._search = SpellingSearch(
            ((s, int(Level.KNOWN)) for type_, values in known.items() for v in values for s in spellings(type_, v)),
            one_pass=one_pass,
        )

    def detect(self, document: Document) -> list[Span]:
        """Every counting occurrence, level 5."""
        return self._search.spans(document, "known")


__all__ = ["KnownValueDetector"]
