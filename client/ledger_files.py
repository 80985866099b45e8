"""A ledger's file judged, whether it is the database or an export; and two of them compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from fedward.common.errors import ConfigError, LedgerError
from fedward.common.ledger.chain import ID_BYTES, ChainJudge, Entry, Fault, Verdict
from fedward.common.ledger.export import MAX_LINE_BYTES, from_line
from fedward.common.ledger.reader import JOURNAL, LedgerReader, Place, journal_place
from fedward.common.ledger.replay import BUDGET, BudgetReplay
from fedward.common.privacy.accounting import PrivacyEvent

_SQLITE = b"SQLite format 3\0"
_SIGNED_HINT = "Judge it with --level signed, or ask for the whole export."


class VerifyLevel(StrEnum):
    """How far a ledger is judged; each level includes the one before."""

    CHAIN = "chain"
    SIGNED = "signed"
    BUDGET = "budget"


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


def judge_file(path: Path, level: VerifyLevel, *, identity: bytes | None = None) -> Judged:
    """Judge all of ``path`` once, entry by entry.

    Args:
        path: a ledger's database or an export.
        level: how far.
        identity: the public key that its genesis must name; None believes it.

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
        judge = _FileJudge(_stated_id(first), level, identity)
        verdict = judge.verdict(chain([first], entries), reader)
    return Judged(
        verdict=verdict,
        num_entries=judge.chain.head.seq + 1,
        ledger_id=judge.chain.head.ledger_id,
        accounts=_accounts(judge.replay) if verdict.is_good and judge.replay is not None else (),
    )


def _stated_id(first: Entry) -> bytes:
    """What the genesis says; the judge then holds it to that. Zeros, which hold for nothing, where it says nothing."""
    try:
        return bytes.fromhex(str(first.fields["ledger_id"]))
    except (LedgerError, KeyError, ValueError):
        return bytes(ID_BYTES)


class _FileJudge:
    """Chain, budget and journal of one file."""

    def __init__(self, ledger_id: bytes, level: VerifyLevel, identity: bytes | None) -> None:
        self.chain = ChainJudge(ledger_id, identity=identity, with_signatures=level is not VerifyLevel.CHAIN)
        self.replay = BudgetReplay() if level is VerifyLevel.BUDGET else None
        self._places: dict[Place, int] = {}

    def verdict(self, entries: Iterator[Entry], reader: LedgerReader | None) -> Verdict:
        """The first bad entry, or none."""
        try:
            for entry in entries:
                fault, detail = self._fault_of(entry)
                if fault is not None:
                    # What the budget refuses is linked already; what the chain refuses is missing at the next number.
                    return self._bad(fault, self.chain.head.seq + (self.chain.head.hash != entry.hash), detail)
        except LedgerError as error:  # no entry any more, so it has no number of its own
            return self._bad(Fault.ENTRY_ALTERED, self.chain.head.seq + 1, error.message)
        return self._closing_verdict(reader)

    def _fault_of(self, entry: Entry) -> tuple[Fault | None, str]:
        fault = self.chain.fault_of(entry)
        if fault is not None or self.replay is None:
            return fault, ""
        if entry.body is None and entry.kind.startswith((BUDGET, JOURNAL)):
            raise ConfigError("bodies were left out of this export: its budget cannot be judged", hint=_SIGNED_HINT)
        try:
            self.replay.take(entry)
        except LedgerError as error:
            return Fault.BUDGET_INVALID, error.message
        return self._journal_fault(entry)

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
        if self.replay is None:
            return Verdict(head=self.chain.head)
        try:
            self.replay.check()
        except LedgerError as error:
            return self._bad(Fault.BUDGET_INVALID, self.chain.head.seq, error.message)
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


__all__ = ["Account", "judge_file", "Judged", "last_entries", "reading", "VerifyLevel"]
