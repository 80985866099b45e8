"""The one logger: events with a schema go to a sealed sink; what has none is dropped and counted, and never printed.

Invariants: ``event`` raises nothing (but in ``strict`` mode, for tests) and does no I/O, so it may be called anywhere,
inside the vault even; no value is stored that its field's type did not make; no message of an exception is read. Events
wait in memory, 1000 at most, until ``tick`` hands them to the sink, or until there is one: before unlock there is none.
A sink that fails stops nobody. After a fork the child logs nothing: the sink is its parent's.

Not handled here: what the sink does (``segments``), and what does not come through here (``guard``).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TextIO

from fedward.common.errors import LogEventError
from fedward.common.logs.events import EVENTS, Level, Schema
from fedward.common.logs.fields import Plain
from fedward.common.logs.origin import origin_of

RING_EVENTS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What is stored of one event."""

    number: int
    """Order within one process."""
    at_s: int
    """Whole seconds since 1970: finer ones would show how long a step took, and so how large its batch was."""
    schema: Schema
    fields: Mapping[str, Plain]

    def to_line(self) -> bytes:
        """One line of JSON, its end included."""
        head = {"n": self.number, "at": self.at_s, "level": self.schema.level.value, "event": self.schema.name}
        return json.dumps({**head, **self.fields}, separators=(",", ":")).encode() + b"\n"


class EventSink(Protocol):
    """Where events are kept."""

    def write(self, events: Sequence[Event]) -> int:
        """Keep ``events``; returns how many of them there was no room for. What it raises costs none of them."""
        ...

    def close(self) -> None:
        """Write everything that is not written yet."""
        ...


class Drop(StrEnum):
    """Why something was not logged."""

    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    OVERRUN = "overrun"
    SINK_FAILED = "sink_failed"


def wall_s() -> int:
    """The machine's time in whole seconds."""
    return time.time_ns() // 1_000_000_000


