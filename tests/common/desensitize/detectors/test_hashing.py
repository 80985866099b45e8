"""Hashes are the same everywhere, and the table forgets little and invents less."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.hashing import HashTable, mixed


def _by_hand(*values: int) -> int:
    total = sum((v * m) for v, m in zip(values, (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D), strict=True)) & 0xFFFFFFFF
    for shift, multiplier in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        total = ((total ^ total >> shift) * multiplier) & 0xFFFFFFFF
    return total


def test_a_hash_is_what_the_formula_says() -> None:
    values = mixed(np.array([1, 2], np.uint32), 7, np.array([4, 2**32 - 1], np.uint32))
    assert values.tolist() == [_by_hand(1, 8, 4), _by_hand(2, 8, 2**32 - 1)]


def test_the_order_of_the_numbers_counts() -> None:
    a, b = np.array([5], np.uint32), np.array([9], np.uint32)
    assert mixed(a, b)[0] != mixed(b, a)[0]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=60, unique=True))
def test_every_stored_hash_has_a_cell_of_its_own(values: list[int]) -> None:
    hashes = np.array(values, np.uint32)
    table, cells = HashTable.of(hashes, 10)
    stored = cells >= 0
    assert len(set(cells[stored])) == stored.sum()
    found = table.cells(hashes)
    # Two hashes of one bucket and check look alike; any other stored hash is found where it lies.
    assert ((found > 0) | ~stored).all()


def test_the_first_hashes_keep_their_cells_when_the_table_is_full() -> None:
    hashes = mixed(np.arange(4000, dtype=np.uint32))
    _, cells = HashTable.of(hashes, 10)
    assert (cells[:100] >= 0).mean() > (cells[-100:] >= 0).mean()
    assert (cells >= 0).sum() <= 1 << 10


def test_hashes_that_were_never_stored_are_hardly_ever_found() -> None:
    table, _ = HashTable.of(mixed(np.arange(20_000, dtype=np.uint32)), 16)
    strangers = mixed(np.arange(1_000_000, 1_200_000, dtype=np.uint32))
    assert (table.cells(strangers) > 0).mean() < 1e-4
