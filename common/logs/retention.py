"""Old segments deleted, and the ledger told.

A segment holds about 10 minutes at most, so its age follows from its name. The entry comes first: a crash between the
two leaves segments that the next purge deletes, with an entry of its own, and never a deletion that nobody wrote down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fedward.common._validate import positive
from fedward.common.ledger.chain import Draft
from fedward.common.logs.logger import Log
from fedward.common.logs.segments import SPAN_S
from fedward.common.logs.vault_shelf import VaultShelf

LOG_DAYS = 90
LOG_PURGED = "log.purged"
_DAY_S = 86_400


class Trail(Protocol):
    """The part of the site's ledger that a purge needs."""

    def append(self, drafts: Sequence[Draft]) -> object:
        """Append all of ``drafts``; durable on return."""
        ...


def purge(shelf: VaultShelf, trail: Trail, *, now_s: Callable[[], int], log: Log, log_days: int = LOG_DAYS) -> int:
    """Delete the segments whose last event is older than ``log_days``; their number.

    Args:
        shelf: the log's.
        trail: takes ``log.purged`` before anything is deleted.
        now_s: whole seconds since 1970. A clock that runs ahead deletes too early.
        log: told too.
        log_days: how long a segment is kept.

    Raises:
        ConfigError: not a number of days.
        LedgerError: no entry, no deletion.
    """
    positive(log_days=log_days)
    before_s = now_s() - log_days * _DAY_S
    old = [stored for stored in shelf.stored() if stored.name.opened_at_s + SPAN_S < before_s]
    if not old:
        return 0
    trail.append([Draft(kind=LOG_PURGED, fields={"segments": len(old), "log_days": log_days, "before_s": before_s})])
    for stored in old:
        shelf.delete(stored)
    log.event("log.expired", segments=len(old), days=log_days)
    return len(old)


__all__ = ["LOG_DAYS", "LOG_PURGED", "purge", "Trail"]
