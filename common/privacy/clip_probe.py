"""The clip norm, found privately: a noisy histogram of gradient norms, and the median read from the cohort's sum.

Guarantee: ``release`` is a Gaussian mechanism. Each unit puts 1 into one bin, so adding or removing one unit moves the
histogram by 1 in L2, and the noise has the standard deviation that the permit booked. All that follows, the sum over
sites and the clip taken from it, is post-processing. The noise of the training is a multiple of the clip, so what a
round costs does not depend on the clip: privacy never rests on a coordinator that states the true median.

Not handled here: the gradients, and who may ask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import ConfigError, PrivacyError
from fedward.common.ledger.budget import Permit
from fedward.common.privacy.accounting import Gaussian
from fedward.common.privacy.noise import Entropy

_FIRST, _LAST = -24, 8
EDGES: tuple[float, ...] = tuple(2.0 ** (k / 2) for k in range(_FIRST, _LAST + 1))
"""Upper ends of all bins but the last, which has none: half octaves from 2⁻¹² to 2⁴."""
NUM_BINS = len(EDGES) + 1
MIN_CLIP, MAX_CLIP = EDGES[0], EDGES[-1]
"""No clip outside comes from a probe, so none is believed."""
NOISE_MULTIPLIER = 20.0
SENSITIVITY = 1.0
EVENT = Gaussian(noise_multiplier=NOISE_MULTIPLIER, num_releases=1)
"""What a probe costs each site."""
COARSE_BELOW_UNITS = 1000
"""Nominal units of a cohort below which the noise drowns the counts."""
FALLBACK_CLIP = 1.0
SCALE_LOG2 = 0
"""Ring steps per count: rounding by a dithered step adds nothing to noise of twenty."""


def histogram(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many units have a norm up to each edge and above the one before.

    Args:
        norms: (N,) of gradients before clipping; one that is not finite counts as above all edges.

    Returns:
        (34,) whole numbers; adding or removing one unit changes one of them by 1.
    """
    above_all = np.where(np.isfinite(norms), norms, np.inf)
    bins = np.searchsorted(np.asarray(EDGES), above_all, side="left")
    return np.bincount(bins, minlength=NUM_BINS).astype(np.float64)


def release(norms: NDArray[np.float64], *, permit: Permit, entropy: Entropy) -> NDArray[np.float32]:
    """The noisy histogram that may leave the site.

    Args:
        norms: (N,) of all units of the site, each once.
        permit: a reservation of ``EVENT``, claimed before the norms were computed.
        entropy: where the noise comes from.

    Returns:
        (34,) float32.

    Raises:
        PrivacyError: the permit was reserved for something else.
    """
    deviation = booked_deviation(permit)
    noise = entropy.normals(NUM_BINS).astype(np.float64)
    return (histogram(norms) + deviation * noise).astype(np.float32)


def booked_deviation(permit: Permit) -> float:
    """Standard deviation of the noise that the permit booked.

    Raises:
        PrivacyError: it was reserved for something other than a probe.
    """
    event = permit.event
    if not isinstance(event, Gaussian) or event != EVENT or permit.clip_norm != SENSITIVITY:
        raise PrivacyError("the permit was not reserved for a probe of gradient norms")
    return event.noise_multiplier * permit.clip_norm


def median_norm(total: NDArray[np.float64]) -> float:
    """The clip norm: the median of the gradients' norms, from the sum of the sites' noisy histograms.

    The counts up to each edge are made to grow by isotonic regression; where they reach half of all, the median is
    interpolated on the logarithmic scale of the edges.

    Args:
        total: (34,) the cohort's sum.

    Returns:
        In [2⁻¹², 2⁴]; ``FALLBACK_CLIP`` if the noise has left no unit to be counted.

    Raises:
        ConfigError: another shape, or numbers that are not finite.
    """
    if total.shape != (NUM_BINS,) or not np.isfinite(total).all():
        raise ConfigError(f"expected {NUM_BINS} finite counts")
    below = monotone(np.cumsum(total))
    if not below[-1] >= 1.0:
        return FALLBACK_CLIP
    middle = 0.5 * below[-1]
    edge = int(np.searchsorted(below, middle, side="left"))
    if edge in (0, NUM_BINS - 1):  # the ends reach to zero and to infinity
        return EDGES[0] if edge == 0 else EDGES[-1]
    share = (middle - below[edge - 1]) / (below[edge] - below[edge - 1])
    return float(2.0 ** ((_FIRST + edge - 1 + share) / 2))


def monotone(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The non-decreasing sequence nearest to ``values`` in L2 (pool adjacent violators), in float64."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values:
        mean, size = float(value), 1
        while means and means[-1] > mean:
            before, count = means.pop(), sizes.pop()
            mean, size = (before * count + mean * size) / (count + size), size + count
        means.append(mean)
        sizes.append(size)
    return np.repeat(np.asarray(means), sizes)


def is_clip(value: float) -> bool:
    """Whether a clip norm is one that a probe can give; NaN is none."""
    return MIN_CLIP <= value <= MAX_CLIP


__all__ = [
    "booked_deviation",
    "COARSE_BELOW_UNITS",
    "EDGES",
    "EVENT",
    "FALLBACK_CLIP",
    "histogram",
    "is_clip",
    "MAX_CLIP",
    "median_norm",
    "MIN_CLIP",
    "monotone",
    "NOISE_MULTIPLIER",
    "NUM_BINS",
    "release",
    "SCALE_LOG2",
    "SENSITIVITY",
]
