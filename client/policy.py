"""The guard: a plan that breaks the site's policy is refused before any data is read.

Pure: a plan, the pinned roster, a policy and the epsilon that the whole run costs go in, the names of broken rules come
out. Comparisons are written so that NaN is a refusal. The strictest of them binds; no message can loosen a policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fedward.common.config import AUTO, RunPlan, SitePolicy
from fedward.common.desensitize.policy import LEVEL_OF_STANCE, PROFILES, DesensitizePolicy
from fedward.common.distributed_terms import agreed_colluders, is_distributed
from fedward.common.errors import ProtocolError
from fedward.common.identity import Roster
from fedward.common.privacy import clip_probe
from fedward.common.run_terms import agreed_floors, site_floors
from fedward.common.secagg import graph_floors
from fedward.common.secagg.floors import MAX_SITES


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What is judged."""

    plan: RunPlan
    roster: Roster
    run_epsilon: float
    """Epsilon of all rounds, one attempt each, at the plan's delta; computed by the site itself."""
    total_epsilon: float
    """Epsilon of all that the site's account holds and of this run, at the account's delta."""
    nominal_units: int = 1
    """The site's declared number of units."""
    desensitized: DesensitizePolicy | None = None
    """Under which policy the site's records were desensitised; None: they are as they came."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One rule of the policy; its name travels in a refusal."""

    name: str
    code: str
    holds: Callable[[Proposal, SitePolicy], bool]


def _clip_allowed(plan: RunPlan, policy: SitePolicy) -> bool:
    """A probe may find any clip up to its largest: judged now, for afterwards it has been paid."""
    clip_norm = plan.privacy.clip_norm
    return (clip_probe.MAX_CLIP if clip_norm == AUTO else clip_norm) <= policy.max_clip_norm


def _floors_hold(plan: RunPlan, policy: SitePolicy, roster: Roster) -> bool:
    """Whether a cohort of all sites has the honest ones that this site asks for; each round is judged again."""
    if not plan.secagg.is_masked:
        # Also without masks the shares of noise are cut by the colluders that all sites reckon with.
        feared = policy.assumed_colluders or 0
        return not is_distributed(plan) or feared <= agreed_colluders(plan, len(plan.sites))
    agreed, own, count = agreed_floors(plan, roster), site_floors(plan, policy, roster), len(plan.sites)
    required = plan.secagg.min_survivors or 0
    try:
        if count > MAX_SITES:
            graph_floors.check_run(own, count, agreed=agreed, required=required)
            return True
        own.check_cohort(count, count)
        own.check_floor(
            num_cohort=count,
            num_holders=count,
            min_survivors=max(agreed.min_survivors(count, count), required),
            stated_colluders=agreed.colluders(count),
        )
    except ProtocolError:
        return False
    return True


def _auxiliary_noise_holds(plan: RunPlan, policy: SitePolicy) -> bool:
    """Whether all that rides beside the updates has the noise that a step must have."""
    multipliers = [metric.noise_multiplier for metric in plan.secagg.metrics]
    if plan.secagg.weights == "private":
        multipliers.append(plan.secagg.weight_noise_multiplier)
    return all(multiplier >= policy.min_noise_multiplier for multiplier in multipliers)


def _is_clean(plan: RunPlan, policy: SitePolicy, done: DesensitizePolicy | None) -> bool:
    """Whether the records have been through what plan and site ask for."""
    asked = plan.desensitize
    if done is None:
        return not asked.required and not policy.require_desensitization
    if not asked.required:
        return True
    return (
        PROFILES.index(done.profile) >= PROFILES.index(asked.least_profile)
        and LEVEL_OF_STANCE[done.stance] <= LEVEL_OF_STANCE[asked.least_stance]
        and (done.safe_harbor or not asked.safe_harbor)
    )


def _is_patient(plan: RunPlan, policy: SitePolicy) -> bool:
    """Whether the site's secrets live as long as the plan's coordinator may wait."""
    secagg = plan.secagg
    return not secagg.is_masked or secagg.reply_timeout_s + secagg.trip_timeout_s <= policy.attempt_ttl_s


