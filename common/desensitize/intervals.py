"""Wilson's interval for a share (E. B. Wilson, JASA 22, 1927), and what follows from it for counts of misses."""

from __future__ import annotations

import math

from fedward.common.errors import ConfigError

Z_95 = 1.96


def wilson(successes: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Lower and upper end for ``successes`` of ``total``; (0, 1) where nothing was tried.

    Raises:
        ConfigError: the counts contradict each other.
    """
    if not 0 <= successes <= total:
        raise ConfigError(f"interval of a share: {successes} of {total} cannot be")
    if total == 0:
        return 0.0, 1.0
    share, square = successes / total, z * z
    centre = share + square / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    scale = 1 + square / total
    # The ends are exactly 0 and 1 in theory; rounding must not carry them past.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == total else (centre + spread) / scale
    return low, high


def trials_without_a_miss(target: float, z: float = Z_95) -> int:
    """The least number of trials whose lower end reaches ``target`` if none of them misses.

    Raises:
        ConfigError: ``target`` is not in [0, 1).
    """
    if not 0 <= target < 1:
        raise ConfigError(f"target = {target!r}: expected a number of at least 0 and below 1")
    return math.ceil(z * z * target / (1 - target))


__all__ = ["trials_without_a_miss", "wilson", "Z_95"]
