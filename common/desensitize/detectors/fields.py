"""Where the fields before many places of a block begin, with numpy: as ``labels.field_start`` does for one.

Not handled here: what stands in a field.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.labels import FIELD_ENDS, MAX_LABEL_BYTES

_NARROW = tuple(mark[0] for mark in FIELD_ENDS if len(mark) == 1)
_WIDE = tuple(mark for mark in FIELD_ENDS if len(mark) > 1)


class FieldEnds:
    """Every mark of ``FIELD_ENDS`` in a padded block."""

    def __init__(self, block: NDArray[np.uint8]) -> None:
        narrow = block == _NARROW[0]
        for mark in _NARROW[1:]:
            narrow |= block == mark
        ends = [np.flatnonzero(narrow) + 1]
        for lead in {mark[0] for mark in _WIDE}:
            at = np.flatnonzero(block == lead)
            second, third = block[at + 1], block[at + 2]
            for _, *rest in (mark for mark in _WIDE if mark[0] == lead):
                ends.append(at[(second == rest[0]) & (third == rest[1])] + 3)
        self._ends = np.sort(np.concatenate(ends))

    def first_of(self, starts: list[int]) -> dict[int, int]:
        """The beginning of the field before each start, at most ``MAX_LABEL_BYTES`` back."""
        before = np.array(starts, np.int64)
        first = self._ends[np.searchsorted(self._ends, before, "right") - 1]  # the padding has marks
        return dict(zip(starts, np.maximum(first, before - MAX_LABEL_BYTES).tolist(), strict=True))


__all__ = ["FieldEnds"]
