"""How long a round's sum may be: a length that no honest cohort passes, from public constants alone.

Nobody signs a sum, so a coordinator could publish a false one to all sites alike. It is applied only if it is one that
the survivors could have sent. Under DP-SGD in mode ``local``, of K steps with rate η/C and noise σC on the summed
gradients of a batch, divided by L = q·N₀, a site's update is at most ::

    K·η·m/L + (η·σ·√K/L)·(√D + 10)        m = μ + 10·√μ + 34,  μ = 4·q·N₀·c

long: m units in a step, whose gradients all point one way, and Gaussian noise in D coordinates. c is 1 where the unit
is a patient, else the records that a patient may have. m is passed by a Poisson draw from up to four times N₀·c units,
and the noise by its norm, with a probability below 2^−70 each (Bernstein's inequality; concentration of a Lipschitz
function). Noises of several sites are independent and add in squares, what they carry adds at worst in lengths; the
clamp shortens both. Rounding adds less than a step a coordinate. A site's weight, at most 1, shortens all of its part.

In mode ``distributed``, where a sum is one of clipped gradients, it is m clips a site, and the noise of the whole
cohort, N/10 steps a coordinate.

Where nothing of that is known (no privacy, another local optimiser) only the ring's own clamp bounds a sum: set
``secagg.sum_norm_bound`` to have more.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from fedward.common import _keystream as keystream
from fedward.common.agreement import site_shares
from fedward.common.config import PrivacyMode, PrivacyUnit, RunPlan
from fedward.common.distributed_terms import is_distributed
from fedward.common.errors import ProtocolError
from fedward.common.lora.adapters import num_coordinates
from fedward.common.lora.aggregation import trained_layout
from fedward.common.privacy.distributed import HEADROOM_SIGMAS
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.terms import RingTerms

_MORE_UNITS = 4.0
_TAIL = 10.0
_LEAST_TAIL = 34.0
_LOW_BITS = 16


def check_sum(plan: RunPlan, round_number: int, ring: RingTerms, opened: CohortSum) -> None:
    """Refuse a sum that no survivors can have sent. For rounds that train; a probe has none but the ring's bounds.

    Args:
        plan: of the run.
        round_number: from 1.
        ring: of that round's cohort; the trained coordinates come first in it.
        opened: the sum and its survivors.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE``: a coordinate beyond the survivors' clamps. ``SUM_IMPLAUSIBLE``: too long.
    """
    if not ring.quantiser.in_range(opened.total, len(opened.survivors), noise_steps=ring.noise_steps):
        raise ProtocolError("SUM_OUT_OF_RANGE", "the sum is beyond what the survivors' clamps allow")
    size = num_coordinates(trained_layout(plan.lora.aggregation, plan.layout, round_number))
    bound = norm_bound(plan, size, ring, opened.survivors) * 2.0**ring.scale_log2
    if not squared_norm(opened.total[:size].view(np.int32)) <= bound * bound:
        raise ProtocolError(
            "SUM_IMPLAUSIBLE",
            "the sum is longer than its survivors' updates can be",
            hint="Sites with far more patients than nominal_units? Declare more, or set secagg.sum_norm_bound.",
        )


def norm_bound(plan: RunPlan, size: int, ring: RingTerms, survivors: Collection[str]) -> float:
    """The largest L2 norm of the survivors' sum over ``size`` trained coordinates, in units of the update."""
    of_ring = math.sqrt(size) * (len(survivors) * 2.0**ring.clamp_log2 + ring.noise_steps) / 2.0**ring.scale_log2
    if plan.secagg.sum_norm_bound is not None:
        return min(of_ring, len(survivors) * plan.secagg.sum_norm_bound)
    noise, training = plan.privacy.noise_multiplier, plan.training
    if is_distributed(plan):
        return min(of_ring, _distributed_bound(plan, size, ring, survivors))
    if plan.privacy.mode is not PrivacyMode.LOCAL or training.optimizer != "sgd" or noise is None:
        return of_ring
    records = _clips_per_unit(plan)
    signal = variance = 0.0
    for share in site_shares(plan, survivors):
        batch = training.resolved_sample_rate * share.nominal_units
        most = _most_units(batch * records)
        step = share.weight * training.learning_rate / batch
        signal += step * training.steps_per_round * most
        variance += step * noise * step * noise * training.steps_per_round
    rounding = len(survivors) * math.sqrt(size) / 2.0**ring.scale_log2
    return min(of_ring, signal + math.sqrt(variance) * (math.sqrt(size) + _TAIL) + rounding)


def _clips_per_unit(plan: RunPlan) -> int:
    """How many clipped gradients a patient may have in a step."""
    return plan.training.max_records_per_unit if plan.privacy.unit is PrivacyUnit.RECORD else 1


def _most_units(expected: float) -> float:
    """m, with so many units expected by the site's nominal number."""
    mean = _MORE_UNITS * expected
    return mean + _TAIL * math.sqrt(mean) + _LEAST_TAIL


def _distributed_bound(plan: RunPlan, size: int, ring: RingTerms, survivors: Collection[str]) -> float:
    """In clip norms: each site's clipped gradients, all one way, and the noise of all of the cohort."""
    rate, records = plan.training.resolved_sample_rate, _clips_per_unit(plan)
    signal = sum(_most_units(rate * share.nominal_units * records) for share in site_shares(plan, survivors))
    steps = ring.noise_steps / HEADROOM_SIGMAS * (math.sqrt(size) + _TAIL) + len(survivors) * math.sqrt(size)
    return signal + steps / 2.0**ring.scale_log2


def squared_norm(values: NDArray[np.int32]) -> int:
    """The sum of squares, exact: (L,) int32, L ≤ 2^26."""
    highs = lows = mixed = 0
    for start in range(0, values.size, keystream.CHUNK_WORDS):
        chunk = values[start : start + keystream.CHUNK_WORDS].astype(np.int64)
        high, low = chunk >> _LOW_BITS, chunk & ((1 << _LOW_BITS) - 1)  # each product fits 32 bits, each sum 64
        highs, mixed, lows = highs + int(high @ high), mixed + int(high @ low), lows + int(low @ low)
    return (highs << 2 * _LOW_BITS) + (mixed << _LOW_BITS + 1) + lows


__all__ = ["check_sum", "norm_bound", "squared_norm"]
