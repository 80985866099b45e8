"""Plaintext in memory: a file that only reads, and a path that nobody can write through."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import VaultError
from fedward.common.vault.memory import MemoryFile, memory_path, wipe


@given(
    data=st.binary(max_size=64),
    steps=st.lists(st.tuples(st.sampled_from(["read", "seek", "end", "into"]), st.integers(0, 80)), max_size=8),
)
def test_file_reads_as_one_in_memory_does(data: bytes, steps: list[tuple[str, int]]) -> None:
    ours, theirs = MemoryFile(bytearray(data)), io.BytesIO(data)
    for step, number in steps:
        for file in (ours, theirs):
            assert file.readable()
        if step == "read":
            assert ours.read(number) == theirs.read(number)
        elif step == "into":
            mine, other = bytearray(number), bytearray(number)
            assert (ours.readinto(mine), mine) == (theirs.readinto(other), other)
        else:
            whence = os.SEEK_END if step == "end" and number <= len(data) else os.SEEK_SET
            offset = -number if whence == os.SEEK_END else number
            assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        assert ours.tell() == theirs.tell()
    assert ours.read() == theirs.read()


def test_closing_zeroes_the_content() -> None:
    content = bytearray(b"secret")
    with MemoryFile(content) as file:
        assert file.read() == b"secret"
    assert content == bytes(6)


def test_buffered_readers_take_it() -> None:
    file = cast(BinaryIO, MemoryFile(bytearray(b"one\ntwo\n")))
    assert list(io.TextIOWrapper(file, encoding="utf-8")) == ["one\n", "two\n"]


CHANGES: dict[str, Callable[[int], object]] = {
    "write": lambda descriptor: os.write(descriptor, b"x"),
    "grow": lambda descriptor: os.ftruncate(descriptor, 99),
    "shrink": lambda descriptor: os.ftruncate(descriptor, 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_memory_behind_a_path_is_sealed(change: Callable[[int], object]) -> None:
    with memory_path([memoryview(b"secret"), memoryview(b" text")]) as path:
        with path.open("r+b", buffering=0) as file, pytest.raises(OSError, match="not permitted"):
            change(file.fileno())
        assert path.read_bytes() == b"secret text"


def test_path_is_gone_after_the_block_also_on_an_error() -> None:
    seen: list[Path] = []

    def interrupted() -> None:
        with memory_path([]) as path:
            seen.append(path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not seen[0].exists()


def test_path_does_not_reach_a_child_process() -> None:
    with memory_path([]) as path:
        assert not os.get_inheritable(int(path.name))


def test_system_without_sealed_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")
    with pytest.raises(VaultError, match="no sealed memory"), memory_path([]):
        pass


@given(data=st.binary(max_size=9), times=st.sampled_from([1, 9000, 20_000]))
def test_wiped_buffer_is_as_long_as_before_and_zero(data: bytes, times: int) -> None:
    content = bytearray(data * times)
    wipe(content)
    assert content == bytes(len(data) * times)
