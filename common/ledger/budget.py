"""The privacy budget of one account, in memory: reserve before reading, charge before releasing, never refund.

A reservation counts from the moment it is made. It is voided only while unclaimed: no mechanism has begun.
What is reserved but neither charged nor voided, after a crash for example, stays counted.

Not handled here: durability. The account is bytes that its owner stores; the signed chain on disk is another module.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NoReturn, SupportsIndex

from fedward.common import _validate
from fedward.common.errors import BudgetExhaustedError, ConfigError, PrivacyError
from fedward.common.privacy import _strict_json, accounting
from fedward.common.privacy.accounting import PrivacyEvent

SCHEMA = "fedward.budget/1"
_MAX_BYTES = 16 << 20
_MAX_PURPOSE = 64


class EntryState(StrEnum):
    """What became of a reservation."""

    RESERVED = "reserved"
    CHARGED = "charged"
    VOID = "void"


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetEntry:
    """One line of the account."""

    event: PrivacyEvent
    clip_norm: float
    purpose: str
    state: EntryState

    def __post_init__(self) -> None:
        _validate.positive(clip_norm=self.clip_norm)
        if not (self.purpose.isascii() and self.purpose.isprintable() and 0 < len(self.purpose) <= _MAX_PURPOSE):
            raise ConfigError(f"purpose: expected 1 to {_MAX_PURPOSE} printable ASCII characters")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Permit:
    """The right to run one reserved mechanism once. Only ``BudgetAccount.reserve`` makes one that can be used.

    The mechanism takes its parameters from here, so that what was booked and what is run cannot differ. One made by
    hand, by ``dataclasses.replace`` for example, is unknown to the account and cannot be claimed; there are no copies.
    """

    event: PrivacyEvent
    clip_norm: float
    purpose: str
    _account: BudgetAccount | None = field(default=None, repr=False)

    def claim(self) -> None:
        """Use the permit up: its mechanism begins, and from now on it cannot be voided.

        Raises:
            PrivacyError: it was claimed, charged or voided before, or no account made it.
        """
        if self._account is None:
            raise PrivacyError("no account reserved this permit", hint="Take it from BudgetAccount.reserve.")
        self._account.claim(self)

    def __copy__(self) -> NoReturn:
        raise PrivacyError("a permit is good for one use only and cannot be copied")

    def __deepcopy__(self, _: dict[int, Any]) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        self.__copy__()


class BudgetAccount:
    """A cap on epsilon at a fixed delta, and all that was ever reserved under it.

    Args:
        epsilon_cap: finite and above 0, for adding or removing one unit.
        delta: fixed for the life of the account; applied once, to the composed history.
        history: what was spent before this account began.

    Raises:
        ConfigError: an argument that cannot be.
    """

    def __init__(self, *, epsilon_cap: float, delta: float, history: Iterable[PrivacyEvent] = ()) -> None:
        _validate.positive(epsilon_cap=epsilon_cap)
        accounting.check_delta(delta)
        self.epsilon_cap = float(epsilon_cap)
        self.delta = float(delta)
        self._earlier = tuple(history)
        self._merged = accounting.merge(self._earlier)  # refuses what is no event
        """The same counted together: a site's may be a hundred thousand, and each reservation composes them all."""
        self._entries: list[BudgetEntry] = []
        self._open: dict[Permit, int] = {}
        self._claimed: set[Permit] = set()
        self._lock = threading.Lock()

    @property
    def history(self) -> tuple[PrivacyEvent, ...]:
        """Every event that counts: the earlier ones, the reserved and the charged."""
        return (*self._earlier, *self._own)

    @property
    def _own(self) -> tuple[PrivacyEvent, ...]:
        return tuple(entry.event for entry in self._entries if entry.state is not EntryState.VOID)

    @property
    def entries(self) -> tuple[BudgetEntry, ...]:
        """The lines of this account, void ones included."""
        return tuple(self._entries)

    def epsilon(self) -> float:
        """What the history costs at the account's delta."""
        return accounting.epsilon((*self._merged, *self._own), self.delta)

    def reserve(self, event: PrivacyEvent, *, clip_norm: float, purpose: str) -> Permit:
        """Set budget aside for ``event``. Must come before private data is read.

        Args:
            clip_norm: the bound that the mechanism will hold, for the record and for the permit.
            purpose: a short ASCII word for the record; nothing about people.

        Raises:
            BudgetExhaustedError: the cap would be passed; the account is byte for byte what it was.
            PrivacyError: ``event`` is no privacy event.
            ConfigError: a clip norm or a purpose that cannot be.
        """
        entry = BudgetEntry(event=event, clip_norm=float(clip_norm), purpose=purpose, state=EntryState.RESERVED)
        with self._lock:
            after = accounting.epsilon((*self._merged, *self._own, event), self.delta)
            if not after <= self.epsilon_cap:  # this way round NaN is refused
                raise BudgetExhaustedError(f"epsilon would be {after:.3f}, allowed {self.epsilon_cap:g}")
            permit = Permit(event=event, clip_norm=entry.clip_norm, purpose=purpose, _account=self)
            self._open[permit] = len(self._entries)
            self._entries.append(entry)
        return permit

    def claim(self, permit: Permit) -> None:
        """Use a reservation up for its one mechanism, which begins now.

        Raises:
            PrivacyError: not an open reservation of this account, or claimed before.
        """
        with self._lock:  # of two threads one fails
            if permit not in self._open or permit in self._claimed:
                raise PrivacyError("a permit is good for one use only", hint="Reserve budget anew.")
            self._claimed.add(permit)

    def charge(self, permit: Permit) -> None:
        """Make a reservation final. Must come before anything that depends on it leaves.

        Raises:
            PrivacyError: not an open reservation of this account.
        """
        self._close(permit, EntryState.CHARGED)

    def void(self, permit: Permit) -> None:
        """Take back a reservation whose mechanism has not begun and never will.

        Raises:
            PrivacyError: not an open reservation of this account, or claimed: its mechanism has begun and stays
                counted. A charge is never refunded.
        """
        self._close(permit, EntryState.VOID)

    def to_bytes(self) -> bytes:
        """The account as JSON. Permits do not travel: a reservation open now stays counted for good."""
        document = {
            "schema": SCHEMA,
            "epsilon_cap": self.epsilon_cap,
            "delta": self.delta,
            "earlier": [accounting.event_to_dict(event) for event in self._earlier],
            "entries": [
                {
                    "event": accounting.event_to_dict(entry.event),
                    "clip_norm": entry.clip_norm,
                    "purpose": entry.purpose,
                    "state": entry.state.value,
                }
                for entry in self._entries
            ],
        }
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> BudgetAccount:
        """The inverse of ``to_bytes``.

        Raises:
            PrivacyError: not an account of this version.
        """
        if len(raw) > _MAX_BYTES:
            raise PrivacyError("the budget account is too long")
        kinds = {"schema": str, "epsilon_cap": float, "delta": float, "earlier": list, "entries": list}
        document = _strict_json.fields(_strict_json.parse(raw, "the budget account"), kinds, "the budget account")
        if document["schema"] != SCHEMA:
            raise PrivacyError("a budget account of an unknown version")
        try:
            earlier = [accounting.event_from_dict(event) for event in document["earlier"]]
            account = cls(epsilon_cap=document["epsilon_cap"], delta=document["delta"], history=earlier)
            account._entries = [_entry(value) for value in document["entries"]]
        except ConfigError as error:
            raise PrivacyError(f"the budget account: {error.message}") from error
        return account

    def _close(self, permit: Permit, state: EntryState) -> None:
        with self._lock:
            if state is EntryState.VOID and permit in self._claimed:
                raise PrivacyError("the mechanism of this permit has begun", hint="It stays counted; charge it.")
            index = self._open.pop(permit, None)
            if index is None:
                raise PrivacyError("not an open reservation of this account", hint="It was charged or voided before.")
            self._claimed.discard(permit)
            self._entries[index] = replace(self._entries[index], state=state)


def _entry(value: object) -> BudgetEntry:
    kinds = {"event": dict, "clip_norm": float, "purpose": str, "state": str}
    found: dict[str, Any] = _strict_json.fields(value, kinds, "an entry of the budget account")
    if found["state"] not in set(EntryState):
        raise PrivacyError("an entry of the budget account has an unknown state")
    return BudgetEntry(
        event=accounting.event_from_dict(found["event"]),
        clip_norm=found["clip_norm"],
        purpose=found["purpose"],
        state=EntryState(found["state"]),
    )


__all__ = ["BudgetAccount", "BudgetEntry", "EntryState", "Permit", "SCHEMA"]
