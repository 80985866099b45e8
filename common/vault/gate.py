"""Judges who may do what, and enters every verdict: table, then grant. The key is the vault's part.

A refusal is an entry with its reason; an allowed access is one that the vault appends before it hands anything over.
Reasons: ``table``, ``unreleased``, ``grant``; from the vault ``key``, ``replaced``, ``damaged``, ``missing``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fedward.common.errors import AccessRefusedError, VaultError
from fedward.common.ledger.chain import Draft
from fedward.common.vault import audit
from fedward.common.vault.areas import Storage
from fedward.common.vault.grants import Grants
from fedward.common.vault.index import ObjectInfo
from fedward.common.vault.roles import Action, Office, Principal, Resource, Role, is_allowed

_WHY = {
    "table": "may not",
    "unreleased": "may not, before it is released,",
    "grant": "was not granted to this account, so it may not",
}
_Round = tuple[bytes, int, Resource, Action, Principal]


class Gate:
    """The table of roles and the grants of one vault.

    Args:
        storage: whose ledger gets the entries.
        turn: the vault's lock; held by the caller of ``entry``.
    """

    def __init__(self, storage: Storage, turn: threading.RLock) -> None:
        self._storage = storage
        self._turn = turn
        self._noted: set[_Round] = set()

    @property
    def grants(self) -> Grants:
        """Who holds which role now."""
        return self._storage.record.grants

    def check(self, resource: Resource, action: Action, *, principal: Principal) -> None:
        """An action on what is no object (ledger, policy, keys): judged, and entered either way.

        Raises:
            AccessRefusedError: the role may not.
        """
        with self._turn:
            self.require(principal, resource, action)
            self._storage.append([audit.access(principal, resource, action)])

    def grant(self, subject: str, role: Role, *, principal: Principal) -> None:
        """Bind ``subject`` to ``role``; the steward's.

        Raises:
            AccessRefusedError: the role may not.
        """
        with self._changing(principal):
            self._enter(principal, audit.granted(subject, role, principal.subject))

    def revoke(self, subject: str, role: Role, *, principal: Principal) -> None:
        """Take ``role`` from ``subject``; the steward's, but not from the last steward.

        Raises:
            AccessRefusedError: the role may not.
            VaultError: the subject has no such role, or nobody would be left who can grant.
        """
        with self._changing(principal):  # first: who holds what is not for everybody
            if not self.grants.holds(Principal(subject=subject, role=role)):
                raise VaultError(
                    "this subject does not hold this role", hint="`fedward audit idle --days 0` lists all."
                )
            if role is Role.STEWARD and self.grants.holders(role) == (subject,):
                raise VaultError("the last steward is not revoked", hint="Grant the role to another first.")
            self._enter(principal, audit.revoked(subject, role, principal.subject))

    @contextmanager
    def _changing(self, principal: Principal) -> Iterator[None]:
        with self._turn:
            self.require(principal, Office.KEYS, Action.WRITE)
            yield

    def _enter(self, principal: Principal, change: Draft) -> None:
        self._storage.append([audit.access(principal, Office.KEYS, Action.WRITE), change])

    def require(
        self,
        principal: Principal,
        resource: Resource,
        action: Action,
        *,
        info: ObjectInfo | None = None,
        run_id: bytes = b"",
        is_released: bool = False,
    ) -> None:
        """Table, then grant. Nothing is entered where it holds.

        Raises:
            AccessRefusedError: it does not; the entry is durable.
        """
        is_released = is_released or (info is not None and info.is_released)
        if not is_allowed(principal.role, resource, action, is_released=is_released):
            reason = "unreleased" if is_allowed(principal.role, resource, action, is_released=True) else "table"
        elif not self.grants.holds(principal):
            reason = "grant"
        else:
            return
        self.refuse(principal, resource, action, reason, info=info, run_id=run_id)
        raise AccessRefusedError(f"role {principal.role} {_WHY[reason]} {action} {resource}")

    def refuse(
        self,
        principal: Principal,
        resource: Resource,
        action: Action,
        reason: str,
        *,
        info: ObjectInfo | None = None,
        run_id: bytes = b"",
    ) -> None:
        """Enter a refusal."""
        object_id, run_id = (info.object_id, info.run_id) if info else ("", run_id)
        draft = audit.access(principal, resource, action, object_id=object_id, run_id=run_id, refused=reason)
        with self._turn:
            self._storage.append([draft])

    @contextmanager
    def entry(
        self, principal: Principal, action: Action, info: ObjectInfo, round_number: int | None = None
    ) -> Iterator[list[Draft]]:
        """The entry of an allowed access, to be appended in the block; none where the daemon's round has one."""
        if round_number is None or principal.role is not Role.DAEMON:
            yield [audit.access(principal, info.kind, action, object_id=info.object_id, run_id=info.run_id)]
            return
        place = (info.run_id, round_number, info.kind, action, principal)
        draft = audit.access(principal, info.kind, action, run_id=info.run_id, round_number=round_number)
        yield [] if place in self._noted else [draft]
        self._noted.add(place)  # only once it is durable

    def forget(self, run_id: bytes) -> None:
        """A run is over."""
        self._noted = {noted for noted in self._noted if noted[0] != run_id}


__all__ = ["Gate"]
