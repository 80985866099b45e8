import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.client.policy import RULES, UNRULED, Proposal, judge, plan_value, require
from fedward.common.config import PrivacyMode, PrivacyUnit, RunPlan, SitePolicy
from fedward.common.desensitize.policy import Action, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ProtocolError
from fedward.common.settings import Settings
from tests.federation_simulator import Federation, make_plan

PLAN = make_plan()
POLICY = SitePolicy(profiles=("plain_ring",), min_cohort=2)
ROSTER = replace(Federation(PLAN).roster, min_cohort=2)


def judged(*, plan: RunPlan = PLAN, run_epsilon: float = 1.0, total_epsilon: float = 2.0, **roster: Any) -> Proposal:  # noqa: ANN401
    changed = replace(ROSTER, **roster)
    return Proposal(
        plan=plan,
        roster=changed,
        run_epsilon=run_epsilon,
        total_epsilon=total_epsilon,
        desensitized=DesensitizePolicy(),
    )


FINE = judged()


def proposal(table: str, name: str, value: Any, *, run_epsilon: float = 1.0) -> Proposal:  # noqa: ANN401
    """A plan with one value forced in, past the checks that a plan makes of itself."""
    if not table:
        return judged(plan=PLAN.model_copy(update={name: value}), run_epsilon=run_epsilon)
    part = getattr(PLAN, table).model_copy(update={name: value})
    return judged(plan=PLAN.model_copy(update={table: part}), run_epsilon=run_epsilon)


def masked(profile: str, num_sites: int) -> Proposal:
    sites = [{"id": f"s{i}", "nominal_units": 100} for i in range(num_sites)]
    return judged(plan=make_plan(secagg={"profile": profile}, sites=sites))


def masked_policy(**changes: Any) -> SitePolicy:  # noqa: ANN401
    return SitePolicy(min_cohort=2, **changes)


def scrubbed(done: DesensitizePolicy | None, **asked: Any) -> Proposal:  # noqa: ANN401
    """The records' state against a plan that asks for one."""
    return replace(judged(plan=make_plan(desensitize=asked)), desensitized=done)


METRIC = judged(plan=make_plan(secagg={"metrics": [{"name": "unit_loss", "noise_multiplier": 1.5}]}))
WEIGHTS = judged(plan=make_plan(secagg={"weights": "private", "weight_noise_multiplier": 1.5}))
MEASURED = {"allowed_metrics": ("unit_loss",)}
LONG = POLICY.model_copy(update={"max_sum_norm": 1.0})
WEIGHED = {"weights": ("private",), "min_noise_multiplier": 1.6}
NOISY = {"min_noise_multiplier": 1.6}
MASKED, TWO = masked("resilient", 5), masked("strict", 2)


KEEPING = DesensitizePolicy(actions={EntityType.PERSON: Action.KEEP})
OVERLOOKING = DesensitizePolicy(levels={EntityType.PHONE: 5})

