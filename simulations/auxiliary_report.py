"""What a report says of private weights and metrics: their noise, what they opened to, and what a reader must know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fedward.common.agreement import with_sample_rate
from fedward.common.auxiliary_terms import coordinates, largest_weight
from fedward.common.config import RunPlan
from fedward.common.privacy.ring_figures import sigma_steps
from fedward.server.rounds import RoundRecord

_LOUD_METRIC = 1 / 4
_LOUD_WEIGHT = 1 / 2


def figures(plan: RunPlan, rounds: Sequence[RoundRecord]) -> dict[str, Any]:
    """Under ``secure_aggregation`` in the report."""
    found: dict[str, Any] = {"weights": {"rule": plan.secagg.weights}}
    if plan.secagg.weights == "private":
        found["weights"] |= {
            "largest": largest_weight(plan),
            "noise_deviation": weight_deviation(plan),
            "totals": [record.figures.total_weight for record in rounds],
        }
    found["metrics"] = [
        {
            "name": metric.name,
            "clamp": metric.clamp,
            "noise_multiplier": metric.noise_multiplier if plan.is_private else None,
            "values": [record.figures.metrics[place].value for record in rounds],
            "noise_deviations": [record.figures.metrics[place].noise_deviation for record in rounds],
        }
        for place, metric in enumerate(plan.secagg.metrics)
    ]
    return found


def weight_deviation(plan: RunPlan) -> int:
    """Standard deviation of the noise in a site's private weight, in units; 0 without privacy."""
    return sigma_steps(plan.secagg.weight_noise_multiplier, 1) if plan.is_private else 0


def lines(plan: RunPlan, rounds: Sequence[RoundRecord]) -> str:
    """For the summary on the terminal; empty where there is nothing of the kind."""
    text = ""
    if plan.secagg.weights == "private" and rounds:
        total, noise = rounds[-1].figures.total_weight, weight_deviation(plan)
        text += f"Weights: private, {total:,} {plan.privacy.unit.value}s in all, noise ±{noise} a site\n"
    for place, metric in enumerate(plan.secagg.metrics):
        values = [record.figures.metrics[place] for record in rounds]
        if values:
            text += f"Metric {metric.name}: {values[0].value:.3f} → {values[-1].value:.3f}, "
            text += f"noise ±{values[-1].noise_deviation:.3f} a round\n"
    return text


def warnings(plan: RunPlan) -> list[str]:
    """What can be said before a run begins."""
    plan, secagg = with_sample_rate(plan), plan.secagg
    found = []
    if not plan.is_private and (secagg.weights == "private" or secagg.metrics):
        found.append(
            "private weights and metrics carry no noise in a run without privacy: sums are exact, and so are their "
            "differences between rounds with other survivors, which may be one site's own."
        )
    smallest = min(site.nominal_units for site in plan.sites)
    unit = plan.privacy.unit.value
    if secagg.weights == "private" and weight_deviation(plan) > _LOUD_WEIGHT * smallest:
        found.append(
            f"private weights: noise of ±{weight_deviation(plan)} is large for a site of {smallest:,} {unit}s."
        )
    expected = plan.training.resolved_sample_rate * sum(site.nominal_units for site in plan.sites)
    for coordinate in coordinates(plan) if secagg.metrics else ():
        noise = coordinate.value(math.sqrt(len(plan.sites)) * coordinate.sigma_steps) / expected
        if coordinate.sigma_steps and noise > _LOUD_METRIC * coordinate.unit:
            found.append(
                f"metric {coordinate.name}: noise of ±{noise:.2f} drowns values of up to {coordinate.unit:g}. More "
                "patients, a larger sample_rate, a lower clamp or noise_multiplier help."
            )
    return found


__all__ = ["figures", "lines", "warnings", "weight_deviation"]
