"""Read rows, one by one, out of JSON lines, CSV, Parquet and Hugging Face data sets.

Invariants: nothing of a record is written anywhere; every refusal names the file, the line
or row and the columns, never what stands in a cell; an exception that may hold record content (of ``json``, of a
codec, of a library) is gone before ours is raised, so no chained traceback can show it.
Not handled here: what a cell must be (``client.intake``).
"""

from __future__ import annotations

import codecs
import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from fedward.common.errors import DataError, EmptyDataError, EncodingError, FedwardError, MissingColumnError

if TYPE_CHECKING:
    from fedward.client.intake import DataSource, Format

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_TEXT_CHARS = 1024 * 1024
_PARQUET_BATCH_ROWS = 1024
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

# A place in the file ("line 3") and the cells found there.
Row = tuple[str, Mapping[str, object]]


def source_format(source: DataSource) -> Format:
    """Return the format that is read, "auto" decided.

    Raises:
        DataError: the path is missing, of the wrong kind, or of an unknown suffix.
    """
    path, name = source.path, source.path.name
    decided = source.format
    if decided == "auto":
        decided = "huggingface" if path.is_dir() else _SUFFIXES.get(path.suffix.lower(), "auto")
    if decided == "huggingface":
        return decided
    if not path.exists():
        raise DataError(
            f"{name}: no such file",
            hint="Check the path; in a recipe it is relative to --data, or else to the recipe's folder.",
        )
    if path.is_dir():
        raise DataError(f"{name}: a folder, a {decided} file is expected", hint='Set format = "huggingface".')
    if not path.is_file():
        raise DataError(f"{name}: not a regular file")
    if decided == "auto":
        raise DataError(f"{name}: unknown suffix", hint="Set format to jsonl, csv or parquet.")
    return decided


def read_rows(source: DataSource) -> Iterator[Row]:
    """Yield each row of ``source`` with its place; a mapping may hold more columns than asked for.

    Raises:
        DataError: or one of its kinds, naming file and place.
    """
    decided = source_format(source)
    if decided == "huggingface":
        return _guarded(source, "data set", _huggingface_rows(source))
    if source.path.stat().st_size == 0:
        raise EmptyDataError(f"{source.path.name}: the file is empty")
    if decided == "parquet":
        return _guarded(source, "Parquet file", _parquet_rows(source))
    return _jsonl_rows(source) if decided == "jsonl" else _csv_rows(source)


def _lines(source: DataSource, file: BinaryIO) -> Iterator[str]:
    """Yield decoded lines with their ends; lines are split before decoding, so that an error has a place."""
    offset_bytes = 0
    for number in range(1, 2**63):
        raw = file.readline(MAX_LINE_BYTES + 1)
        if not raw:
            return
        if len(raw) > MAX_LINE_BYTES:
            raise DataError(f"{source.path.name}, line {number}: longer than {MAX_LINE_BYTES:,} bytes")
        if number == 1 and source.encoding == "utf-8":
            raw = raw.removeprefix(codecs.BOM_UTF8)
            offset_bytes = file.tell() - len(raw)
        yield _decoded(source, raw, number, offset_bytes)
        offset_bytes += len(raw)


def _decoded(source: DataSource, raw: bytes, number: int, offset_bytes: int) -> str:
    try:
        return raw.decode(source.encoding)
    except UnicodeDecodeError as error:
        bad_byte = offset_bytes + error.start
    # Raised out here: the codec's error holds the whole line.
    hint = None
    with suppress(UnicodeDecodeError):
        if source.encoding == "utf-8":
            raw.decode("gb18030")
            hint = 'The bytes would be valid GB 18030: set encoding = "gb18030", or convert the file to UTF-8.'
    raise EncodingError(f"{source.path.name}, line {number}: byte {bad_byte} is not {source.encoding}", hint=hint)


class _DuplicateKeyError(ValueError):
    """A JSON object names a key twice; which value counts would be the parser's whim."""


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    cells = dict(pairs)
    if len(cells) != len(pairs):
        raise _DuplicateKeyError
    return cells


def _json_object(source: DataSource, line: str, place: str) -> dict[str, object]:
    problem = "malformed JSON"
    try:
        cells = json.loads(line, object_pairs_hook=_unique_keys)
        if isinstance(cells, dict):
            return cells
        problem = "not a JSON object"
    except _DuplicateKeyError:
        problem = "a key occurs twice"
    except (ValueError, RecursionError):
        pass
    # Raised out here: a JSONDecodeError holds the whole line.
    hint = "One JSON object a line is expected; `jq -c '.[]'` turns an array into lines."
    raise DataError(f"{source.path.name}, {place}: {problem}", hint=hint)


def _jsonl_rows(source: DataSource) -> Iterator[Row]:
    """Yield the objects; a key may be left out in some rows, but not in all, and never the patient's."""
    unseen, first_keys = set(source.columns), None
    with source.path.open("rb") as file:
        for number, line in enumerate(_lines(source, file), start=1):
            if not line.strip():
                continue
            row = _json_object(source, line, f"line {number}")
            first_keys = list(row) if first_keys is None else first_keys
            if source.patient_column is not None and source.patient_column not in row:
                raise _missing_column(source, [source.patient_column], row)
            unseen -= row.keys()
            yield f"line {number}", row
    if unseen and first_keys is not None:
        raise _missing_column(source, sorted(unseen), first_keys)


