"""The sealed stream: events in segments of at most 1 MiB or 10 minutes, one envelope each, written anew as it grows.

What is not written yet is in memory only. A segment is written at most every 5 seconds, and then whole, so a crash
loses 5 seconds of log if ``Log.tick`` is called that often (``ticker``). One stream for all runs: the page has a run's
log in the run's folder, where its keys would die with the run's; logs are kept for ``log_days``, and name the run.

Not handled here: envelopes (``shelves``), threads (the ``Log``'s lock).
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fedward.common.logs.logger import Event
from fedward.common.logs.shelves import LogShelf, SegmentName

SCHEMA = "fedward.log/1"
MAX_SEGMENT_BYTES = 1 << 20
MAX_SEGMENT_S = 600
SPAN_S = 2 * MAX_SEGMENT_S
"""A segment's last event is at most so much later than its name's time; that is written with its first ones."""
FLUSH_S = 5.0
MAX_UNWRITTEN_SEGMENTS = 4
"""So much is kept in memory while the disk is full."""
_BOOT_BYTES = 4


@dataclass(kw_only=True, slots=True)
class _Segment:
    """One that is not on the shelf for good."""

    name: SegmentName
    opened_s: float
    lines: list[bytes] = field(repr=False)
    num_bytes: int
    is_new: bool = True
    """Something of it is not written yet."""


class SealedStream:
    """An ``EventSink`` on a shelf.

    Args:
        shelf: seals and keeps whole segments.
        now_s: monotonic seconds.
        random_bytes: tells this stream's names from those of another process.
    """

    def __init__(
        self,
        shelf: LogShelf,
        *,
        now_s: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._shelf = shelf
        self._now_s = now_s
        self._boot = random_bytes(_BOOT_BYTES).hex()
        self._number = 0
        self._segments: list[_Segment] = []
        """In order; all but the last are full, and wait to be written for good."""
        self._lost = 0
        self._written_s = -math.inf

    def write(self, events: Sequence[Event]) -> int:
        """See ``EventSink.write``.

        Raises:
            Exception: what the shelf raises. ``events`` are in memory then, and written with the next try.
        """
        # The newest: before there was a sink, some may have waited for hours, and a segment's age is that of its end.
        at_s = max((event.at_s for event in events), default=0)
        self._lost += sum(not self._add(event, at_s) for event in events)
        now_s = self._now_s()
        if now_s - self._written_s >= FLUSH_S:
            self._written_s = now_s
            self._write_out(is_end=False)
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Write all, and for good.

        Raises:
            Exception: what the shelf raises.
        """
        self._write_out(is_end=True)

    def _add(self, event: Event, at_s: int) -> bool:
        line = event.to_line()
        if not self._segments or self._is_over(self._segments[-1], len(line)):
            if len(self._segments) == MAX_UNWRITTEN_SEGMENTS:
                return False
            self._segments.append(self._opened(at_s))
        segment = self._segments[-1]
        segment.lines.append(line)
        segment.num_bytes += len(line)
        segment.is_new = True
        return True

    def _is_over(self, segment: _Segment, more: int = 0) -> bool:
        return segment.num_bytes + more > MAX_SEGMENT_BYTES or self._now_s() - segment.opened_s >= MAX_SEGMENT_S

    def _opened(self, at_s: int) -> _Segment:
        self._number += 1
        name = SegmentName(opened_at_s=at_s, boot=self._boot, number=self._number)
        head = {"schema": SCHEMA, "boot": self._boot, "segment": self._number}
        line = json.dumps(head, separators=(",", ":")).encode() + b"\n"
        return _Segment(name=name, opened_s=self._now_s(), lines=[line], num_bytes=len(line))

    def _write_out(self, *, is_end: bool) -> None:
        while self._segments:
            segment = self._segments[0]
            is_last = is_end or len(self._segments) > 1 or self._is_over(segment)
            if segment.is_new or is_last:
                self._shelf.put(segment.name, b"".join(segment.lines), is_last=is_last)
                segment.is_new = False
            if not is_last:
                return
            del self._segments[0]


__all__ = [
    "FLUSH_S",
    "MAX_SEGMENT_BYTES",
    "MAX_SEGMENT_S",
    "MAX_UNWRITTEN_SEGMENTS",
    "SCHEMA",
    "SealedStream",
    "SPAN_S",
]
