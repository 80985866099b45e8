"""What a site's administrator may set of its daemon."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedward.common.messages import wire
from fedward.common.settings import PositiveFloat, Settings

_MIB = 1 << 20


class DaemonSettings(Settings):
    """Limits of the daemon: sizes, times, and how many of anything at once."""

    max_message_bytes: Annotated[int, Field(ge=_MIB, le=wire.MAX_MESSAGE_BYTES)] = wire.MAX_MESSAGE_BYTES
    """A longer message is refused by its first part (relay code ``too-large``)."""
    header_timeout_s: PositiveFloat = 5.0
    """From a connection, or a call, to its first bytes."""
    idle_timeout_s: PositiveFloat = 30.0
    """Between two parts of a message. All of it must be there within ``hold_s``."""
    max_connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Open at once on the relay's socket; a further one is closed."""
    hold_s: PositiveFloat = 300.0
    """Longest that a request is held before it is answered with ``Pending``."""
    max_jobs: Annotated[int, Field(ge=1, le=1)] = 1
    """Requests worked on at once, over all runs; others wait their turn. A site has one agent, so this is 1."""
    max_waiting: Annotated[int, Field(ge=1, le=1024)] = 64
    """Requests that may wait their turn; a further one is refused with ``ABSTAIN``."""
    keep_s: PositiveFloat = 86_400.0
    """So long an answer is kept at most for a request that comes again: the policy's ``attempt_ttl_s``."""
    drain_timeout_s: PositiveFloat = 900.0
    """So long SIGTERM waits for what was begun; then the daemon ends as after a crash."""


__all__ = ["DaemonSettings"]
