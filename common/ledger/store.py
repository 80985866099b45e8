"""A ledger on disk: one SQLite file, append-only, one writer.

Write-ahead log with ``synchronous = FULL``: ``append`` returns after COMMIT, and only its ``Receipt`` lets bytes leave.
Triggers stop accidents; the chain finds intent. A process that dodges the lock still meets the expected head. Not
encrypted, so that it can be judged without keys: it holds no record, no name, no loss and no count of records.

Not handled here: network file systems (the write-ahead log needs shared memory), an older file put back together with
its anchor (the heads that others hold), and what the kinds mean.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import NoReturn

from fedward.common.atomic import sync_folder
from fedward.common.errors import HeadMovedError, LedgerError, LedgerInvalidError
from fedward.common.identity import Identity, check_site_id
from fedward.common.ledger import beside as side
from fedward.common.ledger.anchor import Anchor, AnchorFile, require_anchored
from fedward.common.ledger.body import NONCE_BYTES
from fedward.common.ledger.chain import (
    GENESIS,
    KEY_ROTATED,
    ChainJudge,
    Draft,
    Entry,
    Head,
    judge_chain,
    key_id_of,
    link,
    rotation_draft,
)
from fedward.common.ledger.database import DAMAGED, connect, connect_memory, create_file, require_schema, take_lock
from fedward.common.ledger.genesis import Clock, RandomBytes, insert, write_file, write_genesis
from fedward.common.ledger.reader import JOURNAL, LedgerReader, Place, journal_place
from fedward.common.ledger.view import WriterView

Check = Callable[[Sequence[Entry]], None]
"""Asked of the entries before COMMIT; what it raises takes the whole transaction back."""
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Proof that entries are durable: what depends on them may leave."""

    entries: tuple[Entry, ...]
    head: Head