class Log:
    """A structured logger.

    Args:
        clock_s: whole seconds since 1970.
        ring_events: how many events may wait; older ones are overrun.
    """

    def __init__(self, *, clock_s: Callable[[], int] = wall_s, ring_events: int = RING_EVENTS) -> None:
        self._clock_s = clock_s
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._writing = threading.Lock()
        self._number = 0
        self._waiting: deque[Event] = deque(maxlen=ring_events)
        self._sink: EventSink | None = None
        self._console: Callable[[], TextIO] | None = None
        self._is_strict = False
        self._dropped: Counter[Drop] = Counter()
        self._told: Counter[Drop] = Counter()

    # ------------------------------------------------------------------------------------------------ writing

    def event(self, name: str, /, **fields: object) -> None:
        """Log one event of ``EVENTS``. A field that is not in its schema, or not of its type, is left out and counted.

        Raises:
            LogEventError: any of that, in strict mode.
        """
        if os.getpid() != self._pid:  # before the lock, which another thread of the parent may have held
            return
        with self._turn:
            self._log(name, fields)

    def failure(self, name: str, error: BaseException, /, **fields: object) -> None:
        """Log an event with the class of ``error`` and the module and line it came from. Its text is not looked at."""
        origin = origin_of(error)
        self.event(name, **{"error": error, "module": origin.module, "line": origin.line, **fields})

    def tick(self) -> None:
        """Hand what waits to the sink, which writes now and then.

        To be called every few seconds, by whoever holds no lock that the sink needs: ``ticker`` has a thread for it.
        """
        if os.getpid() != self._pid or self._sink is None:
            return
        with self._writing:
            self._hand_over(self._sink)

    def _log(self, name: str, fields: Mapping[str, object]) -> None:
        schema = EVENTS.get(name) if type(name) is str else None
        if schema is None:
            self._drop(Drop.UNKNOWN_EVENT)
            return
        plain = self._plain(schema, fields)
        self._number += 1
        event = Event(number=self._number, at_s=self._clock_s(), schema=schema, fields=plain)
        if self._console is not None and schema.is_told:
            self._show(self._console, event)
        if len(self._waiting) == self._waiting.maxlen:
            self._dropped[Drop.OVERRUN] += 1
        self._waiting.append(event)

    def _plain(self, schema: Schema, fields: Mapping[str, object]) -> dict[str, Plain]:
        """What may be stored, in the schema's order."""
        found: dict[str, Plain] = {}
        for name, kind in schema.all_fields.items():
            value = fields.get(name)
            if value is None:
                if name in schema.fields:
                    self._drop(Drop.MISSING_FIELD, schema)
                continue
            stored = kind.plain(value)
            if stored is None:
                self._drop(Drop.WRONG_TYPE, schema)
            else:
                found[name] = stored
        for _ in fields.keys() - schema.all_fields.keys():
            self._drop(Drop.UNKNOWN_FIELD, schema)
        return found

    def _hand_over(self, sink: EventSink) -> None:
        """A full disk, or whatever a vault raises, must not stop a round."""
        with self._turn:
            self._tell_dropped()
            events = tuple(self._waiting)
            self._waiting.clear()
        try:
            lost = sink.write(events)
        except Exception:  # noqa: BLE001 - counted; its text is nobody's to read
            self._count(Drop.SINK_FAILED, 1)
        else:
            self._count(Drop.OVERRUN, lost)

    def _count(self, reason: Drop, number: int) -> None:
        with self._turn:
            if number:
                self._dropped[reason] += number

    def _show(self, give: Callable[[], TextIO], event: Event) -> None:
        kinds = event.schema.all_fields
        words = (f"{name}={value}" for name, value in event.fields.items() if kinds[name].is_word)
        try:
            console = give()
            console.write(" ".join([event.schema.name, *words]) + "\n")
            console.flush()
        except Exception:  # noqa: BLE001 - a closed stream, or none: `sys.stderr` is None where it was closed at start
            self._dropped[Drop.SINK_FAILED] += 1

    # ------------------------------------------------------------------------------------------------ what is dropped

    @property
    def dropped(self) -> Mapping[Drop, int]:
        """How much was not logged since the start, by reason."""
        return dict(self._dropped)

    def _drop(self, reason: Drop, schema: Schema | None = None) -> None:
        self._dropped[reason] += 1
        if self._is_strict:
            raise LogEventError(f"{reason.value.replace('_', ' ')}: {'no schema' if schema is None else schema.name}")

    def _tell_dropped(self) -> None:
        news = self._dropped - self._told
        if news:
            self._told = Counter(self._dropped)
            self.event("log.dropped", **{reason.value: news[reason] for reason in Drop})

    # ------------------------------------------------------------------------------------------------ sinks

    @contextmanager
    def kept_in(self, sink: EventSink) -> Iterator[None]:
        """Let ``sink`` have what waits and what comes; at the end it gets the rest and is closed.

        Raises:
            LogEventError: a sink is there already.
        """
        with self._turn:
            if self._sink is not None:
                raise LogEventError("the log has a sink")
            self._sink = sink
        self.event("log.opened")
        self.tick()
        try:
            yield
        finally:
            self.event("log.closed")
            self.tick()
            with self._writing:
                self._sink = None
                self._close(sink)

    def _close(self, sink: EventSink) -> None:
        try:
            sink.close()
        except Exception:  # noqa: BLE001 - as above
            self._count(Drop.SINK_FAILED, 1)

    @contextmanager
    def shown_on(self, console: Callable[[], TextIO]) -> Iterator[None]:
        """Write changes of state, warnings and errors elsewhere as well: their names and words, nothing else.

        Args:
            console: gives the stream, which may be another each time.
        """
        before, self._console = self._console, console
        try:
            yield
        finally:
            self._console = before

    @contextmanager
    def strict(self) -> Iterator[None]:
        """In tests: whatever would be dropped raises ``LogEventError``."""
        before, self._is_strict = self._is_strict, True
        try:
            yield
        finally:
            self._is_strict = before

    @property
    def waiting(self) -> tuple[Event, ...]:
        """What no sink has yet, oldest first."""
        return tuple(self._waiting)


log = Log()
"""This process's."""

__all__ = ["Drop", "Event", "EventSink", "Level", "log", "Log", "RING_EVENTS", "wall_s"]
