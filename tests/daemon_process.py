"""A daemon in a process of its own, with an agent that answers at once or, in round 90 and later, when it is let.

``python -m tests.daemon_process RUN`` serves; ``SiteProcess`` starts that and ends what it started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc

from fedward.client.daemon.desk import Agent
from fedward.client.daemon.folder import RunFolder
from fedward.client.daemon.process import Daemon
from fedward.client.daemon.settings import DaemonSettings
from fedward.client.daemon.voice import Voice
from fedward.common.config import COORDINATOR
from fedward.common.errors import LedgerInvalidError
from fedward.common.logs.logger import log
from fedward.common.messages import codec, parts
from fedward.common.messages import site_daemon_pb2 as pb
from tests.site_requests import COORDINATOR_KEY, VOICE, reply_to

HELD_FROM_ROUND = 90
REPOSITORY = Path(__file__).parents[1]


class HeldAgent:
    """Waits for a file before it answers later rounds."""

    def __init__(self, go: Path) -> None:
        self._go = go

    def handle(self, request: bytes) -> bytes:
        got = codec.open_message(request, None, sender=COORDINATOR, public_key=COORDINATOR_KEY.public_key)
        if got.position.round_number >= HELD_FROM_ROUND:
            _await_file(self._go)
        return reply_to(request)

    def expire(self) -> None:
        pass


class PlayedSite:
    """Unlocks and loads at once, or when it is let, or never."""

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self._folder = folder
        self._options = options

    def unlock(self) -> Voice:
        if self._options.get("unlock") == "held":
            _await_file(self._folder / "unlock")
        return VOICE

    def load(self) -> Agent:
        if self._options.get("load") == "held":
            _await_file(self._folder / "load")
        if self._options.get("load") == "broken":
            raise LedgerInvalidError("entry 7: LINK_BROKEN")
        return HeldAgent(self._folder / "go")


def _await_file(path: Path) -> None:
    while not path.exists():
        threading.Event().wait(0.01)


class SiteProcess:
    """A daemon that runs until the block ends.

    Args:
        folder: short, for sockets; its ``run`` is the daemon's.
        uid: let in by the gate; None: ours.
        options: of the site, and settings of the daemon.
    """

    def __init__(self, folder: Path, *, uid: int | None = None, group: int | None = None, **options: Any) -> None:  # noqa: ANN401
        self.folder = folder
        self.run = RunFolder(path=folder / "run", group=group)
        words = {"uid": os.getuid() if uid is None else uid, "group": group, **options}
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **options.pop("environment", {})}
        command = [sys.executable, "-m", "tests.daemon_process", str(folder), json.dumps(words)]
        self.log = folder / "daemon.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=REPOSITORY)

    def __enter__(self) -> SiteProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

    def status(self) -> pb.StatusReply:
        return admin(self.run.admin, "Status")

    def drain(self) -> pb.StatusReply:
        return admin(self.run.admin, "Drain")

    def await_state(self, state: int) -> SiteProcess:
        """Return when the daemon says that it stands there."""
        for _ in range(3000):
            assert self.process.poll() is None, self.log.read_text("utf-8")
            with suppress(grpc.RpcError):
                if self.status().state == state:
                    return self
            threading.Event().wait(0.01)
        raise AssertionError("the daemon did not come so far")

    def await_status(self, condition: Callable[[pb.StatusReply], bool]) -> pb.StatusReply:
        for _ in range(3000):
            if condition(found := self.status()):
                return found
            threading.Event().wait(0.01)
        raise AssertionError("the daemon did not come so far")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


def admin(path: Path, method: str) -> pb.StatusReply:
    """What ``fedward site status`` and ``drain`` ask."""
    request = pb.StatusRequest if method == "Status" else pb.DrainRequest
    with grpc.insecure_channel(f"unix:{path}") as channel:
        call = channel.unary_unary(
            {"Status": parts.STATUS, "Drain": parts.DRAIN}[method],
            request_serializer=request.SerializeToString,
            response_deserializer=pb.StatusReply.FromString,
        )
        reply: pb.StatusReply = call(request(), timeout=10)
        return reply


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    names = DaemonSettings.model_fields
    daemon = Daemon(
        site=PlayedSite(folder, options),
        folder=RunFolder(path=folder / "run", group=options["group"]),
        relay_uid=options["uid"],
        settings=DaemonSettings.model_validate({name: options[name] for name in names if name in options}),
    )
    with log.shown_on(lambda: sys.stderr):
        daemon.run()
    sys.stdout.flush()
    os._exit(0)  # a thread of the agent may still be at work


if __name__ == "__main__":
    main()
