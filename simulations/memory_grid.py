"""A network in one process: sites are functions from bytes to bytes, called one at a time in a seeded order.

It imitates Flower's Grid where the round loop could tell the difference: a reply is delivered at most once, a second
pull of an id gives ``MESSAGE_UNAVAILABLE``, an offline site gives ``NODE_UNAVAILABLE`` at the next pull, and a site
that raises gives ``CLIENT_APP_RAISED``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence

from fedward.server.grid import Delivery, GridError, Post

Handler = Callable[[bytes], bytes]


class MemoryGrid:
    """Delivers one reply per pull, so that progress shows as sites finish.

    Args:
        handlers: site id to what answers for it.
        seed: of the order in which sites are served.
        offline: ids that cannot be reached; may be changed by a test while a run is going on.
    """

    def __init__(self, handlers: Mapping[str, Handler], *, seed: int = 0, offline: Collection[str] = ()) -> None:
        self._handlers = dict(handlers)
        self._seed = seed
        self.offline = set(offline)
        self._queue: dict[str, Post] = {}
        self._sent = 0

    def sites(self) -> frozenset[str]:
        """See ``Grid.sites``."""
        return frozenset(self._handlers) - self.offline

    def push(self, posts: Sequence[Post]) -> tuple[str | None, ...]:
        """See ``Grid.push``; a post to a stranger is refused."""
        ids: list[str | None] = []
        for post in posts:
            if post.site_id not in self._handlers:
                ids.append(None)
                continue
            self._sent += 1
            message_id = f"m{self._sent}"
            self._queue[message_id] = post
            ids.append(message_id)
        return tuple(ids)

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        """See ``Grid.pull``; serves one of the sites and returns its answer."""
        open_ids = [message_id for message_id in message_ids if message_id in self._queue]
        if not open_ids:
            return tuple(Delivery(message_id=i, error=GridError.MESSAGE_UNAVAILABLE) for i in message_ids)
        message_id = min(open_ids, key=self._turn)
        post = self._queue.pop(message_id)
        if post.site_id in self.offline:
            return (Delivery(message_id=message_id, error=GridError.NODE_UNAVAILABLE),)
        try:
            reply = self._handlers[post.site_id](post.payload)
        except Exception:  # noqa: BLE001 - as Flower does: whatever a ClientApp raises becomes an error code
            return (Delivery(message_id=message_id, error=GridError.CLIENT_APP_RAISED),)
        return (Delivery(message_id=message_id, payload=reply),)

    def _turn(self, message_id: str) -> bytes:
        return hashlib.sha256(f"{self._seed}/{message_id}".encode()).digest()