# Rule, code, and what breaks it alone.
MUTATIONS: list[tuple[str, str, Callable[[], tuple[Proposal, SitePolicy]]]] = [
    ("privacy_mode", "POLICY_REFUSED", lambda: (proposal("privacy", "mode", PrivacyMode.NONE), POLICY)),
    ("unit", "POLICY_REFUSED", lambda: (proposal("privacy", "unit", "record"), POLICY)),
    ("unit", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"units": ()}))),
    ("profile", "PROFILE_FORBIDDEN", lambda: (MASKED, POLICY)),
    ("profile", "PROFILE_FORBIDDEN", lambda: (FINE, POLICY.model_copy(update={"profiles": ()}))),
    ("profile", "PROFILE_FORBIDDEN", lambda: (judged(profiles=("strict",)), POLICY)),
    ("cohort", "COHORT_TOO_SMALL", lambda: (proposal("secagg", "min_cohort", 1), POLICY)),
    ("cohort", "COHORT_TOO_SMALL", lambda: (judged(min_cohort=3), POLICY)),
    ("honest_floor", "HONEST_FLOOR", lambda: (MASKED, masked_policy(assumed_colluders=2))),
    ("honest_floor", "HONEST_FLOOR", lambda: (MASKED, masked_policy(min_honest=4))),
    ("honest_floor", "HONEST_FLOOR", lambda: (TWO, masked_policy())),
    ("honest_floor", "HONEST_FLOOR", lambda: (judged(plan=MASKED.plan, assumed_colluders=3), masked_policy())),
    ("attempt_ttl", "POLICY_REFUSED", lambda: (MASKED, masked_policy(attempt_ttl_s=219.0))),
    ("delta", "POLICY_REFUSED", lambda: (proposal("privacy", "delta", 1.0001e-5), POLICY)),
    ("clip", "POLICY_REFUSED", lambda: (proposal("privacy", "clip_norm", 16.001), POLICY)),
    ("sample_rate", "POLICY_REFUSED", lambda: (proposal("training", "sample_rate", 0.501), POLICY)),
    ("rounds", "POLICY_REFUSED", lambda: (proposal("", "rounds", 1001), POLICY)),
    ("steps", "POLICY_REFUSED", lambda: (proposal("training", "steps_per_round", 1001), POLICY)),
    ("lora_rank", "POLICY_REFUSED", lambda: (proposal("lora", "rank", 65), POLICY)),
    ("aggregation", "POLICY_REFUSED", lambda: (proposal("lora", "aggregation", "naive"), POLICY)),
    ("aggregation", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"aggregations": ()}))),
    ("noise", "POLICY_REFUSED", lambda: (proposal("privacy", "noise_multiplier", 0.299), POLICY)),
    ("noise", "POLICY_REFUSED", lambda: (proposal("privacy", "noise_multiplier", None), POLICY)),
    ("sample_rate", "POLICY_REFUSED", lambda: (proposal("training", "sample_rate", "auto"), POLICY)),
    ("metrics", "POLICY_REFUSED", lambda: (METRIC, POLICY)),
    ("auxiliary_noise", "POLICY_REFUSED", lambda: (METRIC, POLICY.model_copy(update={**MEASURED, **NOISY}))),
    (
        "auxiliary_noise",
        "POLICY_REFUSED",
        lambda: (WEIGHTS, POLICY.model_copy(update=WEIGHED)),
    ),
    ("weights", "POLICY_REFUSED", lambda: (WEIGHTS, POLICY)),
    ("weights", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"weights": ()}))),
    ("base_model", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"base_models": ("11" * 32,)}))),
    ("base_model", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"base_models": ()}))),
    ("sequence_length", "POLICY_REFUSED", lambda: (proposal("base", "max_length_tokens", 4097), POLICY)),
    ("records_per_unit", "POLICY_REFUSED", lambda: (proposal("training", "max_records_per_unit", 17), POLICY)),
    ("sites_per_unit", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"min_sites_per_unit": 2}))),
    ("lora_parameters", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"max_parameters": 13}))),
    ("lora_targets", "POLICY_REFUSED", lambda: (proposal("lora", "targets", ("q_proj", "lm_head")), POLICY)),
    ("lora_targets", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"lora_targets": ()}))),
    ("sum_norm", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"max_sum_norm": 1.0}))),
    ("sum_norm", "POLICY_REFUSED", lambda: (proposal("secagg", "sum_norm_bound", 2.0), LONG)),
    ("sum_norm", "POLICY_REFUSED", lambda: (proposal("secagg", "sum_norm_bound", math.nan), LONG)),
    ("account_delta", "POLICY_REFUSED", lambda: (replace(FINE, nominal_units=1_000_001), POLICY)),
    ("account_delta", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"account_delta": math.nan}))),
    ("epsilon_run", "POLICY_REFUSED", lambda: (judged(run_epsilon=5.001), POLICY)),
    # The plan's own target binds too, where it is the stricter one.
    ("epsilon_run", "POLICY_REFUSED", lambda: (proposal("privacy", "epsilon", 0.99), POLICY)),
    ("epsilon_run", "POLICY_REFUSED", lambda: (judged(run_epsilon=math.inf), POLICY)),
    ("epsilon_total", "BUDGET_REFUSED", lambda: (judged(total_epsilon=8.001), POLICY)),
    ("epsilon_total", "BUDGET_REFUSED", lambda: (judged(total_epsilon=math.inf), POLICY)),
    # NaN
    ("epsilon_total", "BUDGET_REFUSED", lambda: (judged(total_epsilon=math.nan), POLICY)),
    ("epsilon_total", "BUDGET_REFUSED", lambda: (FINE, POLICY.model_copy(update={"account_epsilon": math.nan}))),
    ("delta", "POLICY_REFUSED", lambda: (proposal("privacy", "delta", math.nan), POLICY)),
    ("clip", "POLICY_REFUSED", lambda: (proposal("privacy", "clip_norm", math.nan), POLICY)),
    ("sample_rate", "POLICY_REFUSED", lambda: (proposal("training", "sample_rate", math.nan), POLICY)),
    ("desensitization", "POLICY_REFUSED", lambda: (scrubbed(None), POLICY)),
    ("desensitization", "POLICY_REFUSED", lambda: (scrubbed(None, required=False), POLICY)),
    (
        "desensitization",
        "POLICY_REFUSED",
        lambda: (scrubbed(None), POLICY.model_copy(update={"require_desensitization": False})),
    ),
    (
        "desensitization",
        "POLICY_REFUSED",
        lambda: (scrubbed(DesensitizePolicy(profile="structured"), least_profile="fast"), POLICY),
    ),
    ("desensitization", "POLICY_REFUSED", lambda: (scrubbed(DesensitizePolicy(stance="strict")), POLICY)),
    ("desensitization", "POLICY_REFUSED", lambda: (scrubbed(DesensitizePolicy(), safe_harbor=True), POLICY)),
    ("desensitization", "POLICY_REFUSED", lambda: (scrubbed(KEEPING), POLICY)),
    ("desensitization", "POLICY_REFUSED", lambda: (scrubbed(KEEPING, required=False), POLICY)),
    ("desensitization", "POLICY_REFUSED", lambda: (scrubbed(OVERLOOKING), POLICY)),
    ("noise", "POLICY_REFUSED", lambda: (proposal("privacy", "noise_multiplier", math.nan), POLICY)),
    ("epsilon_run", "POLICY_REFUSED", lambda: (judged(run_epsilon=math.nan), POLICY)),
    ("epsilon_run", "POLICY_REFUSED", lambda: (proposal("privacy", "epsilon", math.nan), POLICY)),
    ("epsilon_run", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"max_epsilon": math.nan}))),
    ("delta", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"max_delta": math.nan}))),
    ("noise", "POLICY_REFUSED", lambda: (FINE, POLICY.model_copy(update={"min_noise_multiplier": math.nan}))),
]

