"""Repeatable draws for bootstraps and splits: a seed that the report records gives the same figures again.

Invariants: the values depend on the seed, the purpose and the number of earlier calls alone. Not handled here:
randomness that hides anything; coins and canaries come from a secret seed (``canaries``), noise from
``common.privacy.noise``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedward.common import _validate
from fedward.common.errors import ConfigError
from fedward.common.privacy.noise import random_words

BLOCK_DRAWS = 1 << 20
"""Indices drawn at a time: the memory of a bootstrap is bounded, however many draws and units it has."""


@dataclass(slots=True)
class Draws:
    """AES-256-CTR under SHA-256 of the seed, the purpose and a counter of calls.

    Args:
        seed: recorded in the report.
        purpose: separates the statistics that share a seed.
    """

    seed: int
    purpose: str
    _calls: int = field(default=0, repr=False)

    def words(self, count: int) -> NDArray[np.uint64]:
        """(count,) uint64, uniform."""
        label = f"fedward/evaluation/draws/1\0{self.seed}\0{self.purpose}\0{self._calls}"
        self._calls += 1
        return random_words(count, key=hashlib.sha256(label.encode()).digest())

    def below(self, count: int, bound: int) -> NDArray[np.int64]:
        """(count,) numbers in [0, bound), each equally likely up to bound * 2**-53.

        Raises:
            ConfigError: ``bound`` is not from 1 to 2**53.
        """
        if not 0 < bound <= 1 << 53:
            raise ConfigError(f"bound = {bound}: expected a number from 1 to 2**53")
        fractions = (self.words(count) >> np.uint64(11)) * 2.0**-53
        return (fractions * bound).astype(np.int64)

    def permutation(self, size: int) -> NDArray[np.int64]:
        """The numbers below ``size`` in random order."""
        return np.argsort(self.words(size), kind="stable").astype(np.int64)

    def resamples(self, size: int, num_draws: int) -> Iterator[NDArray[np.int64]]:
        """Blocks of bootstrap samples, each (draws, size) indices below ``size``, ``num_draws`` rows in all."""
        _validate.positive(size=size, num_draws=num_draws)
        rows = max(1, BLOCK_DRAWS // size)
        for start in range(0, num_draws, rows):
            block = min(rows, num_draws - start)
            yield self.below(block * size, size).reshape(block, size)


__all__ = ["BLOCK_DRAWS", "Draws"]