def _csv_rows(source: DataSource) -> Iterator[Row]:
    delimiter, header = _csv_header(source)
    _require_columns(source, header)
    if len(set(header)) != len(header):
        raise DataError(f"{source.path.name}: two columns have the same name")
    with source.path.open("rb") as file, _wide_csv_fields():
        reader = csv.reader(_lines(source, file), delimiter=delimiter, strict=True)
        next(reader)
        while True:
            cells = _next_csv_row(source, reader)
            if cells is None:
                return
            if cells and len(cells) != len(header):
                place = f"{source.path.name}, line {reader.line_num}"
                raise DataError(f"{place}: {len(cells)} cells, the header has {len(header)}")
            if cells:
                yield f"line {reader.line_num}", dict(zip(header, cells, strict=True))


def _next_csv_row(source: DataSource, reader: Any) -> list[str] | None:  # noqa: ANN401  # csv's reader type is private
    with suppress(csv.Error):
        row: list[str] | None = next(reader, None)
        return row
    raise DataError(
        f"{source.path.name}, line {reader.line_num}: malformed CSV",
        hint=f"Look for a quote that is not closed or doubled, or a cell above {MAX_TEXT_CHARS:,} characters.",
    )


def _csv_header(source: DataSource) -> tuple[str, list[str]]:
    """Return the delimiter among comma, semicolon and tab that gives most of the columns asked for, and the header."""
    candidates: list[tuple[int, int, str, list[str]]] = []
    for delimiter in ",;\t":
        with source.path.open("rb") as file, _wide_csv_fields(), suppress(csv.Error):
            header = next(csv.reader(_lines(source, file), delimiter=delimiter, strict=True), [])
            candidates.append((len(set(header) & set(source.columns)), len(header), delimiter, header))
    if not candidates:
        raise DataError(f"{source.path.name}, line 1: malformed CSV header")
    _, _, delimiter, header = max(candidates, key=lambda candidate: candidate[:2])
    return delimiter, header


@contextmanager
def _wide_csv_fields() -> Iterator[None]:
    """Raise csv's process-wide limit of 131,072 characters a cell to ours, and put it back."""
    before = csv.field_size_limit(MAX_TEXT_CHARS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _require_columns(source: DataSource, present: Sequence[str]) -> None:
    missing = [name for name in source.columns if name not in present]
    if missing:
        raise _missing_column(source, missing, present)


def _missing_column(source: DataSource, missing: Iterable[str], present: Iterable[str]) -> MissingColumnError:
    """Name what is missing and list what there is, unless that may be a record.

    A CSV file without a header offers its first record as column names. So its columns are listed only if one of
    those asked for is among them.
    """
    columns = [name for name in present if name]
    shown = ", ".join(name[:40] for name in columns[:20])
    if source_format(source) == "csv" and not set(columns) & set(source.columns):
        shown = f"{len(columns)} others, not shown: is the first line a header?"
    return MissingColumnError(f"{source.path.name}: no column {', '.join(missing)}; there are {shown or 'none'}")


def _parquet_rows(source: DataSource) -> Iterator[Row]:
    from pyarrow import parquet

    with parquet.ParquetFile(source.path) as file:
        _require_columns(source, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS, columns=list(source.columns)):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row


def _huggingface_rows(source: DataSource) -> Iterator[Row]:
    data = _open_huggingface(source)
    present = data.column_names
    if present:
        _require_columns(source, present)
        data = data.select_columns(list(source.columns))
    for number, row in enumerate(data, start=1):
        if not present:
            _require_columns(source, list(row))
        yield f"row {number}", row


def _open_huggingface(source: DataSource) -> Any:  # noqa: ANN401  # datasets carries no types
    """Open a saved data set, or stream a repository: loading would copy the records in plain to a cache."""
    path, name = source.path, source.path.name
    if not path.is_dir() and (path.exists() or not _HUB_ID.fullmatch(path.as_posix())):
        raise DataError(f"{name}: neither a folder nor the id of a data set on the hub")
    if not path.is_dir() and os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise DataError(f"{name}: no such folder, and HF_HUB_OFFLINE forbids the hub")
    import datasets

    if not any((path / mark).exists() for mark in ("state.json", "dataset_dict.json")):
        return datasets.load_dataset(path.as_posix(), split="train", streaming=True)
    saved = datasets.load_from_disk(str(path))
    if not isinstance(saved, datasets.DatasetDict):
        return saved
    if "train" not in saved:
        raise DataError(f"{name}: the saved data set has no split called train")
    return saved["train"]


def _guarded(source: DataSource, kind: str, rows: Iterator[Row]) -> Iterator[Row]:
    """Pass rows on; whatever else a library raises becomes one error of ours without its message."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except FedwardError:
            raise
        except Exception as error:  # noqa: BLE001  # pyarrow and datasets raise many kinds; ours follows below
            reason = type(error).__name__
            break
        yield row
    # Raised out here: the library's message may quote a cell.
    raise DataError(f"{source.path.name}: not a readable {kind} ({reason})")
