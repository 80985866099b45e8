"""``--runtime flwr``: a SuperLink of our own on loopback, ``flwr run``, Ray, and the end of all their processes.

``flwr run . local`` would leave a detached SuperLink behind, so we start one ourselves on a free port with a home
folder of its own, and take down whatever carries this run's mark in its environment. Telemetry, update checks, usage
statistics and the installation of dependencies at run time are switched off.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import psutil

import fedward
from fedward.common.errors import ConfigError, RunError
from fedward.server.app import SystemClock
from fedward.server.rounds import Observer, RunResult
from fedward.simulations.flower_files import EventReader, RunFolder
from fedward.simulations.job import SimulationJob
from fedward.simulations.passing_folder import passing_folder

_START_TIMEOUT_S = 60.0
_SUBMIT_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 15.0
_START_UP_S = 1200.0
"""Nodes coming up and answering the offer, each with its own limit, stay below this."""
_POLL_S = 0.2
_MARK = "FEDWARD_RUN_MARK"
_LOG_TAIL_CHARS = 600
_RAY_ROOM_BYTES = 16 << 20
"""For Ray's logs and sockets. The path of a socket must stay under 107 characters, and the run's scratch is deep."""

_APP = """\
[project]
name = "fedward-simulation"
description = "One simulated run"
version = "{version}"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedward"

[tool.flwr.app.components]
serverapp = "fedward.simulations.flower_apps:server_app"
clientapp = "fedward.simulations.flower_apps:client_app"

[tool.flwr.app.config]
run-folder = ""
"""

_CONNECTION = """\
[superlink]
default = "simulation"

[superlink.simulation]
address = "127.0.0.1:{port}"
insecure = true
"""


def run_with_flower(job: SimulationJob, observer: Observer) -> RunResult:
    """Run a job under ``flwr run`` and wait for its result.

    Raises:
        RunError: Flower or the run failed; nothing of it is left running.
        ConfigError: the simulation extra is not installed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fw-", ignore_cleanup_errors=True) as root,
        passing_folder(_RAY_ROOM_BYTES, prefix="fwr-", elsewhere=Path("/tmp")) as ray_root,  # noqa: S108 - mode 0700
    ):
        folder = RunFolder(Path(root))
        job.to_file(folder.job)
        port, processes = _free_port(), StartedProcesses(secrets.token_hex(8))
        environment = _environment(folder.root, processes.mark) | {"RAY_TMPDIR": str(ray_root)}
        _write_app(folder.root, port)
        try:
            with _superlink(folder.root, port, environment) as superlink:
                _submit(folder.root, len(job.plan.sites), environment)
                processes.remember(superlink.pid)
                silence_s = job.plan.secagg.reply_timeout_s + 4 * job.plan.secagg.trip_timeout_s + _START_UP_S
                return _follow(folder, superlink, observer, processes, silence_s=silence_s)
        finally:
            with _undisturbed():
                processes.end()


