"""What the site's own people ask of the running daemon, over a socket of mode 0600 in a folder of mode 0700."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from fedward.client.daemon.desk import Desk
from fedward.common.messages import site_daemon_pb2 as pb

_OPTIONS = (("grpc.max_receive_message_length", 1 << 10), ("grpc.so_reuseport", 0), ("grpc.max_concurrent_streams", 8))


class AdminService:
    """The methods of ``SiteAdmin``.

    Args:
        desk: of the daemon.
        drain: begins to drain.
        num_refused_peers: connections that the gate closed because of their account.
    """

    def __init__(self, desk: Desk, drain: Callable[[], None], num_refused_peers: Callable[[], int]) -> None:
        self._desk = desk
        self._drain = drain
        self._num_refused_peers = num_refused_peers

    def server(self, address: str) -> grpc.aio.Server:
        """A server with these methods alone, not started yet."""
        server = grpc.aio.server(options=_OPTIONS)
        handlers = {
            "Status": grpc.unary_unary_rpc_method_handler(
                self.status,
                request_deserializer=pb.StatusRequest.FromString,
                response_serializer=pb.StatusReply.SerializeToString,
            ),
            "Drain": grpc.unary_unary_rpc_method_handler(
                self.drain,
                request_deserializer=pb.DrainRequest.FromString,
                response_serializer=pb.StatusReply.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("fedward.site.v1.SiteAdmin", handlers),))
        server.add_insecure_port(address)
        return server

    async def status(self, request: pb.StatusRequest, context: Any) -> pb.StatusReply:  # noqa: ANN401 - gRPC's own
        """Counts and the state; nothing of any message."""
        table = self._desk.table
        return pb.StatusReply(
            state=self._desk.state,
            num_in_work=table.num_in_work,
            num_open=table.num_open,
            num_kept=table.num_kept,
            kept_bytes=table.kept_bytes,
            num_refused_peers=self._num_refused_peers(),
        )

    async def drain(self, request: pb.DrainRequest, context: Any) -> pb.StatusReply:  # noqa: ANN401
        """Begin to drain, like SIGTERM; the reply is what is left to do."""
        self._drain()
        return await self.status(pb.StatusRequest(), context)


__all__ = ["AdminService"]
