"""How our bytes lie inside a Flower message: one opaque array. Constants only, so that both ends can share them."""

from __future__ import annotations

from collections.abc import Sequence

RECORD = "fw"
"""Name of the ``ArrayRecord`` in the ``RecordDict``."""
ARRAY = "m"
"""Key of the array: dtype uint8, shape (n,)."""
STYPE = "fedward/1"
"""Serialisation type of the array: the bytes themselves."""
DTYPE = "uint8"
ERROR_RECORD = "fw-error"
"""Name of the ``ConfigRecord`` with which a relay says that it failed; unsigned, never a site's decision."""
ERROR_KEY = "code"
MESSAGE_TYPE = "query"
MAX_MESSAGE_BYTES = 512 << 20
"""Nobody carries more; what a message of ours may have at most, ``codec`` says."""

RELAY_ERRORS = frozenset({"daemon-down", "deadline", "too-large", "bad-record", "draining", "internal"})
"""All that a relay may say of itself."""


def is_ours(*, stype: str, dtype: str, shape: Sequence[int], num_bytes: int) -> bool:
    """Whether an array is one that we wrote."""
    return (stype, dtype, tuple(shape)) == (STYPE, DTYPE, (num_bytes,))
