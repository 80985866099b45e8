"""Poisson sampling of units: each alone, with an explicit probability, from the project's own randomness.

Not handled: shuffled epochs. They are another mechanism, several times weaker than what would be booked for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedward.common import _validate
from fedward.common.privacy.noise import Entropy

_WORD_BITS = 64


def threshold(sample_rate: float) -> int:
    """⌊sample_rate · 2⁶⁴⌋: a unit is drawn if its 64-bit word is below."""
    _validate.probability(sample_rate=sample_rate)
    return int(sample_rate * 2.0**_WORD_BITS)  # scaling by a power of two is exact, and int() cuts


def effective_rate(sample_rate: float) -> float:
    """The probability with which a unit is drawn: ``sample_rate``, or less by under 2⁻⁶⁴; never more."""
    return threshold(sample_rate) * 2.0**-_WORD_BITS


def draw_units(num_units: int, sample_rate: float, entropy: Entropy) -> NDArray[np.int64]:
    """Positions of the units in one step, ascending; it may be none.

    Args:
        num_units: how many there are.
        sample_rate: in (0, 1].
        entropy: gives one word for each unit.
    """
    bound = threshold(sample_rate)
    words = entropy.words(num_units)
    if bound >> _WORD_BITS:  # a rate of 1: the bound does not fit into a word
        return np.arange(num_units)
    return np.flatnonzero(words < np.uint64(bound))


def draw_records(num_records: int, limit: int, entropy: Entropy) -> list[int]:
    """Positions of at most ``limit`` of a unit's records, uniformly without replacement, ascending."""
    if num_records <= limit:
        return list(range(num_records))
    smallest = np.argsort(entropy.words(num_records), kind="stable")[:limit]
    return [int(position) for position in np.sort(smallest)]


__all__ = ["draw_records", "draw_units", "effective_rate", "threshold"]
