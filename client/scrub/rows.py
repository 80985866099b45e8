"""Chunks of a file as records and back: strict reading, and writing that keeps format, order and types.

Every reader yields (number, record) pairs or raises with the place; a record is a dict of plain values.
Output is UTF-8 whatever the input was, for a surrogate need not exist in a smaller character set.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fedward.client.scrub.refusals import RefusalError
from fedward.client.scrub.settings import MAX_RECORD_BYTES, MAX_SPLIT_BYTES, Member

TEXT_KEY = "text"


class Raw(NamedTuple):
    """One record as it stands in the file."""

    number: int
    place: str
    record: dict[str, Any] | None
    """None: nothing to desensitise (an empty line), written as it is."""
    refusal: RefusalError | None
    raw: bytes


def read(member: Member, number: int, body: bytes) -> Iterator[Raw]:
    """The records of a chunk.

    Args:
        number: of its first line.
        body: whole lines; for text whole paragraphs.
    """
    if member.kind == "jsonl":
        return _jsonl(member, number, body)
    if member.kind == "csv":
        return _csv(member, number, body)
    return _text(member, number, body)


def write(member: Member, raw: Raw, record: dict[str, Any] | None) -> bytes:
    """One record in the file's format; ``record`` None: as it came."""
    if record is None:
        return raw.raw
    if member.kind == "jsonl":
        ascii_only = raw.raw.isascii()
        return (json.dumps(record, ensure_ascii=ascii_only, allow_nan=False) + "\n").encode()
    if member.kind == "csv":
        return csv_row(member, list(record.values()))
    return str(record[TEXT_KEY]).encode()


def csv_row(member: Member, cells: list[str]) -> bytes:
    """One line of CSV."""
    out = io.StringIO()
    csv.writer(out, delimiter=member.delimiter, lineterminator=member.line_end).writerow(cells)
    return out.getvalue().encode()


def _decoded(member: Member, raw: bytes, place: str) -> str:
    try:
        text = raw.decode(member.encoding)
    except UnicodeDecodeError:
        text = None
    # Raised out here: the codec's error holds the whole line.
    if text is None:
        raise RefusalError("encoding", place)
    if "\0" in text:
        raise RefusalError("nul", place)
    return text


def _jsonl(member: Member, number: int, body: bytes) -> Iterator[Raw]:
    for raw in _lines(body):
        place = f"line {number}"
        if not raw.strip():
            yield Raw(number, place, None, None, raw)
        else:
            try:
                record, refusal = json_object(_decoded(member, raw, place), place), None
            except RefusalError as error:
                record, refusal = None, error
            yield Raw(number, place, record, refusal, raw)
        number += 1


def _lines(body: bytes) -> list[bytes]:
    """Split at newlines alone: ``splitlines`` also splits at a bare carriage return."""
    lines = [line + b"\n" for line in body.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def json_object(line: str, place: str) -> dict[str, Any]:
    """A line of JSON lines, strictly.

    Raises:
        RefusalError: what is wrong with it.
    """
    code = "bad_json"
    try:
        record = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
        if isinstance(record, dict):
            return record
        code = "not_an_object"
    except _DuplicateKeyError:
        code = "duplicate_key"
    except _RangeError:
        code = "number_range"
    except (ValueError, RecursionError):
        pass
    # Raised out here: a JSONDecodeError holds the whole line.
    raise RefusalError(code, place)


class _DuplicateKeyError(ValueError):
    pass


class _RangeError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise _DuplicateKeyError
    return record


def _refuse(constant: str) -> float:
    raise _RangeError


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RangeError
    return value


def _csv(member: Member, number: int, body: bytes) -> Iterator[Raw]:
    lines = _lines(body)
    reader = csv.reader(_csv_lines(member, lines, number), delimiter=member.delimiter, strict=True)
    before = csv.field_size_limit(MAX_SPLIT_BYTES)
    try:
        while True:
            start = reader.line_num
            cells, failed = None, False
            try:
                cells = next(reader, None)
            except csv.Error:
                failed = True
            if failed:
                raise RefusalError("bad_csv", f"line {number + start}")
            if cells is None:
                return
            yield _csv_record(member, number + start, cells, b"".join(lines[start : reader.line_num]))
    finally:
        csv.field_size_limit(before)


def _csv_lines(member: Member, lines: list[bytes], number: int) -> Iterator[str]:
    for index, raw in enumerate(lines):
        yield _decoded(member, raw, f"line {number + index}")


def _csv_record(member: Member, number: int, cells: list[str], raw: bytes) -> Raw:
    place = f"line {number}"
    if not cells:
        return Raw(number, place, None, None, member.line_end.encode())
    if len(cells) != len(member.header):
        return Raw(number, place, None, RefusalError("ragged_row", place), raw)
    return Raw(number, place, dict(zip(member.header, cells, strict=True)), None, raw)


def _text(member: Member, number: int, body: bytes) -> Iterator[Raw]:
    """Paragraphs: lines up to an empty one. What a paragraph is does not depend on where a chunk was cut."""
    for raw, num_lines in paragraphs(_lines(body)):
        place = f"line {number}"
        if not raw.strip():
            yield Raw(number, place, None, None, raw)
        else:
            try:
                record, refusal = {TEXT_KEY: _decoded(member, raw, place)}, None
            except RefusalError as error:
                record, refusal = None, error
            yield Raw(number, place, record, refusal, raw)
        number += num_lines


PARAGRAPH_LINES = 256
"""A paragraph has no more lines: a list of lines without a gap must not be one record. Lines and not bytes are counted,
so that a file in another encoding is cut at the same places."""
_PARAGRAPH_BYTES = MAX_RECORD_BYTES // 2


def paragraphs(lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Cut a text into paragraphs, each with the empty lines behind it; and the number of their lines."""
    parts: list[bytes] = []
    size, is_gap = 0, False
    for line in lines:
        blank = not line.strip()
        is_full = len(parts) >= PARAGRAPH_LINES or size >= _PARAGRAPH_BYTES
        if parts and ((is_gap and not blank) or is_full):
            yield b"".join(parts), len(parts)
            parts, size = [], 0
        parts.append(line)
        size += len(line)
        is_gap = blank
    if parts:
        yield b"".join(parts), len(parts)


BOM = codecs.BOM_UTF8


__all__ = ["BOM", "csv_row", "json_object", "PARAGRAPH_LINES", "paragraphs", "Raw", "read", "TEXT_KEY", "write"]
