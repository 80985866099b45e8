"""A site's two budgets: of all runs on its records, and of the run that goes on, whose own epsilon binds its retries.

Everything is reserved in both before data is read, and charged in both before anything leaves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fedward.client.policy import Proposal
from fedward.common.agreement import is_resolved, run_epsilon, run_events
from fedward.common.config import RunPlan, SitePolicy
from fedward.common.errors import BudgetExhaustedError, PrivacyError
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.privacy.accounting import PrivacyEvent, epsilon

Permits = tuple[Permit, Permit]
"""Of the run's account, which is the mechanism's, and of the site's."""


class Accounts:
    """Both accounts.

    Args:
        policy: of the site.
    """

    def __init__(self, policy: SitePolicy) -> None:
        self._policy = policy
        self.of_site = BudgetAccount(epsilon_cap=policy.account_epsilon, delta=policy.account_delta)
        self.of_run: BudgetAccount | None = None

    @property
    def history(self) -> tuple[PrivacyEvent, ...]:
        """All events reserved or charged in this run."""
        return () if self.of_run is None else self.of_run.history

    def open_run(self, plan: RunPlan) -> None:
        """Begin a run's account. The stricter of plan and policy binds, retries included."""
        self.of_run = None
        if plan.is_private:
            cap = min(plan.privacy.epsilon, self._policy.max_epsilon)
            self.of_run = BudgetAccount(epsilon_cap=cap, delta=plan.privacy.delta)

    def proposal(self, free: Proposal, *, is_new: bool) -> Proposal:
        """The proposal with what it costs."""
        plan = free.plan
        if not plan.is_private or not is_resolved(plan):
            return replace(free, run_epsilon=math.inf, total_epsilon=math.inf)
        coming = run_events(plan) if is_new else ()
        total = epsilon([*self.of_site.history, *coming], self.of_site.delta)
        return replace(free, run_epsilon=run_epsilon(plan), total_epsilon=total)

    def reserve(self, event: PrivacyEvent, clip_norm: float, purpose: str) -> Permits:
        """Room in both accounts.

        Raises:
            BudgetExhaustedError: neither is changed.
            PrivacyError: the account of the run is gone.
        """
        if self.of_run is None:
            raise PrivacyError("the account of a private run is gone")
        of_run = self.of_run.reserve(event, clip_norm=clip_norm, purpose=purpose)
        try:
            return of_run, self.of_site.reserve(event, clip_norm=clip_norm, purpose=purpose)
        except BudgetExhaustedError:
            self.of_run.void(of_run)
            raise

    def charge(self, permits: Permits | None) -> None:
        """Make a reservation final; the site's account first."""
        if permits is not None and self.of_run is not None:
            self.of_site.charge(permits[1])
            self.of_run.charge(permits[0])

    def void(self, permits: Permits | None) -> None:
        """Take back a reservation whose mechanism has not begun and never will."""
        if permits is not None and self.of_run is not None:
            self.of_run.void(permits[0])
            self.of_site.void(permits[1])

    def to_document(self) -> dict[str, str | None]:
        """Plain values; reservations open now stay counted for good."""
        of_run = None if self.of_run is None else self.of_run.to_bytes().decode()
        return {"account": self.of_site.to_bytes().decode(), "run_account": of_run}

    def read_document(self, document: Mapping[str, Any]) -> None:
        """The inverse of ``to_document``."""
        self.of_site = BudgetAccount.from_bytes(document["account"].encode())
        of_run = document["run_account"]
        self.of_run = None if of_run is None else BudgetAccount.from_bytes(of_run.encode())


__all__ = ["Accounts", "Permits"]
