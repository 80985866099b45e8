"""What must outlive a site's process, upon its ledger: entries, and beside them the run's position, secret and model.

``commit`` is one transaction of the ledger. The journal's lines, the budget's reservations, charges and voids and the
plans' verdicts are entries of the chain: a vector that may have left was charged before, and the chain refuses a second
one for its position. What the budget's judge would find bad is refused before COMMIT, by the same judge.

**Where the rest lies.** Position, drawn weight and the run's transport secret are no entries: they are replaced with
every reply, secret, and gone when the run is. They stand sealed in a table of the same file
(``common/ledger/beside``), written in the same transaction. A file of its own would need a second fsync and a rule for
each order in which a crash can find the two; in the same file there is nothing to recover. Two attached databases are
no help: with a write-ahead log SQLite commits each by itself. The price is that who gets the file gets the sealed
bytes too, so they are never in the clear, exports leave them out, and their key is the caller's.

The model's copy, up to 40 MB a round, would be written twice by the log and make of every ledger a large file. It is a
sealed file of its own, written before the transaction that names it by its digest; what the transaction does not name
is removed. A copy that is missing or altered counts as none: the survivors' word brings another (``replica``).

After a crash the chain is the truth: accounts, used positions and accepted runs are read from it, and a sealed state
that is older than the chain takes nothing back. What a disk itself keeps of blocks that were written over is not
handled here, and neither is an old file put back whole: that the heads of the other sites show.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

from fedward.client.sealed_files import replacing
from fedward.common.envelope.header import Context
from fedward.common.envelope.recipients import SlotKey
from fedward.common.envelope.stream import open_bytes, seal
from fedward.common.errors import EnvelopeError, HeadMovedError, LedgerError, RunError
from fedward.common.identity import Identity
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft, Entry, Head
from fedward.common.ledger.plans import PlanReplay
from fedward.common.ledger.reader import JOURNAL
from fedward.common.ledger.replay import BUDGET, PLAN_ACCEPTED, BudgetReplay
from fedward.common.ledger.store import Ledger
from fedward.common.secagg.journal import EntryKind, JournalEntry, conflict

StateWriter = Callable[[], bytes]
"""Makes the bytes of the state, for a store that wants them."""
Drafts = Callable[[Head], Sequence[Draft]]
"""What is to be appended behind a head."""

_STATE, _MODEL = "site-state", "site-model"
_NAME_BYTES = 16
_BATCH = 1000
_MAX_TRIES = 8
_OF_RUNS = (BUDGET, JOURNAL, PLAN_ACCEPTED)
"""Kinds that only the store appends: in others' hands the accounts in memory would be wrong."""


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def nothing(_: Head) -> tuple[Draft, ...]:
    """No entries beside the journal's."""
    return ()


