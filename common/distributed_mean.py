"""Mode ``distributed``: from the cohort's noisy ring sum to the step of the server, and the noise that is in it.

Gradients are measured in clip norms, so neither step nor variance depends on a clip that was found in the run. What
comes out is a movement like that of mode ``local``: it is added, so it points against the gradient. Pure, and made of
released values and public constants alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from fedward.common.agreement import site_shares
from fedward.common.config import RunPlan
from fedward.common.distributed_terms import cohort_mechanism
from fedward.common.lora.adapters import unflatten
from fedward.common.lora.aggregation import along_rank, trained_layout
from fedward.common.privacy.distributed import RingMechanism, mean_gradient
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.plain import check_range
from fedward.common.secagg.transcript import CohortFacts


def facts_mechanism(plan: RunPlan, facts: CohortFacts) -> RingMechanism:
    """The mechanism that a cohort ran, gradients in clip norms."""
    colluders = facts.assumed_colluders if plan.secagg.is_masked else None
    return cohort_mechanism(plan, facts.round_number, len(facts.bundles), colluders=colluders)


def denominators(plan: RunPlan, survivors: Collection[str]) -> NDArray[np.float64]:
    """L of each column: q·ΣN₀ over the survivors that train it, from public constants alone: (r,) float64."""
    units = np.zeros(plan.lora.rank)
    for share in site_shares(plan, survivors):
        units[: share.rank] += share.nominal_units
    return units * plan.training.resolved_sample_rate


def descent(plan: RunPlan, facts: CohortFacts, opened: CohortSum) -> Mapping[str, NDArray[np.float64]]:
    """Name of a trained tensor to the mean gradient, in clip norms, with its sign turned.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for a sum that no honest vectors have.
    """
    mechanism = facts_mechanism(plan, facts)
    check_range(facts, opened, noise_steps=mechanism.noise_steps)
    trained = trained_layout(plan.lora.aggregation, plan.layout, facts.round_number)
    total = unflatten(trained, mean_gradient(opened.total[: mechanism.num_coordinates], mechanism, denominator=1.0))
    by_column = denominators(plan, opened.survivors)
    return {name: -part / along_rank(name, by_column) for name, part in total.items()}


def descent_noise_variance(plan: RunPlan, facts: CohortFacts, survivors: Collection[str]) -> NDArray[np.float64]:
    """ν of each coordinate of ``descent``, by column: (r,) float64. Every survivor's noise is in every column."""
    mechanism = facts_mechanism(plan, facts)
    total = mechanism.mean_noise_variance(len(survivors), denominator=1.0)
    by_column = denominators(plan, survivors)
    return np.asarray(total / (by_column * by_column))


__all__ = ["denominators", "descent", "descent_noise_variance", "facts_mechanism"]
