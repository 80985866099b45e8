"""The privacy budget as a chain tells it: what was reserved, charged, voided and adjusted, account by account.

Counted are reservations without a ``void``, and adjustments. A reservation must be within the cap of its time. Adding
an event never lowers epsilon, so a run of reservations is judged at its end: before the next void, adjustment or change
of the cap, and at the last entry; and not at all where more of everything was within the cap before. Where the run does
not hold, its first reservation that passed the cap is searched for and named. A cap is raised
only behind a new policy. What was sent was charged, and nothing reserved for its position is open, unless the run is
one without privacy: its ``plan.accepted`` says so, with the digest of the plan that can be held against it. Not handled
here: who may append what; this is the judge of what stands there.
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
PLAN_ACCEPTED = "plan.accepted"
SENT = "journal.sent"
MODES = ("none", "local", "distributed")
"""Of a plan's noise; a test holds them to the plan's own."""
Position = tuple[bytes, int, int]
"""Run, round and attempt."""
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
    unjudged: list[int] = field(default_factory=list)
    """What was reserved since the cap was last compared."""
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
        """Count ``event`` until it is voided.

        Raises:
            LedgerError: more different mechanisms than can be composed.
        """
        self.reserved[seq] = event
        self._add(event)
        self.unjudged.append(seq)

    def void(self, seq: int) -> None:
        """Count a reservation no more."""
        event = self.reserved.pop(seq)
        one = _times(event, 1)
        self._counts[one] -= _count(event)
        if not self._counts[one]:
            del self._counts[one]

    def adjust(self, event: PrivacyEvent) -> None:
        """Count ``event`` for good; it may pass the cap, and then nothing more is reserved."""
        self.adjusted.append(event)
        self._add(event)

    def _add(self, event: PrivacyEvent) -> None:
        self._counts[_times(event, 1)] += _count(event)
        if len(self._counts) > accounting.MAX_MECHANISMS:
            raise LedgerError("an account has more different mechanisms than can be composed")

    def set_cap(self, cap: float) -> None:
        """Another cap, for what comes."""
        if cap < self.epsilon_cap:
            self._most.clear()
        self.epsilon_cap = cap

    def first_over_cap(self) -> int | None:
        """The first reservation since the last time that is not within the cap; None if all are."""
        is_known = not self.unjudged or self._counts <= self._most
        roomy = Counter({event: int(count * _ROOM) for event, count in self._counts.items()})
        if is_known or self._is_within(roomy) or self._is_within(self._counts):
            self.unjudged.clear()
            return None
        if len(self._counts) > _MAX_SEARCHED:
            return self.unjudged[-1]
        low, high = 0, len(self.unjudged)  # so many of them are within the cap, and are not
        while high - low > 1:
            middle = (low + high) // 2
            counts = self._counts.copy()
            for seq in self.unjudged[middle:]:
                counts[_times(self.reserved[seq], 1)] -= _count(self.reserved[seq])
            low, high = (middle, high) if self._is_within(counts) else (low, middle)
        return self.unjudged[low]

    def _is_within(self, counts: Counter[PrivacyEvent]) -> bool:
        """Whether a history is within the cap; remembered, for it spares the next computations."""
        try:
            is_within = self._epsilon_of(counts) <= self.epsilon_cap  # this way round NaN is refused
        except LedgerError:
            is_within = False
        if is_within:
            self._most = counts.copy()
        return is_within

    def _epsilon_of(self, counts: Counter[PrivacyEvent]) -> float:
        try:
            return accounting.epsilon([_times(event, count) for event, count in counts.items() if count], self.delta)
        except (PrivacyError, ConfigError) as error:
            raise LedgerError(f"the events of an account cannot be composed: {error.message}") from error


_MAX_SEARCHED = 64
"""Different mechanisms: with more, each composition takes seconds and more, and the last reservation is named."""
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
        self._position_of: dict[int, Position | None] = {}
        self._open_at: Counter[Position] = Counter()
        self._charged: set[Position] = set()
        self._is_policy_new = False
        self.modes: dict[bytes, str] = {}
        """By the id of each run that was accepted: its plan's mode of noise."""
        self.bad_seq: int | None = None
        """The reservation that was found above its cap, where that is not the entry which showed it."""

    def take(self, entry: Entry) -> None:
        """Follow one entry; kinds of other rooms are passed over.

        Raises:
            LedgerError: an entry that the rules of the budget forbid.
            LedgerVersionError: a kind of the budget that this version does not know: what is spent cannot be told.
        """
        of_others = {POLICY_SET: self._policy, PLAN_ACCEPTED: self._accepted, SENT: self._sent}
        if entry.kind in of_others:
            of_others[entry.kind](entry.fields)
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

    def history_of(self, run_id: bytes) -> tuple[PrivacyEvent, ...]:
        """Every event of a run that counts, retries included, in the order of the reservations."""
        found = [
            (seq, event)
            for account in self.accounts.values()
            for seq, event in account.reserved.items()
            if (position := self._position_of[seq]) is not None and position[0] == run_id
        ]
        return tuple(event for _, event in sorted(found, key=lambda pair: pair[0]))

    @property
    def may_raise(self) -> bool:
        """Whether a policy was set since the last cap: a cap may be raised then."""
        return self._is_policy_new

    def _policy(self, fields: Mapping[str, Value]) -> None:
        """A policy is its digest and nothing else; the key of the site that signs all entries set it."""
        if fields.keys() != {"sha256", "n", "v"} or not _is_hex(fields["sha256"], 32):
            raise LedgerError("a policy is named by the SHA-256 of its file, and by nothing else")
        self._is_policy_new = True

    def _accepted(self, fields: Mapping[str, Value]) -> None:
        run, mode = fields.get("run"), fields.get("mode")
        if not _is_hex(run, 16) or not _is_hex(fields.get("plan"), 32) or mode not in MODES:
            raise LedgerError("an accepted plan names its run, its digest and its mode of noise")
        run_id = bytes.fromhex(str(run))
        if run_id in self.modes:
            raise LedgerError("a run is accepted once")
        self.modes[run_id] = str(mode)

    def _sent(self, fields: Mapping[str, Value]) -> None:
        position = position_of(fields)
        if position is None or self._open_at[position]:
            raise LedgerError("something was sent while a reservation for it was not charged")
        if position not in self._charged and self.modes.get(position[0]) != "none":
            raise LedgerError("something was sent for which nothing was charged before")

    def check(self) -> None:
        """Everything reserved was within its cap.

        Raises:
            LedgerError: something was not.
        """
        for account in self.accounts.values():
            self._judge(account)

    def _judge(self, account: Account) -> None:
        self.bad_seq = account.first_over_cap()
        if self.bad_seq is not None:
            raise LedgerError("a reservation passed the cap of its account")

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
            self._judge(known)
            known.set_cap(cap)
            self._is_policy_new = False

    def _reserve(self, seq: int, fields: Mapping[str, Value]) -> None:
        self._named(fields).reserve(seq, read_event(fields.get("event")))
        self._account_of[seq] = str(fields["account"])
        self._position_of[seq] = position = position_of(fields)
        if position is not None:
            self._open_at[position] += 1

    def _charge(self, _: int, fields: Mapping[str, Value]) -> None:
        seq, account = self._reservation(fields)
        if seq in account.charged:
            raise LedgerError("a reservation is charged once")
        account.charged.add(seq)
        position = self._position_of[seq]
        if position is not None:
            self._charged.add(position)
            self._close(position)

    def _void(self, _: int, fields: Mapping[str, Value]) -> None:
        seq, account = self._reservation(fields)
        if seq in account.charged:
            raise LedgerError("a charge is never refunded")
        self._judge(account)  # from here on epsilon is less
        account.void(seq)
        del self._account_of[seq]
        position = self._position_of.pop(seq)
        if position is not None:
            self._close(position)

    def _close(self, position: Position) -> None:
        self._open_at[position] -= 1
        if not self._open_at[position]:
            del self._open_at[position]

    def _adjust(self, _: int, fields: Mapping[str, Value]) -> None:
        account = self._named(fields)
        self._judge(account)
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


def _is_hex(value: object, size: int) -> bool:
    """So many bytes, in small hexadecimal letters."""
    return isinstance(value, str) and len(value) == 2 * size and not set(value) - set("0123456789abcdef")


def judge_budget(entries: Iterable[Entry], replay: BudgetReplay) -> Verdict:
    """The first entry that the budget forbids, or none."""
    for entry in entries:
        try:
            replay.take(entry)
        except LedgerError as error:
            seq = entry.seq if replay.bad_seq is None else replay.bad_seq
            return Verdict(head=None, fault=Fault.BUDGET_INVALID, bad_seq=seq, detail=error.message)
    try:
        replay.check()
    except LedgerError as error:
        return Verdict(head=None, fault=Fault.BUDGET_INVALID, bad_seq=replay.bad_seq, detail=error.message)
    return Verdict(head=None)


__all__ = [
    "Account",
    "BUDGET",
    "BudgetReplay",
    "event_fields",
    "judge_budget",
    "MODES",
    "PLAN_ACCEPTED",
    "POLICY_SET",
    "Position",
    "read_event",
    "SENT",
]
