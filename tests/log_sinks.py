"""Sinks, clocks and canaries for tests of the log."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from fedward.common.logs.logger import Event, Log
from fedward.common.logs.shelves import SegmentName

RUN = b"\x11" * 16
AT_S = 1_700_000_000
CANARY = "Patient 4711 Müller, 痛风 gout since 1998"
"""What a record says."""
FORMS = tuple(
    form
    for text in (CANARY, "4711", "gout", "痛风", "Müller")
    for form in (
        text.encode(),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        base64.b64encode(text.encode()).rstrip(b"=")[:-1],
        text.encode().hex().encode(),
        text.encode("unicode_escape"),
    )
)


def hits(*places: bytes | str) -> list[bytes]:
    """Forms of the canary that are found."""
    raw = b"\n".join(place.encode() if isinstance(place, str) else place for place in places)
    return [form for form in FORMS if form in raw]


def text_of(log: Log) -> str:
    """All that waits in memory, as it would be stored."""
    return b"".join(event.to_line() for event in log.waiting).decode()


@dataclass
class Kept:
    """A sink that remembers."""

    events: list[Event] = field(default_factory=list)
    error: Exception | None = None
    room: int = 1000
    closed: int = 0

    def write(self, events: Sequence[Event]) -> int:
        self.events += events[: self.room]
        if self.error is not None:
            raise self.error
        return max(0, len(events) - self.room)

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error

    @property
    def names(self) -> list[str]:
        return [event.schema.name for event in self.events]


@dataclass
class Clocks:
    """Time that a test moves."""

    now: float = 0.0

    def now_s(self) -> float:
        return self.now

    def wall_s(self) -> int:
        return AT_S + int(self.now)


@dataclass
class MemoryShelf:
    """Segments in memory, in the clear."""

    segments: dict[SegmentName, bytes] = field(default_factory=dict)
    full: list[SegmentName] = field(default_factory=list)
    num_puts: int = 0
    error: Exception | None = None

    def put(self, name: SegmentName, data: bytes, *, is_last: bool) -> None:
        if self.error is not None:
            raise self.error
        assert name not in self.full
        self.num_puts += 1
        self.segments[name] = data
        if is_last:
            self.full.append(name)
