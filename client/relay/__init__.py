"""Carries bytes between Flower and a site's daemon. Holds no data, no keys, no torch.

Every exception is caught here, since Flower sends ``str(exception)`` to the server as the error's reason. What the
relay says of its own failures is a code of a closed list, unsigned, and never a site's decision; everything else that
leaves was signed by the daemon. It logs codes and sizes.

Three ways to run it: the resident relay (``resident``, the default), ``app`` below under Flower's own SuperExec, and
for simulations ``client_app`` around a function. ``launcher`` starts the SuperNode beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedward.client.relay.site_socket import RelayError, SiteSocket, hold_s
from fedward.common.logs.logger import log
from fedward.common.messages import wire
from fedward.common.messages.wire import MAX_MESSAGE_BYTES

Handler = Callable[[bytes, Context], bytes]
"""Answers one message. The context serves simulations, whose nodes have no process of their own."""
Carrier = Callable[[bytes], bytes]


class Asked(Protocol):
    """A site's daemon, as far as a relay knows it; ``SiteSocket`` is one."""

    def ask(self, payload: bytes, *, timeout_s: float) -> bytes:
        """One request to one reply, or ``RelayError``."""
        ...


SOCKET_VARIABLE = "FEDWARD_SITE_SOCKET"
"""Where ``app`` finds the daemon: Flower's SuperExec passes no options on."""


def client_app(handler: Handler) -> ClientApp:
    """A Flower ClientApp that passes every query to ``handler``."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return Message(carry(message.content, context, handler), reply_to=message)

    return app


def socket_app() -> ClientApp:
    """A Flower ClientApp that passes every query to the daemon."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return Message(answer(message, SiteSocket(Path(os.environ.get(SOCKET_VARIABLE, "")))), reply_to=message)

    return app


def answer(message: Message, site: Asked, *, longest_hold_s: float = 300.0) -> RecordDict:
    """The record that answers a message of Flower; never raises."""
    try:
        if message.metadata.message_type != wire.MESSAGE_TYPE or not message.has_content():
            return failure("bad-record")
        timeout_s = hold_s(message.metadata.created_at, message.metadata.ttl, longest_s=longest_hold_s)
        return carry_bytes(message.content, partial(site.ask, timeout_s=timeout_s))
    except Exception as error:  # noqa: BLE001 - its text would go to the server
        log.failure("relay.failed", error)
        return failure("internal")


def carry(content: RecordDict, context: Context, handler: Handler) -> RecordDict:
    """One request record to one reply record; never raises."""
    return carry_bytes(content, lambda payload: handler(payload, context))


def carry_bytes(content: RecordDict, carrier: Carrier) -> RecordDict:
    """The same, where the site needs no context."""
    try:
        payload = unpack(content)
    except (KeyError, TypeError, ValueError):
        return failure("bad-record")
    if len(payload) > MAX_MESSAGE_BYTES:
        return failure("too-large")
    try:
        return pack(carrier(payload))
    except RelayError as error:
        log.event("relay.unanswered", code=error.code, bytes=len(payload))
        return failure(error.code)
    except Exception as error:  # noqa: BLE001 - its text would go to the server
        log.failure("relay.failed", error)
        return failure("internal")


def pack(payload: bytes) -> RecordDict:
    """Bytes as Flower carries them."""
    array = Array(dtype=wire.DTYPE, shape=(len(payload),), stype=wire.STYPE, data=payload)
    return RecordDict({wire.RECORD: ArrayRecord({wire.ARRAY: array})})


def unpack(content: RecordDict) -> bytes:
    """The bytes in a record.

    Raises:
        KeyError, TypeError, ValueError: not a record of ours.
    """
    array = content.array_records[wire.RECORD][wire.ARRAY]
    if not wire.is_ours(stype=array.stype, dtype=array.dtype, shape=array.shape, num_bytes=len(array.data)):
        raise ValueError("not a Fedward array")
    return bytes(array.data)


def failure(code: str) -> RecordDict:
    """A relay's word that it, not the site, failed."""
    return RecordDict({wire.ERROR_RECORD: ConfigRecord({wire.ERROR_KEY: code})})


app = socket_app()
"""What a FAB names. It reads ``FEDWARD_SITE_SOCKET`` when it is asked."""
