"""A text as the detectors read it: folded to plain ASCII digits and letters where it matters, with the way back.

Invariants: folding changes no offset but by skipping characters that nobody sees; every span that comes back lies in
the source, on code points. Not handled here: Traditional characters, which only name matching maps.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_FOLD = {0xFF10 + i: chr(48 + i) for i in range(10)}
_FOLD |= {0xFF21 + i: chr(65 + i) for i in range(26)} | {0xFF41 + i: chr(97 + i) for i in range(26)}
_FOLD |= {0xFF20: "@", 0xFF0D: "-", 0xFF0E: ".", 0xFF0B: "+", 0xFF3F: "_", 0xA0: " "}
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
"""Zero-width characters and the soft hyphen: skipped, and taken along by the span around them."""
_TABLE = {**_FOLD, **dict.fromkeys(map(ord, _UNSEEN))}
_TOUCHED = re.compile("[" + re.escape("".join(map(chr, _FOLD)) + _UNSEEN) + "]+")
_SKIPPED = re.compile(f"[{_UNSEEN}]+").finditer
_MANY_CHARS = 4096
"""From here on numpy folds faster than the expression."""
_NO_CODE = 0x110000
_CODES = np.arange(_NO_CODE, dtype=np.uint32)
_CODES[list(_TABLE)] = [_NO_CODE if new is None else ord(new) for new in _TABLE.values()]
_IS_TOUCHED = np.arange(_NO_CODE) != _CODES
_CODES = _CODES[:0x10000].copy()


Folded = tuple[str, Sequence[int] | NDArray[np.int64] | None]


def fold(source: str) -> Folded:
    """The folded text, and the source offset of each of its characters; None if the two have equal length."""
    if source.isascii():
        return source, None
    if len(source) < _MANY_CHARS:
        text = _TOUCHED.sub(lambda match: match[0].translate(_TABLE), source)
        return text, None if len(text) == len(source) else _kept(source)
    codes = np.frombuffer(source.encode("utf-32-le", "surrogatepass"), np.uint32)
    touched = np.flatnonzero(_IS_TOUCHED[codes])
    if not len(touched):
        return source, None
    codes = codes.copy()
    codes[touched] = _CODES[codes[touched]]
    kept = None
    if (codes[touched] == _NO_CODE).any():
        kept = np.flatnonzero(codes != _NO_CODE)
        codes = codes[kept]
    return codes.tobytes().decode("utf-32-le", "surrogatepass"), kept


def _kept(source: str) -> tuple[int, ...]:
    kept: list[int] = []
    at = 0
    for match in _SKIPPED(source):
        kept += range(at, match.start())
        at = match.end()
    return (*kept, *range(at, len(source)))


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text of a record; folded when it is first asked for, so that many texts can be folded as one.

    Args:
        source: as it came; spans are offsets into it.
    """

    source: str = field(repr=False)
    _fold: Folded | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, source: str) -> Document:
        """The document of ``source``."""
        return cls(source=source)

    @property
    def text(self) -> str:
        """Folded; equal to ``source`` for most texts."""
        return self._folded()[0]

    @property
    def kept(self) -> Sequence[int] | NDArray[np.int64] | None:
        """Source offset of each character of ``text``, or None if the two have equal length."""
        return self._folded()[1]

    def _folded(self) -> Folded:
        # Not functools.cached_property, which takes a lock: a second time a microsecond for each of many texts.
        if self._fold is None:
            object.__setattr__(self, "_fold", fold(self.source))
        assert self._fold is not None  # noqa: S101 - just set
        return self._fold

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
        kept = self.kept
        return (start, end) if kept is None else (int(kept[start]), int(kept[end - 1]) + 1)


def _width(character: str) -> int:
    code = ord(character)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


__all__ = ["Document", "fold"]
