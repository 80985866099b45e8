"""A log in the vault: a segment that grows lies under the readers' own keys, one that is full is an object of kind log.

An object is written once and costs three entries of the ledger; a segment that is written every 5 seconds would cost as
many each time. So the growing segment is a file of ``state/log``, sealed for the keys by which the roles that may read
logs open them, and takes its place in the vault when it is full. The daemon's role opens neither.

A crash leaves the growing segment where it is: the next start puts it into the vault. A change of keys wraps it anew
(``common.vault.loose``), whoever makes it, and never between the choice of a segment's keys and its write.

Not handled here: when segments are written (``segments``), and who is told of a purge (``retention``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedward.common.envelope.recipients import X25519Identity, X25519Recipient
from fedward.common.errors import EnvelopeError, LogError
from fedward.common.logs.shelves import MAX_SEALED_PLAINTEXT, EnvelopeShelf, SegmentName
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.kinds import SITE_DATA, Kind
from fedward.common.vault.loose import GROWING_LOG
from fedward.common.vault.roles import Action, Principal, Role, readers


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Stored:
    """A segment that is there."""

    name: SegmentName
    object_id: str
    """Of the vault; empty while it grows."""


class VaultShelf:
    """The log of one party's folder.

    Args:
        party: open.
        writer: who writes and deletes; its role is the daemon's.
    """

    def __init__(self, party: PartyFolder, writer: Principal) -> None:
        self._party = party
        self._vault = party.vault
        self._writer = writer
        self._growing = EnvelopeShelf(party.folder.path(GROWING_LOG), self._recipients)

    def put(self, name: SegmentName, data: bytes, *, is_last: bool) -> None:
        """See ``LogShelf.put``."""
        if not is_last:
            with self._vault.keys_held():
                self._growing.put(name, data)
            return
        if not self._vault.find(Kind.LOG, name=str(name)):  # a crash came between the two lines below
            self._vault.put(Kind.LOG, str(name), data, principal=self._writer)
        self._growing.delete(name)

    def adopt(self) -> int:
        """Put what a crash left growing into the vault; how many segments. Before a stream of this process writes."""
        num_adopted = 0
        self._growing.tidy()
        for name in self._growing.names():
            try:
                data = self._growing.read(name, self._keys(*readers(Kind.LOG)))
            except (EnvelopeError, LogError):
                continue
            self.put(name, data, is_last=True)
            num_adopted += 1
        return num_adopted

    def stored(self) -> tuple[Stored, ...]:
        """All segments, the oldest first."""
        return tuple(sorted(self._all()))

    def _all(self) -> Iterator[Stored]:
        done: set[SegmentName] = set()
        for info in self._vault.find(Kind.LOG, run_id=SITE_DATA):
            try:
                name = SegmentName.parse(info.name)
            except LogError:  # somebody else's object of this kind
                continue
            done.add(name)
            yield Stored(name=name, object_id=info.object_id)
        yield from (Stored(name=name, object_id="") for name in self._growing.names() if name not in done)

    def read(self, stored: Stored, reader: Principal) -> bytes:
        """One segment, for a role that may read logs; the entry of the access is durable before anything is opened.

        Raises:
            AccessRefusedError: the role may not.
            VaultError, EnvelopeError: it does not open.
        """
        if stored.object_id:
            return self._vault.read(stored.object_id, principal=reader, max_bytes=MAX_SEALED_PLAINTEXT)
        self._vault.gate.check(Kind.LOG, Action.READ, principal=reader)
        return self._growing.read(stored.name, self._keys(reader.role))

    def delete(self, stored: Stored) -> None:
        """Remove one segment.

        Raises:
            AccessRefusedError: the writer's role may not.
        """
        if stored.object_id:
            self._vault.delete(stored.object_id, principal=self._writer)
        self._growing.delete(stored.name)

    def _recipients(self) -> list[X25519Recipient]:
        return [self._party.keystore.role_key(role, Kind.LOG).recipient for role in readers(Kind.LOG)]

    def _keys(self, *roles: Role) -> list[X25519Identity]:
        """Asked each time: a rotation changes them."""
        return [key for role in roles for key in self._party.keystore.role_keys(role, Kind.LOG)]


__all__ = ["Stored", "VaultShelf"]
