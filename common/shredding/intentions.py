"""Intentions: what is going to be shredded, durable in the ledger before the first byte dies.

``shred.intended`` says of a run what the certificate will need and what nobody can tell afterwards: objects, data keys,
the epochs of the KEKs. ``shred.done`` names its entry and holds the certificate. An intention without its
``shred.done`` is open, and is finished at the next start; every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from fedward.common.errors import CertificateError, LedgerError, ShreddingError
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft, Entry
from fedward.common.shredding.certificate import MAX_ROWS, SignedCertificate
from fedward.common.shredding.certificate_rows import KeyClass, KeyRow, ObjectsRow, Reason
from fedward.common.shredding.scratch import PlaintextMedium
from fedward.common.vault.kinds import DURABLE, Kind

SHRED_INTENDED: Final = "shred.intended"
SHRED_DONE: Final = "shred.done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What is there of a run, taken before anything of it dies."""

    run_id: bytes
    reason: Reason
    keep: frozenset[Kind]
    """Kinds that outlive it."""
    objects: tuple[ObjectsRow, ...]
    data_keys: tuple[KeyRow, ...]
    keks: Mapping[Kind, int]
    """The epoch of every KEK that has to be another afterwards."""
    num_caches: int
    num_plain: int
    plaintext_medium: PlaintextMedium

    def __post_init__(self) -> None:
        if len(self.objects) > MAX_ROWS or len(self.data_keys) > MAX_ROWS or not set(self.keks) <= DURABLE:
            raise ShreddingError("a run has more keys than one certificate holds", hint="Shred its runs one by one.")

    def draft(self) -> Draft:
        """The entry that is to be durable before the first byte dies."""
        fields: dict[str, Value] = {
            "run": self.run_id.hex(),
            "reason": str(self.reason),
            "keep": [str(kind) for kind in sorted(self.keep)],
            "kinds": sorted({row.kind for row in self.objects} | {str(kind) for kind in self.keks}),
            "objects": [asdict(row) for row in self.objects],
            "data_keys": [{**asdict(row), "key_class": str(row.key_class)} for row in self.data_keys],
            "keks": {str(kind): epoch for kind, epoch in sorted(self.keks.items())},
            "caches": self.num_caches,
            "plain": self.num_plain,
            "plaintext_medium": self.plaintext_medium,
        }
        return Draft(kind=SHRED_INTENDED, fields=fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class Intention:
    """An inventory that is in the ledger."""

    seq: int
    at_ms: int
    inventory: Inventory


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A shredding that is closed."""

    entry: Entry
    run_id: bytes
    intended: int
    """The seq of its intention."""
    signed: SignedCertificate


def read_intention(entry: Entry) -> Intention:
    """The intention of an entry of kind ``shred.intended``.

    Raises:
        LedgerError: its body is another.
    """
    fields = entry.fields
    try:
        inventory = Inventory(
            run_id=bytes.fromhex(_text(fields["run"])),
            reason=Reason(_text(fields["reason"])),
            keep=frozenset(Kind(_text(kind)) for kind in _list(fields["keep"])),
            objects=tuple(ObjectsRow(**row) for row in _list(fields["objects"])),
            data_keys=tuple(_key_row(row) for row in _list(fields["data_keys"])),
            keks={Kind(kind): _count(epoch) for kind, epoch in _object(fields["keks"]).items()},
            num_caches=_count(fields["caches"]),
            num_plain=_count(fields["plain"]),
            plaintext_medium="disk" if fields["plaintext_medium"] != "memory" else "memory",
        )
    except (KeyError, ValueError, TypeError, ShreddingError):
        raise LedgerError(f"entry {entry.seq}: {SHRED_INTENDED} without its fields") from None
    return Intention(seq=entry.seq, at_ms=entry.at_ms, inventory=inventory)


def done_draft(intention: Intention, signed: SignedCertificate) -> Draft:
    """The entry that closes an intention."""
    run = intention.inventory.run_id.hex()
    return Draft(kind=SHRED_DONE, fields={**signed.to_fields(), "run": run, "intended": intention.seq})


def read_done(entry: Entry) -> Done:
    """The closing of an entry of kind ``shred.done``; the certificate inside is not judged.

    Raises:
        LedgerError: its body is another.
    """
    fields = entry.fields
    try:
        return Done(
            entry=entry,
            run_id=bytes.fromhex(_text(fields["run"])),
            intended=_count(fields["intended"]),
            signed=SignedCertificate.from_fields(fields),
        )
    except (KeyError, ValueError, CertificateError):
        raise LedgerError(f"entry {entry.seq}: {SHRED_DONE} without its fields") from None


class Shreddings:
    """What a judged chain says of shreddings."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.open: dict[int, Intention] = {}
        """By seq, in order."""
        self.done: list[Done] = []
        for entry in entries:
            if entry.kind == SHRED_INTENDED:
                self.open[entry.seq] = read_intention(entry)
            elif entry.kind == SHRED_DONE:
                self._close(read_done(entry))

    def _close(self, done: Done) -> None:
        if self.open.pop(done.intended, None) is None:
            raise LedgerError(f"entry {done.entry.seq}: {SHRED_DONE} of what was not intended, or closed already")
        self.done.append(done)

    def last_of(self, run_id: bytes) -> Done | None:
        """The last shredding of a run that is closed."""
        return next((done for done in reversed(self.done) if done.run_id == run_id), None)


def _key_row(row: Mapping[str, Any]) -> KeyRow:
    return KeyRow(**{**row, "key_class": KeyClass(row["key_class"])})


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _list(value: Value) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _object(value: Value) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _count(value: Value) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no count")
    return value


__all__ = [
    "Done",
    "done_draft",
    "Intention",
    "Inventory",
    "read_done",
    "read_intention",
    "SHRED_DONE",
    "SHRED_INTENDED",
    "Shreddings",
]
