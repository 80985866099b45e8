"""Chunks of Parquet and Arrow tables as records and back; the schema stays, and of its metadata what readers need.

Columns of a type that can hold no identifier are passed on as they are; a type that nobody thought of is none of them.
Not handled here: files of bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedward.client.scrub.refusals import RefusalError
from fedward.client.scrub.settings import CHUNK_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

MARKER = b"fedward.desensitized"
"""Key in a schema's metadata: this table was desensitised already."""
_MAX_BATCH_ROWS = 4096
_GROUP_BYTES = 32 << 20


def read(body: bytes, number: int) -> tuple[pa.RecordBatch, Iterator[tuple[int, str, dict[str, Any]]]]:
    """The batch in a chunk, and (number, place, record) of the columns that may hold an identifier."""
    import pyarrow as pa

    with pa.ipc.open_stream(body) as stream:
        batch = stream.read_next_batch()
    names = [field.name for field in batch.schema if _may_identify(field.type)]
    code, rows = None, list[dict[str, Any]]({} for _ in range(batch.num_rows))
    if names:
        try:
            rows = batch.select(names).to_pylist(maps_as_pydicts="strict")
        except KeyError:
            code = "map_keys"
    # Raised out here: the library's message quotes the key.
    if code is not None:
        raise RefusalError(code, f"rows {number} to {number + batch.num_rows - 1}")
    return batch, ((number + i, f"row {number + i}", row) for i, row in enumerate(rows))


def write(batch: pa.RecordBatch, records: Sequence[Mapping[str, Any] | None]) -> bytes:
    """The batch with new values; rows whose record is None are left out.

    Raises:
        RefusalError: a value that the column's type cannot hold.
    """
    import pyarrow as pa

    kept = [index for index, record in enumerate(records) if record is not None]
    names = {field.name for field in batch.schema if _may_identify(field.type)}
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.name in names:
            columns.append(_column(field, [records[index][field.name] for index in kept]))  # type: ignore[index]
        else:
            columns.append(column.take(pa.array(kept, pa.int64())))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(columns, schema=batch.schema))
    return bytes(sink.getvalue())


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    is_extension = isinstance(field.type, pa.BaseExtensionType)
    try:
        array = pa.array(values, field.type.storage_type if is_extension else field.type)
        return pa.ExtensionArray.from_storage(field.type, array) if is_extension else array
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        pass
    # Raised out here: the library's message quotes the value.
    raise RefusalError("number_is_identifier", "", field.name)


def _may_identify(kind: pa.DataType, *, in_list: bool = False) -> bool:
    """Whether a type may hold an identifier at any depth: all that is not known to hold none.

    Small numbers in lists are vectors, of which a table may have thousands a row.
    """
    from pyarrow import BaseExtensionType, types

    if isinstance(kind, BaseExtensionType):
        return _may_identify(kind.storage_type, in_list=in_list)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _may_identify(kind.value_type, in_list=in_list)
    if types.is_struct(kind) or types.is_map(kind) or types.is_union(kind):
        return True
    if types.is_nested(kind):
        return _may_identify(kind.value_type, in_list=True)
    harmless = (types.is_null, types.is_boolean, types.is_time, types.is_duration, types.is_interval, types.is_float16)
    small = (types.is_int8, types.is_uint8, types.is_int16, types.is_uint16, types.is_float32)
    return not any(test(kind) for test in (*harmless, *(small if in_list else ())))


# Files


