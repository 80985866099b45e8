"""What a chain tells of plans: which policy binds, which runs were judged, refused, approved, and for how many people.

Beside the budget's replay, and like it fed entry by entry. An entry with other fields than its kind has permits
nothing. Not handled here: the budget, which level ``budget`` judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft, Entry
from fedward.common.ledger.replay import PLAN_ACCEPTED, POLICY_SET

PLAN_REFUSED: Final = "plan.refused"
PLAN_APPROVED: Final = "plan.approved"
REQUEST_REFUSED: Final = "request.refused"
DATASET_IMPORTED: Final = "dataset.imported"
DATASET_REMOVED: Final = "dataset.removed"
APPROVAL_MISSING: Final = "APPROVAL_MISSING"
PLAN_LIMIT: Final = "PLAN_LIMIT"
DAY_MS: Final = 86_400_000

PlanKey = tuple[str, str]
"""Id of a run and digest of its plan, in hex."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A plan that passed every rule and waits for a person."""

    run_id: str
    plan: str
    """SHA-256 of its bytes, in hex."""
    since_ms: int


@dataclass(slots=True)
class PlanReplay:
    """Reads the entries of a chain that was judged already."""

    policy: str = ""
    """SHA-256 of the policy's file that was set last, in hex; empty: none was."""
    approved: set[PlanKey] = field(default_factory=set)
    waiting: dict[PlanKey, Waiting] = field(default_factory=dict)
    """Also those that were approved since; the first time counts."""
    _judged: dict[PlanKey, tuple[str, int]] = field(default_factory=dict)
    """By whom it was offered, and when it was judged last."""
    _refusals: dict[tuple[str, ...], int] = field(default_factory=dict)
    _declared: dict[int, tuple[str, int]] = field(default_factory=dict)
    """By the number of an import: account and declared number of units."""

    def take(self, entry: Entry) -> None:
        """Follow one entry; kinds of other rooms are passed over."""
        readers = {
            POLICY_SET: self._set,
            PLAN_ACCEPTED: self._accept,
            PLAN_REFUSED: self._refuse,
            PLAN_APPROVED: self._approve,
            REQUEST_REFUSED: self._refuse_request,
            DATASET_IMPORTED: self._import,
            DATASET_REMOVED: self._remove,
        }
        if entry.kind in readers:
            readers[entry.kind](entry, entry.fields)

    def judged_since(self, since_ms: int, coordinator: str) -> frozenset[PlanKey]:
        """Plans of a coordinator that were judged since then."""
        return frozenset(key for key, (who, at) in self._judged.items() if who == coordinator and at > since_ms)

    def has_refusal(self, draft: Draft) -> bool:
        """Whether the same was refused in the same words."""
        return _words(draft.kind, draft.fields) in self._refusals

    def num_refusals_since(self, since_ms: int) -> int:
        """Different refusals that were entered since then."""
        return sum(at > since_ms for at in self._refusals.values())

    def declared_units(self, account: str) -> int | None:
        """How many people the data sets of an account were declared to have; None: nothing was declared."""
        found = [units for name, units in self._declared.values() if name == account]
        return sum(found) if found else None

    # ------------------------------------------------------------------------------------------------ kinds

    def _set(self, _: Entry, fields: Mapping[str, Value]) -> None:
        self.policy = str(fields.get("sha256"))

    def _accept(self, entry: Entry, fields: Mapping[str, Value]) -> None:
        self._judge(entry, fields)

    def _refuse(self, entry: Entry, fields: Mapping[str, Value]) -> None:
        self._refusals.setdefault(_words(entry.kind, fields), entry.at_ms)
        if fields.get("code") == PLAN_LIMIT:
            return  # it was not judged; it would keep itself out for ever
        self._judge(entry, fields)
        if fields.get("code") == APPROVAL_MISSING:
            run_id, plan = key = _key(fields)
            self.waiting.setdefault(key, Waiting(run_id=run_id, plan=plan, since_ms=entry.at_ms))

    def _refuse_request(self, entry: Entry, fields: Mapping[str, Value]) -> None:
        self._refusals.setdefault(_words(entry.kind, fields), entry.at_ms)

    def _approve(self, _: Entry, fields: Mapping[str, Value]) -> None:
        self.approved.add(_key(fields))

    def _judge(self, entry: Entry, fields: Mapping[str, Value]) -> None:
        self._judged[_key(fields)] = (str(fields.get("coordinator")), entry.at_ms)

    def _import(self, entry: Entry, fields: Mapping[str, Value]) -> None:
        units, account = fields.get("nominal_units"), fields.get("account")
        if type(units) is int and units > 0 and isinstance(account, str):
            self._declared[entry.seq] = (account, units)

    def _remove(self, _: Entry, fields: Mapping[str, Value]) -> None:
        seq = fields.get("imported")
        if type(seq) is int:
            self._declared.pop(seq, None)


def _key(fields: Mapping[str, Value]) -> PlanKey:
    return str(fields.get("run")), str(fields.get("plan"))


def _words(kind: str, fields: Mapping[str, Value]) -> tuple[str, ...]:
    return (kind, *(str(fields.get(name)) for name in ("run", "plan", "request", "code", "rule")))


__all__ = [
    "APPROVAL_MISSING",
    "DATASET_IMPORTED",
    "DATASET_REMOVED",
    "DAY_MS",
    "PLAN_APPROVED",
    "PLAN_LIMIT",
    "PLAN_REFUSED",
    "PlanKey",
    "PlanReplay",
    "REQUEST_REFUSED",
    "Waiting",
]
