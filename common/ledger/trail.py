"""A ledger as those see it who write to it and ask what stands there: entries in, a receipt out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from fedward.common.errors import HeadMovedError
from fedward.common.ledger.chain import Draft, Entry, Head
from fedward.common.ledger.store import Ledger, Receipt

_MAX_TRIES = 16


class HeadTrail(Protocol):
    """What the witness protocol wants of a chain."""

    @property
    def head(self) -> Head:
        """The last entry that is durable."""
        ...

    def append(self, drafts: Sequence[Draft]) -> Receipt:
        """Append all of ``drafts`` or none, whatever the head is; durable on return."""
        ...

    def holds(self, entry_hash: bytes) -> bool:
        """Whether an entry of this hash is on the chain."""
        ...

    def entries(self) -> Iterator[Entry]:
        """All entries, in order."""
        ...


class LedgerTrail:
    """A ``Ledger`` for entries that hold on any head.

    Args:
        ledger: open for writing.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def head(self) -> Head:
        """See ``HeadTrail.head``."""
        return self._ledger.head

    def append(self, drafts: Sequence[Draft]) -> Receipt:
        """See ``HeadTrail.append``.

        Raises:
            LedgerError: as ``Ledger.append``.
        """
        for _ in range(_MAX_TRIES):
            head = self._ledger.head
            try:
                return self._ledger.append(drafts, expected_head=head)
            except HeadMovedError:
                if self._ledger.head == head:
                    raise  # another process wrote past the lock; a thread of this one was only faster
        raise HeadMovedError("the ledger grows faster than it can be appended to")

    def holds(self, entry_hash: bytes) -> bool:
        """See ``HeadTrail.holds``."""
        return self._ledger.holds(entry_hash)

    def entries(self) -> Iterator[Entry]:
        """See ``HeadTrail.entries``."""
        with self._ledger.reader() as reader, reader.snapshot():
            yield from reader.entries()


__all__ = ["HeadTrail", "LedgerTrail"]