class Ledger(WriterView):
    """The one writer of a ledger. Made by ``create``, ``open`` or ``in_memory``.

    Args:
        connection: to its database, for writing.
        path: of the file; None: it is in memory.
        lock: of the file, a descriptor; None: there is none.
        identity: signs what is appended.
        clock: milliseconds since 1970.
        random_bytes: for the bodies' nonces.
        anchor: moved on behind each commit; None: there is none.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        path: Path | None,
        lock: int | None,
        identity: Identity,
        clock: Clock,
        random_bytes: RandomBytes,
        anchor: AnchorFile | None = None,
    ) -> None:
        super().__init__(connection)
        self._path = path
        self._anchor = anchor
        self._is_anchored = True
        self._lock = lock
        self._identity = identity
        self._clock = clock
        self._random_bytes = random_bytes
        self._pid = os.getpid()
        require_schema(self._connection, is_writer=True)

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        identity: Identity,
        site_id: str,
        clock: Clock,
        random_bytes: RandomBytes = secrets.token_bytes,
        anchor: AnchorFile | None = None,
    ) -> Ledger:
        """A new ledger with its genesis; its folder must exist, and that of its anchor.

        Raises:
            LedgerError: something is at ``path`` already, or it cannot be written.
            LedgerLockedError: another process is at it.
        """
        check_site_id(site_id)
        lock = take_lock(path)
        try:
            fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            try:
                create_file(fresh)
                write_file(fresh, identity, site_id, clock, random_bytes)
                os.link(fresh, path)  # a rename would replace what is there
            finally:
                for suffix in ("", "-wal", "-shm"):
                    fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise LedgerError(f"{path.name}: {error.strerror}", hint="A ledger is never replaced.") from error
        except sqlite3.Error as error:
            raise LedgerError(f"{path.name} cannot be written: {error}", hint="Is the disk full?") from error
        finally:
            os.close(lock)
        sync_folder(path.parent)
        return cls.open(path, identity=identity, clock=clock, random_bytes=random_bytes, anchor=anchor)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        identity: Identity,
        clock: Clock,
        random_bytes: RandomBytes = secrets.token_bytes,
        anchor: AnchorFile | None = None,
    ) -> Ledger:
        """Open for writing. The whole chain is judged first.

        Args:
            path: of the file.
            identity: signs from here on.
            clock: for new entries.
            random_bytes: of their nonces.
            anchor: the chain must reach it; it is moved on behind each commit. None: there is none.

        Raises:
            LedgerRolledBackError: the anchor does not lie on the chain.
            LedgerLockedError: another process writes to it.
            LedgerInvalidError: the chain does not hold, or another key signs it now.
            LedgerError: no such ledger.
        """
        lock = take_lock(path)
        try:
            with LedgerReader(path) as reader:
                head = _judged_head(reader, identity, anchor)
            connection = connect(path, mode="rw")
            ledger = cls(
                connection,
                path=path,
                lock=lock,
                identity=identity,
                clock=clock,
                random_bytes=random_bytes,
                anchor=anchor,
            )
        except BaseException:
            os.close(lock)
            raise
        try:
            ledger._head = head
            ledger._move_anchor()
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def in_memory(
        cls,
        *,
        identity: Identity,
        site_id: str,
        clock: Clock,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> Ledger:
        """A new ledger that ends with its process: the same chain, and nothing on disk. For simulations and tests."""
        connection = connect_memory()
        genesis = write_genesis(connection, identity, check_site_id(site_id), clock, random_bytes)
        ledger = cls(connection, path=None, lock=None, identity=identity, clock=clock, random_bytes=random_bytes)
        ledger._head = genesis
        return ledger

    def reader(self) -> LedgerReader:
        """The same file, to read; the caller closes it.

        Raises:
            LedgerError: it is in memory: ask this writer for its ``entries``.
        """
        if self._path is None:
            raise LedgerError("a ledger in memory has no file to read")
        return LedgerReader(self._path)

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        expected_head: Head,
        beside: Mapping[str, bytes] = _NOTHING,
        check: Check | None = None,
    ) -> Receipt:
        """Append all of ``drafts`` or none; durable on return.

        Args:
            drafts: one transaction; a journal entry and the charge that goes with it, for example.
            expected_head: the head on which the caller decided.
            beside: sealed values that take the place of those of their names, in the same transaction.
            check: the last word before COMMIT.

        Raises:
            HeadMovedError: the head is another by now; nothing was appended.
            LedgerError: a draft that cannot be, or a journal position that is taken; or a process that was forked off.
            LedgerInvalidError: whether it was written cannot be told; this writer appends no more.
        """
        if any(draft.kind in (GENESIS, KEY_ROTATED) for draft in drafts):
            raise LedgerError("the first entry and a change of the key are not appended like others")
        with self._turn:
            return self._append(drafts, expected_head, beside, check)

    def _append(
        self,
        drafts: Sequence[Draft],
        expected_head: Head,
        beside: Mapping[str, bytes] = _NOTHING,
        check: Check | None = None,
    ) -> Receipt:
        if os.getpid() != self._pid:
            raise LedgerError("a forked process does not write to its parent's ledger", hint="Open it there.")
        if expected_head != self.head:
            raise HeadMovedError("the ledger has grown since it was read")
        if not self._is_anchored:
            self._move_anchor()
            if not self._is_anchored:
                raise LedgerError("the anchor cannot be written", hint="Is its disk full, or its medium gone?")
        entries: list[Entry] = []
        with self._transaction():
            self._require_stored(expected_head)
            head = expected_head
            for draft in drafts:
                entry = self._linked(head, draft)
                self._insert(entry)
                entries.append(entry)
                head = Head(ledger_id=head.ledger_id, seq=entry.seq, hash=entry.hash)
            side.replace(self._connection, beside)
            if check is not None:
                check(entries)
        self._head = head
        self._move_anchor()
        return Receipt(entries=tuple(entries), head=head)

    def rotate(self, new: Identity) -> Receipt:
        """Let ``new`` sign from now on; the old key signs the change, the new one too.

        Raises:
            LedgerError: as ``append``.
        """
        with self._turn:  # nobody signs with the old key behind its end
            receipt = self._append([rotation_draft(self._identity, new)], self.head)
            self._identity = new
        return receipt

    def _move_anchor(self) -> None:
        """Behind a commit, which stands whatever becomes of this: an anchor that lags is moved before the next one."""
        if self._anchor is None:
            return
        try:
            self._anchor.write(Anchor.of(self.head, self._identity))
        except (OSError, LedgerError):
            self._is_anchored = False
        else:
            self._is_anchored = True

    def now_ms(self) -> int:
        """By the clock that dates the entries."""
        return self._clock()

    def close(self) -> None:
        """Let go of file and lock."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
        self._lock, self._head = None, None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _linked(self, head: Head, draft: Draft) -> Entry:
        nonce = self._random_bytes(NONCE_BYTES)
        return link(head, draft, identity=self._identity, at_ms=self._clock(), nonce=nonce)

    def _require_stored(self, expected: Head) -> None:
        """Within the transaction: nobody appended past the lock."""
        row = self._connection.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        if row != (expected.seq, expected.hash):
            raise HeadMovedError("another process wrote to this ledger")

    def _insert(self, entry: Entry) -> None:
        insert(self._connection, entry)
        if entry.kind.startswith(JOURNAL):
            row = (*journal_place(entry), entry.seq)
            try:
                self._connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError as error:
                raise LedgerError("this position of the journal is taken", hint="A vector leaves once.") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self._head
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
        except sqlite3.Error as error:
            self._roll_back()
            raise LedgerError(f"the ledger cannot be written: {error}", hint="Is the disk full?") from error
        except BaseException:
            self._roll_back()
            raise
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._settle(before, error)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _settle(self, before: Head | None, error: sqlite3.Error) -> NoReturn:
        """COMMIT failed: the entries are there or not, and only a new connection can tell."""
        row = None
        with suppress(*DAMAGED, LedgerError):
            if self._path is not None:
                with closing(connect(self._path, mode="ro")) as fresh:
                    row = fresh.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        if before is not None and row == (before.seq, before.hash):
            self._roll_back()
            raise LedgerError("the ledger cannot be written", hint="Is the disk full?") from error
        self.close()  # nothing more is appended by this writer
        raise LedgerInvalidError("whether the last entries were written is unclear", hint="Start again.") from error


