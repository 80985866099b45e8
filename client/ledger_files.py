"""A ledger's file judged, whether it is the database or an export; and two of them compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TextIO

from fedward.common.errors import LedgerError
from fedward.common.ledger.chain import GENESIS, ChainJudge, Entry, Fault, Verdict
from fedward.common.ledger.export import MAX_LINE_BYTES, from_line
from fedward.common.ledger.reader import JOURNAL, LedgerReader, journal_place
from fedward.common.ledger.replay import BudgetReplay

_SQLITE = b"SQLite format 3\0"


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
    try:
        with path.open("rb") as file:
            is_database = file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise LedgerError(f"{path.name}: {error.strerror}", hint="Check the path.") from error
    if is_database:
        with LedgerReader(path) as reader:
            yield reader.entries()
    else:
        with path.open(encoding="utf-8", errors="strict") as file:
            yield _of_export(file)


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
    """
    with reading(path) as entries:
        first = next(entries, None)
        ledger_id = _ledger_id_of(first)
        judge = ChainJudge(ledger_id, identity=identity, with_signatures=level is not VerifyLevel.CHAIN)
        replay = BudgetReplay() if level is VerifyLevel.BUDGET else None
        places: dict[tuple[bytes, int, int, str], int] = {}
        entry = first
        while entry is not None:
            fault, detail = judge.fault_of(entry), ""
            if fault is None and replay is not None:
                fault, detail = _meaning_fault(entry, replay, places)
            if fault is not None:
                # What the budget refuses is linked already; what the chain refuses is missing at the next number.
                seq = judge.head.seq + (judge.head.hash != entry.hash)
                verdict = Verdict(head=judge.head, fault=fault, bad_seq=seq, detail=detail)
                return Judged(verdict=verdict, num_entries=judge.head.seq + 1, ledger_id=ledger_id)
            entry = next(entries, None)
    verdict = _closing_verdict(path, judge, replay, places)
    return Judged(
        verdict=verdict,
        num_entries=judge.head.seq + 1,
        ledger_id=ledger_id,
        accounts=() if replay is None or not verdict.is_good else _accounts(replay),
    )


def _ledger_id_of(first: Entry | None) -> bytes:
    """What the genesis says; the judge then holds it to that.

    Raises:
        LedgerError: no entry.
    """
    if first is None:
        raise LedgerError("there is no entry in this ledger")
    value = first.fields.get("ledger_id") if first.kind == GENESIS and first.body is not None else None
    try:
        return bytes.fromhex(str(value)) if value is not None else bytes(16)
    except ValueError:
        return bytes(16)


def _meaning_fault(
    entry: Entry, replay: BudgetReplay, places: dict[tuple[bytes, int, int, str], int]
) -> tuple[Fault | None, str]:
    try:
        replay.take(entry)
    except LedgerError as error:
        return Fault.BUDGET_INVALID, error.message
    if entry.kind.startswith(JOURNAL):
        try:
            place = journal_place(entry)
        except LedgerError as error:
            return Fault.JOURNAL_DIFFERS, error.message
        if places.setdefault(place, entry.seq) != entry.seq:
            return Fault.JOURNAL_DIFFERS, "this position of the journal was taken before"
    return None, ""


def _closing_verdict(
    path: Path, judge: ChainJudge, replay: BudgetReplay | None, places: dict[tuple[bytes, int, int, str], int]
) -> Verdict:
    """Caps at the end, and the database's own index against the entries."""
    if replay is not None:
        try:
            replay.check()
        except LedgerError as error:
            seq = judge.head.seq
            return Verdict(head=judge.head, fault=Fault.BUDGET_INVALID, bad_seq=seq, detail=error.message)
        if _stored_journal(path, places) != places:
            return Verdict(head=judge.head, fault=Fault.JOURNAL_DIFFERS, bad_seq=None, detail="the journal's index")
    return Verdict(head=judge.head)


def _stored_journal(
    path: Path, places: dict[tuple[bytes, int, int, str], int]
) -> dict[tuple[bytes, int, int, str], int]:
    """The index as stored; an export has none, and so none that differs."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            return places
    with LedgerReader(path) as reader:
        return reader.journal()


def _accounts(replay: BudgetReplay) -> tuple[Account, ...]:
    return tuple(
        Account(
            name=name,
            unit=account.unit,
            delta=account.delta,
            epsilon=account.epsilon(),
            epsilon_cap=account.epsilon_cap,
            num_open=len(account.reserved) - len(account.charged),
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
