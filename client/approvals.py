"""Plans that wait for a person at a site, and the entry of his word.

A plan waits when it broke no rule and the policy says ``approve = "manual"``. The word is for one plan of one run, by
its digest: another plan under the same run needs another word. It comes in the policy's time or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedward.client.policy_file import current_policy
from fedward.common.errors import ConfigError
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.plans import PLAN_APPROVED, PlanReplay, Waiting

if TYPE_CHECKING:
    from fedward.client.site_folder import SiteFolder
    from fedward.common.vault.roles import Principal


def waiting_plans(site: SiteFolder) -> tuple[Waiting, ...]:
    """Those that nobody approved yet and that may still be, the oldest first.

    Raises:
        PolicyAlteredError: the site's policy is not the one that was set.
    """
    policy, _ = current_policy(site)
    plans = PlanReplay()
    for entry in site.trail.entries():  # never all of them in memory
        plans.take(entry)
    since_ms = site.clock() - policy.approval_ttl_s * 1000
    return tuple(one for key, one in plans.waiting.items() if key not in plans.approved and one.since_ms >= since_ms)


def approve(site: SiteFolder, waiting: Waiting, *, principal: Principal) -> None:
    """Let a plan pass when it is offered again; the rules are judged then too.

    Raises:
        AccessRefusedError: the principal may not.
    """
    from fedward.common.vault.roles import Action, Office

    site.vault.gate.check(Office.POLICY, Action.APPROVE, principal=principal)
    site.trail.append([Draft(kind=PLAN_APPROVED, fields={"run": waiting.run_id, "plan": waiting.plan})])


def chosen_plan(waiting: tuple[Waiting, ...], run: str, plan: str | None) -> Waiting:
    """The one that ``run``, and ``plan`` if it is given, name; both by their first digits.

    Raises:
        ConfigError: none, or several.
    """
    found = [one for one in waiting if run and one.run_id.startswith(run) and one.plan.startswith(plan or "")]
    if not found:
        raise ConfigError(
            "no such plan waits for approval", hint="`fedward site approve` without RUN lists those that do."
        )
    if len(found) > 1:
        raise ConfigError("several plans wait under this name", hint="Give more digits of RUN, or --plan DIGEST.")
    return found[0]


__all__ = ["approve", "chosen_plan", "waiting_plans"]
