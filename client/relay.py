"""The thin Flower ClientApp: carries bytes from Flower to the site and back. Holds no data, no keys, no torch.

Every exception is caught here, since Flower sends ``str(exception)`` to the server as the error's reason. What the
relay says of its own failures is a code of a closed list, unsigned, and never a site's decision.
"""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedward.common.logs.logger import log
from fedward.common.messages import wire
from fedward.common.messages.codec import MAX_MESSAGE_BYTES

Handler = Callable[[bytes, Context], bytes]
"""Answers one message. The context serves simulations, whose nodes have no process of their own."""


def client_app(handler: Handler) -> ClientApp:
    """A Flower ClientApp that passes every query to ``handler``."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return Message(carry(message.content, context, handler), reply_to=message)

    return app


def carry(content: RecordDict, context: Context, handler: Handler) -> RecordDict:
    """One request record to one reply record; never raises."""
    try:
        payload = unpack(content)
    except (KeyError, TypeError, ValueError):
        return failure("bad-record")
    if len(payload) > MAX_MESSAGE_BYTES:
        return failure("too-large")
    try:
        return pack(handler(payload, context))
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
