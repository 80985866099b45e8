"""Which places of a block have no label before them in their field, with numpy: then nothing need look back.

A label ends in one of few pairs of bytes; where none stands between the beginning of the field and a place, no label
does. Invariant: what is said to be free of labels ``Labels.nearest`` says None of; what is not may be free as well.
Not handled here: which label it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np

from fedward.common.desensitize.detectors.fields import windows_before
from fedward.common.desensitize.detectors.labels import TRADITIONAL, WORDS
from fedward.common.desensitize.detectors.runs import Bytes, Flags, Offsets

_GAPS: Final = " _-"
_AS_TRADITIONAL: Final = str.maketrans(dict(TRADITIONAL))


def _pairs(word: str) -> Iterable[bytes]:
    """The last two bytes of a label in every spelling."""
    last = word[-2:]
    spelled = [last]
    if last[0] == " ":
        spelled = [*(gap + last[1] for gap in _GAPS), word[:-1].rstrip()[-1] + last[1]]
    for pair in spelled:
        for cased in itertools.product(*({c, c.upper(), c.lower(), c.translate(_AS_TRADITIONAL)} for c in pair)):
            yield "".join(cased).encode()[-2:]


def pair_table(kinds: Iterable[str]) -> Flags:
    """(65536,): whether a label of some kinds may end in two bytes."""
    table = np.zeros(1 << 16, np.bool_)
    for kind in kinds:
        for word in "|".join(WORDS[kind]).split("|"):
            for pair in _pairs(word):
                table[int.from_bytes(pair)] = True
    return table


ANY_LABEL: Final = pair_table(WORDS)


def unlabelled(block: Bytes, starts: Offsets, firsts: Offsets, table: Flags = ANY_LABEL) -> Flags:
    """For each of ``starts``, whose field begins at one of ``firsts``, whether no label of a table stands there."""
    windows = windows_before(block, starts)
    ends = table[(windows[:, :-1].astype(np.int64) << 8) | windows[:, 1:]]
    width = windows.shape[1]
    inside = np.arange(width - 1) >= (width - (starts - firsts))[:, None]
    return np.asarray(~(ends & inside).any(axis=1))


__all__ = ["ANY_LABEL", "pair_table", "unlabelled"]
