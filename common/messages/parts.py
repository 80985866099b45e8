"""Messages in parts: how bytes of any length pass a stream whose items are small.

Invariants: nothing is kept of a message whose stated length is above the limit; what is kept grows with what came,
never with what was announced; a message is whole when as many bytes came as its first part said, and never longer.
Not handled here: sockets, time, and what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from fedward.common.errors import MessageTooLargeError, TransportError
from fedward.common.messages import site_daemon_pb2 as pb

PART_BYTES = 1 << 20
MAX_FRAME_BYTES = PART_BYTES + 64
"""A full part with its tags and lengths: what a transport has to let through."""
HANDLE = "/fedward.site.v1.SiteDaemon/Handle"
HEALTH = "/fedward.site.v1.SiteDaemon/Health"
STATUS = "/fedward.site.v1.SiteAdmin/Status"
DRAIN = "/fedward.site.v1.SiteAdmin/Drain"


def split(payload: bytes) -> Iterator[pb.Part]:
    """A message in parts, made one after the other.

    Raises:
        TransportError: an empty message.
    """
    if not payload:
        raise TransportError("an empty message")
    view = memoryview(payload)
    for start in range(0, len(payload), PART_BYTES):
        data = bytes(view[start : start + PART_BYTES])
        yield pb.Part(data=data) if start else pb.Part(data=data, total_bytes=len(payload))


class Joiner:
    """Puts one message together.

    Args:
        max_bytes: longest message.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._total = 0
        self._chunks: list[bytes] = []
        self.num_bytes = 0

    def add(self, part: pb.Part) -> None:
        """Take the next part.

        Raises:
            MessageTooLargeError: the first part says more than the limit.
            TransportError: a part that does not belong there.
        """
        if not self._total:
            if part.total_bytes > self._max_bytes:
                raise MessageTooLargeError(f"a message of {part.total_bytes} bytes, at most {self._max_bytes}")
            if not part.total_bytes:
                raise TransportError("a first part that does not say how much follows")
            self._total = part.total_bytes
        elif part.total_bytes:
            raise TransportError("a later part with a length of its own")
        size = len(part.data)
        if not 0 < size <= PART_BYTES or self.num_bytes + size > self._total:
            raise TransportError("a part that is empty, too long, or more than was announced")
        self._chunks.append(part.data)
        self.num_bytes += size

    @property
    def is_whole(self) -> bool:
        """Whether all that was announced has come."""
        return 0 < self._total == self.num_bytes

    def message(self) -> bytes:
        """The message; the parts are given up.

        Raises:
            TransportError: it is not whole.
        """
        if not self.is_whole:
            raise TransportError(f"{self.num_bytes} of {self._total} bytes came")
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


__all__ = ["DRAIN", "HANDLE", "HEALTH", "Joiner", "MAX_FRAME_BYTES", "PART_BYTES", "split", "STATUS"]
