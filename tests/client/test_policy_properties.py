"""Loosening any one value of an accepted plan past its limit refuses it; tightening never does."""

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fedward.client.policy import Proposal, judge, plan_value
from fedward.client.policy_check import least_roster
from fedward.common.config import RunPlan
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.simulations.attacks.policy import COMPLIANT, POLICY

PLAN = RunPlan.from_bytes(json.dumps(COMPLIANT).encode())
ROSTER = least_roster(PLAN)
AT_MOST = {
    "privacy.delta": "delta",
    "privacy.clip_norm": "clip",
    "training.sample_rate": "sample_rate",
    "training.steps_per_round": "steps",
    "training.max_records_per_unit": "records_per_unit",
    "base.max_length_tokens": "sequence_length",
    "lora.rank": "lora_rank",
    "secagg.sum_norm_bound": "sum_norm",
    "secagg.reply_timeout_s": "attempt_ttl",
    "secagg.trip_timeout_s": "attempt_ttl",
}
AT_LEAST = {
    "privacy.noise_multiplier": "noise",
    "privacy.max_sites_per_unit": "sites_per_unit",
    "secagg.min_cohort": "cohort",
}
FACTORS = st.floats(0, 1, exclude_min=True)


def changed(path: str, value: float) -> RunPlan:
    """The plan with another value, past the checks that it makes of itself."""
    table, name = path.split(".")
    return PLAN.model_copy(update={table: getattr(PLAN, table).model_copy(update={name: value})})


def broken(plan: RunPlan, **figures: Any) -> list[str]:  # noqa: ANN401 - numbers of a proposal
    costs = {"run_epsilon": 1.0, "total_epsilon": 1.0, **figures}
    clean = DesensitizePolicy()
    proposal = Proposal(plan=plan, roster=ROSTER, nominal_units=1000, desensitized=clean, **costs)
    return [rule.name for rule in judge(proposal, POLICY)]


def test_the_plan_as_it_stands_is_accepted() -> None:
    assert broken(PLAN) == []


@given(st.sampled_from(sorted(AT_MOST | AT_LEAST)), FACTORS)
def test_tightening_never_refuses(path: str, factor: float) -> None:
    value = plan_value(PLAN, path)
    tight = value * factor if path in AT_MOST else value / factor
    if type(value) is int:
        tight = max(1, math.floor(tight)) if path in AT_MOST else min(5, math.ceil(min(tight, 1e9)))
    assert broken(changed(path, tight)) == []


@given(st.sampled_from(sorted(AT_MOST | AT_LEAST)), FACTORS)
def test_loosening_past_the_limit_refuses_by_the_right_rule(path: str, factor: float) -> None:
    value = plan_value(PLAN, path)
    loose = value / factor if path in AT_MOST else value * factor
    if type(value) is int:
        loose = value + math.ceil(min(loose, 1e9)) if path in AT_MOST else min(value - 1, math.floor(loose))
    elif loose == value:
        loose = math.nextafter(value, math.inf if path in AT_MOST else 0)
    plan = changed(path, loose)
    if path.endswith("timeout_s") and plan.secagg.reply_timeout_s + plan.secagg.trip_timeout_s == POLICY.attempt_ttl_s:
        return  # the sum is judged, and it is rounded
    assert (AT_MOST | AT_LEAST)[path] in broken(plan)


@given(st.sampled_from(sorted(AT_MOST | AT_LEAST)))
def test_what_is_no_number_is_refused(path: str) -> None:
    assert (AT_MOST | AT_LEAST)[path] in broken(changed(path, math.nan))


@given(st.floats())
def test_no_epsilon_above_the_caps_passes(epsilon: float) -> None:
    is_within = epsilon <= 3.0
    assert ("epsilon_run" in broken(PLAN, run_epsilon=epsilon)) != is_within
    assert ("epsilon_total" in broken(PLAN, total_epsilon=epsilon)) != is_within
