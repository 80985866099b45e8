"""The guard: a plan that breaks the site's policy is refused before any data is read.

Pure: a plan, the pinned roster, a policy and the epsilon that the whole run costs go in, the names of broken rules come
out. Comparisons are written so that NaN is a refusal. The strictest of them binds; no message can loosen a policy.
Every leaf of a plan is named by a rule, or stands in ``UNRULED`` with the reason why it needs none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fedward.common.config import AUTO, RunPlan, SitePolicy
from fedward.common.desensitize.policy import LEVEL_OF_STANCE, PROFILES, DesensitizePolicy
from fedward.common.distributed_terms import agreed_colluders, is_distributed
from fedward.common.errors import ProtocolError
from fedward.common.identity import Roster
from fedward.common.privacy import clip_probe
from fedward.common.run_terms import agreed_floors, site_floors
from fedward.common.secagg import graph_floors
from fedward.common.secagg.floors import MAX_SITES

INTERNAL = "internal"
"""Named by a refusal where a rule raised."""
_REFUSED = "POLICY_REFUSED"


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
    """One rule of the policy; its name travels in a refusal.

    Args:
        name: of a closed list.
        code: of the refusal.
        paths: the plan's leaves that it judges.
        limits: the policy's fields that it compares them with.
        direction: how, in a word or a sign, for people.
        holds: whether a proposal is within the policy.
    """

    name: str
    code: str
    paths: tuple[str, ...]
    limits: tuple[str, ...]
    direction: str
    holds: Callable[[Proposal, SitePolicy], bool]


def plan_value(plan: RunPlan, path: str) -> Any:  # noqa: ANN401 - whatever stands there
    """What stands at ``path``; for the tables of sites and metrics a tuple of one value each."""
    value: Any = plan
    for part in path.split("."):
        name = part.removesuffix("[]")
        value = tuple(getattr(item, name) for item in value) if isinstance(value, tuple) else getattr(value, name)
    return value


def _at_most(name: str, path: str, limit: str) -> Rule:
    def holds(proposal: Proposal, policy: SitePolicy) -> bool:
        value = plan_value(proposal.plan, path)
        return value != AUTO and bool(value <= getattr(policy, limit))

    return Rule(name=name, code=_REFUSED, paths=(path,), limits=(limit,), direction="≤", holds=holds)


def _one_of(name: str, path: str, limit: str) -> Rule:
    def holds(proposal: Proposal, policy: SitePolicy) -> bool:
        return plan_value(proposal.plan, path) in getattr(policy, limit)

    return Rule(name=name, code=_REFUSED, paths=(path,), limits=(limit,), direction="one of", holds=holds)


def _subset(name: str, path: str, limit: str) -> Rule:
    def holds(proposal: Proposal, policy: SitePolicy) -> bool:
        allowed = getattr(policy, limit)
        return allowed is None or set(plan_value(proposal.plan, path)) <= set(allowed)

    return Rule(name=name, code=_REFUSED, paths=(path,), limits=(limit,), direction="among", holds=holds)


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
    # A policy that keeps names has a fine profile, and its records are as they came.
    least = LEVEL_OF_STANCE[asked.least_stance if asked.required else "strict"]
    if done.passes_over(least) and (asked.required or policy.require_desensitization):
        return False
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


def _sum_norm_holds(plan: RunPlan, policy: SitePolicy) -> bool:
    bound = plan.secagg.sum_norm_bound
    return policy.max_sum_norm is None or (bound is not None and bound <= policy.max_sum_norm)


def num_parameters(plan: RunPlan) -> int:
    """Numbers of the adapter that the plan lays out."""
    return sum(math.prod(spec.shape) for spec in plan.layout)


RULES: tuple[Rule, ...] = (
    _one_of("privacy_mode", "privacy.mode", "privacy_modes"),
    _one_of("unit", "privacy.unit", "units"),
    Rule(
        name="profile",
        code="PROFILE_FORBIDDEN",
        paths=("secagg.profile",),
        limits=("profiles",),
        direction="one of",
        holds=lambda p, s: p.plan.secagg.profile in s.profiles and p.plan.secagg.profile in p.roster.profiles,
    ),
    Rule(
        name="cohort",
        code="COHORT_TOO_SMALL",
        paths=("secagg.min_cohort",),
        limits=("min_cohort",),
        direction="≥",
        holds=lambda p, s: p.plan.secagg.min_cohort >= max(s.min_cohort, p.roster.min_cohort),
    ),
    Rule(
        name="honest_floor",
        code="HONEST_FLOOR",
        paths=("secagg.assumed_colluders", "secagg.min_survivors", "sites.id", "sites.rank"),
        limits=("assumed_colluders", "min_honest", "allow_two_sites"),
        direction="≥",
        holds=lambda p, s: _floors_hold(p.plan, s, p.roster),
    ),
    Rule(
        name="desensitization",
        code=_REFUSED,
        paths=(
            "desensitize.required",
            "desensitize.least_profile",
            "desensitize.least_stance",
            "desensitize.safe_harbor",
        ),
        limits=("require_desensitization",),
        direction="done",
        holds=lambda p, s: _is_clean(p.plan, s, p.desensitized),
    ),
    Rule(
        name="attempt_ttl",
        code=_REFUSED,
        paths=("secagg.reply_timeout_s", "secagg.trip_timeout_s"),
        limits=("attempt_ttl_s",),
        direction="sum ≤",
        holds=lambda p, s: _is_patient(p.plan, s),
    ),
    Rule(
        name="base_model",
        code=_REFUSED,
        paths=("base.digest",),
        limits=("base_models",),
        direction="one of",
        holds=lambda p, s: s.base_models is None or p.plan.base.digest in s.base_models,
    ),
    _at_most("sequence_length", "base.max_length_tokens", "max_length_tokens"),
    _at_most("records_per_unit", "training.max_records_per_unit", "max_records_per_unit"),
    Rule(
        name="sites_per_unit",
        code=_REFUSED,
        paths=("privacy.max_sites_per_unit",),
        limits=("min_sites_per_unit",),
        direction="≥",
        holds=lambda p, s: p.plan.privacy.max_sites_per_unit >= s.min_sites_per_unit,
    ),
    _at_most("delta", "privacy.delta", "max_delta"),
    Rule(
        name="clip",
        code=_REFUSED,
        paths=("privacy.clip_norm",),
        limits=("max_clip_norm",),
        direction="≤",
        holds=lambda p, s: _clip_allowed(p.plan, s),
    ),
    _at_most("sample_rate", "training.sample_rate", "max_sample_rate"),
    _at_most("rounds", "rounds", "max_rounds"),
    _at_most("steps", "training.steps_per_round", "max_steps_per_round"),
    _at_most("lora_rank", "lora.rank", "max_lora_rank"),
    Rule(
        name="lora_parameters",
        code=_REFUSED,
        paths=("layout.name", "layout.shape"),
        limits=("max_parameters",),
        direction="numbers ≤",
        holds=lambda p, s: num_parameters(p.plan) <= s.max_parameters,
    ),
    _subset("lora_targets", "lora.targets", "lora_targets"),
    _one_of("aggregation", "lora.aggregation", "aggregations"),
    _one_of("weights", "secagg.weights", "weights"),
    Rule(
        name="sum_norm",
        code=_REFUSED,
        paths=("secagg.sum_norm_bound",),
        limits=("max_sum_norm",),
        direction="≤",
        holds=lambda p, s: _sum_norm_holds(p.plan, s),
    ),
    Rule(
        name="noise",
        code=_REFUSED,
        paths=("privacy.noise_multiplier",),
        limits=("min_noise_multiplier",),
        direction="≥",
        holds=lambda p, s: not p.plan.is_private or (p.plan.privacy.noise_multiplier or 0.0) >= s.min_noise_multiplier,
    ),
    Rule(
        name="auxiliary_noise",
        code=_REFUSED,
        paths=("secagg.weight_noise_multiplier", "secagg.metrics.noise_multiplier"),
        limits=("min_noise_multiplier",),
        direction="≥",
        holds=lambda p, s: not p.plan.is_private or _auxiliary_noise_holds(p.plan, s),
    ),
    _subset("metrics", "secagg.metrics.name", "allowed_metrics"),
    Rule(
        name="account_delta",
        code=_REFUSED,
        paths=("sites.nominal_units",),
        limits=("account_delta",),
        direction="≤ 1 over",
        # Above 1 over their number, the account's delta would allow a unit's records to be published.
        holds=lambda p, s: not p.plan.is_private or s.account_delta * p.nominal_units <= 1,
    ),
    Rule(
        name="epsilon_run",
        code=_REFUSED,
        paths=("privacy.epsilon",),
        limits=("max_epsilon",),
        direction="≤",
        # Two comparisons: min() with NaN returns the other number.
        holds=lambda p, s: (
            not p.plan.is_private or (p.run_epsilon <= s.max_epsilon and p.run_epsilon <= p.plan.privacy.epsilon)
        ),
    ),
    Rule(
        name="epsilon_total",
        code="BUDGET_REFUSED",
        paths=(),
        limits=("account_epsilon",),
        direction="≤",
        holds=lambda p, s: not p.plan.is_private or p.total_epsilon <= s.account_epsilon,
    ),
)

UNRULED: Mapping[str, str] = {
    "format": "another version is not read at all",
    "name": "for people",
    "seed": "public randomness, never noise or sampling",
    "base.name": "for people: the digest is judged",
    "base.dtype": "how the base is held; the start-up proof of the gradients judges it",
    "base.quantization": "as base.dtype",
    "lora.alpha": "a factor on the update, after clip and noise",
    "lora.rank_stabilised": "as lora.alpha",
    "lora.a_init": "public, and the same for all",
    "training.optimizer": "post-processing of a noised gradient",
    "training.learning_rate": "post-processing of a noised gradient",
    "training.max_batch_tokens": "memory alone; the plan's own check holds it above a patient's records",
    "training.gradient_checkpointing": "memory alone",
    "server.optimizer": "post-processing of an opened sum",
    "server.learning_rate": "post-processing of an opened sum",
    "server.beta1": "post-processing of an opened sum",
    "server.beta2": "post-processing of an opened sum",
    "server.noise_correction": "post-processing of an opened sum",
    "secagg.ring_bits": "one value",
    "secagg.late_cohort": "each cohort is judged when its round comes",
    "secagg.max_attempts": "the lower of plan and policy binds at every attempt, and each attempt is charged",
    "secagg.spare_attempts": "the coordinator's calibration alone; each attempt is charged to the run as it happens",
    "secagg.metrics.clamp": "of a noised metric; its scale is the noise's too",
    "evaluation.heldout_share": "how the site splits its own records; what it scores stays with it",
    "evaluation.max_heldout_records": "as evaluation.heldout_share",
    "evaluation.sample_tokens": "for the terminal of a simulation; no site agent reads it",
}
"""Leaves of a plan that no rule judges, with the reason."""


def judge(proposal: Proposal, policy: SitePolicy) -> tuple[Rule, ...]:
    """The rules that ``proposal`` breaks, in table order; empty: accepted."""
    return tuple(rule for rule in RULES if not rule.holds(proposal, policy))


def require(proposal: Proposal, policy: SitePolicy) -> None:
    """Refuse a proposal that breaks a rule.

    Raises:
        ProtocolError: carries code and name of the first broken rule, or the names of all where the policy discloses
            them, no value and no limit; the rule ``internal`` if judging itself went wrong.
    """
    try:
        broken = judge(proposal, policy)
    except Exception as error:
        raise ProtocolError(_REFUSED, "a rule could not be judged", rule=INTERNAL) from error
    if broken:
        first = broken[0]
        raise ProtocolError(
            first.code,
            f"the plan breaks the site's rule {first.name!r}",
            rule=first.name if policy.disclose == "first" else ",".join(rule.name for rule in broken),
            hint="Change the plan, or ask the site's data steward about the policy.",
        )


__all__ = ["INTERNAL", "judge", "num_parameters", "plan_value", "Proposal", "require", "Rule", "RULES", "UNRULED"]
