"""A file of arrays is what we wrote, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors import array_file
from fedward.common.desensitize.detectors.array_file import read_arrays, read_file, write_arrays
from fedward.common.errors import ConfigError

GOOD = write_arrays({"a": np.arange(6, dtype=np.uint16).reshape(2, 3), "b": np.ones(2, np.float32)}, {"k": "v"})


def _with_header(header: object, payload: bytes = b"") -> bytes:
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + payload


def _entry(**changes: object) -> dict[str, object]:
    return {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]} | changes


def test_arrays_and_metadata_come_back() -> None:
    arrays, metadata = read_arrays(GOOD, "file")
    assert metadata == {"k": "v"}
    assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["b"].dtype == np.float32


def test_read_arrays_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_arrays(GOOD, "file")[0]["a"][0] = 1


def test_equal_input_gives_equal_bytes() -> None:
    assert write_arrays({"b": np.ones(2, np.float32)}, {}) == write_arrays({"b": np.ones(2, np.float32)}, {})


REFUSED = {
    "empty": b"",
    "only a length": (8).to_bytes(8, "little"),
    "a header longer than the file": (1 << 40).to_bytes(8, "little") + b"{}",
    "a header of no JSON": (4).to_bytes(8, "little") + b"....",
    "a header that is a list": _with_header([1]),
    "a key twice": (29).to_bytes(8, "little") + b'{"__metadata__":{},"a":1,"a":1}'[:29],
    "metadata that is no text": _with_header({"__metadata__": {"k": 1}}),
    "too many arrays": _with_header({str(k): _entry(shape=[0], data_offsets=[0, 0]) for k in range(100)}),
    "an unknown kind": _with_header({"a": _entry(dtype="O")}, b"12"),
    "an unknown key": _with_header({"a": _entry(extra=1)}, b"12"),
    "a negative size": _with_header({"a": _entry(shape=[-2])}, b"12"),
    "a size that is true": _with_header({"a": _entry(shape=[True, 2])}, b"12"),
    "a gap before": _with_header({"a": _entry(data_offsets=[1, 3])}, b"123"),
    "an overlap": _with_header({"a": _entry(), "b": _entry(data_offsets=[0, 2])}, b"12"),
    "shape and bytes that differ": _with_header({"a": _entry(shape=[3])}, b"12"),
    "a huge shape": _with_header({"a": _entry(shape=[1 << 28, 1 << 28])}, b"12"),
    "bytes that end early": _with_header({"a": _entry()}, b"1"),
    "bytes after the end": GOOD + b"x",
    "deep nesting": (20000).to_bytes(8, "little") + b"[" * 20000,
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_any_other_file_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        read_arrays(raw, "file")


@pytest.mark.parametrize("length", range(0, len(GOOD), 7))
def test_a_file_that_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ConfigError):
        read_arrays(GOOD[:length], "file")


@given(st.binary(max_size=200), st.integers(0, len(GOOD) - 1))
def test_damaged_bytes_are_read_or_refused_and_nothing_else(junk: bytes, place: int) -> None:
    for raw in (junk, GOOD[:place] + junk + GOOD[place + len(junk) :]):
        try:
            arrays, _ = read_arrays(raw, "file")
        except ConfigError:
            continue
        assert sum(array.nbytes for array in arrays.values()) <= len(raw)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "MAX_FILE_BYTES", 10)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(ConfigError, match="more than 10 bytes"):
        read_file(tmp_path / "large")


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.safetensors"):
        read_file(tmp_path / "gone.safetensors")
