"""Where the fields before many places of a block begin, with numpy: as ``labels.field_start`` does for one.

Not handled here: what stands in a field.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.labels import FIELD_ENDS, MAX_LABEL_BYTES
from fedward.common.desensitize.detectors.runs import flags_of

_IS_NARROW = flags_of(b"".join(mark for mark in FIELD_ENDS if len(mark) == 1))
_WIDE = tuple(int.from_bytes(mark) for mark in FIELD_ENDS if len(mark) == 3)
_IS_THIRD = flags_of(bytes(mark[2] for mark in FIELD_ENDS if len(mark) == 3))


def windows_before(block: NDArray[np.uint8], starts: NDArray[np.int64], *, more: int = 0) -> NDArray[np.uint8]:
    """(N, ``MAX_LABEL_BYTES + more``): what stands before each start, in a block that is padded with newlines."""
    back = np.arange(-MAX_LABEL_BYTES - more, 0)
    return np.asarray(block[np.maximum(starts[:, None] + back, 0)])


def field_starts(block: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The beginning of the field before each start, at most ``MAX_LABEL_BYTES`` back, in a block that is padded."""
    windows = windows_before(block, starts)
    ends = _IS_NARROW[windows]
    third = _IS_THIRD[windows[:, 2:]]
    rows, columns = np.nonzero(third)
    if len(rows):
        codes = windows[rows, columns].astype(np.int64) << 16
        codes |= windows[rows, columns + 1].astype(np.int64) << 8
        codes |= windows[rows, columns + 2]
        for code in _WIDE:
            ends[rows[codes == code], columns[codes == code] + 2] = True
    behind = np.argmax(ends[:, ::-1], axis=1)  # bytes between the last mark and the start
    behind[~ends[np.arange(len(starts)), MAX_LABEL_BYTES - 1 - behind]] = MAX_LABEL_BYTES
    return np.asarray(np.maximum(starts - behind, 0))


def may_follow_age(block: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the label of an age may stand before each start: 年龄, 年齡, age, aged."""
    windows = windows_before(block, starts)
    left, right = windows[:, :-1], windows[:, 1:]
    age = ((right & 0xDF) == 71) | ((left == 0xBE) & (right == 0x84)) | ((left == 0xBD) & (right == 0xA1))
    return np.asarray(age.any(axis=1))


__all__ = ["field_starts", "may_follow_age", "windows_before"]
