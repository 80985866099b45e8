"""One function from bytes to bytes over the daemon's socket, and what each way to fail is called.

A channel of its own for each message: after a restart of the daemon nothing waits for an old connection to be given up,
and nothing grows with the number of messages.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from fedward.common.errors import FedwardError, MessageTooLargeError, TransportError
from fedward.common.messages import parts, wire
from fedward.common.messages import site_daemon_pb2 as pb

_UPLOAD_RESERVE_S = 30.0
"""Of a message's time to live, for the reply's way back."""
_LEAST_HOLD_S = 1.0
_OPTIONS = (
    ("grpc.max_receive_message_length", parts.MAX_FRAME_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
CODES: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.UNAVAILABLE: "daemon-down",
    grpc.StatusCode.FAILED_PRECONDITION: "daemon-down",
    grpc.StatusCode.DEADLINE_EXCEEDED: "deadline",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too-large",
    grpc.StatusCode.INVALID_ARGUMENT: "bad-record",
}
"""By the status of a call; any other is ``internal``."""


class RelayError(FedwardError):
    """The relay could not get an answer; ``code`` is all that is told of it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code if code in wire.RELAY_ERRORS else "internal"


@dataclass(frozen=True, slots=True)
class SiteSocket:
    """The daemon, by the path of its socket."""

    path: Path

    def ask(self, payload: bytes, *, timeout_s: float) -> bytes:
        """One request to one reply.

        Args:
            payload: not empty.
            timeout_s: until the reply must be here; the daemon answers ``Pending`` a little before.

        Raises:
            RelayError: there is no reply.
        """
        if not payload:
            raise RelayError("bad-record")
        # The daemon may hold less: no reply of it is longer than what it takes itself.
        joiner = parts.Joiner(wire.MAX_MESSAGE_BYTES)
        try:
            with grpc.insecure_channel(f"unix:{self.path.absolute()}", options=_OPTIONS) as channel:
                call = channel.stream_stream(
                    parts.HANDLE,
                    request_serializer=pb.Part.SerializeToString,
                    response_deserializer=pb.Part.FromString,
                )
                for part in call(parts.split(payload), timeout=timeout_s):
                    joiner.add(part)
                return joiner.message()
        except grpc.RpcError as error:
            raise RelayError(CODES.get(error.code(), "internal")) from None
        except MessageTooLargeError:
            raise RelayError("too-large") from None
        except TransportError:
            raise RelayError("internal") from None


def _unix_s() -> float:
    return dt.datetime.now(dt.UTC).timestamp()  # noqa: TID251 - Flower's messages carry the time of day


def hold_s(created_at_s: float, ttl_s: float, *, longest_s: float, now_s: Callable[[], float] = _unix_s) -> float:
    """How long a message may be held: what is left of its time to live less the reply's way back.

    Args:
        created_at_s: when the message was made, in Unix seconds by the coordinator's clock.
        ttl_s: its time to live.
        longest_s: never longer.
        now_s: Unix seconds.
    """
    left_s = min(ttl_s, created_at_s + ttl_s - now_s())
    return max(_LEAST_HOLD_S, min(longest_s, left_s - min(_UPLOAD_RESERVE_S, left_s / 2)))


__all__ = ["CODES", "hold_s", "RelayError", "SiteSocket"]
