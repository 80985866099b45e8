"""Segments read back, strictly: what is shown was written by the schema that it names, or is counted as unreadable.

Not handled here: opening envelopes, and who may.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from fedward.common.errors import LogError
from fedward.common.ledger.body import once
from fedward.common.logs.events import EVENTS, Level
from fedward.common.logs.fields import FieldType, Plain
from fedward.common.logs.segments import SCHEMA
from fedward.common.logs.shelves import MAX_SEALED_PLAINTEXT

_MAX_LINE_BYTES = 4096
_HEAD = ("n", "at", "level", "event")
_MAX_AT_S = 253_402_300_799
"""The last second of the year 9999."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One event as it was stored."""

    number: int
    at_s: int
    level: Level
    event: str
    fields: dict[str, Plain]

    @property
    def run(self) -> str | None:
        """The run that it belongs to, in hex."""
        run = self.fields.get("run")
        return run if isinstance(run, str) else None


@dataclass(kw_only=True, slots=True)
class Segment:
    """What one segment holds."""

    boot: str
    number: int
    lines: list[Line] = field(default_factory=list)
    num_unreadable: int = 0
    """Lines of another version, or of nobody's."""


def parse_segment(raw: bytes) -> Segment:
    """The events of a segment's plaintext.

    Raises:
        LogError: no segment of this version.
    """
    if len(raw) > MAX_SEALED_PLAINTEXT:
        raise LogError("a segment of the log is too long")
    first, *rest = raw.split(b"\n")
    head = _object(first)
    boot, number = head.get("boot"), head.get("segment")
    if head.get("schema") != SCHEMA or type(boot) is not str or type(number) is not int:
        raise LogError(f"a segment of the log does not begin as one of {SCHEMA}")
    segment = Segment(boot=boot, number=number)
    for text in filter(None, rest):
        try:
            segment.lines.append(_line(text))
        except LogError:
            segment.num_unreadable += 1
    return segment


def _line(text: bytes) -> Line:
    document = _object(text)
    number, at_s, level, event = (document.pop(name, None) for name in _HEAD)
    schema = EVENTS.get(event) if type(event) is str else None
    if schema is None or type(number) is not int or type(at_s) is not int or not 0 <= at_s <= _MAX_AT_S:
        raise LogError("a line of the log has no event of this version")
    fields = {name: value for name, value in document.items() if isinstance(value, str | int)}
    if level != schema.level.value or len(fields) < len(document) or not _holds(schema.all_fields, fields):
        raise LogError("a line of the log is not as its event's schema has it")
    return Line(number=number, at_s=at_s, level=schema.level, event=schema.name, fields=fields)


def _holds(kinds: dict[str, FieldType], fields: dict[str, Plain]) -> bool:
    return all(name in kinds and kinds[name].holds(value) for name, value in fields.items())


def _object(text: bytes) -> dict[str, object]:
    """One line of JSON.

    Raises:
        LogError: anything but an object whose names stand once.
    """
    try:
        document = json.loads(text.decode(), object_pairs_hook=once) if len(text) <= _MAX_LINE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if type(document) is not dict:
        raise LogError("a line of the log is no JSON object")
    return document


def in_order(segments: list[Segment]) -> Iterator[tuple[str, Line]]:
    """All lines with their process: by second, then as their process counted them."""
    lines = [(segment.boot, line) for segment in segments for line in segment.lines]
    yield from sorted(lines, key=lambda pair: (pair[1].at_s, pair[0], pair[1].number))


__all__ = ["in_order", "Line", "parse_segment", "Segment"]
