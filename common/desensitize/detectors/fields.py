"""Where the fields before many places of a block begin, with numpy: as ``labels.field_start`` does for one.

Not handled here: what stands in a field.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.labels import FIELD_ENDS, MAX_LABEL_BYTES

_NARROW = tuple(mark[0] for mark in FIELD_ENDS if len(mark) == 1)
_WIDE = tuple(int.from_bytes(mark) for mark in FIELD_ENDS if len(mark) == 3)
_BACK = np.arange(-MAX_LABEL_BYTES, 0)


def field_starts(block: NDArray[np.uint8], starts: NDArray[np.int64]) -> dict[int, int]:
    """The beginning of the field before each start, at most ``MAX_LABEL_BYTES`` back, in a block that is padded."""
    windows = block[np.maximum(starts[:, None] + _BACK, 0)]
    ends = np.zeros(windows.shape, np.bool_)
    for mark in _NARROW:
        ends |= windows == mark
    wide = windows.astype(np.uint32)
    characters = (wide[:, :-2] << 16) | (wide[:, 1:-1] << 8) | wide[:, 2:]
    for code in _WIDE:
        ends[:, 2:] |= characters == code
    behind = np.argmax(ends[:, ::-1], axis=1)  # bytes between the last mark and the start
    behind[~ends[np.arange(len(starts)), MAX_LABEL_BYTES - 1 - behind]] = MAX_LABEL_BYTES
    return dict(zip(starts.tolist(), np.maximum(starts - behind, 0).tolist(), strict=True))


__all__ = ["field_starts"]
