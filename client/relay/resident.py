"""The resident relay: takes Flower's tasks one after the other and passes their bytes to the daemon, in one process.

The app that the server uploads is neither installed nor imported, so nothing of it is executed; tasks of another type
than ``CLIENT_APP`` are never asked for. Flower's ``Context.state`` is never written.
Not handled here: what a SuperNode does beside it, such as reading the app's ``pyproject.toml``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import httpx
from flwr.app import Context, Message
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedward.client.relay import Asked, answer
from fedward.common.logs.logger import log

_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
_TRANSIENT = frozenset({502, 503, 504})
POLL_S = 0.25
SETTLE_S = 0.2
"""A task can be taken before its objects have come; who pulls too early waits a second for the next try."""
_RETRY_S = 2.0

Wait = Callable[[float], bool]
"""Lets so many seconds pass, or fewer; True: it is time to end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """The SuperNode's Runtime API, on loopback.

    Args:
        address: host:port.
        secret: shared with the SuperNode; whoever has it may take tasks.
    """

    address: str
    secret: bytes = field(repr=False)

    def superexec(self) -> RuntimeHttpClient:
        """A client that may take tasks."""
        return self._client(SuperExecAuthHttpInterceptor(master_secret=self.secret, protected_methods={_ACQUIRE}))

    def task(self, token: str) -> RuntimeHttpClient:
        """A client for one task."""
        return self._client(RuntimeTokenHttpInterceptor(token))

    def _client(self, authentication: ProtobufClientInterceptor) -> RuntimeHttpClient:
        return RuntimeHttpClient.from_server_address(
            server_address=self.address,
            insecure=True,  # plain HTTP, on loopback
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="SuperExec"), authentication],
        )


@dataclass(kw_only=True, slots=True)
class ResidentRelay:
    """Carries until it is told to end.

    Args:
        runtime: where tasks come from.
        site: where they go.
        longest_hold_s: of a request.
        wait: lets time pass.
    """

    runtime: Runtime
    site: Asked
    longest_hold_s: float = 300.0
    wait: Wait = field(default_factory=lambda: threading.Event().wait)

    def run(self) -> None:
        """Take tasks until ``wait`` says that it is time to end."""
        with closing(self.runtime.superexec()) as client:
            pause_s = 0.0
            while not self.wait(pause_s):
                try:
                    pause_s = 0.0 if self._step(client) else POLL_S
                except Exception as error:  # noqa: BLE001 - one bad task, or a SuperNode that restarts, ends no relay
                    log.failure("relay.idle", error, status=_status_of(error))
                    pause_s = _RETRY_S

    def _step(self, client: RuntimeHttpClient) -> bool:
        """Take and carry out one task; False: there was none."""
        taken = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        if not taken.HasField("task") or not taken.token:
            return False
        self.wait(SETTLE_S)
        with closing(self.runtime.task(taken.token)) as task:
            heartbeat = HeartbeatSender(lambda: beats(task))
            heartbeat.start()
            try:
                self._carry_out(task)
            finally:
                heartbeat.stop()
        return True

    def _carry_out(self, task: RuntimeHttpClient) -> None:
        message, context, _, _ = pull_task_input(task)
        status = SubStatus.FAILED
        try:
            self._reply(task, message, context)
            status = SubStatus.COMPLETED
        finally:
            # No context: its state stays what it was, empty. No details: they would go to the server.
            push_task_output(task, None, status, "")

    def _reply(self, task: RuntimeHttpClient, message: Message, context: Context) -> None:
        content = answer(message, self.site, longest_hold_s=self.longest_hold_s)
        push_message(task, Message(content, reply_to=message), context)


def beats(task: RuntimeHttpClient) -> bool:
    """Say that a task is still worked on; False: try again soon.

    A task that its SuperNode no longer knows (it was restarted) is no reason to end, which Flower's own would do.
    """
    try:
        task.SendTaskHeartbeat(SendTaskHeartbeatRequest())
    except httpx.TransportError:
        return False
    except httpx.HTTPStatusError as error:
        return error.response.status_code not in _TRANSIENT
    return True


def _status_of(error: Exception) -> int | None:
    return error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None


__all__ = ["beats", "ResidentRelay", "Runtime"]
