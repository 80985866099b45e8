"""What a plan prescribes for a cohort in mode ``distributed``, and which plans it refuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.agreement import ring_terms, round_event, run_epsilon
from fedward.common.config import RunPlan
from fedward.common.distributed_terms import (
    cohort_mechanism,
    honest_shares,
    is_planned_event,
    least_survivors,
    releases_per_round,
    round_noise,
)
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian, epsilon
from fedward.common.privacy.calibration import calibrate
from fedward.common.privacy.distributed import poisson_event
from fedward.common.secagg.floors import honest_sites
from fedward.common.secagg.thresholds import Profile
from tests.distributed_federation import MODE, PROFILES
from tests.federation_simulator import make_plan


def plan_of(profile: str = "resilient", num_sites: int = 5, **changes: Any) -> RunPlan:  # noqa: ANN401
    """Of mode ``distributed``; tables are laid over the mode's."""
    secagg = {"profile": profile, "min_cohort": 3, **MODE["secagg"], **changes.pop("secagg", {})}
    merged = {name: {**MODE[name], **changes.pop(name, {})} for name in ("privacy", "training")}
    sites = [{"id": f"s{index:03d}", "nominal_units": 100} for index in range(num_sites)]
    return make_plan(secagg=secagg, sites=sites, **merged, **changes)


# Section 9 of the protocol: n to h_min at the default n_C, `resilient` and with `Confirm`.
HONEST = {4: (2, 2), 5: (3, 3), 7: (5, 5), 10: (7, 7), 20: (13, 14), 50: (32, 35), 64: (42, 46)}


