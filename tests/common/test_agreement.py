import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.agreement import (
    PROBE_ROUND,
    check_train,
    cohort_facts,
    column_weights,
    is_resolved,
    num_full_rank,
    plan_position,
    planned_train,
    probe_events,
    required_survivors,
    round_event,
    run_epsilon,
    run_events,
    site_rank,
    site_weight,
    with_clip,
    with_sample_rate,
)
from fedward.common.config import RunPlan, SitePlan, digest_of
from fedward.common.errors import ConfigError, PlanError
from fedward.common.privacy import clip_probe
from fedward.common.privacy.accounting import epsilon
from tests.federation_simulator import NUM_OF_A, NUM_TRAINED, RUN_ID, SITES, Federation, make_plan


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


# ---------------------------------------------------------------------------------------------------- ranks

MIXED = make_plan(
    lora={"rank": 4},
    sites=[
        {"id": site, "nominal_units": 100 * (i + 1), "rank": rank}
        for i, (site, rank) in enumerate({"a": 1, "b": 2, "c": 4, "d": None, "e": 4}.items())
    ],
)


def test_rank_of_a_site_is_its_own_or_the_adapters() -> None:
    assert [site_rank(MIXED, site) for site in "abcde"] == [1, 2, 4, 4, 4]
    assert num_full_rank(MIXED, "abc") == 1


@pytest.mark.parametrize(("weights", "unit"), [("uniform", [1, 1, 1, 1, 1]), ("declared", [0.2, 0.4, 0.6, 0.8, 1])])
def test_weight_of_a_column_is_that_of_the_sites_that_train_it(weights: str, unit: list[float]) -> None:
    plan = MIXED.model_copy(update={"secagg": MIXED.secagg.model_copy(update={"weights": weights})})
    a, b, c, d, e = unit
    assert column_weights(plan, "abcde") == pytest.approx([a + b + c + d + e, b + c + d + e, c + d + e, c + d + e])
    assert column_weights(plan, "bd") == pytest.approx([b + d, b + d, d, d])


def test_cohort_of_thousands_is_not_looked_up_site_by_site(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = [{"id": f"s{i:04}", "nominal_units": 10 + i} for i in range(1000)]
    plan = make_plan(sites=sites, secagg={"weights": "declared"})
    searched: list[str] = []
    search = RunPlan.site

    def counted(self: RunPlan, site_id: str) -> SitePlan:
        searched.append(site_id)
        return search(self, site_id)

    monkeypatch.setattr(RunPlan, "site", counted)
    cohort = tuple(site.id for site in plan.sites)
    assert required_survivors(plan, cohort) == 2
    assert column_weights(plan, cohort)[0] == pytest.approx(sum(10 + i for i in range(1000)) / 1009)
    assert searched == []


def test_share_of_a_stranger_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="mallory"):
        site_weight(make_plan(), "mallory")


@given(st.sets(st.sampled_from("abcde")))
def test_required_survivors_leave_no_column_with_too_few_whoever_drops_out(cohort: set[str]) -> None:
    wanted = MIXED.secagg.min_cohort
    required = required_survivors(MIXED, cohort)
    if num_full_rank(MIXED, cohort) < wanted:
        assert required > len(cohort), "such a cohort has no sum that may be opened"
    for left in itertools.combinations(sorted(cohort), min(required, len(cohort))):
        assert required > len(cohort) or num_full_rank(MIXED, left) >= wanted


@pytest.mark.parametrize("cohort", [SITES, SITES[:2]])
def test_with_equal_ranks_the_minimum_cohort_is_what_must_survive(cohort: tuple[str, ...]) -> None:
    assert required_survivors(make_plan(), cohort) == make_plan().secagg.min_cohort


def test_request_of_alternate_names_the_factor_of_its_round() -> None:
    federation = Federation(make_plan(lora={"aggregation": "alternate"}))
    sizes = [federation.train_body(number)[0].num_coordinates for number in (1, 2, 3)]
    assert sizes == [NUM_TRAINED, NUM_OF_A, NUM_TRAINED]


def test_epsilon_of_a_run_is_that_of_all_its_rounds() -> None:
    plan = make_plan(rounds=4)
    assert run_epsilon(plan) == epsilon([round_event(plan)] * 4, plan.privacy.delta)


def test_a_probe_is_counted_in_the_epsilon_of_a_run() -> None:
    fixed, auto = make_plan(), make_plan(privacy={"clip_norm": "auto"})
    assert run_events(fixed) == (round_event(fixed),) * 3
    assert run_events(auto) == (clip_probe.EVENT, *run_events(fixed))
    assert run_epsilon(auto) == epsilon(run_events(auto), auto.privacy.delta) > run_epsilon(fixed)


def test_without_privacy_there_is_no_probe() -> None:
    assert probe_events(make_plan(privacy={"mode": "none", "clip_norm": "auto"})) == ()


def test_an_automatic_sample_rate_becomes_a_tenth() -> None:
    draft = make_plan(training={"sample_rate": "auto"})
    assert not is_resolved(draft)
    assert run_epsilon(draft) == math.inf
    with pytest.raises(ConfigError, match="sample_rate"):
        round_event(draft)
    final = with_sample_rate(draft)
    assert final.training.sample_rate == 0.1
    assert is_resolved(final)
    assert with_sample_rate(final) == final


def test_a_clip_that_was_found_changes_nothing_else_in_the_plan() -> None:
    auto = make_plan(privacy={"clip_norm": "auto"})
    with pytest.raises(ConfigError, match="clip_norm"):
        _ = auto.privacy.resolved_clip_norm
    found = with_clip(auto, 0.25)
    assert found.privacy.resolved_clip_norm == 0.25
    assert with_clip(make_plan(), 0.25) == found
    assert auto.privacy.clip_norm == "auto"


def test_the_request_of_the_probe_is_for_counts() -> None:
    federation = Federation(make_plan(privacy={"clip_norm": "auto"}))
    probe, _ = federation.train_body(PROBE_ROUND)
    assert (probe.num_coordinates, probe.scale_log2, probe.clip_norm) == (34, 0, 0.0)
    first, _ = federation.train_body(1, clip_norm=0.25)
    assert (first.num_coordinates, first.scale_log2, first.clip_norm) == (NUM_TRAINED, 24, 0.25)
    assert probe.layout_digest == first.layout_digest  # the gradients that the first round clips


@pytest.mark.parametrize(("privacy", "stated"), [({"clip_norm": 0.75}, 0.75), ({"mode": "none"}, 0.0)])
def test_a_plan_that_needs_no_probe_states_its_own_clip(privacy: dict[str, object], stated: float) -> None:
    body, _ = Federation(make_plan(privacy=privacy)).train_body(1, clip_norm=0.25)
    assert body.clip_norm == stated


def test_run_without_privacy_has_no_finite_epsilon() -> None:
    assert run_epsilon(make_plan(privacy={"mode": "none"})) == math.inf


def test_plan_that_is_not_calibrated_has_no_event() -> None:
    with pytest.raises(ConfigError, match="noise multiplier"):
        round_event(make_plan(privacy={"noise_multiplier": None}))
