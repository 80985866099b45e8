"""The log of one party, put together: what a crash left is taken in, and from then on it is kept.

What is old goes at the start and once a day: a daemon may run for longer than logs are kept.

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
_DAY_S = 86_400


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
    daily = Daily(party, shelf, log, log_days)
    daily.purge()
    with log.kept_in(SealedStream(shelf)), ticking(daily.tick, every_s=every_s):
        yield shelf


class Daily:
    """Writes the log, and purges it where a day has gone by since the last time.

    Args:
        party: whose log it is.
        shelf: its segments.
        log: the process's.
        log_days: older segments are deleted.
    """

    def __init__(self, party: PartyFolder, shelf: VaultShelf, log: Log, log_days: int) -> None:
        self._party = party
        self._shelf = shelf
        self._log = log
        self._log_days = log_days
        self._purged_at_s = 0

    def purge(self) -> None:
        """Delete what is old.

        Raises:
            VaultError, LedgerError: it cannot be deleted.
        """
        self._purged_at_s = self._now_s()
        purge(self._shelf, self._party.trail, now_s=self._now_s, log=self._log, log_days=self._log_days)

    def tick(self) -> None:
        """To be called every few seconds; raises nothing."""
        self._log.tick()
        if self._now_s() - self._purged_at_s < _DAY_S:
            return
        try:
            self.purge()
        except Exception as error:  # noqa: BLE001 - of the log: it stops nobody, and is tried again tomorrow
            self._log.failure("error.uncaught", error, where="thread")

    def _now_s(self) -> int:
        return self._party.clock() // _MS


__all__ = ["Daily", "kept_by"]
