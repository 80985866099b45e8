"""The privacy budget as a chain tells it: what was reserved, charged, voided and adjusted, account by account.

Counted are reservations without a ``void``, and adjustments. A reservation must be within the cap of its time. Adding
an event never lowers epsilon, so a run of reservations is judged at its end: before the next void, adjustment or change
of the cap, and at the last entry; and not at all where more of everything was within the cap before. A cap is raised
only behind a new policy, and what was sent was charged. Not handled here: who may append what; this is the judge of
what stands there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fedward.common.errors import ConfigError, LedgerError, LedgerVersionError, PrivacyError
from fedward.common.ledger.body import Value, decimal, parse_decimal
from fedward.common.ledger.chain import Entry, Fault, Verdict, position_of
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import Gaussian, Laplace, PoissonGaussian, PrivacyEvent

BUDGET = "budget."
POLICY_SET = "policy.set"
SENT = "journal.sent"
_EVENTS: dict[str, type[PrivacyEvent]] = {kind.__name__: kind for kind in (PoissonGaussian, Gaussian, Laplace)}


@dataclass(slots=True)
class Account:
    """One account while a chain is read."""

    epsilon_cap: float
    delta: float
    unit: str
    reserved: dict[int, PrivacyEvent] = field(default_factory=dict)
    """By the number of the reservation; voided ones are taken out."""
    charged: set[int] = field(default_factory=set)
    is_unjudged: bool = False
    """Whether something was reserved since the cap was last compared."""
    adjusted: list[PrivacyEvent] = field(default_factory=list)
    _counts: Counter[PrivacyEvent] = field(default_factory=Counter)
    """Of each mechanism, as an event of one release: what the history comes to."""
    _most: Counter[PrivacyEvent] = field(default_factory=Counter)
    """Counts that are known to be within the cap."""

    @property
    def history(self) -> tuple[PrivacyEvent, ...]:
        """Every event that counts."""
        return (*self.adjusted, *self.reserved.values())

    def epsilon(self) -> float:
        """What the history costs at the account's delta."""
        return self._epsilon_of(self._counts)

    def reserve(self, seq: int, event: PrivacyEvent) -> None:
        """Count ``event`` until it is voided."""
        self.reserved[seq] = event
        self._counts[_times(event, 1)] += _count(event)
        self.is_unjudged = True

    def void(self, seq: int) -> None:
        """Count a reservation no more."""
        event = self.reserved.pop(seq)
        self._counts[_times(event, 1)] -= _count(event)

    def adjust(self, event: PrivacyEvent) -> None:
        """Count ``event`` for good; it may pass the cap, and then nothing more is reserved."""
        self.adjusted.append(event)
        self._counts[_times(event, 1)] += _count(event)

    def set_cap(self, cap: float) -> None:
        """Another cap, for what comes."""
        if cap < self.epsilon_cap:
            self._most.clear()
        self.epsilon_cap = cap

    def judge(self) -> None:
        """What was reserved since the last time is within the cap.

        Raises:
            LedgerError: it is not.
        """
        is_known = not self.is_unjudged or self._counts <= self._most
        if not (is_known or self._is_within(_ROOM) or self._is_within(1.0)):
            raise LedgerError("a reservation passed the cap of its account")
        self.is_unjudged = False

    def _is_within(self, room: float) -> bool:
        """Whether so many times the history is within the cap; remembered, for it spares the next computations."""
        counts = Counter({event: int(count * room) for event, count in self._counts.items()})
        try:
            is_within = self._epsilon_of(counts) <= self.epsilon_cap  # this way round NaN is refused
        except LedgerError:
            is_within = False
        if is_within:
            self._most = counts
        return is_within

    def _epsilon_of(self, counts: Counter[PrivacyEvent]) -> float:
        try:
            return accounting.epsilon([_times(event, count) for event, count in counts.items() if count], self.delta)
        except (PrivacyError, ConfigError) as error:
            raise LedgerError(f"the events of an account cannot be composed: {error.message}") from error


_ROOM = 1.25
"""A quarter more than was reserved is judged first: where it is within the cap, the next quarter needs no judging."""


def _count(event: PrivacyEvent) -> int:
    return event.num_steps if isinstance(event, PoissonGaussian) else event.num_releases


def _times(event: PrivacyEvent, count: int) -> PrivacyEvent:
    if isinstance(event, PoissonGaussian):
        return replace(event, num_steps=count)
    return replace(event, num_releases=count)


def event_fields(event: PrivacyEvent) -> dict[str, Value]:
    """An event as a body holds it: the name of its class, counts as integers, reals as decimal text."""
    numbers: dict[str, Value] = {
        name: value if name.startswith("num_") else decimal(value) for name, value in asdict(event).items()
    }
    return {"type": type(event).__name__, **numbers}


def read_event(value: object) -> PrivacyEvent:
    """The inverse of ``event_fields``.

    Raises:
        LedgerError: not such an object.
    """
    kind = _EVENTS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if kind is None or not isinstance(value, dict) or value.keys() != {"type", *kind.__dataclass_fields__}:
        raise LedgerError("an event of the ledger is unknown, or has other fields")
    numbers: dict[str, Any] = {
        name: v if name.startswith("num_") else parse_decimal(v) for name, v in value.items() if name != "type"
    }
    if any(type(v) is not int for name, v in numbers.items() if name.startswith("num_")):
        raise LedgerError("a count of an event is no whole number")
    try:
        return kind(**numbers)
    except (PrivacyError, ConfigError) as error:
        raise LedgerError(f"an event of the ledger: {error.message}") from error


