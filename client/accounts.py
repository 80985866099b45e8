"""A site's two budgets: of all runs on its records, and of the run that goes on, whose own epsilon binds its retries.

Everything is reserved in both before data is read, and charged in both before anything leaves. Their histories come
from the ledger, whose entries are the site's account: the run's is what of it bears the run's id. What is reserved,
charged or voided in between stands here as drafts until the next commit, so that it becomes durable in one transaction
with what it is for. What is taken back before that was never written; what is reserved and never charged stays counted.

Not handled here: durability (``ledger_store``), and the rules that a chain is judged by (``common/ledger/replay``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fedward.client.policy import Proposal
from fedward.common.agreement import is_resolved, run_epsilon, run_events
from fedward.common.config import PrivacyUnit, RunPlan, SitePolicy
from fedward.common.errors import BudgetExhaustedError, ConfigError, PrivacyError
from fedward.common.ledger.body import Value, decimal
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.ledger.chain import Draft, Head
from fedward.common.ledger.replay import BUDGET, BudgetReplay, event_fields
from fedward.common.privacy.accounting import PrivacyEvent, epsilon

Permits = tuple[Permit, Permit]
"""Of the run's account, which is the mechanism's, and of the site's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """What is to be written of one reservation."""

    kind: str
    """``reserve``, ``charge`` or ``void``."""
    permit: Permit
    """Of the site's account."""
    fields: dict[str, Value] = field(default_factory=dict)