class LedgerStore:
    """One site's. The ledger's other users may append to it too, but nothing that is of budget, journal or plans.

    Args:
        ledger: open for writing.
        key: seals what is no entry.
        older: keys that it may still be sealed with, while a change of the key is pending.
        folder: for the model's copy alone, of mode 0700; None: none is kept, as where the ledger is in memory.

    Raises:
        LedgerVersionError: the ledger has a kind of budget entry that this version does not know.
        LedgerError: its entries break the rules of the budget.
    """

    def __init__(
        self, ledger: Ledger, *, key: SlotKey, older: Sequence[SlotKey] = (), folder: Path | None = None
    ) -> None:
        self._ledger = ledger
        self._keys = (key, *older)
        self._folder = folder
        self._budget, self._plans = BudgetReplay(), PlanReplay()
        self._seen: int | None = None
        """Number of the last entry that both have taken; None: they are to be read anew."""
        self._own = ledger.head.seq
        """Number of the last entry that this process knows to be in its accounts."""
        self._stored = b""
        """SHA-256 of the state that this process has written last."""
        self._follow()
        self.scrub()  # what a process that was killed could not
        self._sweep()

    @property
    def budget(self) -> BudgetReplay:
        """The accounts, as the chain tells them."""
        self._follow()
        return self._budget

    @property
    def plans(self) -> PlanReplay:
        """What became of plans, as the chain tells it."""
        self._follow()
        return self._plans

    def now_ms(self) -> int:
        """By the ledger's clock."""
        return self._ledger.now_ms()

    # ------------------------------------------------------------------------------------------------ writing

    def commit(
        self,
        entries: Sequence[JournalEntry],
        state: StateWriter,
        *,
        drafts: Drafts = nothing,
        model: StateWriter | None = None,
    ) -> None:
        """Append entries and replace state and model, or nothing; on return it is durable.

        Args:
            entries: of the journal; they stand behind ``drafts``.
            state: replaces the last one.
            drafts: asked for the others, once it is known behind what they stand; perhaps more than once.
            model: replaces the last one; None: that stays.

        Raises:
            ProtocolError: an entry stands at one of the places already.
            HeadMovedError: another process has written to the ledger, or other hands to its accounts; start again.
            LedgerError: the budget forbids it, or it cannot be written.
        """
        self._require_free(entries)
        raw = state()
        digest = hashlib.sha256(raw).digest()
        # Most replies change no state, and sealing costs more than all else here.
        beside = {} if digest == self._stored else {_STATE: self._sealed(raw, _STATE)}
        if model is not None and self._folder is not None:
            beside[_MODEL] = self._write_model(self._folder, model())
        lines = [_draft(entry) for entry in entries]
        self._append(lambda head: [*drafts(head), *lines], beside)
        self._stored = digest
        if _MODEL in beside:
            with suppress(
                OSError
            ):  # it is durable: whoever hears of a failure takes budget back; the next start sweeps
                self._sweep()

    def note(self, draft: Draft) -> None:
        """Append an entry that changes no account and no state.

        Raises:
            LedgerError: as ``commit``.
        """
        self._append(lambda _: [draft], {})

    def _append(self, drafts: Drafts, beside: Mapping[str, bytes]) -> None:
        for _ in range(_MAX_TRIES):
            head = self._follow()
            try:
                receipt = self._ledger.append(drafts(head), expected_head=head, beside=beside, check=self._take)
            except HeadMovedError:
                if self._ledger.head == head:
                    raise  # another process's: what it spent is in no account of this one
            except BaseException:
                self._seen = None  # taken perhaps, and not durable
                raise
            else:
                self._seen = self._own = receipt.head.seq
                return
        raise LedgerError("the ledger grows faster than its site can write", hint="Try again.")

    def _require_free(self, entries: Sequence[JournalEntry]) -> None:
        places = [entry.place for entry in entries]
        for entry in entries:
            if places.count(entry.place) > 1 or self._ledger.has_place((*entry.place[:3], entry.kind.value)):
                raise conflict(entry)

    # ------------------------------------------------------------------------------------------------ reading

    def _follow(self) -> Head:
        """Read what was appended since; the whole chain if that is not known.

        Raises:
            HeadMovedError: other hands wrote what only this store may.
        """
        if self._seen is None:
            self._budget, self._plans, self._seen = BudgetReplay(), PlanReplay(), -1
        head = self._ledger.head
        while self._seen < head.seq:
            batch = self._ledger.entries(since=self._seen + 1, limit=_BATCH)
            if any(entry.seq > self._own and entry.kind.startswith(_OF_RUNS) for entry in batch):
                self._seen = None
                raise HeadMovedError("the accounts of this ledger were changed by others", hint="Start again.")
            self._take(batch)
            self._seen = batch[-1].seq
        return head

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._budget.take(entry)
            self._plans.take(entry)

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """The journal of a run, in order."""
        return tuple(_line(entry, run_id) for entry in self._ledger.journal(run_id))

    def load(self) -> bytes:
        """The last state; empty if there is none.

        Raises:
            RunError: it does not open with the key.
        """
        sealed = self._ledger.beside(_STATE)
        if not sealed:
            return b""
        try:
            return bytes(open_bytes(io.BytesIO(sealed), self._keys, expect=_context(_STATE)))
        except EnvelopeError as error:
            raise RunError(
                "the site's sealed state does not open", hint="It was sealed with another key, or altered on the disk."
            ) from error

    # ------------------------------------------------------------------------------------------------ model

    def load_model(self) -> bytes:
        """The last model; empty if there is none, or another one than the chain's last transaction named."""
        named = self._ledger.beside(_MODEL)
        if not named or self._folder is None:
            return b""
        with suppress(OSError, EnvelopeError):
            raw = _place(self._folder, named[:_NAME_BYTES]).read_bytes()
            if hashlib.sha256(raw).digest() == named[_NAME_BYTES:]:
                return bytes(open_bytes(io.BytesIO(raw), self._keys, expect=_context(_MODEL)))
        return b""

    def _write_model(self, folder: Path, model: bytes) -> bytes:
        """The sealed copy, durable before anything names it; a name of its own and its digest."""
        name = secrets.token_bytes(_NAME_BYTES)
        with replacing(_place(folder, name)) as file:
            sink = _Hashing(file)
            seal(io.BytesIO(model), sink, self._keys[:1], context=_context(_MODEL))
        return name + sink.digest()

    def _sweep(self) -> None:
        """Remove copies that no transaction names."""
        if self._folder is None:
            return
        named = self._ledger.beside(_MODEL)
        kept = _place(self._folder, named[:_NAME_BYTES]).name if named else ""
        # Also what a process that was killed was writing.
        for path in (*self._folder.glob(f"{_MODEL}-*.fwe"), *self._folder.glob(".fedward.*")):
            if path.name != kept:
                path.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------------ the rest

    def _sealed(self, raw: bytes, name: str) -> bytes:
        sink = io.BytesIO()
        seal(io.BytesIO(raw), sink, self._keys[:1], context=_context(name))
        return sink.getvalue()

    def renew(self, key: SlotKey, *, keep: bool) -> None:
        """Seal state and model under ``key`` from now on; or let go of both: the site has left its run for good.

        Args:
            key: takes the place of all others.
            keep: seal what is there anew.
        """
        state, model = (self.load(), self.load_model()) if keep else (b"", b"")
        self._keys = (key,)
        beside = {_STATE: self._sealed(state, _STATE) if state else b"", _MODEL: b""}
        if model and self._folder is not None:
            beside[_MODEL] = self._write_model(self._folder, model)
        self._append(lambda _: (), beside)
        self._stored = b""
        self._sweep()
        self.scrub()

    def scrub(self) -> None:
        """Leave nothing on disk of states that were replaced, sealed as they are."""
        self._ledger.scrub()

    def close(self) -> None:
        """Let go of the ledger."""
        self._ledger.close()


