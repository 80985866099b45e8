"""gRPC around the desk: parts in, parts out, each wait with an end.

What a caller gets that is no signed message is a gRPC status, by which the relay names its own failure: too long
``RESOURCE_EXHAUSTED``, too slow ``DEADLINE_EXCEEDED``, no message ``INVALID_ARGUMENT``, keys sealed
``FAILED_PRECONDITION``. The details never say anything of what was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc

from fedward.client.daemon.desk import Desk, NotServingError, Reply
from fedward.client.daemon.settings import DaemonSettings
from fedward.common.errors import MessageTooLargeError, TransportError
from fedward.common.logs.logger import log
from fedward.common.messages import parts
from fedward.common.messages import site_daemon_pb2 as pb

_ANSWER_MARGIN_S = 5.0
"""A reply must still travel before the caller's deadline."""
_OPTIONS = (
    ("grpc.max_receive_message_length", parts.MAX_FRAME_BYTES),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.max_concurrent_streams", 8),
    ("grpc.so_reuseport", 0),
    ("grpc.default_compression_algorithm", 0),
)
_MS = 1000


class SiteService:
    """The methods of ``SiteDaemon``.

    Args:
        desk: answers.
        settings: limits.
    """

    def __init__(self, desk: Desk, settings: DaemonSettings) -> None:
        self._desk = desk
        self._settings = settings
        self._incoming_bytes = 0
        """Of messages that are not whole yet, all calls together."""

    def server(self, address: str) -> grpc.aio.Server:
        """A server with these methods alone, not started yet."""
        timeouts = (
            ("grpc.server_handshake_timeout_ms", int(self._settings.header_timeout_s * _MS)),
            ("grpc.max_connection_idle_ms", int(self._settings.idle_timeout_s * _MS)),
        )
        server = grpc.aio.server(options=(*_OPTIONS, *timeouts), compression=grpc.Compression.NoCompression)
        handlers = {
            "Handle": grpc.stream_stream_rpc_method_handler(
                self.handle,
                request_deserializer=pb.Part.FromString,
                response_serializer=pb.Part.SerializeToString,
            ),
            "Health": grpc.unary_unary_rpc_method_handler(
                self.health,
                request_deserializer=pb.HealthRequest.FromString,
                response_serializer=pb.HealthReply.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("fedward.site.v1.SiteDaemon", handlers),))
        server.add_insecure_port(address)  # a unix socket in a folder of mode 0700
        return server

    async def health(self, request: pb.HealthRequest, context: Any) -> pb.HealthReply:  # noqa: ANN401 - gRPC's own
        """The state, and the longest message."""
        return pb.HealthReply(state=self._desk.state, max_message_bytes=self._settings.max_message_bytes)

    async def handle(self, incoming: AsyncIterator[pb.Part], context: Any) -> None:  # noqa: ANN401
        """One request in parts to one reply in parts."""
        hold_s = self._hold_s(context)
        try:
            reply = await self._desk.answer(await self._received(incoming), hold_s)
            for part in parts.split(reply.payload):
                async with asyncio.timeout(self._settings.idle_timeout_s):
                    await context.write(part)
        except Exception as error:  # noqa: BLE001 - its text would go to the relay
            await _abort(context, error)
        self._desk.given(reply)

    def _hold_s(self, context: Any) -> float:  # noqa: ANN401
        """The caller's deadline less the margin; half of it where it is short."""
        left_s = context.time_remaining()
        if left_s is None:
            return self._settings.hold_s
        return float(min(self._settings.hold_s, max(left_s - _ANSWER_MARGIN_S, left_s / 2)))

    async def _received(self, incoming: AsyncIterator[pb.Part]) -> bytes:
        """One whole message.

        Raises:
            TransportError: not a message, or one too long.
            TimeoutError: it comes too slowly.
        """
        joiner, timeout_s = parts.Joiner(self._settings.max_message_bytes), self._settings.header_timeout_s
        try:
            async with asyncio.timeout(self._settings.hold_s):
                while (part := await _next(incoming, timeout_s)) is not None:
                    before = joiner.num_bytes
                    joiner.add(part)
                    self._incoming_bytes += joiner.num_bytes - before
                    if self._incoming_bytes > 2 * self._settings.max_message_bytes:
                        raise MessageTooLargeError("more at once than all callers together may send")
                    timeout_s = self._settings.idle_timeout_s
            return joiner.message()
        finally:
            self._incoming_bytes -= joiner.num_bytes


async def _next(incoming: AsyncIterator[pb.Part], timeout_s: float) -> pb.Part | None:
    """The next part; None: there is none.

    Raises:
        TimeoutError: it does not come in time.
    """
    async with asyncio.timeout(timeout_s):
        return await anext(incoming, None)


async def _abort(context: Any, error: Exception) -> NoReturn:  # noqa: ANN401
    """End a call with the status that stands for an error."""
    status, why = grpc.StatusCode.INTERNAL, "internal"
    if isinstance(error, MessageTooLargeError):
        status, why = grpc.StatusCode.RESOURCE_EXHAUSTED, "too_large"
    elif isinstance(error, TimeoutError):
        status, why = grpc.StatusCode.DEADLINE_EXCEEDED, "too_slow"
    elif isinstance(error, NotServingError):
        status, why = grpc.StatusCode.FAILED_PRECONDITION, "locked"
    elif isinstance(error, TransportError):
        status, why = grpc.StatusCode.INVALID_ARGUMENT, "malformed"
    log.failure("call.ended", error, why=why)
    await context.abort(status, why)
    raise AssertionError("abort raises")


__all__ = ["Reply", "SiteService"]
