"""A ledger's file judged, whether it is the database or an export; and held against those of other parties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from fedward.common.config import COORDINATOR
from fedward.common.errors import ConfigError, LedgerError
from fedward.common.identity import Roster
from fedward.common.ledger.anchor import AnchorFile
from fedward.common.ledger.chain import ID_BYTES, ChainJudge, Entry, Fault, Verdict
from fedward.common.ledger.export import MAX_LINE_BYTES, from_line
from fedward.common.ledger.reader import JOURNAL, LedgerReader, Place, journal_place
from fedward.common.ledger.replay import BUDGET, PLAN_ACCEPTED, POLICY_SET, BudgetReplay
from fedward.common.ledger.witnessed import HeadsOfChain
from fedward.common.privacy.accounting import PrivacyEvent

_SQLITE = b"SQLite format 3\0"
_OF_BUDGET = (BUDGET, JOURNAL, POLICY_SET, PLAN_ACCEPTED)
"""Kinds whose bodies the judge of the budget reads."""
_SIGNED_HINT = "Judge it with --level signed, or ask for the whole export."


class VerifyLevel(StrEnum):
    """How far a ledger is judged; each level includes the one before."""

    CHAIN = "chain"
    SIGNED = "signed"
    BUDGET = "budget"
    WITNESSED = "witnessed"
    CROSS = "cross"


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What a judged chain says of one account."""

    name: str
    unit: str
    delta: float
    epsilon: float
    epsilon_cap: float
    num_open: int
    """Reservations that were neither charged nor voided; they count."""
    history: tuple[PrivacyEvent, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A verdict and what was judged."""

    verdict: Verdict
    num_entries: int
    ledger_id: bytes
    accounts: tuple[Account, ...] = ()
    heads: HeadsOfChain | None = field(default=None, repr=False)
    """At level ``witnessed`` and above."""
    is_budget_judged: bool = True
    """Not where bodies were left out, which the levels above can do without."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Witnesses:
    """What a chain is held against at the levels above ``budget``."""

    roster: Roster | None = None
    """For the signatures of others."""
    anchor: Path | None = None
    others: tuple[Path, ...] = ()
    """Exports or ledgers of other parties."""

    @property
    def keys(self) -> dict[str, bytes]:
        """Party to public key; empty without a roster."""
        if self.roster is None:
            return {}
        return {**self.roster.members, COORDINATOR: self.roster.coordinator_key}


@contextmanager
def reading(path: Path) -> Iterator[Iterator[Entry]]:
    """The entries of a ledger or of an export.

    Raises:
        LedgerError: neither.
    """
    with _opened(path) as (entries, _):
        yield entries


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Iterator[Entry], LedgerReader | None]]:
    """The entries, and the reader of a database: all that it reads is of one moment."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise LedgerError(f"{path.name}: {error.strerror}", hint="Check the path.") from error
    with file:
        if not file.peek(len(_SQLITE)).startswith(_SQLITE):
            with TextIOWrapper(file, encoding="utf-8", errors="strict") as text:
                yield _of_export(text), None
            return
    with LedgerReader(path) as reader, reader.snapshot():
        yield reader.entries(), reader


def _of_export(file: TextIO) -> Iterator[Entry]:
    try:
        while line := file.readline(MAX_LINE_BYTES + 1):  # iterating would read a line of any length
            if line.strip():
                yield from_line(line)
    except UnicodeDecodeError:
        raise LedgerError("the export is not UTF-8 text") from None


_ALONE = Witnesses()


def judge_file(
    path: Path, level: VerifyLevel, *, identity: bytes | None = None, witnesses: Witnesses = _ALONE
) -> Judged:
    """Judge all of ``path`` once, entry by entry.

    Args:
        path: a ledger's database or an export.
        level: how far.
        identity: the public key that its genesis must name; None believes it.
        witnesses: what it is held against at the levels above ``budget``.

    Raises:
        LedgerError: it cannot be read as a ledger at all.
        ConfigError: an export without bodies, at level ``budget``.
    """
    with _opened(path) as (entries, reader):
        try:
            first = next(entries, None)
        except LedgerError as error:
            if reader is None:
                raise
            verdict = Verdict(head=None, fault=Fault.ENTRY_ALTERED, bad_seq=0, detail=error.message)
            return Judged(verdict=verdict, num_entries=0, ledger_id=reader.ledger_id)
        if first is None:
            raise LedgerError("there is no entry in this ledger")
        judge = _FileJudge(_stated_id(first), level, identity, witnesses.keys)
        verdict = judge.verdict(chain([first], entries), reader)
    if verdict.is_good and judge.heads is not None:
        verdict = _held_against(judge.heads, verdict, level, witnesses)
    return Judged(
        verdict=verdict,
        num_entries=judge.chain.head.seq + 1,
        ledger_id=judge.chain.head.ledger_id,
        accounts=_accounts(judge.replay) if verdict.is_good and judge.replay is not None else (),
        heads=judge.heads,
        is_budget_judged=judge.replay is not None,
    )


def _held_against(heads: HeadsOfChain, verdict: Verdict, level: VerifyLevel, witnesses: Witnesses) -> Verdict:
    """The anchor, and at level ``cross`` what others recorded."""
    finding = None
    if witnesses.anchor is not None:
        anchor = AnchorFile(witnesses.anchor).read()
        if anchor is None:
            raise ConfigError(f"{witnesses.anchor}: no such anchor", hint="Check the path.")
        finding = heads.anchor_finding(anchor)
    for path in witnesses.others if level is VerifyLevel.CROSS else ():
        if finding is None:
            finding = heads.against(_heads_of(path, witnesses))
    if finding is None:
        return verdict
    return Verdict(head=verdict.head, fault=finding.fault, bad_seq=finding.seq, detail=finding.detail)


def _heads_of(path: Path, witnesses: Witnesses) -> HeadsOfChain:
    """What another party's chain says; it must be good itself.

    Raises:
        LedgerError: it is not.
    """
    judged = judge_file(path, VerifyLevel.WITNESSED, witnesses=Witnesses(roster=witnesses.roster))
    if judged.heads is None or not judged.verdict.is_good:
        verdict = judged.verdict
        hint = "Judge it by itself, and take the newest export of that party."
        raise LedgerError(f"{path.name}: entry {verdict.bad_seq}: {verdict.fault}", hint=hint)
    return judged.heads


def _stated_id(first: Entry) -> bytes:
    """What the genesis says; the judge then holds it to that. Zeros, which hold for nothing, where it says nothing."""
    try:
        return bytes.fromhex(str(first.fields["ledger_id"]))
    except (LedgerError, KeyError, ValueError):
        return bytes(ID_BYTES)


class _FileJudge:
    """Chain, budget and journal of one file."""

    def __init__(self, ledger_id: bytes, level: VerifyLevel, identity: bytes | None, keys: Mapping[str, bytes]) -> None:
        self.chain = ChainJudge(ledger_id, identity=identity, with_signatures=level is not VerifyLevel.CHAIN)
        is_witnessed = level in (VerifyLevel.WITNESSED, VerifyLevel.CROSS)
        self.heads = HeadsOfChain(keys=keys) if is_witnessed else None
        self.replay = BudgetReplay() if is_witnessed or level is VerifyLevel.BUDGET else None
        self._places: dict[Place, int] = {}

    def verdict(self, entries: Iterator[Entry], reader: LedgerReader | None) -> Verdict:
        """The first bad entry, or none."""
        try:
            for entry in entries:
                fault, detail = self._fault_of(entry)
                if fault is not None:
                    return self._bad(fault, self._seq_of(entry), detail)
        except LedgerError as error:  # no entry any more, so it has no number of its own
            return self._bad(Fault.ENTRY_ALTERED, self.chain.head.seq + 1, error.message)
        return self._closing_verdict(reader)

    def _seq_of(self, entry: Entry) -> int:
        """Of what ``entry`` showed to be bad."""
        if self.replay is not None and self.replay.bad_seq is not None:
            return self.replay.bad_seq
        # What the budget refuses is linked already; what the chain refuses is missing at the next number.
        return self.chain.head.seq + (self.chain.head.hash != entry.hash)

    def _fault_of(self, entry: Entry) -> tuple[Fault | None, str]:
        fault = self.chain.fault_of(entry)
        if fault is not None:
            return fault, ""
        if entry.body is None and entry.kind.startswith(_OF_BUDGET) and self.replay is not None:
            if self.heads is None:
                raise ConfigError("bodies were left out of this export: its budget cannot be judged", hint=_SIGNED_HINT)
            self.replay = None
        fault, detail = self._budget_fault(entry)
        return (fault, detail) if fault is not None else self._heads_fault(entry)

    def _budget_fault(self, entry: Entry) -> tuple[Fault | None, str]:
        if self.replay is None:
            return None, ""
        try:
            self.replay.take(entry)
        except LedgerError as error:
            return Fault.BUDGET_INVALID, error.message
        return self._journal_fault(entry)

    def _heads_fault(self, entry: Entry) -> tuple[Fault | None, str]:
        if self.heads is None:
            return None, ""
        try:
            finding = self.heads.take(entry)
        except LedgerError as error:
            return Fault.HEADS_CONFLICT, error.message
        return (None, "") if finding is None else (finding.fault, finding.detail)

    def _journal_fault(self, entry: Entry) -> tuple[Fault | None, str]:
        if not entry.kind.startswith(JOURNAL):
            return None, ""
        try:
            place = journal_place(entry)
        except LedgerError as error:
            return Fault.JOURNAL_DIFFERS, error.message
        if self._places.setdefault(place, entry.seq) != entry.seq:
            return Fault.JOURNAL_DIFFERS, "this position of the journal was taken before"
        return None, ""

    def _closing_verdict(self, reader: LedgerReader | None) -> Verdict:
        """The database's copies against the entries, and the caps at the end. An export has no copies."""
        if reader is not None and reader.ledger_id != self.chain.head.ledger_id:
            return self._bad(Fault.GENESIS_DIFFERS, 0, "the file says that it is another ledger")
        if reader is not None and not reader.is_whole():
            return self._bad(Fault.ENTRY_ALTERED, None, "the entries are good, and the file around them is damaged")
        if self.replay is None:
            return Verdict(head=self.chain.head)
        try:
            self.replay.check()
        except LedgerError as error:
            return self._bad(Fault.BUDGET_INVALID, self.replay.bad_seq, error.message)
        if reader is not None and not reader.has_journal(self._places):
            return self._bad(Fault.JOURNAL_DIFFERS, None, "the journal's index")
        return Verdict(head=self.chain.head)

    def _bad(self, fault: Fault, seq: int | None, detail: str) -> Verdict:
        return Verdict(head=self.chain.head, fault=fault, bad_seq=seq, detail=detail)


def _accounts(replay: BudgetReplay) -> tuple[Account, ...]:
    return tuple(
        Account(
            name=name,
            unit=account.unit,
            delta=account.delta,
            epsilon=account.epsilon(),
            epsilon_cap=account.epsilon_cap,
            num_open=len(account.reserved) - len(account.charged),
            history=account.history,
        )
        for name, account in sorted(replay.accounts.items())
    )


def last_entries(path: Path, count: int) -> list[Entry]:
    """The last ``count`` entries, unjudged.

    Raises:
        LedgerError: it cannot be read.
    """
    with reading(path) as entries:
        kept: list[Entry] = []
        while batch := list(islice(entries, max(count, 1000))):
            kept = [*kept, *batch][-count:] if count else []
    return kept


__all__ = ["Account", "judge_file", "Judged", "last_entries", "reading", "VerifyLevel", "Witnesses"]
