"""What a site's policy says of a plan, rule by rule, for people: before a run, without data and without a server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedward.client.policy import RULES, Proposal, Rule, plan_value
from fedward.common.agreement import is_resolved, run_epsilon, run_events, with_sample_rate
from fedward.common.config import COORDINATOR, RunPlan, SitePolicy
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import ConfigError
from fedward.common.identity import Identity, Roster
from fedward.common.privacy.accounting import PrivacyEvent, epsilon
from fedward.common.secagg.plain import PROFILE as PLAIN_RING
from fedward.common.secagg.thresholds import Profile
from fedward.common.settings import read_toml, to_json, validated


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One rule's."""

    rule: str
    asked: dict[str, object]
    """The plan's values by path."""
    direction: str
    limit: dict[str, object]
    """The policy's values by field."""
    holds: bool
    nearest: object = None
    """For a refused number: the nearest value that passes."""


def load_plan(path: Path) -> RunPlan:
    """A plan from TOML.

    Raises:
        ConfigError: names the first setting that is wrong.
    """
    return validated(RunPlan, to_json(read_toml(path), path.name), path.name)


def load_policy(path: Path) -> SitePolicy:
    """A policy from TOML.

    Raises:
        ConfigError: names the first setting that is wrong.
    """
    return validated(SitePolicy, to_json(read_toml(path), path.name), path.name)


def least_roster(plan: RunPlan) -> Roster:
    """A roster that asks for nothing: for a check before there is one."""
    secret = bytes(32)
    return Roster(
        coordinator_key=Identity.simulated(secret, COORDINATOR).public_key,
        members={site.id: Identity.simulated(secret, site.id).public_key for site in plan.sites},
        min_cohort=1,
        profiles=(*(profile.value for profile in Profile), PLAIN_RING),
    )


def check(
    plan: RunPlan,
    policy: SitePolicy,
    *,
    site_id: str,
    roster: Roster | None = None,
    history: Sequence[PrivacyEvent] = (),
    desensitized: DesensitizePolicy | None = None,
) -> tuple[Verdict, ...]:
    """Judge ``plan`` as the site would, every rule of the table.

    A plan whose noise the coordinator has not filled in yet is reckoned to cost its whole epsilon; a sample rate of
    ``auto`` is judged as the number that it will be.

    Args:
        plan: as it would be offered.
        policy: of the site.
        site_id: one of the plan's.
        roster: None: one that asks for nothing.
        history: what the site's account has spent already.
        desensitized: under which policy the site's records were desensitised; None: they are as they came.

    Raises:
        PlanError: the plan does not name the site.
    """
    plan = with_sample_rate(plan)
    proposal = Proposal(
        plan=plan,
        roster=roster or least_roster(plan),
        run_epsilon=_run_epsilon(plan),
        total_epsilon=_total_epsilon(plan, policy, history),
        nominal_units=plan.site(site_id).nominal_units,
        desensitized=desensitized,
    )
    return tuple(_verdict(rule, proposal, policy, history) for rule in RULES)


def _verdict(rule: Rule, proposal: Proposal, policy: SitePolicy, history: Sequence[PrivacyEvent]) -> Verdict:
    plan = proposal.plan
    asked = {path: plan_value(plan, path) for path in rule.paths}
    if rule.name == "epsilon_run":
        asked["epsilon of the run"] = _rounded(proposal.run_epsilon)
    elif rule.name == "epsilon_total":
        asked["epsilon with the account"] = _rounded(proposal.total_epsilon)
    # Noise that the coordinator will fill in is found from epsilon; it is judged when the plan is offered.
    holds = rule.holds(proposal, policy) or (rule.name == "noise" and plan.privacy.noise_multiplier is None)
    return Verdict(
        rule=rule.name,
        asked=asked,
        direction=rule.direction,
        limit={name: getattr(policy, name) for name in rule.limits},
        holds=holds,
        nearest=None if holds else _nearest(rule, proposal, policy, history),
    )


def _nearest(rule: Rule, proposal: Proposal, policy: SitePolicy, history: Sequence[PrivacyEvent]) -> object:
    """What the plan could say instead, where a number decides."""
    if rule.name in ("epsilon_run", "epsilon_total"):
        rounds = _most_rounds(proposal, policy, history, rule)
        return f"rounds = {rounds}" if rounds else None
    if rule.direction in ("≤", "≥") and len(rule.paths) == 1 == len(rule.limits):
        limit = getattr(policy, rule.limits[0])
        return f"{rule.paths[0]} = {limit}" if isinstance(limit, int | float) else None
    return None


def _most_rounds(proposal: Proposal, policy: SitePolicy, history: Sequence[PrivacyEvent], rule: Rule) -> int:
    """The largest number of rounds for which ``rule`` holds; 0 for none."""
    plan = proposal.plan
    if not is_resolved(plan):
        return 0

    def fits(rounds: int) -> bool:
        shorter = plan.model_copy(update={"rounds": rounds})
        cost = _run_epsilon(shorter)
        total = _total_epsilon(shorter, policy, history)
        return rule.holds(replace(proposal, plan=shorter, run_epsilon=cost, total_epsilon=total), policy)

    low, high = 0, plan.rounds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _run_epsilon(plan: RunPlan) -> float:
    if not plan.is_private:
        return math.inf
    return run_epsilon(plan) if is_resolved(plan) else plan.privacy.epsilon


def _total_epsilon(plan: RunPlan, policy: SitePolicy, history: Sequence[PrivacyEvent]) -> float:
    if not plan.is_private:
        return math.inf
    spent = epsilon(history, policy.account_delta)
    if not is_resolved(plan):
        # Basic composition: without the noise there are no events to compose more finely.
        return spent + plan.privacy.epsilon
    return epsilon([*history, *run_events(plan)], policy.account_delta)


def _rounded(value: float) -> float:
    return round(value, 4) if math.isfinite(value) else value


def require_site(plan: RunPlan, site_id: str | None) -> str:
    """The site to judge for.

    Raises:
        ConfigError: several to choose from, and none named; or an unknown one.
    """
    ids = [site.id for site in plan.sites]
    if site_id is None and len({site.nominal_units for site in plan.sites}) == 1:
        return ids[0]
    if site_id not in ids:
        raise ConfigError("--site: name one of the plan's sites", hint=f"They are {', '.join(ids[:20])}.")
    return site_id


__all__ = ["check", "least_roster", "load_plan", "load_policy", "require_site", "Verdict"]
