"""A deployment on loopback: SuperLink, SuperExec, a proxy that wants client certificates, SuperNode, relay, daemon.

Real processes all, started by the commands of an operator; each is ended by its own process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.certificates import Authority, node_key
from tests.daemon_process import REPOSITORY, SiteProcess
from tests.site_requests import SITE

SCRIPTS = Path(sys.executable).parent
_APP = """\
[project]
name = "fedward-loopback"
description = "A test"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedward"

[tool.flwr.app.components]
serverapp = "tests.loopback_app:server_app"
clientapp = "fedward.client.relay:app"

[tool.flwr.app.config]
folder = ""
retry-s = "2"
"""
_CONNECTION = """\
[superlink]
default = "loopback"

[superlink.loopback]
address = "127.0.0.1:{port}"
root-certificates = "{ca}"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Loopback:
    """Starts what it is told to, and ends all of it."""

    def __init__(self, folder: Path, *, hold_s: float = 300.0) -> None:
        self.folder = folder
        self.hold_s = hold_s
        self.port, self.runtime_port, self.proxy_port = free_port(), free_port(), free_port()
        self.ca = Authority(folder)
        self.link = self.ca.issue("superlink", server=True)
        self.tls = self.ca.issue(SITE)
        self.node_key, self.node_public = node_key(folder, SITE)
        self.secret = folder / "secret"
        self.secret.write_bytes(os.urandom(32))
        self.secret.chmod(0o640)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.daemon: SiteProcess | None = None
        for name in ("requests", "replies", "app", "flwr"):
            (folder / name).mkdir()
        (folder / "app" / "pyproject.toml").write_text(_APP, "utf-8")
        connection = _CONNECTION.format(port=self.port, ca=self.ca.certificate)
        (folder / "flwr" / "config.toml").write_text(connection, "utf-8")
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", "")]),
            "PYTHONPATH": str(REPOSITORY),
            "FLWR_HOME": str(folder / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.25",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    # ------------------------------------------------------------------------------------------------ processes

    def start(self, name: str, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            words = [str(word) for word in command]
            self.processes[name] = subprocess.Popen(
                words, env=self.environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        return self.processes[name]

    def start_coordinator(self) -> None:
        tls: list[str | Path] = ["--ssl-certfile", self.link.certificate, "--ssl-keyfile", self.link.key]
        command: list[str | Path] = [
            SCRIPTS / "flower-superlink",
            "--enable-supernode-auth",
            "--database",
            self.folder / "state.db",
        ]
        command += ["--isolation", "process", "--host", "127.0.0.1", "--port", str(self.port), *tls]
        command += ["--ssl-ca-certfile", self.ca.certificate, "--disable-runtime-dependency-installation"]
        self.start("superlink", command)
        context = ssl.create_default_context(cafile=str(self.ca.certificate))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

        def is_up() -> bool:
            with contextlib.suppress(OSError), opener.open(f"https://127.0.0.1:{self.port}/health", timeout=2):
                return True
            return False

        self.until(is_up)
        self.flwr("supernode", "register", self.node_public, "loopback")
        own = self.ca.issue("proxy", server=True)
        words = [str(own.certificate), str(own.key), str(self.ca.certificate), str(self.proxy_port), str(self.port)]
        self.start("proxy", [sys.executable, "-m", "tests.tls_proxy", *words])
        address = ["--runtime-api-address", f"127.0.0.1:{self.port}"]
        self.start("superexec", [SCRIPTS / "flower-superexec", "--root-certificates", self.ca.certificate, *address])

    def start_daemon(self) -> SiteProcess:
        self.daemon = SiteProcess(self.folder, hold_s=self.hold_s)
        return self.daemon

    def start_relay(self) -> None:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "fedward",
            "site",
            "relay",
            "--socket",
            self.folder / "run" / "site.sock",
        ]
        command += ["--secret", self.secret, "--runtime", f"127.0.0.1:{self.runtime_port}"]
        self.start("relay", command)

    def start_supernode(self) -> None:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "fedward",
            "site",
            "supernode",
            "--coordinator",
            f"127.0.0.1:{self.proxy_port}",
        ]
        command += ["--ca", self.ca.certificate, "--cert", self.tls.certificate, "--key", self.tls.key]
        command += ["--node-key", self.node_key, "--secret", self.secret]
        self.start("supernode", [*command, "--runtime", f"127.0.0.1:{self.runtime_port}"])

    def flwr(self, *words: str | Path) -> str:
        command = [str(SCRIPTS / "flwr"), *map(str, words)]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, requests: Sequence[bytes]) -> None:
        """Let the coordinator send requests, one after the other."""
        for number, request in enumerate(requests):
            (self.folder / "requests" / f"{number:03}").write_bytes(request)
        self.flwr("run", self.folder / "app", "loopback", "--run-config", f"folder={json.dumps(str(self.folder))}")

    # ------------------------------------------------------------------------------------------------ outcomes

    def reply(self, number: int) -> bytes:
        """Wait for a reply."""
        path = self.folder / "replies" / f"{number:03}"
        self.until(path.exists)
        return path.read_bytes()

    def seconds(self) -> list[float]:
        lines = (self.folder / "seconds.jsonl").read_text("utf-8").splitlines()
        return [float(json.loads(line)["seconds"]) for line in lines]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", errors="replace")

    def until(self, condition: Callable[[], object], *, most_s: float = 120.0) -> None:
        for _ in range(int(most_s / 0.05)):
            if condition():
                return
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended: {self.log(name)[-2000:]}"
            threading.Event().wait(0.05)
        tails = "\n".join(f"--- {name}\n{self.log(name)[-1500:]}" for name in self.processes)
        raise AssertionError(f"it did not come so far\n{tails}")

    def end(self) -> None:
        for process in reversed(list(self.processes.values())):
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait(10)
        if self.daemon is not None:
            self.daemon.__exit__()


@contextlib.contextmanager
def loopback(folder: Path, *, hold_s: float = 300.0) -> Iterator[Loopback]:
    deployment = Loopback(folder, hold_s=hold_s)
    try:
        yield deployment
    finally:
        deployment.end()
