"""Tells systemd how the daemon stands (sd_notify(3), without its library): one datagram to ``NOTIFY_SOCKET``."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


def notify(*lines: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send ``READY=1``, ``STATUS=…``, ``STOPPING=1`` and the like; False: nobody asked for it, or it did not go.

    A service manager that does not listen is no reason to fail.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return False
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto("\n".join(lines).encode(), address)
        return True
    return False


__all__ = ["notify"]