def _noting(entries: Iterator[Entry], places: dict[Place, int]) -> Iterator[Entry]:
    """The entries, and the places of the journal's into ``places`` once they were judged good."""
    for entry in entries:
        yield entry
        if entry.kind.startswith(JOURNAL):
            places[journal_place(entry)] = entry.seq


def _judged_head(reader: LedgerReader, identity: Identity, anchor: AnchorFile | None) -> Head:
    judge = ChainJudge(reader.ledger_id)
    found = None if anchor is None else anchor.read()
    at_seq: bytes | None = None
    places: dict[Place, int] = {}
    with reader.snapshot():
        verdict = judge_chain(_noting(reader.entries(), places), judge)
        is_indexed = not verdict.is_good or reader.has_journal(places)
        if found is not None:
            at_seq = next((entry.hash for entry in reader.entries(since=found.head.seq)), None)
    if not is_indexed:
        raise LedgerInvalidError("the journal's index is not what the entries say")
    if not verdict.is_good:
        raise LedgerInvalidError(f"entry {verdict.bad_seq} of the ledger: {verdict.fault}")
    if judge.signer != key_id_of(identity.public_key):
        raise LedgerInvalidError("another identity signs this ledger", hint="Open it with the site's current key.")
    if anchor is not None:
        require_anchored(found, judge.head, judge.signers, at_seq)
    return judge.head


__all__ = ["Check", "Ledger", "Receipt"]
