"""Two figures of a site that ride in the ring under noise of their own: its number of units, and its units' loss.

Guarantee: both are whole numbers of ring steps, which adding or removing one unit moves by at most one unit's clamp,
plus a discrete Gaussian. Its variance is the booked one and 16 more: a discrete Gaussian of variance v + 16 is, but for
a distance far below 2^-128, a Gaussian of variance v that was rounded at random (``common.privacy.distributed``), so
the booked Gaussian covers it. What is done with the figures afterwards is post-processing: clamping, weighing, adding.

Not handled here: the losses, and who may ask.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import PrivacyError
from fedward.common.ledger.budget import Permit
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian
from fedward.common.privacy.discrete_gaussian import discrete_gaussian
from fedward.common.privacy.distributed import MIN_SIGMA_STEPS, SMOOTHING_VARIANCE
from fedward.common.privacy.noise import Entropy

UNIT_SENSITIVITY = 1.0
"""Of a count of units."""


def sigma_steps(noise_multiplier: float, sensitivity: int) -> int:
    """The least whole σ, at least 4, with σ² − 16 ≥ (z·Δ)², in exact arithmetic.

    Args:
        noise_multiplier: z.
        sensitivity: Δ, in steps.
    """
    needed = (Fraction(noise_multiplier) * sensitivity) ** 2 + SMOOTHING_VARIANCE
    return max(MIN_SIGMA_STEPS, math.isqrt(math.ceil(needed) - 1) + 1)


def count_steps(num_units: int, *, permit: Permit | None, entropy: Entropy) -> int:
    """The number of units, one step each, under the noise that the permit booked. Exact without a permit.

    Args:
        num_units: private.
        permit: a reservation of one ``Gaussian`` release of sensitivity 1, used up by the call; None without privacy.
        entropy: gives the noise's key.

    Raises:
        PrivacyError: the permit was reserved for something else, or used before.
    """
    if permit is None:
        return num_units
    event = permit.event
    if not isinstance(event, Gaussian) or event.num_releases != 1 or permit.clip_norm != UNIT_SENSITIVITY:
        raise PrivacyError("the permit was not reserved for one noisy count of units")
    permit.claim()
    return num_units + _noise(event.noise_multiplier, 1, entropy)


def loss_steps(losses: NDArray[np.float64], *, clamp: float, steps: int) -> int:
    """The sum of the drawn units' losses, each clamped to 0 … ``clamp`` and rounded by itself. Private data.

    Args:
        losses: (U,) one for each drawn unit; one that is NaN or infinite counts as the clamp.
        clamp: in nats.
        steps: ring steps of the clamp, so that one unit moves the sum by at most so many.
    """
    bounded = np.clip(np.where(np.isfinite(losses), losses, clamp) / clamp, 0.0, 1.0)
    return int(np.rint(bounded * steps).astype(np.int64).sum())


def noisy_loss_steps(
    losses: NDArray[np.float64], *, clamp: float, steps: int, permit: Permit | None, entropy: Entropy
) -> int:
    """The same under the noise that the permit booked, and exact without a permit.

    Args:
        permit: whose claim allowed the draw of the units; of one Poisson-sampled step with this clamp.

    Raises:
        PrivacyError: the permit was reserved for something else.
    """
    exact = loss_steps(losses, clamp=clamp, steps=steps)
    if permit is None:
        return exact
    event = permit.event
    if not isinstance(event, PoissonGaussian) or event.num_steps != 1 or permit.clip_norm != clamp:
        raise PrivacyError("the permit was not reserved for a noisy sum of losses")
    return exact + _noise(event.noise_multiplier, steps, entropy)


def _noise(noise_multiplier: float, sensitivity: int, entropy: Entropy) -> int:
    sigma = sigma_steps(noise_multiplier, sensitivity)
    return int(discrete_gaussian(1, sigma_steps=sigma, key=entropy.words(4).tobytes())[0])


__all__ = ["count_steps", "loss_steps", "noisy_loss_steps", "sigma_steps", "UNIT_SENSITIVITY"]
