"""Before and after the rules: which plans are judged at all, whose word they wait for, and the entry of each verdict.

At most so many plans of a coordinator are judged in a day, counted in the ledger: limits of a policy could be found by
bisection. A plan that breaks no rule may still wait for a person: the coordinator is told ``APPROVAL_MISSING`` and may
offer again; ``fedward site approve`` writes the entry that lets it pass. No approval lets a refused plan pass: the
rules are judged before and again. Every refusal of what the coordinator signed is an entry, the same one once, and at
most ``MAX_REFUSALS_A_DAY`` of them: else a coordinator that asks on and on would fill the disk.

Not handled here: the rules (``policy``), and messages.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from fedward.client.ledger_store import LedgerStore
from fedward.common.config import RunPlan, SitePolicy
from fedward.common.errors import ProtocolError
from fedward.common.identity import Roster
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.plans import APPROVAL_MISSING, DAY_MS, PLAN_LIMIT, PLAN_REFUSED, REQUEST_REFUSED, PlanKey
from fedward.common.ledger.replay import PLAN_ACCEPTED
from fedward.common.logs.logger import log
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb

MAX_REFUSALS_A_DAY: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanDesk:
    """Of one site.

    Args:
        store: upon its ledger.
        policy: of the site.
        roster: pinned.
        policy_digest: SHA-256 of the policy's file; None: it is not compared.
    """

    store: LedgerStore
    policy: SitePolicy = field(repr=False)
    roster: Roster = field(repr=False)
    policy_digest: bytes | None = None

    def require_policy(self) -> None:
        """Refuse everything under a policy that was not set by ``fedward site policy set``.

        Raises:
            ProtocolError: ``POLICY_ALTERED``.
        """
        if self.policy_digest is not None and self.store.plans.policy != self.policy_digest.hex():
            raise ProtocolError("POLICY_ALTERED", "the policy's file is not the one that was set last")

    def require_turn(self, position: codec.Position) -> None:
        """Refuse to judge more plans than a day allows. The same plan of the same run is judged again at no cost.

        Raises:
            ProtocolError: ``PLAN_LIMIT``.
        """
        since_ms, key = self.store.now_ms() - DAY_MS, _key(position)
        judged = self.store.plans.judged_since(since_ms, self._coordinator)
        # A verdict that is not written down would not be counted: who fills the day's entries asks no more.
        is_uncounted = key not in judged and self._is_full
        if is_uncounted or len(judged - {key}) >= self.policy.max_plans_per_day:
            raise ProtocolError(PLAN_LIMIT, "more plans in a day than the policy judges")

    def require_approval(self, position: codec.Position) -> None:
        """Refuse what waits for a person, as far as the policy asks one.

        Raises:
            ProtocolError: ``APPROVAL_MISSING``: not yet, or no longer, for it waited too long.
        """
        if self.policy.approve == "auto":
            return
        key, plans = _key(position), self.store.plans
        since = plans.waiting.get(key)
        is_late = since is not None and self.store.now_ms() - since.since_ms > self.policy.approval_ttl_s * 1000
        if is_late or key not in plans.approved:
            raise ProtocolError(APPROVAL_MISSING, "the plan waits for the site's approval, or waited too long")

    def declared_units(self) -> int | None:
        """The number of people that the account's data sets were declared to have when they were imported."""
        return self.store.plans.declared_units(self.policy.account)

    def accepted(self, position: codec.Position, plan: RunPlan) -> Draft:
        """The entry of a plan that passed. It says with which noise: a run without needs no budget."""
        fields = self._plan_fields(position)
        fields |= {"mode": plan.privacy.mode.value, "unit": plan.privacy.unit.value, "profile": position.profile}
        return Draft(kind=PLAN_ACCEPTED, fields=fields)

    def enter_refusal(self, opened: codec.Opened[codec.Body], refusal: ProtocolError) -> None:
        """Write a refusal down. It is given also where it cannot be: it lets nothing leave."""
        if isinstance(opened.body, pb.PlanOffer):
            kind, fields = PLAN_REFUSED, self._plan_fields(opened.position)
        else:
            kind = REQUEST_REFUSED
            fields = {"run": opened.position.run_id.hex(), "request": opened.body_hash.hex()}
        draft = Draft(kind=kind, fields={**fields, "code": refusal.code, "rule": refusal.rule})
        try:
            if not self._is_full and not self.store.plans.has_refusal(draft):
                self.store.note(draft)
        except Exception as error:  # noqa: BLE001 - at the edge: whatever a disk does, the refusal is answered
            log.failure("refusal.unwritten", error, run=opened.position.run_id)

    def _plan_fields(self, position: codec.Position) -> dict[str, Value]:
        run, plan = _key(position)
        return {"run": run, "plan": plan, "coordinator": self._coordinator}

    @property
    def _is_full(self) -> bool:
        """Whether no more refusals are written down today."""
        return self.store.plans.num_refusals_since(self.store.now_ms() - DAY_MS) >= MAX_REFUSALS_A_DAY

    @property
    def _coordinator(self) -> str:
        return hashlib.sha256(self.roster.coordinator_key).hexdigest()


def _key(position: codec.Position) -> PlanKey:
    return position.run_id.hex(), position.plan_digest.hex()


__all__ = ["MAX_REFUSALS_A_DAY", "PlanDesk"]
