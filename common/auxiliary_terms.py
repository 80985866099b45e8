"""What rides in a plan's rounds besides the model: private weights and metrics; what they cost and what they open to.

One place for both sides, as ``agreement``. All of it follows from the plan, but for ``opened_figures``, a pure function
of plan and ring sum: whoever knows the sum can compute it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedward.common.config import MetricPlan, RunPlan
from fedward.common.errors import ConfigError
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian
from fedward.common.privacy.ring_figures import sigma_steps
from fedward.common.secagg import auxiliary
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.auxiliary import Coordinate
from fedward.common.secagg.ring import default_clamp_log2

WEIGHT = "weight"
"""Name of the coordinate of private weights."""
_MAX_STEPS_LOG2, _MIN_STEPS_LOG2 = 16, 4
"""Ring steps of a metric's clamp."""
_SPARE_UNITS = 64
_NOISE_REACH = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedMetric:
    """A metric of one round, over the survivors."""

    name: str
    value: float
    """For ``unit_loss``: nats a token, over the expected number of drawn units."""
    noise_deviation: float
    """Standard deviation of the privacy noise in ``value``; 0 without privacy. The draw of units varies besides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedFigures:
    """What a round's sum holds besides the model."""

    total_weight: int | None = None
    """Sum of the survivors' private weights, in units; None with other weights."""
    metrics: tuple[OpenedMetric, ...] = ()


def largest_weight(plan: RunPlan) -> int:
    """w_max of private weights: the largest nominal number of units. Sites with more weigh no more."""
    return max(site.nominal_units for site in plan.sites)


def coordinates(plan: RunPlan) -> tuple[Coordinate, ...]:
    """What rides in a training round's vector, in its order: the weight, then the metrics as the plan lists them.

    The probe's vector has none. Scales and clamps suit a cohort of all sites, and so any smaller one.

    Raises:
        ConfigError: no room for one of them in the ring, or the sample rate is not a number yet.
    """
    clamp_log2 = default_clamp_log2(len(plan.sites))
    found = tuple(_loss_coordinate(plan, metric, clamp_log2) for metric in plan.secagg.metrics)
    if plan.secagg.weights == "private":
        # In whole units: a site's noise is in the weight that it has drawn, once for the run.
        found = (Coordinate(name=WEIGHT, steps=1, unit=1.0, low=1, high=largest_weight(plan)), *found)
    for coordinate in found:
        coordinate.check_fits(clamp_log2)
    return found


def _loss_coordinate(plan: RunPlan, metric: MetricPlan, clamp_log2: int) -> Coordinate:
    """``unit_loss``: so many steps a clamp that twice the expected units and ten noises fit below the ring's clamp.

    Raises:
        ConfigError: they leave less than 16 steps.
    """
    rate = plan.training.resolved_sample_rate
    noise = metric.noise_multiplier if plan.is_private else 0.0
    reach = math.ceil(2 * rate * largest_weight(plan) + _NOISE_REACH * noise) + _SPARE_UNITS
    steps_log2 = min(_MAX_STEPS_LOG2, clamp_log2 - (reach - 1).bit_length())
    if steps_log2 < _MIN_STEPS_LOG2:
        raise ConfigError(
            f"secagg.metrics: {metric.name} of up to {reach} units a round is too coarse in the ring",
            hint="Lower the metric's noise_multiplier or training.sample_rate, or leave the metric out.",
        )
    high = 1 << clamp_log2
    return Coordinate(
        name=metric.name,
        steps=1 << steps_log2,
        unit=metric.clamp,
        low=-high if noise else 0,
        high=high,
        sigma_steps=sigma_steps(noise, 1 << steps_log2) if noise else 0,
    )


def weight_events(plan: RunPlan) -> tuple[Gaussian, ...]:
    """What a site's weight costs it, once in a run."""
    if not plan.is_private or plan.secagg.weights != "private":
        return ()
    return (Gaussian(noise_multiplier=plan.secagg.weight_noise_multiplier, num_releases=1),)


def metric_events(plan: RunPlan) -> tuple[PoissonGaussian, ...]:
    """What the metrics of one round cost a site, in the plan's order.

    Raises:
        ConfigError: the sample rate is not a number yet.
    """
    if not plan.is_private:
        return ()
    return tuple(
        PoissonGaussian(
            sample_rate=plan.training.resolved_sample_rate, noise_multiplier=metric.noise_multiplier, num_steps=1
        )
        for metric in plan.secagg.metrics
    )


def opened_figures(plan: RunPlan, total: CohortSum) -> OpenedFigures:
    """What a training round's sum opens to, the model apart.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for a sum that no honest sites have.
    """
    riding = coordinates(plan)
    sums = dict(
        zip(
            (coordinate.name for coordinate in riding),
            auxiliary.opened_steps(riding, total.total, len(total.survivors)),
            strict=True,
        )
    )
    by_name = {coordinate.name: coordinate for coordinate in riding}
    return OpenedFigures(
        total_weight=sums.get(WEIGHT),
        metrics=tuple(
            _metric(plan, by_name[metric.name], sums[metric.name], total.survivors) for metric in plan.secagg.metrics
        ),
    )


def _metric(plan: RunPlan, coordinate: Coordinate, steps: int, survivors: tuple[str, ...]) -> OpenedMetric:
    nominal = {site.id: site.nominal_units for site in plan.sites}
    expected = plan.training.resolved_sample_rate * sum(nominal[site] for site in survivors)
    deviation = math.sqrt(len(survivors)) * coordinate.sigma_steps
    return OpenedMetric(
        name=coordinate.name,
        value=coordinate.value(steps) / expected,
        noise_deviation=coordinate.value(deviation) / expected,
    )


__all__ = [
    "coordinates",
    "largest_weight",
    "metric_events",
    "opened_figures",
    "OpenedFigures",
    "OpenedMetric",
    "WEIGHT",
    "weight_events",
]