def _environment(root: Path, mark: str) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    package_root = str(Path(fedward.__file__).absolute().parent.parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH", "")])),
        _MARK: mark,
        "FLWR_HOME": str(root / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _write_app(root: Path, port: int) -> None:
    (root / "app").mkdir()
    (root / "flwr").mkdir()
    (root / "app" / "pyproject.toml").write_text(_APP.format(version=fedward.__version__), "utf-8")
    (root / "flwr" / "config.toml").write_text(_CONNECTION.format(port=port), "utf-8")


@contextlib.contextmanager
def _superlink(root: Path, port: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        _program("flower-superlink"),
        "--insecure",
        "--simulation",
        "--isolation",
        "subprocess",
        "--disable-runtime-dependency-installation",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (root / "superlink.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - a fixed list, no shell
            command, env=dict(environment), cwd=root, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _await_health(root, port, process)
            yield process
        finally:
            with _undisturbed():
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_TIMEOUT_S)
                if process.poll() is None:
                    process.kill()
                    process.wait()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not keep us from ending what we started; each wait below has its own limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _await_health(root: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    clock = SystemClock()
    deadline = clock.now_s() + _START_TIMEOUT_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while clock.now_s() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), opener.open(f"http://127.0.0.1:{port}/health", timeout=2):
            return
        clock.wait_s(_POLL_S)
    raise _failed("Flower's SuperLink did not come up", root)


def _submit(root: Path, num_sites: int, environment: Mapping[str, str]) -> None:
    command = [
        _program("flwr"),
        "run",
        str(root / "app"),
        "simulation",
        "--run-config",
        f"run-folder={json.dumps(str(root))}",
        "--federation-config",
        # The default of two CPUs a client leaves one client at a time on two cores.
        f"num-supernodes={num_sites} client-resources-num-cpus=1",
    ]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed list, no shell
            command, env=dict(environment), cwd=root, capture_output=True, timeout=_SUBMIT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _failed("`flwr run` did not return", root) from error
    if done.returncode:
        (root / "submit.log").write_bytes(done.stdout + done.stderr)
        raise _failed("`flwr run` failed", root, "submit.log")


def _follow(
    folder: RunFolder,
    superlink: subprocess.Popen[bytes],
    observer: Observer,
    processes: StartedProcesses,
    *,
    silence_s: float,
) -> RunResult:
    """Wait for the result; the round loop has its own limits, so longer silence means that its process is gone."""
    clock, events = SystemClock(), EventReader(folder.events, observer)
    deadline = clock.now_s() + silence_s
    while True:
        processes.remember(superlink.pid)
        if events.replay():
            deadline = clock.now_s() + silence_s
        if clock.now_s() > deadline:
            raise _failed(f"nothing was heard of the run for {silence_s:.0f} s", folder.root)
        if folder.result.exists():
            events.replay()
            return folder.read_result()
        if folder.failure.exists():
            folder.raise_failure()
        if superlink.poll() is not None or _gave_up(folder.root):
            raise _failed("Flower ended the run without a result", folder.root)
        clock.wait_s(_POLL_S)


def _gave_up(root: Path) -> bool:
    """Whether the simulation process died before our own code could write anything down."""
    log = (root / "superlink.log").read_bytes()
    return b"finished:failed" in log or b"An error was encountered. Ending simulation" in log


def _failed(what: str, root: Path, log: str = "superlink.log") -> RunError:
    text = (root / log).read_text("utf-8", "replace")[-_LOG_TAIL_CHARS:]
    return RunError(what, hint=f"The end of Flower's log: {text.strip()}")


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ConfigError(f"{name} is not installed", hint="pip install 'fedward[sim]', or use --runtime inprocess.")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class StartedProcesses:
    """Whatever a run has started, found in two ways, since neither finds all.

    Ray's daemons leave the process group of whoever started them, and are orphans once it dies: they carry the run's
    mark in their environment. Some rewrite their title over that environment: these are seen while their parents live.

    Args:
        mark: value of the marking variable, unique to the run.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._seen: set[psutil.Process] = set()

    def remember(self, pid: int) -> None:
        """Take note of all that descends from ``pid`` now."""
        with contextlib.suppress(psutil.Error):
            self._seen.update(psutil.Process(pid).children(recursive=True))

    def end(self) -> None:
        """Terminate, then kill, what is still there."""
        # A psutil process knows its start time: a pid that was given to someone else meanwhile is left alone.
        found = [process for process in self._seen | self._marked() if process.is_running()]
        _each(found, psutil.Process.terminate)
        _, alive = psutil.wait_procs(found, timeout=_STOP_TIMEOUT_S)
        _each(alive, psutil.Process.kill)
        psutil.wait_procs(alive, timeout=_STOP_TIMEOUT_S)

    def _marked(self) -> set[psutil.Process]:
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self.mark:
                    found.add(process)
        return found


def _each(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            act(process)
