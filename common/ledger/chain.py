"""The hash chain: what an entry is, how it is bound to all before it, and how a chain is judged.

::

    hash_k = H("fedward/ledger/v1/entry", ledger_id, k, hash_{k-1}, kind, at_ms, key_id, SHA-256(body))
    signature_k = Ed25519 over T("fedward/ledger/v1/sig", "entry", hash_k)        key_id = SHA-256(public key)

``hash_{-1}`` is 32 zero bytes. Pure: no clock, no disk, no randomness. Not handled here: what the kinds mean (the
budget), storage, and rollback, which only the heads that others hold can show.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fedward.common.errors import LedgerError
from fedward.common.identity import Identity, is_signing_key, verify
from fedward.common.ledger.body import MAX_BODY_BYTES, Value, encode_body, parse_body
from fedward.common.secagg.transcript import digest

GENESIS = "genesis"
KEY_ROTATED = "key.rotated"
ID_BYTES = 16
HASH_BYTES = 32
ZERO_HASH = bytes(HASH_BYTES)
MAX_MS = 2**53 - 1
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}(?:\.[a-z][a-z0-9_]{0,31})?")


class Fault(StrEnum):
    """What is wrong with a chain; the first in the order of checking is named."""

    SEQ_GAP = "SEQ_GAP"
    LINK_BROKEN = "LINK_BROKEN"
    ENTRY_ALTERED = "ENTRY_ALTERED"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    SIGNATURE_BAD = "SIGNATURE_BAD"
    GENESIS_DIFFERS = "GENESIS_DIFFERS"
    BUDGET_INVALID = "BUDGET_INVALID"
    JOURNAL_DIFFERS = "JOURNAL_DIFFERS"
    HEAD_MISSING = "HEAD_MISSING"
    HEADS_CONFLICT = "HEADS_CONFLICT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One link. ``body`` is None where an export left it out; then ``body_sha256`` stands for it."""

    seq: int
    kind: str
    at_ms: int
    """Milliseconds since 1970; informative, may run back."""
    prev: bytes
    key_id: bytes
    body: bytes | None = field(repr=False)
    body_sha256: bytes = field(repr=False)
    hash: bytes
    signature: bytes = field(repr=False)

    def __post_init__(self) -> None:
        sizes = [len(self.prev), len(self.key_id), len(self.body_sha256), len(self.hash)]
        is_right = sizes == [HASH_BYTES] * 4 and len(self.signature) == 64 and self.seq >= 0
        if not is_right or not _KIND.fullmatch(self.kind) or not 0 <= self.at_ms <= MAX_MS:
            raise LedgerError("an entry has a field of the wrong size")
        if self.body is not None and len(self.body) > MAX_BODY_BYTES:
            raise LedgerError("the body of an entry is too long")

    @property
    def fields(self) -> dict[str, Value]:
        """The body, parsed.

        Raises:
            LedgerError: left out, or not a body.
        """
        if self.body is None:
            raise LedgerError(f"entry {self.seq}: its body was left out of this export")
        return parse_body(self.body)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What is to be appended."""

    kind: str
    fields: Mapping[str, Value] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The last entry of a chain."""

    ledger_id: bytes
    seq: int
    hash: bytes


def key_id_of(public_key: bytes) -> bytes:
    """SHA-256 of the 32 raw bytes."""
    return hashlib.sha256(public_key).digest()


def entry_hash(ledger_id: bytes, seq: int, prev: bytes, kind: str, at_ms: int, key_id: bytes, body: bytes) -> bytes:
    """``hash_k``; ``body`` is the SHA-256 of the body."""
    return digest("fedward/ledger/v1/entry", ledger_id, seq, prev, kind, at_ms, key_id, body)


