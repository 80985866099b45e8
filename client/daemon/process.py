"""The daemon from its start to its end: sockets, the four states, signals.

``LOCKED`` until the site's keys are open, ``LOADING`` until its agent is made, ``READY``, and ``DRAINING`` from the
first SIGTERM on. A second SIGTERM, or ``drain_timeout_s``, ends it as a crash would; journal and ledger are made for
that. What cannot be unlocked or loaded never becomes ``READY``: the error is the caller's, whose exit code keeps the
unit down.
Not handled here: what unlocking and loading are (``Site``), and the command that makes a ``Site`` of a folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from fedward.client.daemon.admin import AdminService
from fedward.client.daemon.desk import Agent, Desk
from fedward.client.daemon.folder import RunFolder
from fedward.client.daemon.gate import Gate, listening
from fedward.client.daemon.notify import notify
from fedward.client.daemon.service import SiteService
from fedward.client.daemon.settings import DaemonSettings
from fedward.client.daemon.voice import Voice
from fedward.client.daemon.worker import Worker
from fedward.common.logs.logger import log

_EXPIRE_EVERY_S = 60.0
_GRACE_S = 5.0
"""For replies on their way when the daemon ends."""


class Site(Protocol):
    """A site that can be opened. Both steps run in the agent's thread, in this order, once."""

    def unlock(self) -> Voice:
        """Open the keystore; on return the daemon can sign."""
        ...

    def load(self) -> Agent:
        """Check what is durable, load the base, make the agent."""
        ...


@dataclass(kw_only=True, slots=True)
class Daemon:
    """One daemon.

    Args:
        site: what it serves.
        folder: of its sockets.
        relay_uid: the one account that may use the relay's socket.
        settings: limits.
        floor_s: of a run, by its id: seconds that a ``Train`` takes at least.
    """

    site: Site
    folder: RunFolder
    relay_uid: int
    settings: DaemonSettings
    floor_s: Callable[[bytes], float] = lambda run_id: 0.0

    def run(self) -> None:
        """Serve until drained or told twice to stop.

        Raises:
            FedwardError: the site cannot be unlocked or loaded, or the folder cannot be used.
        """
        with self.folder.held():
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        desk = Desk(worker := Worker(), self.settings, floor_s=self.floor_s)
        stop, signals = asyncio.Event(), count(1)
        with _signals(lambda: self._on_signal(desk, stop, next(signals))):
            async with self._sockets(desk, stop):
                self._is("locked")
                ended = asyncio.create_task(stop.wait())
                opening = asyncio.create_task(self._open(desk, worker))
                await asyncio.wait({ended, opening}, return_when=asyncio.FIRST_COMPLETED)
                if opening.done():
                    opening.result()  # raises what keeps the site from being READY
                expiring = asyncio.create_task(_expire(desk))
                await ended
                await self._drain(desk)
                for task in (expiring, opening):
                    task.cancel()

    async def _open(self, desk: Desk, worker: Worker) -> None:
        desk.unlocked(await worker.submit(self.site.unlock))
        self._is("loading")
        desk.loaded(await worker.submit(self.site.load))
        self._is("ready", "READY=1")

    @staticmethod
    def _is(state: str, *lines: str) -> None:
        """Tell the log and the service manager."""
        log.event("site.state", state=state)
        notify(*lines, f"STATUS={state}")

    def _on_signal(self, desk: Desk, stop: asyncio.Event, number: int) -> None:
        if number > 1:
            log.event("drain.cut", open=desk.table.num_open)
            log.tick()
            os._exit(1)
        self._begin_drain(desk, stop)

    @staticmethod
    def _begin_drain(desk: Desk, stop: asyncio.Event) -> None:
        desk.drain()
        stop.set()

    async def _drain(self, desk: Desk) -> None:
        self._is("draining", "STOPPING=1")
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await desk.drained()
        except TimeoutError:
            log.event("drain.cut", open=desk.table.num_open)

    @asynccontextmanager
    async def _sockets(self, desk: Desk, stop: asyncio.Event) -> AsyncIterator[None]:
        listener = listening(self.folder.site, 0o660, self.folder.group)
        gate = Gate(
            listener,
            self.folder.grpc,
            uid=self.relay_uid,
            max_connections=self.settings.max_connections,
            header_timeout_s=self.settings.header_timeout_s,
        )
        admin = AdminService(desk, lambda: self._begin_drain(desk, stop), lambda: gate.num_refused_peers)
        servers = [
            SiteService(desk, self.settings).server(f"unix:{self.folder.grpc}"),
            admin.server(f"unix:{self.folder.admin}"),
        ]
        for server in servers:
            await server.start()
        self.folder.admin.chmod(0o600)
        self.folder.grpc.chmod(0o600)
        door = asyncio.create_task(gate.run())
        try:
            yield
        finally:
            for server in servers:
                await server.stop(_GRACE_S)
            door.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await door


async def _expire(desk: Desk) -> None:
    while True:
        await asyncio.sleep(_EXPIRE_EVERY_S)
        desk.expire()


@contextlib.contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


__all__ = ["Daemon", "Site"]
