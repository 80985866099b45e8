"""Hashes of small tuples of numbers, over whole arrays at once, and a table that remembers 32-bit hashes.

The table is two-way associative: a hash picks a bucket of two cells, and a cell keeps a check value so that a hash
that was never stored passes for a stored one in at most one of 32,000 cases. Nothing here is secret, and nothing
depends on Python's own hash. Not handled here: what is hashed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint32]

MULTIPLIERS: Final = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
"""Odd constants of the xxHash family (xxHash specification, public): any odd number with mixed bits would do."""


def mixed(*values: NDArray[Any] | int) -> Hashes:
    """One hash of each tuple of up to five numbers; arrays broadcast. The order of the numbers counts."""
    total: Any = np.uint32(0)
    for value, multiplier in zip(values, MULTIPLIERS, strict=False):
        if isinstance(value, int):
            total = total + np.uint32((value + 1) * multiplier & 0xFFFFFFFF)
        else:
            total = total + value.astype(np.uint32, copy=False) * np.uint32(multiplier)
    return finished(np.atleast_1d(total))


def finished(total: Hashes) -> Hashes:
    """Spread the bits of a sum, in place (the finaliser of MurmurHash3, public domain)."""
    total ^= total >> np.uint32(16)
    total *= np.uint32(0x85EBCA6B)
    total ^= total >> np.uint32(13)
    total *= np.uint32(0xC2B2AE35)
    total ^= total >> np.uint32(16)
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class HashTable:
    """Hashes with a cell each.

    Args:
        checks: (C,) uint16; C cells, a power of two; 0 is an empty cell.
    """

    checks: NDArray[np.uint16]

    @classmethod
    def of(cls, hashes: Hashes, bits: int) -> tuple[HashTable, NDArray[np.int64]]:
        """A table of 2**bits cells, and the cell of each hash or -1; the first hashes have the first choice.

        Args:
            hashes: (H,) distinct, the important ones first.
            bits: 1 to 27.
        """
        checks = np.zeros(1 << bits, np.uint16)
        cells = np.full(len(hashes), -1, np.int64)
        bucket = _bucket(hashes, bits)
        check = _check(hashes)
        for way in (0, 1):
            waiting = np.flatnonzero(cells < 0)
            # Of several that want one cell, np.unique gives the first, which is the most important.
            _, first = np.unique(bucket[waiting], return_index=True)
            chosen = waiting[first]
            cells[chosen] = bucket[chosen] * 2 + way
            checks[cells[chosen]] = check[chosen]
        return cls(checks=checks), cells

    def cells(self, hashes: Hashes) -> NDArray[np.int64]:
        """The cell of each hash plus one; 0 for a hash that is not stored."""
        bits = len(self.checks).bit_length() - 1
        bucket = _bucket(hashes, bits)
        check = _check(hashes)
        pair = self.checks.view(np.uint32).take(bucket)
        first = (pair & np.uint32(0xFFFF)) == check
        second = (pair >> np.uint32(16)) == check
        # The first cell wins where both fit; int64 arithmetic on two booleans is cheaper than np.where.
        found = first * 1 + (second & ~first) * 2
        cells: NDArray[np.int64] = (bucket * 2 + found) * (found > 0)
        return cells


def _bucket(hashes: Hashes, bits: int) -> NDArray[np.int64]:
    return (hashes >> np.uint32(33 - bits)).astype(np.int64)


def _check(hashes: Hashes) -> Hashes:
    checks: Hashes = np.maximum(hashes & np.uint32(0xFFFF), np.uint32(1))
    return checks


__all__ = ["finished", "Hashes", "HashTable", "mixed", "MULTIPLIERS"]
