"""Where the daemon's sockets lie, who may reach each, and that there is one daemon to a folder.

::

    RUN/              0750, the daemon's account, the relay's group
    ├── site.sock     0660, the same; the gate
    └── private/      0700
        ├── grpc.sock     what the gate pipes to
        ├── admin.sock    0600, status and drain
        └── lock          held while a daemon runs
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedward.client.daemon.gate import check_path
from fedward.common.errors import SocketError


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFolder:
    """The folder of a daemon's sockets.

    Args:
        path: absolute, or relative to where the process started.
        group: the relay's; None: the daemon's own, for one account.
    """

    path: Path
    group: int | None = None

    @property
    def site(self) -> Path:
        """The relay's socket."""
        return self.path / "site.sock"

    @property
    def private(self) -> Path:
        """The folder that is the daemon's alone."""
        return self.path / "private"

    @property
    def grpc(self) -> Path:
        """Behind the gate."""
        return self.private / "grpc.sock"

    @property
    def admin(self) -> Path:
        """For the site's own people."""
        return self.private / "admin.sock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folders as they must be and keep other daemons out; sockets are removed at the end.

        Raises:
            SocketError: a folder is another account's, a link, or too long a path; or a daemon runs in it.
        """
        for socket_path in (self.site, self.grpc, self.admin):
            check_path(socket_path)
        _own(self.path, 0o750, self.group)
        _own(self.private, 0o700, None)
        descriptor = os.open(self.private / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SocketError(f"a daemon runs in {self.path} already", hint="Stop it, or use it.") from None
            try:
                for path in (self.grpc, self.admin):
                    path.unlink(missing_ok=True)
                yield
            finally:
                for path in (self.site, self.grpc, self.admin):
                    path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _own(path: Path, mode: int, group: int | None) -> None:
    """A folder of ours with a mode and a group; made if it is not there."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SocketError(f"{path} is no folder of this account")
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)
    except OSError as error:
        raise SocketError(f"{path}: {error.strerror or 'cannot be used'}") from error


__all__ = ["RunFolder"]
