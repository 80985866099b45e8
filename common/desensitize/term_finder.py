"""Terms of a list in a text: the longest at each place, left to right, in one pass.

Invariants: linear in the text for each number of terms that share two characters; a term that begins or ends with a
letter of ASCII stands alone. Not handled here: what a term means.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_BEGINNING = re.compile(r"(?<![a-z0-9])[a-z0-9]|[^\x00-\x7f]")
"""Where a term may begin: a word of ASCII, or any other character."""


class TermFinder:
    """Finds terms without regard to the case of ASCII letters.

    Args:
        terms: none empty; each begins with a letter or digit.
        cased: terms that must be written as they are here (CT, not ct).
    """

    def __init__(self, terms: Collection[str], cased: Collection[str] = ()) -> None:
        self._cased = {term.lower(): term for term in cased}
        self._by_head: dict[str, list[str]] = {}
        for term in sorted({term.lower() for term in terms} | set(self._cased), key=lambda t: (-len(t), t)):
            self._by_head.setdefault(term[:2], []).append(term)

    def longest(self, text: str, low: str, start: int, end: int) -> int:
        """Where the longest term that starts at ``start`` ends, by ``end`` at most; 0 if none does.

        Args:
            text: as it is.
            low: in lower case, of the same length.
        """
        for head in (low[start : start + 2], low[start : start + 1]):
            for term in self._by_head.get(head, ()):
                stop = start + len(term)
                if stop <= end and low.startswith(term, start) and self._fits(text, low, start, stop, term):
                    return stop
        return 0

    def find(self, text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Disjoint places of terms in ``text[start:end]``, in order."""
        low, stop, done = lower(text), len(text) if end is None else end, start
        by_head = self._by_head
        for candidate in _BEGINNING.finditer(low, start, stop):
            place = candidate.start()
            if place < done or not (low[place : place + 2] in by_head or low[place] in by_head):
                continue
            found = self.longest(text, low, place, stop)
            if found:
                yield place, found
                done = found

    def _fits(self, text: str, low: str, start: int, stop: int, term: str) -> bool:
        if is_latin(low[start]) and start and is_latin(low[start - 1]):
            return False
        if is_latin(low[stop - 1]) and stop < len(low) and is_latin(low[stop]):
            return False
        return term not in self._cased or text[start:stop] == self._cased[term]


def is_latin(character: str) -> bool:
    """A letter or digit of ASCII."""
    return character.isascii() and character.isalnum()


def lower(text: str) -> str:
    """In lower case, and of the same length."""
    low = text.lower()
    if len(low) == len(text):
        return low
    # A few capitals, such as the dotted I, become two characters; they stay.
    return "".join(small if len(small := c.lower()) == 1 else c for c in text)


__all__ = ["is_latin", "lower", "TermFinder"]