RULES: tuple[Rule, ...] = (
    Rule(name="privacy_mode", code="POLICY_REFUSED", holds=lambda p, s: p.plan.privacy.mode in s.privacy_modes),
    Rule(name="unit", code="POLICY_REFUSED", holds=lambda p, s: p.plan.privacy.unit in s.units),
    Rule(
        name="profile",
        code="PROFILE_FORBIDDEN",
        holds=lambda p, s: p.plan.secagg.profile in s.profiles and p.plan.secagg.profile in p.roster.profiles,
    ),
    Rule(
        name="cohort",
        code="COHORT_TOO_SMALL",
        holds=lambda p, s: p.plan.secagg.min_cohort >= max(s.min_cohort, p.roster.min_cohort),
    ),
    Rule(name="honest_floor", code="HONEST_FLOOR", holds=lambda p, s: _floors_hold(p.plan, s, p.roster)),
    Rule(name="desensitization", code="POLICY_REFUSED", holds=lambda p, s: _is_clean(p.plan, s, p.desensitized)),
    Rule(name="attempt_ttl", code="POLICY_REFUSED", holds=lambda p, s: _is_patient(p.plan, s)),
    Rule(name="delta", code="POLICY_REFUSED", holds=lambda p, s: p.plan.privacy.delta <= s.max_delta),
    Rule(name="clip", code="POLICY_REFUSED", holds=lambda p, s: _clip_allowed(p.plan, s)),
    Rule(
        name="sample_rate",
        code="POLICY_REFUSED",
        holds=lambda p, s: p.plan.training.sample_rate != AUTO and p.plan.training.sample_rate <= s.max_sample_rate,
    ),
    Rule(name="rounds", code="POLICY_REFUSED", holds=lambda p, s: p.plan.rounds <= s.max_rounds),
    Rule(
        name="steps",
        code="POLICY_REFUSED",
        holds=lambda p, s: p.plan.training.steps_per_round <= s.max_steps_per_round,
    ),
    Rule(name="lora_rank", code="POLICY_REFUSED", holds=lambda p, s: p.plan.lora.rank <= s.max_lora_rank),
    Rule(
        name="aggregation",
        code="POLICY_REFUSED",
        holds=lambda p, s: p.plan.lora.aggregation in s.aggregations,
    ),
    Rule(
        name="noise",
        code="POLICY_REFUSED",
        holds=lambda p, s: not p.plan.is_private or (p.plan.privacy.noise_multiplier or 0.0) >= s.min_noise_multiplier,
    ),
    Rule(
        name="auxiliary_noise",
        code="POLICY_REFUSED",
        holds=lambda p, s: not p.plan.is_private or _auxiliary_noise_holds(p.plan, s),
    ),
    Rule(
        name="metrics",
        code="POLICY_REFUSED",
        holds=lambda p, s: {metric.name for metric in p.plan.secagg.metrics} <= set(s.allowed_metrics),
    ),
    Rule(
        name="account_delta",
        code="POLICY_REFUSED",
        # Above 1 over their number, the account's delta would allow a unit's records to be published.
        holds=lambda p, s: not p.plan.is_private or s.account_delta * p.nominal_units <= 1,
    ),
    Rule(
        name="epsilon_run",
        code="POLICY_REFUSED",
        # Two comparisons: min() with NaN returns the other number.
        holds=lambda p, s: (
            not p.plan.is_private or (p.run_epsilon <= s.max_epsilon and p.run_epsilon <= p.plan.privacy.epsilon)
        ),
    ),
    Rule(
        name="epsilon_total",
        code="BUDGET_REFUSED",
        holds=lambda p, s: not p.plan.is_private or p.total_epsilon <= s.account_epsilon,
    ),
)


def judge(proposal: Proposal, policy: SitePolicy) -> tuple[Rule, ...]:
    """The rules that ``proposal`` breaks, in table order; empty: accepted."""
    return tuple(rule for rule in RULES if not rule.holds(proposal, policy))


def require(proposal: Proposal, policy: SitePolicy) -> None:
    """Refuse a proposal that breaks a rule.

    Raises:
        ProtocolError: carries code and name of the first broken rule, no value and no limit.
    """
    broken = judge(proposal, policy)
    if broken:
        first = broken[0]
        raise ProtocolError(
            first.code,
            f"the plan breaks the site's rule {first.name!r}",
            rule=first.name,
            hint="Change the plan, or ask the site's data steward about the policy.",
        )