AT_THE_LIMIT = [
    ("base", "max_length_tokens", 4096),
    ("training", "max_records_per_unit", 16),
    ("privacy", "delta", 1e-5),
    ("privacy", "clip_norm", 16.0),
    ("privacy", "noise_multiplier", 0.3),
    ("training", "sample_rate", 0.5),
    ("training", "steps_per_round", 1000),
    ("lora", "rank", 64),
    ("", "rounds", 1000),
    ("secagg", "min_cohort", 2),
]


def test_raw_records_pass_where_neither_plan_nor_site_asks() -> None:
    lenient = POLICY.model_copy(update={"require_desensitization": False})
    assert judge(scrubbed(None, required=False), lenient) == ()


def test_a_site_may_do_more_than_the_plan_asks() -> None:
    done = DesensitizePolicy(profile="max-recall", stance="safe", safe_harbor=True)
    assert judge(scrubbed(done, least_profile="fast", safe_harbor=True), POLICY) == ()


def test_acceptable_plan_passes() -> None:
    assert judge(FINE, POLICY) == ()
    require(FINE, POLICY)


@pytest.mark.parametrize(("table", "name", "value"), AT_THE_LIMIT)
def test_value_at_the_limit_passes(table: str, name: str, value: float) -> None:
    assert judge(proposal(table, name, value), POLICY) == ()


