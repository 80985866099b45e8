import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedward.client.relay import launcher, resident
from fedward.client.site_cli import site_app
from fedward.common.errors import ConfigError, TransportError
from fedward.common.messages import site_daemon_pb2 as pb
from tests.daemon_process import SiteProcess


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(site_app, [str(word) for word in words])


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fw-") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command sets there is gone after the test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def secret_file(folder: Path, *, mode: int = 0o640, raw: bytes = b"s" * 32) -> Path:
    path = folder / "secret"
    path.write_bytes(raw)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("command", ["relay", "supernode", "status", "drain"])
def test_help_loads_neither_flower_nor_grpc(command: str) -> None:
    code = (
        "import sys; from fedward.client.site_cli import site_app\n"
        f"try: site_app(['{command}', '--help'])\n"
        "except SystemExit: pass\n"
        "print('LOADED', sorted({'flwr', 'grpc', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "LOADED []" in done.stdout
    assert "Usage" in done.stdout


# ---------------------------------------------------------------------------------------------------- status, drain


def test_status_and_drain_say_how_the_daemon_stands(folder: Path) -> None:
    with SiteProcess(folder) as site:
        site.await_state(pb.READY)
        said = json.loads(run("status", site.run.path, "--json").stdout)
        assert said == {"state": "ready", "in_work": 0, "open": 0, "kept": 0, "kept_bytes": 0, "refused_peers": 0}
        assert run("drain", site.run.path).stdout.splitlines()[0] == "draining"
        assert site.process.wait(30) == 0


@pytest.mark.parametrize("command", ["status", "drain"])
def test_no_daemon_is_one_error_with_a_hint(folder: Path, command: str) -> None:
    error = run(command, folder).exception
    assert isinstance(error, TransportError)
    assert "no daemon answers" in error.message


# ---------------------------------------------------------------------------------------------------- relay


def test_relay_is_started_with_what_was_given_and_a_quiet_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[resident.ResidentRelay] = []
    monkeypatch.setattr(resident.ResidentRelay, "run", lambda self: seen.append(self))
    monkeypatch.setenv("NO_PROXY", "example.org")
    secret = secret_file(tmp_path)
    done = run("relay", "--socket", tmp_path / "site.sock", "--secret", secret, "--hold", "60")
    assert done.exit_code == 0, done.output
    (relay,) = seen
    assert relay.runtime == resident.Runtime(address="127.0.0.1:9094", secret=b"s" * 32)
    assert relay.longest_hold_s == 60.0
    names = ("FLWR_TELEMETRY_ENABLED", "FLWR_DISABLE_UPDATE_CHECK", "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION")
    assert [os.environ[name] for name in names] == ["0", "1", "1"]
    assert os.environ["NO_PROXY"] == "127.0.0.1,example.org,localhost"


REFUSED: dict[str, dict[str, Any]] = {
    "open to all": {"mode": 0o644},
    "writable by the group": {"mode": 0o660},
    "too short": {"raw": b"short"},
    "too long": {"raw": b"x" * 5000},
    "empty": {"raw": b""},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_secret_that_is_none_starts_nothing(tmp_path: Path, name: str) -> None:
    secret = secret_file(tmp_path, **REFUSED[name])
    assert isinstance(run("relay", "--socket", "s", "--secret", secret).exception, ConfigError)


def test_a_secret_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    assert isinstance(run("relay", "--socket", "s", "--secret", tmp_path / "no").exception, ConfigError)


@pytest.mark.parametrize("address", ["0.0.0.0:9094", "example.org:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999"])
def test_the_runtime_api_is_on_loopback_or_nothing_starts(tmp_path: Path, address: str) -> None:
    error = run("relay", "--socket", "s", "--secret", secret_file(tmp_path), "--runtime", address).exception
    assert isinstance(error, ConfigError)
    assert "loopback" in error.message


# ---------------------------------------------------------------------------------------------------- supernode


def words(folder: Path, *, mode: int = 0o600) -> list[str | Path]:
    options: list[str | Path] = ["supernode", "--coordinator", "fed.example.org:443", "--secret", secret_file(folder)]
    for name in ("ca", "cert", "key", "node-key"):
        path = folder / name
        path.write_bytes(b"")
        path.chmod(mode)
        options += [f"--{name}", path]
    return options


def test_supernode_is_started_with_what_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[launcher.SuperNode] = []
    monkeypatch.setattr(launcher.SuperNode, "run", lambda self: seen.append(self))
    assert run(*words(tmp_path), "--poll", "0.1").exit_code == 0
    (node,) = seen
    assert (node.coordinator, node.runtime, node.poll_s) == ("fed.example.org:443", "127.0.0.1:9094", 0.1)
    assert (node.ca.name, node.certificate.name, node.key.name, node.node_key.name) == ("ca", "cert", "key", "node-key")


def test_keys_that_others_can_read_start_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher.SuperNode, "run", lambda self: pytest.fail("started"))
    error = run(*words(tmp_path, mode=0o640)).exception
    assert isinstance(error, ConfigError)
    assert "key is open to other accounts" in error.message
