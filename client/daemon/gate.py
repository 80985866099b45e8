"""The relay's door: lets one account in, by what the kernel says of the peer, and pipes bytes to gRPC behind it.

Python's gRPC does not tell a peer's uid, so a small gate does: it reads ``SO_PEERCRED`` of each connection, closes
whatever is not the relay's, and connects the rest to a socket in a folder that is the daemon's alone. A peer must speak
within the header timeout, and only then is anything opened behind the gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path

from fedward.common.errors import SocketError
from fedward.common.logs.logger import log

MAX_PATH_BYTES = 107
"""Of ``sockaddr_un`` on Linux, without the closing zero."""
_BUFFER_BYTES = 256 << 10
_BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid."""


def listening(path: Path, mode: int, group: int | None = None) -> socket.socket:
    """A unix socket that listens at a path; a stale one is replaced, anything else is not.

    Args:
        path: in a folder that is the caller's own.
        mode: of the socket file.
        group: that it belongs to; None: the caller's.

    Raises:
        SocketError: the path is too long or taken, or the socket cannot be made so.
    """
    check_path(path)
    if path.is_symlink() or (path.exists() and not path.is_socket()):
        raise SocketError(f"{path} is there, and is no socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o777)  # until mode and group are right, nobody may connect
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SocketError(f"{path}: {error.strerror or 'cannot listen'}") from error
    return listener


def check_path(path: Path) -> None:
    """Refuse a path that the kernel would.

    Raises:
        SocketError: longer than 107 bytes.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise SocketError(f"{path}: a socket's path has at most {MAX_PATH_BYTES} bytes", hint="Use a shorter folder.")


def peer_uid(connection: socket.socket) -> int:
    """The account at the other end, as the kernel knew it when it connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return int(uid)


class Gate:
    """Accepts, checks, pipes.

    Args:
        listener: listens already.
        target: path of the socket behind.
        uid: the only account let in.
        max_connections: at once.
        header_timeout_s: from connecting to the first bytes.
    """

    def __init__(
        self, listener: socket.socket, target: Path, *, uid: int, max_connections: int, header_timeout_s: float
    ) -> None:
        self._listener = listener
        self._target = target
        self._uid = uid
        self._max_connections = max_connections
        self._header_timeout_s = header_timeout_s
        self._open: set[asyncio.Task[None]] = set()
        self.num_refused_peers = 0

    async def run(self) -> None:
        """Accept until cancelled; then every connection is closed."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except OSError:  # the peer is gone already, or there are no descriptors left
                    log.event("peer.refused", why="no_descriptor")
                    await asyncio.sleep(0.1)
                    continue
                if self._admits(connection):
                    task = asyncio.create_task(self._serve(connection))
                    self._open.add(task)
                    task.add_done_callback(self._open.discard)
                else:
                    connection.close()
        finally:
            self._listener.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    def _admits(self, connection: socket.socket) -> bool:
        uid = peer_uid(connection)
        if uid != self._uid:
            self.num_refused_peers += 1
            log.event("peer.refused", why="account", uid=uid)
            return False
        if len(self._open) >= self._max_connections:
            log.event("peer.refused", why="too_many")
            return False
        return True

    async def _serve(self, outside: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        inside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with outside, inside:
            outside.setblocking(False)
            inside.setblocking(False)
            with contextlib.suppress(OSError, TimeoutError):  # either end gone, or a peer that says nothing
                async with asyncio.timeout(self._header_timeout_s):
                    first = await loop.sock_recv(outside, _BUFFER_BYTES)
                    if not first:
                        return
                    await loop.sock_connect(inside, str(self._target))
                await loop.sock_sendall(inside, first)
                await _either(_pump(outside, inside), _pump(inside, outside))


async def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Bytes from one end to the other until there are none."""
    loop, buffer = asyncio.get_running_loop(), bytearray(_BUFFER_BYTES)
    view = memoryview(buffer)
    with contextlib.suppress(OSError):
        while size := await loop.sock_recv_into(source, buffer):
            await loop.sock_sendall(sink, view[:size])


async def _either(*pumps: object) -> None:
    """Run until the first ends: HTTP/2 has no use for a connection with one direction."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


__all__ = ["check_path", "Gate", "listening", "MAX_PATH_BYTES", "peer_uid"]
