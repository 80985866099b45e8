"""Chinese text as an array of small numbers: Traditional characters as Simplified ones, digits and letters as one each.

Invariants: one number a code point, so that places in the array are places in the text; a lone surrogate or a rare
plane is one number like any other. Not handled here: words (``words``), and what the numbers are used for.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.tables import to_simplified

Codes = NDArray[np.uint16]

GAP: Final = 0
"""Between documents, and beyond the ends."""
DIGIT, UPPER, LOWER, OTHER = 0x30, 0x41, 0x61, 0xFFFF
DOTS: Final = "·•・‧∙\uff0e"
"""Between the parts of a foreign or ethnic-minority name."""
DOT: Final = 0xB7
_INSIDE: Final = DOTS + "-."
"""Punctuation that may stand inside a name."""


@cache
def _table() -> Codes:
    table = np.arange(0x10000, dtype=np.uint16)
    for source, target in to_simplified().items():
        table[source] = ord(target)
    for first, wide in ((0x30, 0xFF10), (0x41, 0xFF21), (0x61, 0xFF41)):
        # Full-width ones too: a document is folded before it comes here, training text is not.
        length = 10 if first == DIGIT else 26
        table[first : first + length] = table[wide : wide + length] = first
    for dot in DOTS:
        table[ord(dot)] = DOT
    table[0xD800:0xE000] = OTHER
    return table


@cache
def _inside() -> NDArray[np.bool_]:
    table = np.zeros(0x10000, np.bool_)
    for first, last in ((0x3400, 0x9FFF), (0xF900, 0xFAFF)):
        table[first : last + 1] = True
    table[[DIGIT, UPPER, LOWER]] = True
    for character in _INSIDE + "〇々":
        table[ord(character)] = True
    table[OTHER] = True
    return table


def codes_of(text: str) -> Codes:
    """(N,) the number of each character of ``text``."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    codes: Codes = _table().take(np.minimum(points, OTHER).astype(np.intp))
    return codes


def name_characters(codes: Codes) -> NDArray[np.bool_]:
    """(N,) true where a name, place or organisation may go on; false at blanks, punctuation and gaps."""
    inside: NDArray[np.bool_] = _inside().take(codes.astype(np.intp))
    return inside


__all__ = [
    "Codes",
    "codes_of",
    "DIGIT",
    "DOT",
    "DOTS",
    "GAP",
    "LOWER",
    "name_characters",
    "OTHER",
    "UPPER",
]