class MemoryStore(LedgerStore):
    """Upon a ledger that ends with its process; no model's copy is kept. For simulations and tests.

    Args:
        identity: signs the entries; None: one of its own.
        site_id: named by the genesis.
    """

    def __init__(self, identity: Identity | None = None, site_id: str = "site") -> None:
        ledger = Ledger.in_memory(identity=identity or Identity.generate(), site_id=site_id, clock=wall_clock_ms)
        super().__init__(ledger, key=SlotKey(slot_id=secrets.token_bytes(16), key=secrets.token_bytes(32)))


class _Hashing:
    """A file that is hashed as it is written."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: memoryview, /) -> int | None:
        """Write some of ``data``."""
        size = self._file.write(data)
        self._hash.update(data[: size or 0])
        return size

    def digest(self) -> bytes:
        """Of all that was written."""
        return self._hash.digest()


def _place(folder: Path, name: bytes) -> Path:
    return folder / f"{_MODEL}-{name.hex()}.fwe"


def _context(name: str) -> Context:
    return Context(kind="state", name=name)


def _draft(entry: JournalEntry) -> Draft:
    fields: dict[str, Value] = {
        "run": entry.run_id.hex(),
        "round": entry.round_number,
        "attempt": entry.attempt,
        "digest": entry.digest.hex(),
    }
    if entry.detail:
        fields["detail"] = entry.detail.hex()
    return Draft(kind=JOURNAL + entry.kind.value, fields=fields)


def _line(entry: Entry, run_id: bytes) -> JournalEntry:
    fields: Mapping[str, Value] = entry.fields
    try:
        number, attempt = fields["round"], fields["attempt"]
        return JournalEntry(
            run_id=run_id,
            round_number=number if isinstance(number, int) else -1,
            attempt=attempt if isinstance(attempt, int) else -1,
            kind=EntryKind(entry.kind.removeprefix(JOURNAL)),
            digest=bytes.fromhex(str(fields["digest"])),
            detail=bytes.fromhex(str(fields.get("detail", ""))),
        )
    except (KeyError, ValueError) as error:
        raise LedgerError(f"entry {entry.seq} is no line of a site's journal") from error


__all__ = ["Drafts", "LedgerStore", "MemoryStore", "nothing", "StateWriter", "wall_clock_ms"]