def parquet_chunks(path: Path, skip: int) -> Iterator[tuple[int, int, bytes]]:
    """(first row, rows, Arrow bytes) of a Parquet file, after the first ``skip`` chunks."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        size = sum(file.metadata.row_group(index).total_byte_size for index in range(file.metadata.num_row_groups))
        yield from _chunks(file.iter_batches(batch_size=_batch_rows(size, file.metadata.num_rows)), skip)


def arrow_chunks(path: Path, skip: int) -> Iterator[tuple[int, int, bytes]]:
    """The same of an Arrow stream, as Hugging Face data sets are saved."""
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                rows = _batch_rows(batch.nbytes, batch.num_rows)
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)

    yield from _chunks(batches(), skip)


def _chunks(batches: Iterator[pa.RecordBatch], skip: int) -> Iterator[tuple[int, int, bytes]]:
    import pyarrow as pa

    row = 1
    for index, batch in enumerate(batches):
        if index >= skip:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            yield row, batch.num_rows, bytes(sink.getvalue())
        row += batch.num_rows


def _batch_rows(num_bytes: int, num_rows: int) -> int:
    """So many rows that they are about one chunk."""
    if not num_rows:
        return 1
    return max(1, min(_MAX_BATCH_ROWS, CHUNK_BYTES * num_rows // max(num_bytes, 1)))


def schema_of(path: Path, kind: str) -> pa.Schema:
    """The schema of a Parquet or Arrow file."""
    import pyarrow as pa
    from pyarrow import parquet

    if kind == "parquet":
        return parquet.read_schema(path)
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return stream.schema


def text_columns(schema: pa.Schema) -> list[str]:
    """Paths of all columns of text, lists and structs included."""
    from pyarrow import types

    def walk(kind: pa.DataType, path: str) -> Iterator[str]:
        if types.is_string(kind) or types.is_large_string(kind):
            yield path
        elif types.is_dictionary(kind):
            yield from walk(kind.value_type, path)
        elif types.is_struct(kind):
            for index in range(kind.num_fields):
                yield from walk(kind.field(index).type, f"{path}.{kind.field(index).name}")
        elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            yield from walk(kind.value_type, f"{path}[*]")

    return [path for field in schema for path in walk(field.type, field.name)]


def column_names(schema: pa.Schema) -> set[str]:
    """Names of all columns and of all fields inside of them."""
    from pyarrow import types

    def walk(kind: pa.DataType) -> Iterator[str]:
        if types.is_nested(kind):
            for index in range(kind.num_fields):
                inner = kind.field(index)
                if types.is_struct(kind):
                    yield inner.name
                yield from walk(inner.type)

    return {field.name for field in schema} | {name for field in schema for name in walk(field.type)}


_PANDAS = ("index_columns", "column_indexes", "columns", "creator", "pandas_version")
_OF_FIELDS = (b"PARQUET:field_id", b"ARROW:extension:name", b"ARROW:extension:metadata")


def _needed(metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What pandas and Hugging Face data sets need to read a table again.

    Everything else is free text of its author, who may have written there whose data it is.
    """
    kept: dict[bytes, bytes] = {}
    pandas = _object(metadata.get(b"pandas"))
    if "columns" in pandas:
        kept[b"pandas"] = json.dumps({name: pandas[name] for name in _PANDAS if name in pandas}).encode()
    info = _object(metadata.get(b"huggingface")).get("info")
    if isinstance(info, dict) and "features" in info:
        kept[b"huggingface"] = json.dumps({"info": {"features": info["features"]}}).encode()
    return kept


def _object(raw: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _bare(schema: pa.Schema) -> pa.Schema:
    """The schema without what its author noted at its columns."""
    import pyarrow as pa

    return pa.schema(
        field.with_metadata({key: value for key, value in (field.metadata or {}).items() if key in _OF_FIELDS})
        for field in schema
    )


def assemble_parquet(parts: Iterator[Path], schema: pa.Schema, target: Path, marker: bytes) -> None:
    """One Parquet file of the Arrow streams in ``parts``."""
    from pyarrow import parquet

    marked = _bare(schema).with_metadata({**_needed(schema.metadata or {}), MARKER: marker})
    with parquet.ParquetWriter(target, marked, compression="zstd") as writer:
        for table in _tables(parts, marked):
            writer.write_table(table)


def assemble_arrow(parts: Iterator[Path], schema: pa.Schema, target: Path, marker: bytes) -> None:
    """One Arrow stream of the Arrow streams in ``parts``."""
    import pyarrow as pa

    marked = _bare(schema).with_metadata({**_needed(schema.metadata or {}), MARKER: marker})
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, marked) as writer:
        for table in _tables(parts, marked):
            writer.write_table(table)


def _tables(parts: Iterator[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    batches: list[pa.RecordBatch] = []
    size = 0
    for part in parts:
        with pa.ipc.open_stream(part.read_bytes()) as stream:
            batches += [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in stream]
        size = sum(batch.nbytes for batch in batches)
        if size >= _GROUP_BYTES:
            yield pa.Table.from_batches(batches, schema)
            batches = []
    yield pa.Table.from_batches(batches, schema)


def guarded(name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever ``work`` gives
    """Call a library; what it raises becomes one error of ours without its message, which may quote a cell."""
    from fedward.common.errors import DataError, FedwardError

    try:
        return work()
    except (FedwardError, RefusalError):
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow raises many kinds; ours follows below
        reason = type(error).__name__
    raise DataError(f"{name}: not readable ({reason})")


__all__ = [
    "arrow_chunks",
    "assemble_arrow",
    "assemble_parquet",
    "column_names",
    "guarded",
    "MARKER",
    "parquet_chunks",
    "read",
    "schema_of",
    "text_columns",
    "write",
]