class BudgetReplay:
    """Reads the budget's entries of a chain that was judged as a chain already."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._account_of: dict[int, str] = {}
        self._position_of: dict[int, tuple[bytes, int, int] | None] = {}
        self._charged: set[tuple[bytes, int, int]] = set()
        self._is_policy_new = False

    def take(self, entry: Entry) -> None:
        """Follow one entry; kinds of other rooms are passed over.

        Raises:
            LedgerError: an entry that the rules of the budget forbid.
            LedgerVersionError: a kind of the budget that this version does not know: what is spent cannot be told.
        """
        if entry.kind == POLICY_SET:
            self._is_policy_new = True
        elif entry.kind == SENT and position_of(entry.fields) not in self._charged:
            raise LedgerError("something was sent for which nothing was charged before")
        if not entry.kind.startswith(BUDGET):
            return
        readers = {
            "account": self._open,
            "reserve": self._reserve,
            "charge": self._charge,
            "void": self._void,
            "adjust": self._adjust,
        }
        reader = readers.get(entry.kind.removeprefix(BUDGET))
        if reader is None:
            raise LedgerVersionError(f"entry {entry.seq} is of a budget kind that this version does not know")
        reader(entry.seq, entry.fields)

    def check(self) -> None:
        """Everything reserved was within its cap.

        Raises:
            LedgerError: something was not.
        """
        for account in self.accounts.values():
            account.judge()

    def _open(self, _: int, fields: Mapping[str, Value]) -> None:
        """A new account, or another cap for one; delta and unit stay."""
        name, unit = fields.get("account"), fields.get("unit")
        if not isinstance(name, str) or not name or not isinstance(unit, str) or fields.get("cap_method") != "pld":
            raise LedgerError("an account names itself, its unit and its method")
        cap, delta = parse_decimal(fields.get("epsilon")), parse_decimal(fields.get("delta"))
        known = self.accounts.get(name)
        if known is None:
            if not cap > 0 or not accounting.MIN_DELTA <= delta < 1:
                raise LedgerError("an account with an impossible cap or delta")
            self.accounts[name] = Account(epsilon_cap=cap, delta=delta, unit=unit)
        elif (known.delta, known.unit) != (delta, unit) or not cap > 0:
            raise LedgerError("delta and unit are fixed for the life of an account")
        elif cap > known.epsilon_cap and not self._is_policy_new:
            raise LedgerError("a cap is raised only behind a new policy")
        else:
            known.judge()
            known.set_cap(cap)
            self._is_policy_new = False

    def _reserve(self, seq: int, fields: Mapping[str, Value]) -> None:
        self._named(fields).reserve(seq, read_event(fields.get("event")))
        self._account_of[seq] = str(fields["account"])
        self._position_of[seq] = position_of(fields)

    def _charge(self, _: int, fields: Mapping[str, Value]) -> None:
        seq, account = self._reservation(fields)
        if seq in account.charged:
            raise LedgerError("a reservation is charged once")
        account.charged.add(seq)
        position = self._position_of.pop(seq)
        if position is not None:
            self._charged.add(position)

    def _void(self, _: int, fields: Mapping[str, Value]) -> None:
        seq, account = self._reservation(fields)
        if seq in account.charged:
            raise LedgerError("a charge is never refunded")
        account.judge()  # from here on epsilon is less
        account.void(seq)
        del self._account_of[seq], self._position_of[seq]

    def _adjust(self, _: int, fields: Mapping[str, Value]) -> None:
        account = self._named(fields)
        account.judge()
        account.adjust(read_event(fields.get("event")))

    def _named(self, fields: Mapping[str, Value]) -> Account:
        name = fields.get("account")
        account = self.accounts.get(name) if isinstance(name, str) else None
        if account is None:
            raise LedgerError("an entry of an account that was never opened")
        return account

    def _reservation(self, fields: Mapping[str, Value]) -> tuple[int, Account]:
        seq = fields.get("reserve")
        if type(seq) is not int or seq not in self._account_of:
            raise LedgerError("a charge or void of a reservation that is unknown or void")
        return seq, self.accounts[self._account_of[seq]]


def judge_budget(entries: Iterable[Entry], replay: BudgetReplay) -> Verdict:
    """The first entry that the budget forbids, or none."""
    last: Entry | None = None
    for entry in entries:
        try:
            replay.take(entry)
        except LedgerError as error:
            return Verdict(head=None, fault=Fault.BUDGET_INVALID, bad_seq=entry.seq, detail=error.message)
        last = entry
    try:
        replay.check()
    except LedgerError as error:
        seq = None if last is None else last.seq
        return Verdict(head=None, fault=Fault.BUDGET_INVALID, bad_seq=seq, detail=error.message)
    return Verdict(head=None)


__all__ = ["Account", "BUDGET", "BudgetReplay", "event_fields", "judge_budget", "read_event"]