def link(head: Head, draft: Draft, *, identity: Identity, at_ms: int, nonce: bytes) -> Entry:
    """The entry that ``draft`` becomes behind ``head``.

    Raises:
        LedgerError: a kind or a body that cannot be.
    """
    body = encode_body(draft.fields, nonce)
    body_sha256 = hashlib.sha256(body).digest()
    key_id = key_id_of(identity.public_key)
    seq = head.seq + 1
    own_hash = entry_hash(head.ledger_id, seq, head.hash, draft.kind, at_ms, key_id, body_sha256)
    return Entry(
        seq=seq,
        kind=draft.kind,
        at_ms=at_ms,
        prev=head.hash,
        key_id=key_id,
        body=body,
        body_sha256=body_sha256,
        hash=own_hash,
        signature=identity.sign("ledger", "entry", own_hash),
    )


def before_genesis(ledger_id: bytes) -> Head:
    """What the first entry is linked to."""
    return Head(ledger_id=ledger_id, seq=-1, hash=ZERO_HASH)


def genesis_draft(ledger_id: bytes, site_id: str, public_key: bytes) -> Draft:
    """The first entry: who signs, for whom."""
    fields = {"ledger_id": ledger_id.hex(), "site_id": site_id, "identity": public_key.hex()}
    return Draft(kind=GENESIS, fields=fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What judging a chain gave."""

    head: Head | None
    """The last entry that is good."""
    fault: Fault | None = None
    bad_seq: int | None = None
    detail: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return self.fault is None


class ChainJudge:
    """Judges entries one by one, in constant memory.

    Args:
        ledger_id: of the chain.
        identity: the public key that its genesis must name, if it is known; else the genesis is believed.
        with_signatures: level ``signed``; without, level ``chain``.
    """

    def __init__(self, ledger_id: bytes, *, identity: bytes | None = None, with_signatures: bool = True) -> None:
        self._head = before_genesis(ledger_id)
        self._identity = identity
        self._with_signatures = with_signatures
        self._keys: dict[bytes, bytes] = {}
        self.signers: set[bytes] = set()
        """Public keys that signed it, from the first to the present one."""
        self._current: bytes | None = None

    @property
    def head(self) -> Head:
        """The last good entry."""
        return self._head

    @property
    def signer(self) -> bytes | None:
        """Key id of who signs next."""
        return self._current

    def fault_of(self, entry: Entry) -> Fault | None:
        """The first thing wrong with the next entry, in the order seq, prev, hash, signature; None: it is good."""
        fault = self._link_fault(entry) or self._meaning_fault(entry)
        if fault is None and self._with_signatures:
            fault = self._signature_fault(entry)
        if fault is None:
            self._head = Head(ledger_id=self._head.ledger_id, seq=entry.seq, hash=entry.hash)
        return fault

    def _link_fault(self, entry: Entry) -> Fault | None:
        head = self._head
        if entry.seq != head.seq + 1:
            return Fault.SEQ_GAP
        if entry.prev != head.hash:
            return Fault.LINK_BROKEN
        body = entry.body_sha256 if entry.body is None else hashlib.sha256(entry.body).digest()
        expected = entry_hash(head.ledger_id, entry.seq, head.hash, entry.kind, entry.at_ms, entry.key_id, body)
        return None if entry.hash == expected else Fault.ENTRY_ALTERED

    def _meaning_fault(self, entry: Entry) -> Fault | None:
        """Genesis and key changes say which keys sign."""
        if (entry.seq == 0) != (entry.kind == GENESIS):
            return Fault.GENESIS_DIFFERS
        if entry.kind not in (GENESIS, KEY_ROTATED):
            return None
        if entry.body is None:
            return Fault.KEY_UNKNOWN  # the two kinds that no export may leave out
        return self._genesis_fault(entry) if entry.kind == GENESIS else None

    def _genesis_fault(self, entry: Entry) -> Fault | None:
        fields = _fields_or_none(entry)
        key = _bytes_of(fields, "identity", 32)
        if key is None or _bytes_of(fields, "ledger_id", ID_BYTES) != self._head.ledger_id:
            return Fault.GENESIS_DIFFERS
        if not is_signing_key(key):
            return Fault.GENESIS_DIFFERS  # one signature would fit many entries
        if self._identity is not None and key != self._identity:
            return Fault.GENESIS_DIFFERS
        self._keys[key_id_of(key)] = key
        self.signers.add(key)
        self._current = key_id_of(key)
        return None

    def _signature_fault(self, entry: Entry) -> Fault | None:
        # A key that was replaced signs nothing any more: only the current one counts.
        if entry.key_id != self._current:
            return Fault.KEY_UNKNOWN
        if not verify(self._keys[entry.key_id], entry.signature, "ledger", "entry", entry.hash):
            return Fault.SIGNATURE_BAD
        if entry.kind == KEY_ROTATED:
            return self._take_new_key(entry)
        return None

    def _take_new_key(self, entry: Entry) -> Fault | None:
        """The old key signed the entry; the new one must have signed the old."""
        fields = _fields_or_none(entry)
        new, proof = _bytes_of(fields, "new", 32), _bytes_of(fields, "proof", 64)
        old = self._keys[entry.key_id]
        if new is None or not is_signing_key(new):
            return Fault.SIGNATURE_BAD
        if proof is None or not verify(new, proof, "ledger", "rotation", rotation_digest(old, new)):
            return Fault.SIGNATURE_BAD
        self._keys = {key_id_of(new): new}
        self.signers.add(new)
        self._current = key_id_of(new)
        return None


def rotation_digest(old: bytes, new: bytes) -> bytes:
    """What the new key signs to show that it takes the old one's place."""
    return digest("fedward/ledger/v1/rotation", old, new)


def rotation_draft(old: Identity, new: Identity) -> Draft:
    """The entry, signed by ``old``, from which on ``new`` signs."""
    proof = new.sign("ledger", "rotation", rotation_digest(old.public_key, new.public_key))
    return Draft(kind=KEY_ROTATED, fields={"new": new.public_key.hex(), "proof": proof.hex()})


def judge_chain(entries: Iterable[Entry], judge: ChainJudge) -> Verdict:
    """Judge all ``entries`` in order, up to the first bad one."""
    for entry in entries:
        fault = judge.fault_of(entry)
        if fault is not None:
            head = judge.head if judge.head.seq >= 0 else None
            return Verdict(head=head, fault=fault, bad_seq=max(judge.head.seq + 1, 0), detail=f"entry {entry.seq}")
    if judge.head.seq < 0:
        return Verdict(head=None, fault=Fault.GENESIS_DIFFERS, bad_seq=0, detail="no entry")
    return Verdict(head=judge.head)


def position_of(fields: Mapping[str, Value]) -> tuple[bytes, int, int] | None:
    """Run, round and attempt that a body names, or None."""
    run, number, attempt = _bytes_of(fields, "run", ID_BYTES), fields.get("round"), fields.get("attempt")
    if run is None or type(number) is not int or type(attempt) is not int:
        return None
    return run, number, attempt


def _fields_or_none(entry: Entry) -> Mapping[str, Value]:
    try:
        return entry.fields
    except LedgerError:
        return {}


def _bytes_of(fields: Mapping[str, Value], name: str, size: int) -> bytes | None:
    """A field in hex, of exactly this many bytes."""
    value = fields.get(name)
    if not isinstance(value, str) or len(value) != 2 * size or set(value) - set("0123456789abcdef"):
        return None
    return bytes.fromhex(value)


__all__ = [
    "before_genesis",
    "ChainJudge",
    "Draft",
    "Entry",
    "entry_hash",
    "Fault",
    "GENESIS",
    "genesis_draft",
    "Head",
    "ID_BYTES",
    "judge_chain",
    "KEY_ROTATED",
    "key_id_of",
    "link",
    "MAX_MS",
    "position_of",
    "rotation_digest",
    "rotation_draft",
    "Verdict",
    "ZERO_HASH",
]
