"""What is wrong with a payload that does not open. Runs after a failure only, and hands no plaintext on.

The last 32 bytes are judged first: a valid end record says how long the chunks were. Then the failing chunk is tried in
other places. Reads the rest of the source once, in constant memory.
"""

from __future__ import annotations

from collections.abc import Callable

from fedward.common.envelope.payload import CHUNK_BYTES, END_BYTES, SEALED_BYTES, TAG_BYTES, Payload
from fedward.common.errors import (
    ChunkCorruptError,
    ChunkOrderError,
    EnvelopeError,
    TrailingDataError,
    TruncatedError,
)

_MAX_TRIES = 1 << 16
_READ_BYTES = 1 << 20

Read = Callable[[int], bytes]


def judge(payload: Payload, index: int, rest: bytes, read: Read) -> EnvelopeError:
    """The error that fits best.

    Args:
        payload: the keys of this envelope.
        index: of the chunk that failed, or of the last one if only the end record did.
        rest: what was read from the beginning of that chunk on.
        read: gives the bytes after ``rest``; empty at the end.
    """
    head, tail, num_rest = _skim(rest, read)
    num_before = index * SEALED_BYTES
    num_sealed = num_before + num_rest - END_BYTES
    stated = payload.length_in(tail) if num_rest >= END_BYTES else None
    if stated is None:
        return _without_end(payload, index, head, num_rest)
    if stated > num_sealed:
        return TruncatedError(f"{stated - num_sealed:,} bytes are missing")
    if stated < num_sealed and _has_end_within(payload, index, head, num_rest):
        return TrailingDataError("something follows the end of this envelope")
    if stated < num_sealed or _opens_elsewhere(payload, index, head, stated):
        return ChunkOrderError(f"chunk {index} is not in its place")
    return ChunkCorruptError(f"chunk {index} was changed")


def _skim(rest: bytes, read: Read) -> tuple[bytes, bytes, int]:
    """A chunk and an end record from the front, the last 32 bytes, and the length of all."""
    head, tail, total = rest, rest[-END_BYTES:], len(rest)
    while piece := read(_READ_BYTES):
        if len(head) < SEALED_BYTES + END_BYTES:
            head += piece
        tail = (tail + piece)[-END_BYTES:]
        total += len(piece)
    return head[: SEALED_BYTES + END_BYTES], tail, total


def _without_end(payload: Payload, index: int, head: bytes, num_rest: int) -> EnvelopeError:
    """No valid end record stands at the end of the input."""
    if _has_end_within(payload, index, head, num_rest):
        return TrailingDataError("something follows the end of this envelope")
    last = head[: max(0, num_rest - END_BYTES)]
    if TAG_BYTES <= len(last) <= SEALED_BYTES and _opens(payload, last, index, is_last=True):
        return ChunkCorruptError("the end record was changed")
    return TruncatedError("the end of this envelope is missing")


def _has_end_within(payload: Payload, index: int, head: bytes, num_rest: int) -> bool:
    """Whether a valid end record stands behind the failing chunk, and something behind it."""
    before = index * SEALED_BYTES
    for at in range(TAG_BYTES, len(head) - END_BYTES + 1):
        # The stated length must be the offset: that spares 65,000 MACs.
        is_candidate = int.from_bytes(head[at : at + 8], "big") == before + at and at < num_rest - END_BYTES
        if is_candidate and payload.length_in(head[at : at + END_BYTES]) is not None:
            return True
    return False


def _opens_elsewhere(payload: Payload, index: int, head: bytes, num_sealed: int) -> bool:
    """Whether the failing chunk belongs to another place of this file."""
    num_chunks = -(-num_sealed // SEALED_BYTES)
    last_bytes = num_sealed - (num_chunks - 1) * SEALED_BYTES
    if index != num_chunks - 1 and _opens(payload, head[:last_bytes], num_chunks - 1, is_last=True):
        return True
    chunk = head[:SEALED_BYTES]
    others = range(min(num_chunks, _MAX_TRIES))
    return any(_opens(payload, chunk, other, is_last=False) for other in others if other != index)


def _opens(payload: Payload, sealed: bytes, index: int, *, is_last: bool) -> bool:
    if len(sealed) < TAG_BYTES:
        return False
    out = bytearray(min(len(sealed) - TAG_BYTES, CHUNK_BYTES + END_BYTES))
    is_open = payload.open_into(memoryview(sealed), memoryview(out), index, is_last=is_last)
    out[:] = bytes(len(out))
    return is_open


__all__ = ["judge", "Read"]
