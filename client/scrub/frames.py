"""What travels between a run and its workers: a JSON head and bytes, each with its length in front."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

_LENGTHS = struct.Struct(">IQ")
MAX_HEAD_BYTES = 64 << 20
MAX_BODY_BYTES = 1 << 30


def send(stream: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    """Write one message and flush it."""
    raw = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(raw), len(body)) + raw)
    stream.write(body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one message; None: the other side closed the pipe, or died in the middle of one."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_bytes, body_bytes = _LENGTHS.unpack(lengths)
    if head_bytes > MAX_HEAD_BYTES or body_bytes > MAX_BODY_BYTES:
        return None
    raw, body = stream.read(head_bytes), stream.read(body_bytes)
    if len(raw) < head_bytes or len(body) < body_bytes:
        return None
    head: dict[str, Any] = json.loads(raw)
    return head, body


__all__ = ["receive", "send"]
