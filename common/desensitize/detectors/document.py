"""A text as the detectors read it: folded to plain ASCII digits and letters where it matters, with the way back.

Invariants: folding changes no offset but by skipping characters that nobody sees; every span that comes back lies in
the source, on code points. Not handled here: Traditional characters, which only name matching maps.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

_FOLD = {0xFF10 + i: chr(48 + i) for i in range(10)}
_FOLD |= {0xFF21 + i: chr(65 + i) for i in range(26)} | {0xFF41 + i: chr(97 + i) for i in range(26)}
_FOLD |= {0xFF20: "@", 0xFF0D: "-", 0xFF0E: ".", 0xFF0B: "+", 0xFF3F: "_", 0xA0: " "}
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
"""Zero-width characters and the soft hyphen: skipped, and taken along by the span around them."""
_TABLE = {**_FOLD, **dict.fromkeys(map(ord, _UNSEEN))}
_NEEDS_FOLD = re.compile("[" + re.escape("".join(map(chr, _FOLD)) + _UNSEEN) + "]").search


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text of a record.

    Args:
        source: as it came; spans are offsets into it.
        text: folded; equal to ``source`` for most texts.
        kept: source offset of each character of ``text``, or None if the two have equal length.
    """

    source: str = field(repr=False)
    text: str = field(repr=False)
    kept: tuple[int, ...] | None = field(repr=False)

    @classmethod
    def of(cls, source: str) -> Document:
        """Fold ``source``."""
        if not _NEEDS_FOLD(source):
            return cls(source=source, text=source, kept=None)
        text = source.translate(_TABLE)
        if len(text) == len(source):
            return cls(source=source, text=text, kept=None)
        return cls(source=source, text=text, kept=tuple(i for i, c in enumerate(source) if c not in _UNSEEN))

    @cached_property
    def data(self) -> bytes:
        """``text`` as UTF-8. A lone surrogate becomes three bytes that no rule matches."""
        return self.text.encode("utf-8", "surrogatepass")

    @cached_property
    def _byte_starts(self) -> list[int] | None:
        """Byte offset of each character, closing with the end; None for pure ASCII."""
        if len(self.data) == len(self.text):
            return None
        return list(itertools.accumulate((_width(c) for c in self.text), initial=0))

    def span_of_bytes(self, start: int, end: int) -> tuple[int, int]:
        """Source span of the bytes ``[start, end)`` of ``data``, both on character boundaries; not empty."""
        starts = self._byte_starts
        if starts is None:
            return self.span_of_chars(start, end)
        return self.span_of_chars(bisect_right(starts, start) - 1, bisect_right(starts, end - 1))

    def span_of_chars(self, start: int, end: int) -> tuple[int, int]:
        """Source span of the characters ``[start, end)`` of ``text``; not empty. Skipped ones inside go with it."""
        if self.kept is None:
            return start, end
        return self.kept[start], self.kept[end - 1] + 1


def _width(character: str) -> int:
    code = ord(character)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


__all__ = ["Document"]
