"""What rides in a plan's rounds: coordinates, costs, what is refused, and what a sum opens to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fedward.common.agreement import (
    PROBE_ROUND,
    column_weights,
    events_beside_training,
    mean_divisors,
    ring_terms,
    round_event,
    run_epsilon,
    run_events,
)
from fedward.common.auxiliary_terms import (
    coordinates,
    largest_weight,
    metric_events,
    opened_figures,
    weight_events,
)
from fedward.common.config import RunPlan
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.privacy import clip_probe
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian, epsilon
from fedward.common.privacy.calibration import calibrate
from fedward.common.secagg import auxiliary
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.ring import Quantiser
from tests.federation_simulator import NUM_TRAINED, SITES, make_plan

METRIC: dict[str, Any] = {"name": "unit_loss", "clamp": 8.0, "noise_multiplier": 4.0}
NONE = {"mode": "none", "noise_multiplier": None}


def plan_of(*, metrics: list[dict[str, Any]] | None = None, weights: str = "private", **changes: Any) -> RunPlan:  # noqa: ANN401
    secagg = {"weights": weights, "metrics": [METRIC] if metrics is None else metrics, **changes.pop("secagg", {})}
    return make_plan(secagg=secagg, **changes)


def total_of(plan: RunPlan, *tail: int, survivors: tuple[str, ...] = SITES) -> CohortSum:
    return CohortSum(total=auxiliary.appended(np.zeros(NUM_TRAINED, "<u4"), tail), survivors=survivors)


# ---------------------------------------------------------------------------------------------------- coordinates


def test_the_weight_comes_first_in_whole_units_up_to_the_largest_nominal_number() -> None:
    weight, loss = coordinates(plan_of())
    assert (weight.name, weight.steps, weight.unit, weight.low, weight.high) == ("weight", 1, 1.0, 1, 300)
    assert (loss.name, loss.unit, loss.high, loss.low) == ("unit_loss", 8.0, 1 << 24, -(1 << 24))


def test_a_metric_has_room_for_twice_the_expected_units_and_ten_noises() -> None:
    (loss,) = coordinates(plan_of(weights="uniform"))
    assert loss.steps == 1 << 16
    assert loss.steps * (2 * 0.05 * 300) + 10 * loss.sigma_steps < loss.high
    (crowded,) = coordinates(plan_of(weights="uniform", sites=_sites(10_000_000), privacy=NONE))
    assert crowded.steps * (2 * 0.05 * 10_000_000) <= crowded.high < 4 * crowded.steps * (2 * 0.05 * 10_000_000)


def test_noise_of_a_metric_is_its_multiplier_times_the_clamp() -> None:
    (loss,) = coordinates(plan_of(weights="uniform"))
    assert loss.sigma_steps / loss.steps == pytest.approx(4.0, rel=1e-4)
    assert loss.sigma_steps / loss.steps > 4.0


def test_without_privacy_a_metric_has_no_noise_and_is_not_negative() -> None:
    (loss,) = coordinates(plan_of(weights="uniform", privacy=NONE))
    assert (loss.sigma_steps, loss.low) == (0, 0)


@pytest.mark.parametrize("profile", ["plain_ring", "resilient"])
def test_they_count_in_rounds_and_not_in_the_probe(profile: str) -> None:
    plan = plan_of(privacy={"clip_norm": "auto"})
    bare = plan_of(privacy={"clip_norm": "auto"}, metrics=[], weights="uniform")

    def terms(of: RunPlan, number: int) -> tuple[int, bytes]:
        found = ring_terms(of, number, 3, clip_norm=0.5, profile=profile)
        return found.num_coordinates, found.layout_digest

    assert terms(plan, 1)[0] == NUM_TRAINED + 2
    assert terms(bare, 1)[0] == NUM_TRAINED
    assert terms(plan, 1)[1] != terms(bare, 1)[1]
    assert terms(plan, PROBE_ROUND) == terms(bare, PROBE_ROUND) == (clip_probe.NUM_BINS, terms(bare, PROBE_ROUND)[1])


def test_no_clamp_is_above_the_vectors_in_any_cohort() -> None:
    for count in (3, 50, 1000):
        sites = [{"id": f"s{i}", "nominal_units": 1000} for i in range(count)]
        plan = plan_of(sites=sites)
        for cohort in {3, count}:
            terms = ring_terms(plan, 1, cohort, clip_norm=1.0, profile="plain_ring")
            for coordinate in coordinates(plan):
                coordinate.check_fits(terms.clamp_log2)
            Quantiser(scale_log2=terms.scale_log2, clamp_log2=terms.clamp_log2).check_no_overflow(cohort)


def _sites(largest: int) -> list[dict[str, Any]]:
    return [{"id": site, "nominal_units": largest} for site in SITES]


# ---------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("what", "plan"),
    [
        ("a metric is named twice", {"metrics": [METRIC, METRIC]}),
        ("metrics.0.name", {"metrics": [{"name": "accuracy"}]}),
        ("metrics.0.clamp", {"metrics": [{**METRIC, "clamp": 0.0}]}),
        ("metrics.0.clamp", {"metrics": [{**METRIC, "clamp": True}]}),
        ("metrics.0.noise_multiplier", {"metrics": [{**METRIC, "noise_multiplier": 0.0}]}),
        ("metrics.0.noise_multiplier", {"metrics": [{**METRIC, "noise_multiplier": "1"}]}),
        ("too coarse in the ring", {"metrics": [{**METRIC, "noise_multiplier": 1e6}]}),
        ("fixed_denominator is for privacy.mode distributed: take uniform", {"weights": "fixed_denominator"}),
        ("weight needs 20000000 ring steps", {"sites": _sites(20_000_000), "metrics": [], "privacy": NONE}),
        (
            "sites of different ranks",
            {
                "sites": [
                    *({"id": f"s{i}", "nominal_units": 9} for i in range(3)),
                    {"id": "t", "nominal_units": 9, "rank": 1},
                ]
            },
        ),
    ],
)
def test_what_cannot_ride_is_refused_by_name(what: str, plan: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=what):
        plan_of(**plan)


def test_a_metric_waits_for_the_sample_rate() -> None:
    plan = plan_of(weights="uniform", training={"sample_rate": "auto"})
    with pytest.raises(ConfigError, match="not a number yet"):
        coordinates(plan)


# ---------------------------------------------------------------------------------------------------- costs


def test_a_run_costs_its_training_its_weight_and_its_metrics() -> None:
    plan = plan_of(privacy={"clip_norm": "auto"})
    weight = Gaussian(noise_multiplier=20.0, num_releases=1)
    metric = PoissonGaussian(sample_rate=0.05, noise_multiplier=4.0, num_steps=1)
    assert weight_events(plan) == (weight,)
    assert metric_events(plan) == (metric,)
    assert run_events(plan) == (clip_probe.EVENT, weight, *(round_event(plan), metric) * 3)
    assert sorted(map(str, run_events(plan))) == sorted(
        map(str, (*events_beside_training(plan, 3), *[round_event(plan)] * 3))
    )
    assert run_epsilon(plan) == epsilon(run_events(plan), 1e-5) > run_epsilon(plan_of(metrics=[], weights="uniform"))


def test_known_answer_of_a_weights_cost_alone() -> None:
    """mu = 1/20: the analytic Gaussian mechanism (Balle and Wang 2018) at delta 1e-5 has epsilon 0.160."""
    found = epsilon(weight_events(plan_of()), 1e-5)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = 0.5 * math.erfc((middle * 20 - 0.025) / math.sqrt(2))
        back = 0.5 * math.erfc((middle * 20 + 0.025) / math.sqrt(2))
        low, high = (middle, high) if tail - math.exp(middle) * back > 1e-5 else (low, middle)
    assert found == pytest.approx(high, abs=3e-4)
    assert found == pytest.approx(0.160, abs=5e-4)


def test_calibrated_noise_leaves_room_for_weight_and_metrics() -> None:
    plan = plan_of(privacy={"noise_multiplier": None, "epsilon": 2.0})
    noise = calibrate(
        target_epsilon=2.0, delta=1e-5, sample_rate=0.05, num_steps=6, history=events_beside_training(plan, 3)
    )
    final = plan.model_copy(update={"privacy": plan.privacy.model_copy(update={"noise_multiplier": noise})})
    assert 1.99 < run_epsilon(final) <= 2.0
    assert noise > calibrate(target_epsilon=2.0, delta=1e-5, sample_rate=0.05, num_steps=6)


@pytest.mark.parametrize("weights", ["uniform", "declared"])
def test_public_weights_cost_nothing(weights: str) -> None:
    plan = plan_of(metrics=[], weights=weights)
    assert events_beside_training(plan, 3) == ()


def test_without_privacy_nothing_is_charged() -> None:
    assert events_beside_training(plan_of(privacy=NONE), 3) == ()


# ---------------------------------------------------------------------------------------------------- opened


def test_a_sum_opens_to_the_total_weight_and_the_metric() -> None:
    plan = plan_of()
    steps = coordinates(plan)[1].steps
    found = opened_figures(plan, total_of(plan, 450, 30 * steps))
    assert found.total_weight == 450
    (metric,) = found.metrics
    assert metric.value == pytest.approx(30 * 8.0 / (0.05 * 600))
    assert metric.noise_deviation == pytest.approx(math.sqrt(3) * 4.0 * 8.0 / (0.05 * 600), rel=1e-3)


def test_a_metric_is_divided_by_what_the_survivors_were_expected_to_draw() -> None:
    plan = plan_of(weights="uniform")
    steps = coordinates(plan)[0].steps
    found = opened_figures(plan, total_of(plan, 10 * steps, survivors=("alpha", "gamma")))
    assert found.metrics[0].value == pytest.approx(10 * 8.0 / (0.05 * 400))


def test_private_weights_are_the_divisor_of_every_column() -> None:
    plan = plan_of(metrics=[])
    assert largest_weight(plan) == 300
    assert mean_divisors(plan, total_of(plan, 450)).tolist() == [1.5, 1.5]


@pytest.mark.parametrize("weights", ["uniform", "declared"])
def test_public_weights_divide_as_before(weights: str) -> None:
    plan = plan_of(metrics=[], weights=weights)
    assert np.array_equal(mean_divisors(plan, total_of(plan)), column_weights(plan, SITES))


@pytest.mark.parametrize("total", [2, 901, -5])
def test_a_total_that_no_honest_sites_have_is_refused(total: int) -> None:
    plan = plan_of(metrics=[])
    with pytest.raises(ProtocolError) as caught:
        mean_divisors(plan, total_of(plan, total))
    assert caught.value.code == "SUM_OUT_OF_RANGE"
