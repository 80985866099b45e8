import math

import pytest

from fedward.common.agreement import (
    check_train,
    cohort_facts,
    plan_position,
    planned_train,
    round_event,
    run_epsilon,
    site_weight,
)
from fedward.common.config import digest_of
from fedward.common.errors import ConfigError
from fedward.common.privacy.accounting import epsilon
from tests.federation_simulator import NUM_TRAINED, RUN_ID, SITES, Federation, make_plan


def test_position_outside_rounds_names_the_plan_by_its_bytes() -> None:
    plan = make_plan()
    position = plan_position(plan.to_bytes(), run_id=RUN_ID, roster_hash=bytes(32))
    assert position.plan_digest == digest_of(plan.to_bytes())
    assert (position.round_number, position.attempt, position.profile) == (0, 0, "plain_ring")


@pytest.mark.parametrize("cohort", [SITES, ("alpha", "gamma"), ("gamma", "alpha")])
def test_planned_request_passes_the_check_of_its_sites(cohort: tuple[str, ...]) -> None:
    federation = Federation()
    position = federation.position(1)
    message = planned_train(federation.plan, position, cohort, bytes(32))
    assert list(message.cohort) == sorted(cohort)
    for site in cohort:
        check_train(federation.plan, position, message, site_id=site)


def test_facts_of_a_request_are_what_it_says() -> None:
    federation = Federation()
    body, _ = federation.train_body(2, 1)
    facts = cohort_facts(federation.position(2, 1), body)
    assert (facts.round_number, facts.attempt, facts.run_id) == (2, 1, RUN_ID)
    assert (facts.num_coordinates, facts.clamp_log2, facts.scale_log2) == (NUM_TRAINED, 24, 24)
    assert (tuple(facts.bundles), facts.min_survivors) == (SITES, 2)


@pytest.mark.parametrize(("weights", "expected"), [("uniform", [1, 1, 1]), ("declared", [1 / 3, 2 / 3, 1])])
def test_weight_is_a_share_of_the_largest(weights: str, expected: list[float]) -> None:
    plan = make_plan(secagg={"weights": weights})
    assert [site_weight(plan, site) for site in SITES] == pytest.approx(expected)


def test_epsilon_of_a_run_is_that_of_all_its_rounds() -> None:
    plan = make_plan(rounds=4)
    assert run_epsilon(plan) == epsilon([round_event(plan)] * 4, plan.privacy.delta)


def test_run_without_privacy_has_no_finite_epsilon() -> None:
    assert run_epsilon(make_plan(privacy={"mode": "none"})) == math.inf


def test_plan_that_is_not_calibrated_has_no_event() -> None:
    with pytest.raises(ConfigError, match="noise multiplier"):
        round_event(make_plan(privacy={"noise_multiplier": None}))
