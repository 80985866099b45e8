"""Named arrays in one file, read as if an enemy had written it: no pickle, no code, every bound checked first.

The layout is that of safetensors: eight bytes with the header's length (little-endian), a JSON header, the arrays end
to end. Stricter than the format: nothing but the header's arrays may follow, they lie in the header's order without
a gap, and names, shapes, kinds and sizes are bounded. Not handled here: what the arrays mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import ConfigError

MAX_FILE_BYTES: Final = 256 << 20
MAX_HEADER_BYTES: Final = 1 << 20
MAX_ARRAYS: Final = 64
_METADATA: Final = "__metadata__"
_KINDS: Final = {"U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "F32": "<f4"}
_NAMES: Final = {np.dtype(code): name for name, code in _KINDS.items()}
_ENTRY_KEYS: Final = {"dtype", "shape", "data_offsets"}

Arrays = dict[str, NDArray[Any]]


def write_arrays(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a file with ``arrays`` (their order is kept) and text ``metadata``; equal input, equal bytes."""
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    blobs: list[bytes] = []
    start = 0
    for name, array in arrays.items():
        kind = _NAMES[array.dtype.newbyteorder("<")]
        blob = np.ascontiguousarray(array, dtype=_KINDS[kind]).tobytes()
        offsets = [start, start + len(blob)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        blobs.append(blob)
        start += len(blob)
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + b"".join(blobs)


def read_file(path: Path) -> bytes:
    """The bytes of ``path``, if there are not too many.

    Raises:
        ConfigError: not there, not a file, or too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{path.name}: more than {MAX_FILE_BYTES} bytes")
    return raw


def read_arrays(raw: bytes, what: str) -> tuple[Arrays, dict[str, str]]:
    """Arrays and metadata of a file; the arrays are read-only views.

    Args:
        raw: any bytes.
        what: names the file in errors.

    Raises:
        ConfigError: anything that ``write_arrays`` does not write.
    """
    length = int.from_bytes(raw[:8], "little")
    if not (8 < len(raw) <= MAX_FILE_BYTES and 2 <= length <= min(MAX_HEADER_BYTES, len(raw) - 8)):
        raise ConfigError(f"{what}: no file of arrays, or cut short")
    header = _header(raw[8 : 8 + length], what)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ConfigError(f"{what}: the metadata is not text")
    arrays: Arrays = {}
    end = 0
    for name, entry in header.items():
        start, (arrays[name], end) = end, _array(raw, 8 + length, end, entry, f"{what}: {name[:64]!r}")
        if end < start:
            raise ConfigError(f"{what}: {name[:64]!r} has a wrong place")
    if 8 + length + end != len(raw):
        raise ConfigError(f"{what}: {len(raw)} bytes, its header says {8 + length + end}")
    return arrays, metadata


def _header(raw: bytes, what: str) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError):
        raise ConfigError(f"{what}: the header is no JSON object with distinct keys") from None
    if not isinstance(header, dict) or len(header) > MAX_ARRAYS:
        raise ConfigError(f"{what}: the header is no JSON object of at most {MAX_ARRAYS} arrays")
    return header


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def _array(raw: bytes, base: int, expected: int, entry: object, where: str) -> tuple[NDArray[Any], int]:
    """One array and the offset of its end."""
    if not isinstance(entry, dict) or set(entry) != _ENTRY_KEYS or entry["dtype"] not in _KINDS:
        raise ConfigError(f"{where}: unknown kind of array")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not (_sizes(shape) and len(shape) <= 4 and _sizes(offsets) and len(offsets) == 2):
        raise ConfigError(f"{where}: shape or place is not made of small whole numbers")
    dtype = np.dtype(_KINDS[entry["dtype"]])
    start, end = offsets
    if start != expected or end - start != math.prod(shape) * dtype.itemsize or base + end > len(raw):
        raise ConfigError(f"{where}: shape and place do not fit the file")
    return np.frombuffer(raw, dtype, math.prod(shape), base + start).reshape(shape), end


def _sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= MAX_FILE_BYTES for v in values)


__all__ = ["Arrays", "MAX_ARRAYS", "MAX_FILE_BYTES", "MAX_HEADER_BYTES", "read_arrays", "read_file", "write_arrays"]