class Accounts:
    """Both accounts.

    Args:
        policy: of the site.
        replay: what its ledger tells.

    Raises:
        ConfigError: the policy names another delta than the account has, for life.
    """

    def __init__(self, policy: SitePolicy, replay: BudgetReplay) -> None:
        self._policy = policy
        known = replay.accounts.get(policy.account)
        self.unit = account_unit(policy) if known is None else known.unit
        """Of the site's account: whose privacy it counts."""
        self._stated_cap = None if known is None else known.epsilon_cap
        cap = policy.account_epsilon
        if known is not None:
            if known.delta != policy.account_delta:
                raise ConfigError(
                    f"the account {policy.account!r} is at delta {known.delta:g}, the policy's at "
                    f"{policy.account_delta:g}",
                    hint="An account keeps its delta for life: set account_delta to it.",
                )
            # The stricter binds: a cap that the chain may not raise yet stays what it is.
            cap = cap if replay.may_raise else min(cap, known.epsilon_cap)
        history = () if known is None else known.history
        self.of_site = BudgetAccount(epsilon_cap=cap, delta=policy.account_delta, history=history)
        self.of_run: BudgetAccount | None = None
        self._cap = cap
        self._plan, self._run = "", ""
        self._openings: tuple[Draft, ...] = ()
        self._steps: list[_Step] = []
        self._seqs: dict[Permit, int] = {}
        """Entries of open reservations that are durable."""
        self._drafted: dict[Permit, int] = {}
        """Of those that will be, once the transaction is."""

    @property
    def history(self) -> tuple[PrivacyEvent, ...]:
        """All events reserved or charged in this run."""
        return () if self.of_run is None else self.of_run.history

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._openings and not self._steps

    def open_run(
        self,
        plan: RunPlan,
        *,
        run_id: bytes,
        plan_digest: bytes,
        history: Sequence[PrivacyEvent] = (),
        openings: Sequence[Draft] = (),
    ) -> None:
        """Begin a run's account, or go on with it. The stricter of plan and policy binds, retries included.

        Args:
            plan: of the run.
            run_id: 16 bytes.
            plan_digest: SHA-256 of its bytes.
            history: what the ledger has of the run already.
            openings: entries that stand before all others of the run.
        """
        self.of_run = None
        self._run, self._plan = run_id.hex(), plan_digest.hex()
        self._openings = tuple(openings)
        if plan.is_private:
            cap = min(plan.privacy.epsilon, self._policy.max_epsilon)
            self.of_run = BudgetAccount(epsilon_cap=cap, delta=plan.privacy.delta, history=history)

    def counts(self, unit: PrivacyUnit) -> bool:
        """Whether the site's account may hold what a plan of that unit releases: as strong as its own, or stronger."""
        return self.unit == PrivacyUnit.RECORD or unit is PrivacyUnit.PATIENT

    def proposal(self, free: Proposal, *, is_new: bool) -> Proposal:
        """The proposal with what it costs."""
        plan = free.plan
        if not plan.is_private or not is_resolved(plan):
            return replace(free, run_epsilon=math.inf, total_epsilon=math.inf)
        coming = run_events(plan) if is_new else ()
        total = epsilon([*self.of_site.history, *coming], self.of_site.delta)
        return replace(free, run_epsilon=run_epsilon(plan), total_epsilon=total)

    # ------------------------------------------------------------------------------------------------ steps

    def reserve(self, event: PrivacyEvent, clip_norm: float, purpose: str, *, at: tuple[int, int]) -> Permits:
        """Room in both accounts.

        Args:
            event: what will be released.
            clip_norm: the bound that its mechanism holds.
            purpose: a word for the record.
            at: round and attempt.

        Raises:
            BudgetExhaustedError: neither is changed.
            PrivacyError: the account of the run is gone.
        """
        if self.of_run is None:
            raise PrivacyError("the account of a private run is gone")
        of_run = self.of_run.reserve(event, clip_norm=clip_norm, purpose=purpose)
        try:
            of_site = self.of_site.reserve(event, clip_norm=clip_norm, purpose=purpose)
        except BudgetExhaustedError:
            self.of_run.void(of_run)
            raise
        fields: dict[str, Value] = {
            "account": self._policy.account,
            "run": self._run,
            "round": at[0],
            "attempt": at[1],
            "plan": self._plan,
            "purpose": purpose,
            "event": event_fields(event),
        }
        self._steps.append(_Step(kind="reserve", permit=of_site, fields=fields))
        return of_run, of_site

    def charge(self, permits: Permits | None) -> None:
        """Make a reservation final; the site's account first."""
        if permits is not None and self.of_run is not None:
            self.of_site.charge(permits[1])
            self.of_run.charge(permits[0])
            self._steps.append(_Step(kind="charge", permit=permits[1]))

    def void(self, permits: Permits | None) -> None:
        """Take back a reservation whose mechanism has not begun and never will."""
        if permits is None or self.of_run is None:
            return
        self.of_run.void(permits[0])
        self.of_site.void(permits[1])
        if permits[1] in self._seqs:
            self._steps.append(_Step(kind="void", permit=permits[1]))
        else:  # nobody was ever told of it
            self._steps = [step for step in self._steps if step.permit is not permits[1]]

    # ------------------------------------------------------------------------------------------------ entries

    def drafts(self, head: Head) -> list[Draft]:
        """What waits to be written, as entries behind ``head``; the same again until it is ``settled``."""
        drafts = list(self._openings)
        if self._steps and self._stated_cap != self._cap:
            drafts.append(self._account_draft())
        self._drafted = {}
        for step in self._steps:
            fields = dict(step.fields)
            if step.kind == "reserve":
                self._drafted[step.permit] = head.seq + 1 + len(drafts)
                fields["head"] = head.hash.hex()
            else:
                fields["reserve"] = self._seqs.get(step.permit, self._drafted.get(step.permit, -1))
            drafts.append(Draft(kind=BUDGET + step.kind, fields=fields))
        return drafts

    def _account_draft(self) -> Draft:
        fields: dict[str, Value] = {
            "account": self._policy.account,
            "cap_method": "pld",
            "delta": decimal(self._policy.account_delta),
            "epsilon": decimal(self._cap),
            "unit": self.unit,
        }
        return Draft(kind=f"{BUDGET}account", fields=fields)

    def settle(self) -> None:
        """What was drafted last is durable."""
        self._seqs.update(self._drafted)
        for step in self._steps:
            if step.kind != "reserve":
                self._seqs.pop(step.permit, None)
        if self._steps:
            self._stated_cap = self._cap
        self._openings, self._steps, self._drafted = (), [], {}


def account_unit(policy: SitePolicy) -> str:
    """Whose privacy an account counts that is opened now: the weakest unit that the policy allows.

    What is private for a whole patient is so for each record too, but not the other way round.
    """
    return (PrivacyUnit.RECORD if PrivacyUnit.RECORD in policy.units else PrivacyUnit.PATIENT).value


__all__ = ["account_unit", "Accounts", "Permits"]
