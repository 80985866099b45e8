"""Cut the input into chunks that workers can take in any order: whole lines, rows, paragraphs or batches.

Invariants: where a chunk is cut depends on the file alone, never on workers or on where a run was interrupted; at most
one chunk and one record are in memory here. Not handled here: what is in a chunk (``rows``, ``tables``).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fedward.client.scrub import rows, tables
from fedward.client.scrub.refusals import RefusalError, as_error
from fedward.client.scrub.settings import CHUNK_BYTES, MAX_RECORD_BYTES, MAX_SPLIT_BYTES, Member


class Mark(NamedTuple):
    """Where a chunk begins."""

    member: int
    offset: int
    """Bytes; for tables the number of chunks before."""
    number: int
    """Of the first line or row, from 1."""


class Chunk(NamedTuple):
    """A piece of one file."""

    place: int
    """In the order of all chunks."""
    start: Mark
    end: Mark
    """Where the next one begins."""
    body: bytes
    num_bytes: int
    """Of the input, for progress."""


def cut(paths: list[Path], members: tuple[Member, ...], *, start: Mark, index: int, split: bool) -> Iterator[Chunk]:
    """All chunks from ``start`` on.

    Args:
        index: of the first one.
        split: records may be as long as a chunk of ``--split`` allows.
    """
    for number in range(start.member, len(members)):
        begin = start if number == start.member else Mark(number, 0, 1)
        member, path = members[number], paths[number]
        pieces = (
            _table(path, member, begin)
            if member.kind in ("parquet", "arrow")
            else _lines(path, member, begin, MAX_SPLIT_BYTES if split else MAX_RECORD_BYTES)
        )
        for first, end, body, num_bytes in pieces:
            yield Chunk(index, first, end, body, num_bytes)
            index += 1


def _table(path: Path, member: Member, begin: Mark) -> Iterator[tuple[Mark, Mark, bytes, int]]:
    source = tables.parquet_chunks if member.kind == "parquet" else tables.arrow_chunks
    pieces = source(path, begin.offset)
    done = begin.offset
    while (piece := tables.guarded(path.name, lambda: next(pieces, None))) is not None:
        first, num_rows, body = piece
        start, end = Mark(begin.member, done, first), Mark(begin.member, done + 1, first + num_rows)
        done += 1
        yield start, end, body, len(body)


def _lines(path: Path, member: Member, begin: Mark, limit: int) -> Iterator[tuple[Mark, Mark, bytes, int]]:
    with path.open("rb") as file:
        file.seek(begin.offset)
        if begin.offset == 0:
            skipped = _skip_head(file, member)
            begin = Mark(begin.member, file.tell(), begin.number + skipped)
        mark, parts, num_lines, size = begin, list[bytes](), 0, 0
        for unit, lines in _units(file, member, begin.number, limit):
            parts.append(unit)
            num_lines += lines
            size += len(unit)
            if size >= CHUNK_BYTES:
                end = Mark(mark.member, mark.offset + size, mark.number + num_lines)
                yield mark, end, b"".join(parts), size
                mark, parts, num_lines, size = end, [], 0, 0
        if parts:
            yield mark, Mark(mark.member, mark.offset + size, mark.number + num_lines), b"".join(parts), size


def _skip_head(file: BinaryIO, member: Member) -> int:
    """Leave the byte order mark and a CSV header behind; how many lines that were."""
    mark = len(rows.BOM) if file.read(len(rows.BOM)) == rows.BOM and member.encoding == "utf-8" else 0
    file.seek(mark)
    if member.kind != "csv":
        return 0
    return next(_csv_rows(file, member, 1, MAX_RECORD_BYTES))[1]


def _units(file: BinaryIO, member: Member, number: int, limit: int) -> Iterator[tuple[bytes, int]]:
    """Whole records as bytes, with their number of lines."""
    if member.kind == "csv":
        return _csv_rows(file, member, number, limit)
    if member.kind == "text":
        return rows.paragraphs(line for line, _ in _raw_lines(file, member, number, limit))
    return _raw_lines(file, member, number, limit)


def _raw_lines(file: BinaryIO, member: Member, number: int, limit: int) -> Iterator[tuple[bytes, int]]:
    while line := file.readline(limit + 1):
        if len(line) > limit:
            raise as_error(member.name, "too_long", f"line {number}")
        yield line, 1
        number += 1


def _csv_rows(file: BinaryIO, member: Member, number: int, limit: int) -> Iterator[tuple[bytes, int]]:
    """Rows as they stand, quoted line breaks inside: only a CSV reader knows where a row ends."""
    taken: list[bytes] = []

    def texts() -> Iterator[str]:
        size = 0
        for line, _ in _raw_lines(file, member, number, limit):
            size = len(line) if not taken else size + len(line)
            taken.append(line)
            if size > limit:
                raise RefusalError("too_long")
            yield line.decode(member.encoding)

    before, code = csv.field_size_limit(MAX_SPLIT_BYTES), None
    try:
        reader = csv.reader(texts(), delimiter=member.delimiter, strict=True)
        for _ in reader:
            yield b"".join(taken), len(taken)
            number += len(taken)
            taken.clear()
    except csv.Error:
        code = "bad_csv"
    except UnicodeDecodeError:
        code = "encoding"
    except RefusalError as error:
        code = error.code
    finally:
        csv.field_size_limit(before)
    # Raised out here: the codec's error holds the whole line.
    if code is not None:
        raise as_error(member.name, code, f"line {number}")


__all__ = ["Chunk", "cut", "Mark"]
