"""The sealed stream: events in segments of at most 1 MiB or 10 minutes, one envelope each, written anew as they grow.

What is not written yet is in memory only; a segment is written at most every 5 seconds, so a crash loses 5 seconds of
log. A run that began in this process has segments of its own, under its run id, so that they live and die with the
run's keys; everything else goes to the site's. A stream takes at most 1000 events between two writes, and of at most 8
runs at once: what a stranger makes a site log is bounded.

Not handled here: time that passes without an event (``ticker``), envelopes (``shelves``), threads (the ``Log``'s lock).
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fedward.common.logs.logger import Event
from fedward.common.logs.shelves import SITE, LogShelf, SegmentName

SCHEMA = "fedward.log/1"
MAX_SEGMENT_BYTES = 1 << 20
MAX_SEGMENT_S = 600.0
FLUSH_S = 5.0
MAX_UNWRITTEN = 1000
MAX_RUNS = 8
_BOOT_BYTES = 4


@dataclass(kw_only=True, slots=True)
class _Segment:
    """One that is open."""

    name: SegmentName
    opened_s: float
    lines: list[bytes] = field(repr=False)
    num_bytes: int
    num_unwritten: int = 0


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
        self._open: dict[bytes, _Segment] = {}
        self._runs: list[bytes] = []
        self._tried_s = now_s() - FLUSH_S
        self._failed_s = -math.inf

    def take(self, event: Event) -> bool:
        """See ``EventSink.take``.

        Raises:
            Exception: what the shelf raises. ``event`` is in memory then and written with the next try, unless its
                segment was full: while that cannot be written, it is lost.
        """
        if sum(segment.num_unwritten for segment in self._open.values()) >= MAX_UNWRITTEN:
            return False
        run_id, line = self._home(event), event.to_line()
        segment = self._open.get(run_id)
        if segment is not None and self._is_full(segment, len(line)):
            if self._now_s() - self._failed_s < FLUSH_S:
                return False
            self._write(run_id, segment, is_last=True)
            segment = None
        if segment is None:
            segment = self._open[run_id] = self._new(run_id, event.at_s)
        segment.lines.append(line)
        segment.num_bytes += len(line)
        segment.num_unwritten += 1
        self.tick()
        return True

    def tick(self) -> None:
        """Write what is new, if the last time was 5 seconds ago, and close what is old."""
        now_s = self._now_s()
        if now_s - self._tried_s < FLUSH_S:
            return
        self._tried_s = now_s
        for run_id, segment in list(self._open.items()):
            is_old = now_s - segment.opened_s >= MAX_SEGMENT_S
            if segment.num_unwritten or is_old:
                self._write(run_id, segment, is_last=is_old)

    def close(self) -> None:
        """Write all and begin no more of them."""
        for run_id, segment in list(self._open.items()):
            self._write(run_id, segment, is_last=True)

    def _home(self, event: Event) -> bytes:
        """Whose segment it goes to."""
        run_id = event.run_id
        if run_id is None:
            return SITE
        if event.schema.begins_run and run_id not in self._runs:
            self._runs = [*self._runs, run_id][-MAX_RUNS:]
        return run_id if run_id in self._runs else SITE

    def _is_full(self, segment: _Segment, more: int) -> bool:
        is_old = self._now_s() - segment.opened_s >= MAX_SEGMENT_S
        return is_old or segment.num_bytes + more > MAX_SEGMENT_BYTES

    def _new(self, run_id: bytes, at_s: int) -> _Segment:
        self._number += 1
        name = SegmentName(opened_at_s=at_s, boot=self._boot, number=self._number, run_id=run_id)
        head = {"schema": SCHEMA, "boot": self._boot, "segment": self._number}
        line = json.dumps(head, separators=(",", ":")).encode() + b"\n"
        return _Segment(name=name, opened_s=self._now_s(), lines=[line], num_bytes=len(line))

    def _write(self, run_id: bytes, segment: _Segment, *, is_last: bool) -> None:
        if segment.num_unwritten:
            try:
                self._shelf.put(segment.name, b"".join(segment.lines))
            except BaseException:
                self._failed_s = self._now_s()
                raise
            segment.num_unwritten = 0
        if is_last:
            del self._open[run_id]


__all__ = ["FLUSH_S", "MAX_RUNS", "MAX_SEGMENT_BYTES", "MAX_SEGMENT_S", "MAX_UNWRITTEN", "SCHEMA", "SealedStream"]