@pytest.mark.parametrize(("rule", "code", "case"), MUTATIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_breaking_one_rule_is_refused_by_its_name(
    rule: str, code: str, case: Callable[[], tuple[Proposal, SitePolicy]]
) -> None:
    found, policy = case()
    assert [broken.name for broken in judge(found, policy)] == [rule]
    with pytest.raises(ProtocolError) as caught:
        require(found, policy)
    assert (caught.value.code, caught.value.rule) == (code, rule)


def test_every_rule_is_in_the_table_of_mutations() -> None:
    assert {rule for rule, _, _ in MUTATIONS} == {rule.name for rule in RULES}


def test_names_of_rules_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_default_policy_refuses_the_plain_ring() -> None:
    broken = judge(FINE, SitePolicy(min_cohort=2))
    assert [rule.name for rule in broken] == ["profile"]


@pytest.mark.parametrize("profile", ["strict", "resilient", "resilient-malicious"])
def test_default_policy_accepts_masks(profile: str) -> None:
    plan = masked(profile, 5).plan
    plan = plan.model_copy(update={"secagg": plan.secagg.model_copy(update={"min_cohort": 3})})
    assert judge(judged(plan=plan), SitePolicy()) == ()


def test_two_sites_pass_where_the_site_allows_it() -> None:
    assert judge(TWO, masked_policy(allow_two_sites=True)) == ()


def test_run_without_privacy_passes_where_the_site_allows_it() -> None:
    policy = POLICY.model_copy(update={"privacy_modes": (PrivacyMode.LOCAL, PrivacyMode.NONE)})
    assert judge(proposal("privacy", "mode", PrivacyMode.NONE, run_epsilon=math.inf), policy) == ()


def test_several_broken_rules_are_all_found_and_the_first_is_named() -> None:
    found = judged(plan=PLAN.model_copy(update={"rounds": 5000}), run_epsilon=math.nan)
    assert [rule.name for rule in judge(found, POLICY)] == ["rounds", "epsilon_run"]
    with pytest.raises(ProtocolError, match="'rounds'"):
        require(found, POLICY)


def test_refusal_tells_no_value_and_no_limit() -> None:
    with pytest.raises(ProtocolError) as caught:
        require(judged(run_epsilon=7.25), POLICY)
    assert not any(digit.isdigit() for digit in caught.value.message)


@given(st.floats(), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_stricter_of_plan_and_policy_binds(run_epsilon: float, planned: float, allowed: float) -> None:
    plan: RunPlan = make_plan(privacy={"epsilon": planned})
    broken = judge(
        judged(plan=plan, run_epsilon=run_epsilon),
        SitePolicy(profiles=("plain_ring",), min_cohort=2, max_epsilon=allowed),
    )
    assert (not broken) == (run_epsilon <= planned and run_epsilon <= allowed)


@pytest.mark.parametrize(("most", "broken"), [(16.0, []), (15.9, ["clip"])])
def test_a_clip_that_a_probe_will_find_is_judged_by_the_largest_before_it_is_paid(
    most: float, broken: list[str]
) -> None:
    found = judge(proposal("privacy", "clip_norm", "auto"), POLICY.model_copy(update={"max_clip_norm": most}))
    assert [rule.name for rule in found] == broken


def test_an_account_whose_delta_is_one_over_its_units_is_at_the_limit() -> None:
    assert judge(replace(FINE, nominal_units=1_000_000), POLICY) == ()


def test_a_weaker_unit_than_the_patient_is_allowed_only_by_name() -> None:
    by_record = proposal("privacy", "unit", PrivacyUnit.RECORD)
    assert [rule.name for rule in judge(by_record, POLICY)] == ["unit"]
    assert judge(by_record, POLICY.model_copy(update={"units": tuple(PrivacyUnit)})) == ()


def leaves(model: type[Settings], prefix: str = "") -> set[str]:
    """Every setting of a plan by its path; a table of sites or metrics by what each has."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        inner = [kind for kind in kinds if issubclass(kind, Settings)]
        found |= leaves(inner[0], f"{prefix}{name}.") if inner else {f"{prefix}{name}"}
    return found


def test_every_leaf_of_a_plan_is_ruled_or_says_why_not() -> None:
    ruled = {path for rule in RULES for path in rule.paths}
    assert ruled | set(UNRULED) == leaves(RunPlan)
    assert not ruled & set(UNRULED)
    assert all(UNRULED.values())


AT_THE_DESK = {"account", "approve", "approval_ttl_s", "max_plans_per_day", "disclose"}
"""What says how plans are judged, and limits none: ``client/plan_desk``."""


def test_every_field_of_a_policy_limits_something() -> None:
    limits = {limit for rule in RULES for limit in rule.limits}
    assert limits | {"max_attempts", "account_delta", "min_witnesses", *AT_THE_DESK} == set(SitePolicy.model_fields)


@pytest.mark.parametrize("path", sorted({path for rule in RULES for path in rule.paths}))
def test_what_a_rule_names_can_be_shown(path: str) -> None:
    plan_value(METRIC.plan, path)


def test_quasi_identifiers_may_be_kept_and_more_may_be_replaced() -> None:
    keeping = DesensitizePolicy(actions={EntityType.ORG: Action.KEEP, EntityType.DATE: Action.KEEP})
    more = DesensitizePolicy(levels={EntityType.PHONE: 1}, profile="max-recall")
    for done in (keeping, more):
        assert judge(scrubbed(done), POLICY) == ()
