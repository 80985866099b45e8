"""Which phones of a block need no look at what else is said of them, with numpy: most of those in real forms.

Invariant: a phone is plain only where ``Reader.phone`` says level 2 and moves neither end: no extension and no amount
can follow, no currency stands before it, and a mark that ends a field does, or the word for a phone, or no label that
lowers or retypes a phone.
Not handled here: all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from fedward.common.desensitize.detectors.labels import FIELD_ENDS
from fedward.common.desensitize.detectors.numbers import EXTENSION_WORDS, MONEY_LEFT, UNITS
from fedward.common.desensitize.detectors.runs import Bytes, Flags, Offsets, among, flags_of, three_bytes

PHONE_WORDS: Final = ("电话", "手机", "座机", "固话", "热线", "传真", "致电", "拨打")
LONG_PHONE_WORDS: Final = ("手机号", "话号码")
"""How labels of phones end that are the most frequent."""
CLOSE: Final = "：是为（"
"""What may stand between these and the number, once; blanks, quotes, ASCII marks before it."""

_MAX_BLANKS: Final = 2


def _codes(characters: str) -> Offsets:
    return np.array(sorted({int.from_bytes(c.encode()) for c in characters}), np.int64)


def _first_characters(words: tuple[bytes, ...]) -> str:
    return "".join(word.decode()[0] for word in words)


_GOING_ON: Final = EXTENSION_WORDS + _first_characters(UNITS)
_MAY_GO_ON: Final = flags_of(b"." + "".join(c for c in _GOING_ON if c.isascii()).encode()) | flags_of(
    bytes(c.encode()[0] for c in _GOING_ON if len(c.encode()) == 2)
)
_MAY_GO_ON_WIDE: Final = _codes("".join(c for c in _GOING_ON if len(c.encode()) == 3))
_MONEY: Final = flags_of(bytes(mark[-1] for mark in MONEY_LEFT))
_NARROW_ENDS: Final = flags_of(bytes(mark[0] for mark in FIELD_ENDS if len(mark) == 1))
_WIDE_ENDS: Final = _codes("".join(mark.decode() for mark in FIELD_ENDS if len(mark) == 3))
_BLANKS: Final = flags_of(b" :=\"'(")
_CLOSE: Final = _codes(CLOSE)
_WORDS: Final = np.array(sorted(int.from_bytes(word.encode()) for word in PHONE_WORDS), np.int64)
_LONG_WORDS: Final = tuple((int.from_bytes(w[0].encode()), int.from_bytes(w[1:].encode())) for w in LONG_PHONE_WORDS)


def plain_phones(block: Bytes, starts: Offsets, ends: Offsets, harmless: Callable[[Offsets], Flags]) -> Flags:
    """For each phone at ``[start, end)`` of a padded block, whether it is plain.

    Args:
        harmless: for starts, whether no label stands before them that would lower or retype a phone.
    """
    bare = np.flatnonzero(~goes_on(block, starts, ends))
    starts = starts[bare]
    plain = _NARROW_ENDS[block[starts - 1]] | among(three_bytes(block, starts - 3), _WIDE_ENDS)
    plain |= _behind_phone_word(block, starts)
    rest = np.flatnonzero(~plain)
    plain[rest] = harmless(starts[rest])
    found = np.zeros(len(ends), np.bool_)
    found[bare[plain]] = True
    return found


def goes_on(block: Bytes, starts: Offsets, ends: Offsets) -> Flags:
    """Whether an extension or an amount's unit may follow, or a currency stands before."""
    after = ends + (block[ends] == 32)
    may = _MAY_GO_ON[block[after]] | among(three_bytes(block, after), _MAY_GO_ON_WIDE)
    return np.asarray(may | _MONEY[block[starts - 1]])


def _behind_phone_word(block: Bytes, starts: Offsets) -> Flags:
    at = starts
    for _ in range(_MAX_BLANKS):
        at = at - _BLANKS[block[at - 1]]
    is_clear = ~_BLANKS[block[at - 1]]
    at = at - 3 * among(three_bytes(block, at - 3), _CLOSE)
    word = (three_bytes(block, at - 6) << 24) | three_bytes(block, at - 3)
    is_word = among(word, _WORDS)
    for first, rest in _LONG_WORDS:
        is_word |= (word == rest) & (three_bytes(block, at - 9) == first)
    return np.asarray(is_clear & is_word)


__all__ = ["CLOSE", "goes_on", "LONG_PHONE_WORDS", "PHONE_WORDS", "plain_phones"]
