"""A bound that honest cohorts do not pass, and that means something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.agreement import ring_terms
from fedward.common.config import RunPlan
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.terms import RingTerms
from fedward.common.sum_bound import check_sum, norm_bound, squared_norm
from tests.federation_simulator import make_plan

SITES = ("alpha", "beta", "gamma")
B = {"name": "m.q_proj.lora_B.weight", "shape": [500, 2]}
LAYOUT = [{"name": "m.q_proj.lora_A.weight", "shape": [2, 4]}, B]
SIZE = 1000


def plan_of(**changes: Any) -> RunPlan:  # noqa: ANN401
    """Three sites of 100, 200 and 300 patients, 1000 trained coordinates."""
    training = {"sample_rate": 0.5, "steps_per_round": 4, "learning_rate": 0.5, **changes.pop("training", {})}
    return make_plan(layout=LAYOUT, training=training, **changes)


def ring_of(plan: RunPlan) -> RingTerms:
    return ring_terms(plan, 1, len(plan.sites), clip_norm=1.0, profile=plan.secagg.profile)


def bound_of(plan: RunPlan, survivors: tuple[str, ...] = SITES) -> float:
    return norm_bound(plan, SIZE, ring_of(plan), survivors)


def drawn(seed: int, *shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(shape)  # noqa: TID251 - no privacy hangs on it


# ---------------------------------------------------------------------------------------------------- the norm


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50))
def test_squared_norm_is_exact(values: list[int]) -> None:
    assert squared_norm(np.array(values, np.int32)) == sum(value * value for value in values)


def test_squared_norm_of_a_long_vector_of_the_largest_values_does_not_wrap() -> None:
    assert squared_norm(np.full(200_000, -(2**31), np.int32)) == 200_000 * 2**62
    assert squared_norm(np.full(200_000, 2**31 - 1, np.int32)) == 200_000 * (2**31 - 1) ** 2


# ---------------------------------------------------------------------------------------------------- the bound


@pytest.mark.parametrize("weights", ["uniform", "declared"])
@pytest.mark.parametrize("seed", range(5))
def test_sites_with_four_times_their_patients_whose_gradients_all_point_one_way_stay_within(
    seed: int, weights: str
) -> None:
    """The worst that honest sites can be, with the noise of DP-SGD on top."""
    plan = plan_of(privacy={"noise_multiplier": 2.0}, secagg={"weights": weights})
    total = np.zeros(SIZE)
    for index, site in enumerate(plan.sites):
        weight = 1.0 if weights == "uniform" else (index + 1) / 3
        batch = 0.5 * site.nominal_units
        for step in range(4):
            units = np.random.default_rng(100 * seed + 10 * index + step).binomial(  # noqa: TID251
                4 * site.nominal_units, 0.5
            )
            gradient = units * np.eye(1, SIZE)[0] + 2.0 * drawn(1000 * seed + 10 * index + step, SIZE)
            total -= weight * 0.5 / batch * gradient
    assert np.linalg.norm(total) <= bound_of(plan)


def test_the_bound_is_near_what_noise_alone_gives() -> None:
    """With strong noise it is within a few times of it, though the ring would hold much more."""
    plan = plan_of(privacy={"noise_multiplier": 20.0}, training={"steps_per_round": 1, "learning_rate": 0.1})
    variance = sum((0.1 / (0.5 * site.nominal_units) * 20.0) ** 2 for site in plan.sites)
    typical = np.sqrt(variance * SIZE)
    assert typical < bound_of(plan) < 3.5 * typical
    assert bound_of(plan) < 0.1 * len(SITES) * np.sqrt(SIZE)


def test_where_the_unit_is_a_record_a_patient_counts_as_often_as_it_may() -> None:
    kept = {"noise_multiplier": 0.01, "unit": "record"}
    one, eight = (
        bound_of(plan_of(privacy=kept, training={"max_records_per_unit": n, "learning_rate": 1e-3})) for n in (1, 8)
    )
    patients = bound_of(plan_of(privacy={**kept, "unit": "patient"}, training={"learning_rate": 1e-3}))
    assert one == patients
    assert 5 * one < eight < 8 * one


UNKNOWN: dict[str, dict[str, Any]] = {
    "no privacy": {"privacy": {"mode": "none", "noise_multiplier": None}},
    "another local optimiser": {"training": {"optimizer": "adamw"}},
    "a rate beyond all numbers": {"training": {"learning_rate": 1e300}},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_where_nothing_is_known_the_ring_bounds_it(name: str) -> None:
    assert bound_of(plan_of(**UNKNOWN[name])) == pytest.approx(3 * np.sqrt(SIZE))


def test_a_plan_may_state_a_bound_for_each_site() -> None:
    plan = plan_of(secagg={"sum_norm_bound": 0.25})
    assert bound_of(plan) == 0.75
    assert bound_of(plan, SITES[:2]) == 0.5


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_a_stated_bound_is_a_positive_number(bound: float) -> None:
    with pytest.raises((ConfigError, ValueError)):
        plan_of(secagg={"sum_norm_bound": bound})


# ---------------------------------------------------------------------------------------------------- the check


def sum_of(plan: RunPlan, norm: float, *, extra: int = 0) -> CohortSum:
    """A sum of one length, all of it in one coordinate; ``extra`` further coordinates stand at the clamp."""
    steps = np.zeros(SIZE, np.int64)
    steps[3] = -int(norm * 2.0 ** ring_of(plan).scale_log2)
    further = np.full(extra, 3 * (1 << ring_of(plan).clamp_log2), np.int64)
    total = np.concatenate([steps, further]).astype(np.int32).view("<u4")
    return CohortSum(total=total, survivors=SITES)


def refusal(plan: RunPlan, found: CohortSum) -> str:
    with pytest.raises(ProtocolError) as caught:
        check_sum(plan, 1, ring_of(plan), found)
    return caught.value.code


def test_a_sum_is_refused_just_above_the_bound_and_not_at_it() -> None:
    plan = plan_of(secagg={"sum_norm_bound": 0.25})
    check_sum(plan, 1, ring_of(plan), sum_of(plan, 0.75))
    assert refusal(plan, sum_of(plan, 0.75 + 2.0**-20)) == "SUM_IMPLAUSIBLE"


def test_a_coordinate_beyond_the_clamps_has_its_own_code() -> None:
    plan = plan_of(secagg={"sum_norm_bound": 0.25})
    assert refusal(plan, sum_of(plan, 3 + 2.0**-20)) == "SUM_OUT_OF_RANGE"


def test_coordinates_behind_the_trained_ones_do_not_count() -> None:
    plan = plan_of(secagg={"sum_norm_bound": 0.25})
    check_sum(plan, 1, ring_of(plan), sum_of(plan, 0.75, extra=7))