@pytest.mark.parametrize("count", HONEST)
def test_the_honest_shares_are_those_of_the_protocols_table(count: int) -> None:
    resilient, confirmed = (honest_shares(plan_of(name, count), count) for name in PROFILES[1:3])
    assert (resilient, confirmed) == HONEST[count]
    assert honest_shares(plan_of("strict", count), count) == count - max(1, count // 5)
    assert honest_shares(plan_of("plain_ring", count), count) == confirmed


@given(
    profile=st.sampled_from(list(Profile)),
    count=st.integers(4, 64),
    absent=st.integers(0, 8),
    more=st.integers(0, 6),
    colluders=st.integers(0, 12),
)
def test_shares_are_never_cut_for_more_honest_sites_than_there_are(
    profile: Profile, count: int, absent: int, more: int, colluders: int
) -> None:
    """Holders may be absent, and the coordinator may ask for more survivors: the protocol's own number rules."""
    plan = plan_of(profile.value, 64)
    holders = min(64, count + absent)
    floors = plan.secagg.floors()
    real = honest_sites(
        profile,
        num_cohort=count,
        num_holders=holders,
        min_survivors=min(count, floors.min_survivors(count, holders) + more),
        colluders=colluders,
    )
    assert honest_shares(plan, count, colluders=colluders) <= max(real, 1)


def test_more_survivors_asked_for_are_more_noise_counted_on() -> None:
    plan = plan_of("resilient-malicious", 10, secagg={"min_survivors": 10})
    assert least_survivors(plan, 10) == 10
    assert honest_shares(plan, 10) == 8


def test_the_ring_counts_the_noise_of_all_sites() -> None:
    plan = plan_of()
    made = cohort_mechanism(plan, 1, 5)
    terms = ring_terms(plan, 1, 5, clip_norm=0.5, profile="resilient")
    assert (terms.scale_log2, terms.clamp_log2) == (20, 25)
    assert terms.noise_steps == made.noise_steps >= 10 * made.sigma_steps * math.sqrt(5)
    assert ring_terms(make_plan(), 1, 3, clip_norm=0.5, profile="plain_ring").noise_steps == 0


def test_the_clip_moves_neither_shares_nor_booking() -> None:
    plan = plan_of()
    one, other = (cohort_mechanism(plan, 1, 5, clip_norm=clip) for clip in (1.0, 0.01))
    assert (one.sigma_steps, one.event(0.1)) == (other.sigma_steps, other.event(0.1))


def test_a_cohort_with_one_honest_share_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        cohort_mechanism(plan_of("strict", 4), 1, 4, colluders=3)
    assert refused.value.code == "HONEST_FLOOR"


# ---------------------------------------------------------------------------------------------------- refusals

REFUSED: dict[str, tuple[Mapping[str, Any], str]] = {
    "several steps a round": ({"training": {"steps_per_round": 2}}, "training.steps_per_round = 1"),
    "a local optimiser": ({"training": {"optimizer": "adamw"}}, "server.optimizer"),
    "uniform weights": ({"secagg": {"weights": "uniform"}}, "secagg.weights = fixed_denominator"),
    "declared weights": ({"secagg": {"weights": "declared"}}, "secagg.weights = fixed_denominator"),
    "a cohort that is told late": ({"secagg": {"profile": "strict", "late_cohort": True}}, "late_cohort"),
    "two sites, who know one share each": (
        {"num_sites": 2, "secagg": {"profile": "strict", "min_cohort": 2}},
        "2 sites, of which 1 may collude",
    ),
    "noise beyond the ring": ({"privacy": {"noise_multiplier": 1e4}}, "noise"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_plan_that_the_mode_cannot_run_is_refused_with_what_to_set(name: str) -> None:
    changes, said = REFUSED[name]
    with pytest.raises(ConfigError, match=said):
        plan_of(**changes)


def test_without_masks_too_two_sites_must_be_honest() -> None:
    with pytest.raises(ConfigError, match="honest"):
        plan_of("plain_ring", 2, secagg={"min_cohort": 2})


def test_the_divisor_of_the_mode_is_for_it_alone() -> None:
    with pytest.raises(ConfigError, match="take uniform"):
        make_plan(secagg={"weights": "fixed_denominator"})


# ---------------------------------------------------------------------------------------------------- accounting


@pytest.mark.parametrize("profile", PROFILES)
@given(count=st.integers(6, 12), number=st.sampled_from([1, 2]))
def test_what_any_cohort_books_is_the_planned_event_or_a_hair_less(profile: str, count: int, number: int) -> None:
    plan = plan_of(profile, 12)
    booked = cohort_mechanism(plan, number, count).event(plan.training.resolved_sample_rate)
    planned = round_event(plan)
    assert is_planned_event(plan, booked)
    assert planned.noise_multiplier <= booked.noise_multiplier <= planned.noise_multiplier * (1 + 1e-5)


STRANGERS = [
    PoissonGaussian(sample_rate=0.05, noise_multiplier=1.9999, num_steps=1),
    PoissonGaussian(sample_rate=0.05, noise_multiplier=2.01, num_steps=1),
    PoissonGaussian(sample_rate=0.04, noise_multiplier=2.0, num_steps=1),
    PoissonGaussian(sample_rate=0.05, noise_multiplier=2.0, num_steps=2),
    Gaussian(noise_multiplier=2.0, num_releases=1),
]


@pytest.mark.parametrize("event", STRANGERS, ids=str)
def test_other_events_are_not_the_plans(event: Any) -> None:  # noqa: ANN401
    assert not is_planned_event(plan_of(), event)


@pytest.mark.parametrize("sites", [1, 3])
def test_calibrated_noise_keeps_the_target_for_a_unit_at_several_sites(sites: int) -> None:
    plan = plan_of(privacy={"max_sites_per_unit": sites, "noise_multiplier": None}, rounds=10)
    assert releases_per_round(plan) == sites
    step = calibrate(target_epsilon=2.0, delta=1e-5, sample_rate=0.05, num_steps=10 * sites)
    noise = round_noise(plan, step)
    done = plan_of(privacy={"max_sites_per_unit": sites, "noise_multiplier": noise}, rounds=10)
    assert 1.99 < run_epsilon(done) <= 2.0
    booked = cohort_mechanism(done, 1, 5).event(0.05)
    assert epsilon([booked] * 10, 1e-5) <= 2.0


@given(st.integers(1, 9), st.floats(0.05, 50))
def test_the_parts_of_a_units_noise_never_claim_more_than_there_is(sites: int, noise: float) -> None:
    event = poisson_event(0.1, noise, sites)
    assert event.num_steps == sites
    assert noise * math.sqrt(sites) * (1 - 1e-15) <= event.noise_multiplier
    assert event.noise_multiplier**2 <= sites * noise**2 * (1 + 1e-15)


def test_a_unit_at_two_sites_is_covered_by_what_is_booked() -> None:
    """Against the exact account of a unit that two sites draw: a mixture of shifts by 0, 1 and 2 sensitivities."""
    from dp_accounting.pld.privacy_loss_distribution import from_mixture_gaussian_mechanism

    plan = plan_of(privacy={"max_sites_per_unit": 2})
    made = cohort_mechanism(plan, 1, 5)
    one_site = made.sensitivity_steps / 2
    deviation = math.sqrt(made.num_honest * made.sigma_steps**2 - 16) / one_site
    chances = [0.95**2, 2 * 0.05 * 0.95, 0.05**2]
    exact = from_mixture_gaussian_mechanism(deviation, [0.0, 1.0, 2.0], chances).self_compose(5)
    booked = epsilon([made.event(0.05)] * 5, 1e-5)
    assert exact.get_epsilon_for_delta(1e-5) <= booked
