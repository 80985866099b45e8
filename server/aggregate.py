"""From the cohort's ring sum to the next adapter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedward.common.agreement import site_weight
from fedward.common.config import RunPlan
from fedward.common.errors import ProtocolError
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.plain import quantiser_of
from fedward.common.secagg.transcript import CohortFacts


def mean_update(plan: RunPlan, facts: CohortFacts, opened: CohortSum) -> NDArray[np.float64]:
    """The weighted mean of the survivors' updates: (L,) float64.

    The divisor is made of public constants: the number of survivors, or their declared weights.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for a sum that no honest vectors have.
    """
    quantiser = quantiser_of(facts)
    if not quantiser.in_range(opened.total, len(opened.survivors)):
        raise ProtocolError("SUM_OUT_OF_RANGE", "the sum is beyond what the survivors' clamps allow")
    divisor = sum(site_weight(plan, site_id) for site_id in opened.survivors)
    return quantiser.dequantise(opened.total) / divisor


def clamped_share(facts: CohortFacts, opened: CohortSum) -> float:
    """Share of coordinates in which every survivor's update stands at the clamp."""
    bound = len(opened.survivors) << facts.clamp_log2
    at_bound = np.abs(opened.total.view(np.int32).astype(np.int64)) >= bound
    return float(at_bound.mean()) if at_bound.size else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FedAvg:
    """Adds ``learning_rate`` times the mean update (McMahan et al. 2017, "Communication-Efficient Learning").

    It sees released values only, so it is free of privacy cost. Elementwise in float64 and rounded once, so all
    machines agree to the bit.
    """

    learning_rate: float = 1.0

    def step(self, vector: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float32]:
        """The next trained factors: (L,) float32."""
        return (vector.astype(np.float64) + self.learning_rate * mean).astype(np.float32)


def server_optimizer(plan: RunPlan) -> FedAvg:
    """The optimiser that the plan names."""
    return FedAvg(learning_rate=plan.server.learning_rate)
