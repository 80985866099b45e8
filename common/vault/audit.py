"""The vault's part of the ledger: what it appends, and what it reads back when it opens.

==================  ===========================================================================================
kind                body
==================  ===========================================================================================
``access``          principal, role, kind, object_id, run, action, allowed, reason; and round, where one entry
                    stands for all that the daemon does of one action with a kind in a round
``object.sealed``   object_id, kind, run, digest: SHA-256(header copy A ‖ end record) of the file that is valid now
``object.removed``  object_id, kind, run: that file is valid no more
``role.granted``,   subject, role, by
``role.revoked``
``vault.rotated``   purpose, name, before, after: epochs
==================  ===========================================================================================

No names of objects, no sizes, no paths. Not handled here: whether the chain holds (``common.ledger``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from fedward.common.errors import LedgerError
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft, Entry
from fedward.common.ledger.store import Receipt
from fedward.common.vault.grants import Grants
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Action, Principal, Resource, Role

ACCESS = "access"
SEALED = "object.sealed"
REMOVED = "object.removed"
GRANTED = "role.granted"
REVOKED = "role.revoked"
ROTATED = "vault.rotated"


class AuditTrail(Protocol):
    """Where entries become durable: a ledger, bound to its head."""

    def append(self, drafts: Sequence[Draft]) -> Receipt:
        """Append all of ``drafts`` or none; durable on return."""

    def entries(self) -> Iterable[Entry]:
        """All that stands there, in order."""


def access(
    principal: Principal,
    resource: Resource,
    action: Action,
    *,
    object_id: str = "",
    run_id: bytes = b"",
    round_number: int | None = None,
    refused: str | None = None,
) -> Draft:
    """The entry of an action; ``refused`` is the reason where it was."""
    fields: dict[str, Value] = {
        "principal": principal.subject,
        "role": str(principal.role),
        "kind": str(resource),
        "object_id": object_id,
        "run": run_id.hex(),
        "action": str(action),
        "allowed": refused is None,
        "reason": refused or "",
    }
    if round_number is not None:
        fields["round"] = round_number
    return Draft(kind=ACCESS, fields=fields)


def sealed(object_id: str, kind: Kind, run_id: bytes, digest: bytes) -> Draft:
    """The entry from which on this file is the object's."""
    fields = {"object_id": object_id, "kind": str(kind), "run": run_id.hex(), "digest": digest.hex()}
    return Draft(kind=SEALED, fields=fields)


def removed(object_id: str, kind: Kind, run_id: bytes) -> Draft:
    """The entry from which on there is no such object."""
    return Draft(kind=REMOVED, fields={"object_id": object_id, "kind": str(kind), "run": run_id.hex()})


def granted(subject: str, role: Role, by: str) -> Draft:
    """The entry that binds ``subject`` to ``role``."""
    return Draft(kind=GRANTED, fields={"subject": subject, "role": str(role), "by": by})


def revoked(subject: str, role: Role, by: str) -> Draft:
    """The entry that takes it back."""
    return Draft(kind=REVOKED, fields={"subject": subject, "role": str(role), "by": by})


def rotated(purpose: str, name: str, before: int, after: int) -> Draft:
    """The entry of a change of keys."""
    return Draft(kind=ROTATED, fields={"purpose": str(purpose), "name": str(name), "before": before, "after": after})


class Record:
    """What the ledger says of the vault: which file is valid, who has which role."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.digests: dict[str, bytes] = {}
        """Of the valid file of each object."""
        self.gone: set[str] = set()
        """Objects that were removed."""
        self.runs: set[bytes] = set()
        """Areas that have a valid index."""
        self.epochs: dict[tuple[str, str], int] = {}
        """The newest of each key that was ever changed, by purpose and name."""
        self.grants = Grants()
        for entry in entries:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        """Go on by one entry; kinds of others are passed over.

        Raises:
            LedgerError: an entry of the vault's kinds without its fields.
        """
        if entry.kind not in (ACCESS, SEALED, REMOVED, GRANTED, REVOKED, ROTATED):
            return
        fields = entry.fields
        try:
            if entry.kind == SEALED:
                self._seal(_text(fields["object_id"]), fields)
            elif entry.kind == REMOVED:
                self._remove(_text(fields["object_id"]), fields)
            elif entry.kind == ROTATED:
                self._rotate((_text(fields["purpose"]), _text(fields["name"])), fields["after"])
            elif entry.kind == ACCESS:
                self.grants.use(_text(fields["principal"]), _text(fields["role"]), entry.at_ms)
            else:
                change = self.grants.grant if entry.kind == GRANTED else self.grants.revoke
                change(_text(fields["subject"]), _text(fields["role"]), entry.at_ms)
        except (KeyError, ValueError):
            raise LedgerError(f"entry {entry.seq}: {entry.kind} without its fields") from None

    def _seal(self, object_id: str, fields: Mapping[str, Value]) -> None:
        self.digests[object_id] = bytes.fromhex(_text(fields["digest"]))
        self.gone.discard(object_id)
        if fields["kind"] == Kind.INDEX:
            self.runs.add(bytes.fromhex(_text(fields["run"])))

    def _remove(self, object_id: str, fields: Mapping[str, Value]) -> None:
        self.digests.pop(object_id, None)
        self.gone.add(object_id)
        if fields["kind"] == Kind.INDEX:
            self.runs.discard(bytes.fromhex(_text(fields["run"])))

    def _rotate(self, name: tuple[str, str], after: Value) -> None:
        if type(after) is not int:
            raise ValueError("no epoch")
        self.epochs[name] = max(after, self.epochs.get(name, 0))


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


__all__ = [
    "access",
    "ACCESS",
    "AuditTrail",
    "granted",
    "GRANTED",
    "Record",
    "removed",
    "REMOVED",
    "revoked",
    "REVOKED",
    "rotated",
    "ROTATED",
    "sealed",
    "SEALED",
]
