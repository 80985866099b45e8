"""The log of one party, put together: what a crash left is taken in, what is old goes, and from then on it is kept.

Not handled here: the hooks of a process (``guard``), which are one process's and not one party's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fedward.common.logs.logger import Log
from fedward.common.logs.retention import LOG_DAYS, purge
from fedward.common.logs.segments import FLUSH_S, SealedStream
from fedward.common.logs.ticker import ticking
from fedward.common.logs.vault_shelf import VaultShelf
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.roles import Role

_MS = 1000


@contextmanager
def kept_by(
    party: PartyFolder, log: Log, *, log_days: int = LOG_DAYS, every_s: float = FLUSH_S
) -> Iterator[VaultShelf]:
    """Keep ``log`` in the folder of ``party`` while this lasts; close it before the folder.

    Args:
        party: open.
        log: the process's; it has no other sink.
        log_days: older segments are deleted now.
        every_s: seconds between two ticks of the thread that writes.

    Raises:
        LogEventError: the log has a sink already.
        VaultError, LedgerError: the folder takes no log; nothing is lost, events wait.
    """
    shelf = VaultShelf(party, party.principal(Role.DAEMON))
    shelf.adopt()
    purge(shelf, party.trail, now_s=lambda: party.clock() // _MS, log=log, log_days=log_days)
    with log.kept_in(SealedStream(shelf)), ticking(log.tick, every_s=every_s):
        yield shelf


__all__ = ["kept_by"]
