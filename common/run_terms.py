"""What plan, roster and policy fix for the masked rounds of a run. One place for both sides, as in ``agreement``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from fedward.common.agreement import PROBE_ROUND, required_survivors, ring_terms
from fedward.common.config import TWO_SITES, RunPlan, SitePolicy
from fedward.common.identity import Roster
from fedward.common.messages.codec import Position
from fedward.common.secagg.floors import MAX_SITES, Floors
from fedward.common.secagg.terms import RingTerms, Terms


def agreed_floors(plan: RunPlan, roster: Roster) -> Floors:
    """What everybody demands of every cohort: the stricter of plan and roster."""
    of_plan = plan.secagg.floors()
    return replace(
        of_plan,
        min_cohort=max(of_plan.min_cohort, roster.min_cohort),
        least_colluders=roster.assumed_colluders,
        num_sites=len(plan.sites),
        allow_two_sites=of_plan.allow_two_sites and roster.min_cohort <= TWO_SITES,
    )


def site_floors(plan: RunPlan, policy: SitePolicy, roster: Roster) -> Floors:
    """What a site demands of every cohort: the strictest of plan, roster and policy.

    A policy that names no colluders means the usual number, for a plan that states fewer may be a hostile one.
    """
    agreed = agreed_floors(plan, roster)
    feared = policy.assumed_colluders
    if feared is None:
        feared = replace(agreed, assumed_colluders=None).colluders(len(plan.sites))
    return replace(
        agreed,
        min_cohort=max(agreed.min_cohort, policy.min_cohort),
        min_honest=max(agreed.min_honest, policy.min_honest),
        least_colluders=max(agreed.least_colluders, feared),
        allow_two_sites=agreed.allow_two_sites and policy.allow_two_sites,
    )


def run_terms(
    plan: RunPlan,
    position: Position,
    roster: Roster,
    *,
    floors: Floors | None = None,
    max_attempts: int | None = None,
    clip_norm: float = 0.0,
) -> Terms:
    """The terms of a run, for the rounds of one clip norm.

    Args:
        plan: accepted, with a masked profile.
        position: any of the run.
        roster: pinned.
        floors: of a site; the agreed ones for the coordinator.
        max_attempts: of a site's policy, where it is lower than the plan's.
        clip_norm: what the round's ``Train`` states.
    """
    floors = floors or agreed_floors(plan, roster)
    return Terms(
        run_id=position.run_id,
        roster=roster,
        plan_digest=position.plan_digest,
        num_rounds=plan.rounds,
        max_attempts=min(plan.secagg.max_attempts, max_attempts or plan.secagg.max_attempts),
        floors=floors,
        ring=partial(_ring, plan, agreed_floors(plan, roster), clip_norm),
        required_survivors=partial(required_survivors, plan),
        first_round=PROBE_ROUND if plan.privacy.needs_probe else 1,
        named=frozenset(site.id for site in plan.sites) & frozenset(roster.members),
        late_cohort=plan.secagg.late_cohort,
        is_sparse=len(plan.sites) > MAX_SITES,
    )


def _ring(plan: RunPlan, agreed: Floors, clip_norm: float, round_number: int, num_sites: int) -> RingTerms:
    return ring_terms(
        plan,
        round_number,
        num_sites,
        clip_norm=clip_norm,
        profile=plan.secagg.profile,
        colluders=agreed.colluders(num_sites),
    )


__all__ = ["agreed_floors", "run_terms", "site_floors"]
