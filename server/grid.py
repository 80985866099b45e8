"""The round loop's view of the network, and of time. Bytes go to sites, bytes or error codes come back.

``FlowerGrid`` (``server/app.py``) maps it to Flower's Grid; ``MemoryGrid`` (``simulations``) runs sites in one process.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol


class GridError(IntEnum):
    """Why no reply came: Flower's own codes (flwr 1.41), and one for a relay that failed."""

    UNKNOWN = 0
    LOAD_CLIENT_APP = 1
    CLIENT_APP_RAISED = 2
    MESSAGE_UNAVAILABLE = 3
    REPLY_UNAVAILABLE = 4
    NODE_UNAVAILABLE = 5
    MOD_FAILED = 6
    INVALID_FAB = 7
    CLIENT_APP_CRASHED = 8
    RELAY = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """One request on its way to a site."""

    site_id: str
    payload: bytes = field(repr=False)
    ttl_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What came back for one post: bytes, or the reason why none came."""

    message_id: str
    payload: bytes = field(default=b"", repr=False)
    error: GridError | None = None


class Grid(Protocol):
    """The network."""

    def sites(self) -> frozenset[str]:
        """Ids of the sites that are online now."""
        ...

    def push(self, posts: Sequence[Post]) -> tuple[str | None, ...]:
        """Send; message ids in the order of the posts, None for a post that was refused."""
        ...

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        """What has come for these messages. May be empty; an id is delivered at most once."""
        ...


class Clock(Protocol):
    """Time, injected."""

    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    def wait_s(self, seconds: float) -> None:
        """Let that much time pass."""
        ...
