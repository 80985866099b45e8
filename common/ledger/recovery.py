"""What a ledger that lost entries must own up to, from the statements that others hold.

Every head that this site signed, that another party recorded, and that is not on the chain is listed in
``ledger.recovered``: from then on witnesses' answers fit again. Every run that such a head names is charged in full,
each round as often as the plan allows attempts, proven or not, but for the positions that the chain still counts. A run
whose plan is not known, or that had no privacy, cannot be bounded: the account's cap is set to the least there is, and
only a new policy raises it. Too much may be counted so, and never too little.

Pure. Not handled here: charges outside federated runs (``unwitnessed``), which nobody else holds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fedward.common.agreement import PROBE_ROUND, probe_events, round_event
from fedward.common.auxiliary_terms import metric_events, weight_events
from fedward.common.config import RunPlan
from fedward.common.ledger.body import decimal
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.head_entries import recovered_drafts
from fedward.common.ledger.heads import HeadStatement
from fedward.common.ledger.replay import Account, event_fields
from fedward.common.ledger.witnessed import HeadsOfChain
from fedward.common.privacy.accounting import PrivacyEvent, merge

CLOSED_EPSILON = math.ulp(0.0)
"""The least number above 0: no event costs less."""
Places = Collection[tuple[int, int]]
"""Rounds and attempts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What is to be appended, together."""

    drafts: tuple[Draft, ...]
    events: tuple[PrivacyEvent, ...]
    """That are charged."""
    unbounded: tuple[bytes, ...] = field(default=())
    """Runs for which the account is closed."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing may be reserved any more."""
        return bool(self.unbounded)


def lost_heads(own: HeadsOfChain, others: Iterable[HeadsOfChain]) -> tuple[HeadStatement, ...]:
    """Statements that this chain's keys signed and others recorded, whose heads are not on it; each head once."""
    found: dict[bytes, HeadStatement] = {}
    for other in others:
        for _, heads in other.sets.values():
            for one in heads.statements:
                is_known = one.head in own.seqs or one.head in own.owned_up or one.head in found
                if not is_known and any(one.is_signed_by(key) for key in own.signers):
                    found[one.head] = one
    return tuple(found.values())


def run_cost(plan: RunPlan, counted: Places) -> tuple[PrivacyEvent, ...] | None:
    """What a run may have cost beyond the positions that are counted already; None: it has no bound.

    Args:
        plan: with all that its coordinator fills in.
        counted: positions with a reservation on the chain.
    """
    if not plan.is_private or plan.privacy.noise_multiplier is None:
        return None
    attempts = plan.secagg.max_attempts
    num_rounds = sum(number != PROBE_ROUND for number, _ in counted)
    num_probes = sum(number == PROBE_ROUND for number, _ in counted)
    left = max(0, plan.rounds * attempts - num_rounds)
    probes = probe_events(plan) * max(0, attempts - num_probes)
    weights = () if num_rounds else weight_events(plan)
    return merge((*probes, *weights, *(round_event(plan), *metric_events(plan)) * left))


def recovery(
    lost: Collection[HeadStatement],
    runs: Mapping[bytes, RunPlan | None],
    counted: Mapping[bytes, Places],
    *,
    account: tuple[str, Account],
    reason: str,
    is_blind: bool = False,
) -> Recovery:
    """The entries of a recovery.

    Args:
        lost: as ``lost_heads`` found them.
        runs: those that lost heads, or replies, name, with their plans; None: not known.
        counted: by run, positions with a reservation on the chain.
        account: name and state of the account that is charged.
        reason: in a word, for the entry.
        is_blind: runs may be missing that nothing names; then nothing bounds them.
    """
    costs = {run_id: None if plan is None else run_cost(plan, counted.get(run_id, ())) for run_id, plan in runs.items()}
    unbounded = [run_id for run_id, cost in costs.items() if cost is None]
    if is_blind:
        unbounded.append(bytes(16))
    name, state = account
    events = merge(event for cost in costs.values() for event in cost or ())
    drafts = list(recovered_drafts(tuple(lost), reason))
    drafts += [Draft(kind="budget.adjust", fields={"account": name, "event": event_fields(event)}) for event in events]
    if unbounded:
        drafts.append(_closing(name, state))
    return Recovery(drafts=tuple(drafts), events=events, unbounded=tuple(unbounded))


def _closing(name: str, account: Account) -> Draft:
    """The same account with a cap below any event's cost."""
    fields = {
        "account": name,
        "cap_method": "pld",
        "delta": decimal(account.delta),
        "epsilon": decimal(CLOSED_EPSILON),
        "unit": account.unit,
    }
    return Draft(kind="budget.account", fields=dict(fields))


__all__ = ["CLOSED_EPSILON", "lost_heads", "Places", "Recovery", "recovery", "run_cost"]
