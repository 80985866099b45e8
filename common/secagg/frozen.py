"""What a coordinator writes down before it asks for shares, so that a crash between the trips costs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.statements import Survivor

_LENGTH_BYTES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenSum:
    """The masked sum of the survivors, and what opening it needs."""

    train: pb.Train
    """The cohort with its bundles, without packets."""
    target: pb.Target
    """The share holders."""
    survivors: tuple[Survivor, ...]
    complaints: tuple[tuple[str, str], ...]
    """Dealer, and holder whose packet did not open."""
    next: pb.Target | None
    total: RingVector = field(repr=False)

    def entry(self, run_id: bytes, survivors_hash: bytes) -> JournalEntry:
        """To be written before anything is asked of the survivors. Its bulk is the sum itself and no copy of it."""
        unmask = pb.Unmask(survivors=to_wire(self.survivors), next=self.next)
        pairs = [part.encode() for pair in self.complaints for part in pair]
        parts = [self.train.SerializeToString(deterministic=True), self.target.SerializeToString(deterministic=True)]
        parts += [unmask.SerializeToString(deterministic=True), *pairs]
        framed = [len(parts).to_bytes(_LENGTH_BYTES, "big")]
        for part in parts:
            framed += [len(part).to_bytes(_LENGTH_BYTES, "big"), part]
        return JournalEntry(
            run_id=run_id,
            round_number=self.train.header.round,
            attempt=self.train.header.attempt,
            kind=EntryKind.FROZEN,
            digest=survivors_hash,
            detail=b"".join(framed),
            bulk=self.total.data.cast("B").toreadonly(),
        )

    @classmethod
    def from_entry(cls, entry: JournalEntry, total: RingVector) -> FrozenSum:
        """What was written; the sum is copied into ``total``.

        Raises:
            ProtocolError: ``ROUND_VOID`` for an entry of another kind, or a sum of another length.
        """
        if entry.kind is not EntryKind.FROZEN:
            raise ProtocolError("ROUND_VOID", "not the record of a frozen sum")
        view = memoryview(entry.detail)

        def take() -> bytes:
            nonlocal view
            size = int.from_bytes(view[:_LENGTH_BYTES], "big")
            part, view = bytes(view[_LENGTH_BYTES : _LENGTH_BYTES + size]), view[_LENGTH_BYTES + size :]
            return part

        count = int.from_bytes(view[:_LENGTH_BYTES], "big")
        view = view[_LENGTH_BYTES:]
        train, target, unmask, *pairs = [take() for _ in range(count)]
        if len(view) or len(entry.bulk) != 4 * total.size:
            raise ProtocolError("ROUND_VOID", "the frozen sum has another length")
        total[:] = np.frombuffer(entry.bulk, "<u4")
        asked = pb.Unmask.FromString(unmask)
        return cls(
            train=pb.Train.FromString(train),
            target=pb.Target.FromString(target),
            survivors=from_wire(asked),
            complaints=tuple((pairs[i].decode(), pairs[i + 1].decode()) for i in range(0, len(pairs), 2)),
            next=asked.next if asked.HasField("next") else None,
            total=total,
        )


def to_wire(survivors: tuple[Survivor, ...]) -> list[pb.Survivor]:
    """As they travel."""
    return [
        pb.Survivor(site_id=survivor.site_id, vector_hash=survivor.vector_hash, proof=survivor.proof)
        for survivor in survivors
    ]


def from_wire(message: pb.Unmask) -> tuple[Survivor, ...]:
    """The inverse of ``to_wire``."""
    return tuple(
        Survivor(site_id=entry.site_id, vector_hash=entry.vector_hash, proof=entry.proof) for entry in message.survivors
    )


__all__ = ["from_wire", "FrozenSum", "to_wire"]
