"""Flower's Grid as the round loop sees it. Wiring only: nothing is decided here.

Our own push and pull: ``send_and_receive`` sleeps three seconds between polls (read in flwr 1.41), and one push per
message keeps ids and posts aligned, since a refused message simply lacks in Flower's list.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid as FlowerTransport

from fedward.common.messages import wire
from fedward.server.grid import Delivery, GridError, Post


class FlowerGrid:
    """Adapts Flower's Grid.

    Args:
        transport: Flower's own.
        nodes: site id to node id, found by keys in a deployment and by asking in a simulation; never by order.
    """

    def __init__(self, transport: FlowerTransport, nodes: Mapping[str, int]) -> None:
        self._transport = transport
        self._nodes = dict(nodes)

    def sites(self) -> frozenset[str]:
        """See ``Grid.sites``."""
        online = set(self._transport.get_node_ids())
        return frozenset(site for site, node in self._nodes.items() if node in online)

    def push(self, posts: Sequence[Post]) -> tuple[str | None, ...]:
        """See ``Grid.push``."""
        return tuple(self._push_one(post) for post in posts)

    def _push_one(self, post: Post) -> str | None:
        node = self._nodes.get(post.site_id)
        if node is None:
            return None
        message = Message(pack(post.payload), node, wire.MESSAGE_TYPE, ttl=post.ttl_s)
        return next(iter(self._transport.push_messages([message])), None)

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        """See ``Grid.pull``."""
        return tuple(delivery(reply) for reply in self._transport.pull_messages(message_ids))


def delivery(reply: Message) -> Delivery:
    """A Flower reply as the round loop sees it."""
    message_id = reply.metadata.reply_to_message_id
    if reply.has_error():
        return Delivery(message_id=message_id, error=_error_of(reply.error.code))
    try:
        return Delivery(message_id=message_id, payload=unpack(reply.content))
    except (KeyError, TypeError, ValueError):
        return Delivery(message_id=message_id, error=GridError.RELAY)


def pack(payload: bytes) -> RecordDict:
    """Bytes as Flower carries them."""
    array = Array(dtype=wire.DTYPE, shape=(len(payload),), stype=wire.STYPE, data=payload)
    return RecordDict({wire.RECORD: ArrayRecord({wire.ARRAY: array})})


def unpack(content: RecordDict) -> bytes:
    """The bytes in a record.

    Raises:
        KeyError, TypeError, ValueError: not a record of ours, a relay's failure included.
    """
    array = content.array_records[wire.RECORD][wire.ARRAY]
    if not wire.is_ours(stype=array.stype, dtype=array.dtype, shape=array.shape, num_bytes=len(array.data)):
        raise ValueError("not a Fedward array")
    return bytes(array.data)


def _error_of(code: int) -> GridError:
    try:
        return GridError(code)
    except ValueError:
        return GridError.UNKNOWN


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """See ``Clock.now_s``."""
        return time.monotonic()

    def wait_s(self, seconds: float) -> None:
        """See ``Clock.wait_s``."""
        time.sleep(seconds)  # noqa: TID251 - the one place that lets real time pass
