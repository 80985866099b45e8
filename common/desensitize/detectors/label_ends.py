"""Which places of a block have no label before them in their field, with numpy: then nothing need look back.

The last four bytes of a label, five bits of each, are one of few numbers; where none of these stands between the
beginning of the field and a place, no label does. Invariant: what is said to be free of labels ``Labels.nearest`` says
None of; what is not may be free as well. Not handled here: which label it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Final

import numpy as np

from fedward.common.desensitize.detectors.fields import windows_before
from fedward.common.desensitize.detectors.labels import TRADITIONAL, WORDS
from fedward.common.desensitize.detectors.runs import Bytes, Flags, Offsets

_GAPS: Final = " _-"
_KEY_BYTES: Final = 4
_MIN_LABEL_BYTES: Final = 2
_AS_TRADITIONAL: Final = str.maketrans(dict(TRADITIONAL))


def _last_bytes(word: str) -> Iterator[bytes]:
    """Up to four last bytes of a label in every spelling that five bits tell apart."""
    tails = [""]
    for character in reversed(word):
        cases = {character, character.translate(_AS_TRADITIONAL)} if character != " " else {"", *_GAPS, "  "}
        tails = [case + tail for tail in tails for case in cases if len(tail.encode()) < _KEY_BYTES] + [
            tail for tail in tails if len(tail.encode()) >= _KEY_BYTES
        ]
    for tail in tails:
        yield tail.encode()[-_KEY_BYTES:]


def label_table(kinds: Iterable[str]) -> Flags:
    """(2^20,): whether a label of some kinds may end in four bytes, five bits of each."""
    table = np.zeros(32**_KEY_BYTES, np.bool_)
    for kind in kinds:
        for word in "|".join(WORDS[kind]).split("|"):
            for last in _last_bytes(word):
                key = reduce(lambda code, byte: code << 5 | byte & 31, last, 0)
                table.reshape(-1, 32 ** len(last))[:, key] = True  # whatever stands before a shorter label
    return table


ANY_LABEL: Final = label_table(WORDS)


def unlabelled(block: Bytes, starts: Offsets, firsts: Offsets, table: Flags = ANY_LABEL) -> Flags:
    """For each of ``starts``, whose field begins at one of ``firsts``, whether no label of a table stands there."""
    windows = windows_before(block, starts, more=_KEY_BYTES - _MIN_LABEL_BYTES).astype(np.int32) & 31
    num = windows.shape[1] - _KEY_BYTES + 1
    keys = windows[:, :num]
    for step in range(1, _KEY_BYTES):
        keys = (keys << 5) | windows[:, step : step + num]
    # of the key that ends at the last byte before the start, at least the last two bytes are in the field
    inside = np.arange(num) >= (num + 1 - (starts - firsts))[:, None]
    return np.asarray(~(table[keys] & inside).any(axis=1))


__all__ = ["ANY_LABEL", "label_table", "unlabelled"]
