"""The anchor: a small signed file that says how far a ledger had come, beside it or, better, on another medium.

Written after each commit, so it lies on the chain or the chain was put back: behind a crash it is older, never ahead.
It finds an older copy of the file without asking anybody. Whoever puts back both finds nothing here;
the heads that other sites hold are for that.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedward.common.atomic import sync_folder
from fedward.common.errors import LedgerError, LedgerRolledBackError
from fedward.common.identity import Identity, verify
from fedward.common.ledger.body import once
from fedward.common.ledger.chain import ID_BYTES, MAX_MS, Head, key_id_of
from fedward.common.secagg.transcript import digest

SCHEMA: Final = "fedward.anchor/1"
_MAX_BYTES = 1024
_SLOT_BYTES = 4096
"""A page: no write of one slot tears the other."""
_HINT = "It is written by the site; take the newest copy."
_NAMES = {"schema", "ledger_id", "seq", "head", "key_id", "signature"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """One head, signed by the key that signed its entry."""

    head: Head
    key_id: bytes
    signature: bytes = field(repr=False)

    @classmethod
    def of(cls, head: Head, identity: Identity) -> Anchor:
        """The anchor of a head."""
        signature = identity.sign("ledger", "anchor", _digest(head))
        return cls(head=head, key_id=key_id_of(identity.public_key), signature=signature)

    def is_signed_by(self, keys: Iterable[bytes]) -> bool:
        """Whether one of these public keys signed it."""
        return any(
            key_id_of(key) == self.key_id and verify(key, self.signature, "ledger", "anchor", _digest(self.head))
            for key in keys
        )

    def to_bytes(self) -> bytes:
        """One JSON object, as a line."""
        document = {
            "schema": SCHEMA,
            "ledger_id": self.head.ledger_id.hex(),
            "seq": self.head.seq,
            "head": self.head.hash.hex(),
            "key_id": self.key_id.hex(),
            "signature": self.signature.hex(),
        }
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_bytes(cls, raw: bytes) -> Anchor:
        """The inverse of ``to_bytes``, and of nothing else.

        Raises:
            LedgerError: not such bytes.
        """
        try:
            document = json.loads(raw[: _MAX_BYTES + 1], object_pairs_hook=once)
            head = Head(
                ledger_id=bytes.fromhex(document["ledger_id"]),
                seq=document["seq"],
                hash=bytes.fromhex(document["head"]),
            )
            anchor = cls(
                head=head,
                key_id=bytes.fromhex(document["key_id"]),
                signature=bytes.fromhex(document["signature"]),
            )
            is_ours = document.keys() == _NAMES and type(head.seq) is int and 0 <= head.seq <= MAX_MS
            is_exact = is_ours and len(head.ledger_id) == ID_BYTES and anchor.to_bytes() == raw
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            is_exact = False
        if not is_exact:
            raise LedgerError("this is no anchor of a ledger", hint=_HINT)
        return anchor


def _digest(head: Head) -> bytes:
    return digest("fedward/ledger/v1/anchor", head.ledger_id, head.seq, head.hash)


class AnchorFile:
    """Where an anchor is kept: a file of two slots (0600), written in turn, so that one that is torn leaves the other.

    Nothing is synced but the new file: an anchor that a power cut took back is older, and an older one is good.

    Args:
        path: of the file; its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next_slot: int | None = None

    def read(self) -> Anchor | None:
        """The newest that stands there; None: there is no file.

        Raises:
            LedgerError: a file without an anchor, or it cannot be read.
        """
        slots = self._slots()
        if slots is None:
            return None
        found = [anchor for anchor in slots if anchor is not None]
        if not found:
            raise LedgerError("this is no anchor of a ledger", hint=_HINT)
        return max(found, key=lambda anchor: anchor.head.seq)

    def _slots(self) -> list[Anchor | None] | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(f"{self.path.name}: {error.strerror}", hint="Check the anchor's file.") from error
        with open(descriptor, "rb") as file:
            raw = file.read(2 * _SLOT_BYTES + 1)
        if len(raw) > 2 * _SLOT_BYTES:
            raise LedgerError("this is no anchor of a ledger", hint=_HINT)
        return [_anchor_in(raw[at : at + _SLOT_BYTES]) for at in (0, _SLOT_BYTES)]

    def write(self, anchor: Anchor) -> None:
        """Put it over the older of the two.

        Raises:
            OSError: it cannot be written.
            LedgerError: what is there cannot be read.
        """
        if self._next_slot is None:
            self._next_slot = self._older_slot()
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            is_fresh = os.fstat(descriptor).st_size == 0
            os.fchmod(descriptor, 0o600)
            raw = anchor.to_bytes().ljust(_SLOT_BYTES, b"\0")
            if os.pwrite(descriptor, raw, self._next_slot * _SLOT_BYTES) != len(raw):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if is_fresh:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_fresh:
            sync_folder(self.path.parent)
        self._next_slot = 1 - self._next_slot

    def _older_slot(self) -> int:
        first, second = self._slots() or (None, None)
        if first is None or second is None:
            return 0 if first is None else 1
        return 0 if first.head.seq < second.head.seq else 1


def _anchor_in(slot: bytes) -> Anchor | None:
    """What a slot holds, if it is whole."""
    line, end, rest = slot.partition(b"\n")
    if rest.strip(b"\0"):
        return None
    try:
        return Anchor.from_bytes(line + end)
    except LedgerError:
        return None


def require_anchored(anchor: Anchor | None, head: Head, keys: Iterable[bytes], at_seq: bytes | None) -> None:
    """Refuse a chain that the anchor does not lie on.

    Args:
        anchor: as it was found.
        head: the last entry of the chain, judged good.
        keys: public keys that ever signed the chain.
        at_seq: hash of the entry that has the anchor's number; None: the chain is shorter.

    Raises:
        LedgerRolledBackError: shorter or different, or no anchor where there must be one.
    """
    if anchor is None:
        if head.seq > 0:  # behind the genesis alone a crash may have come first
            raise LedgerRolledBackError("the anchor of this ledger is gone")
        return
    if not anchor.is_signed_by(keys) or anchor.head.ledger_id != head.ledger_id:
        raise LedgerRolledBackError("the anchor is that of another ledger")
    if at_seq is None:
        raise LedgerRolledBackError(f"the ledger ends at entry {head.seq}, its anchor is at {anchor.head.seq}")
    if at_seq != anchor.head.hash:
        raise LedgerRolledBackError(f"entry {anchor.head.seq} of the ledger is not the one that its anchor names")


__all__ = ["Anchor", "AnchorFile", "require_anchored", "SCHEMA"]
