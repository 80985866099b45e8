"""``fedward site relay | supernode | status | drain``: what runs beside a site's daemon, and what is asked of it.

Flower is imported only when a command runs, and only after the environment says that it may not call out.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.common.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from fedward.common.messages.site_daemon_pb2 import StatusReply

_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "HF_HUB_OFFLINE": "1",
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_MAX_SECRET_BYTES = 4096
_ADMIN_TIMEOUT_S = 10.0

Secret = Annotated[
    Path, typer.Option("--secret", help="File that SuperNode and relay share; whoever reads it may take tasks.")
]
Runtime = Annotated[
    str, typer.Option("--runtime", metavar="HOST:PORT", help="The SuperNode's Runtime API; on loopback only.")
]
Run = Annotated[Path, typer.Argument(metavar="SOCKETS", help="Folder of the daemon's sockets.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]


def relay(
    socket: Annotated[Path, typer.Option("--socket", help="The daemon's site.sock.")],
    secret: Secret,
    runtime: Runtime = "127.0.0.1:9094",
    hold: Annotated[
        float, typer.Option("--hold", min=1.0, help="Longest that a request is held, in seconds; the daemon's hold_s.")
    ] = 300.0,
) -> None:
    """Carry messages between Flower's SuperNode and the site's daemon. Runs nothing that a server sends."""
    _quiet()
    from fedward.client.relay.resident import ResidentRelay, Runtime
    from fedward.client.relay.site_socket import SiteSocket

    api = Runtime(address=_on_loopback(runtime), secret=_read_secret(secret))
    with _told(alone=True):
        ResidentRelay(runtime=api, site=SiteSocket(socket), longest_hold_s=hold).run()


def supernode(
    coordinator: Annotated[str, typer.Option("--coordinator", metavar="HOST:PORT", help="The coordinator's proxy.")],
    ca: Annotated[Path, typer.Option("--ca", help="Certificate of the consortium's CA, PEM.")],
    certificate: Annotated[Path, typer.Option("--cert", help="The site's TLS certificate, PEM.")],
    key: Annotated[Path, typer.Option("--key", help="Its key, PEM, mode 0600, without a passphrase.")],
    node_key: Annotated[Path, typer.Option("--node-key", help="P-384 node key, OpenSSH format, mode 0600.")],
    secret: Secret,
    runtime: Runtime = "127.0.0.1:9094",
    poll: Annotated[float, typer.Option("--poll", min=0.05, max=3.0, help="Longest idle sleep, in seconds.")] = 0.5,
) -> None:
    """Run Flower's SuperNode with the site's TLS certificate. Exit code 75: its loop has ended, start it again."""
    _quiet()
    for private in (key, node_key):
        _require_private(private, 0o600)
    _require_private(secret, 0o640)
    address = _on_loopback(runtime)
    from fedward.client.relay.launcher import SuperNode

    node = SuperNode(
        coordinator=coordinator,
        ca=ca,
        certificate=certificate,
        key=key,
        node_key=node_key,
        runtime=address,
        secret=secret,
        poll_s=poll,
    )
    with _told(alone=False):
        node.run()


def status(run: Run, as_json: Json = False) -> None:
    """How the running daemon stands. Needs the daemon's account."""
    _say(_ask(run, "Status"), as_json)


def drain(run: Run, as_json: Json = False) -> None:
    """Let the daemon end what it has begun, begin nothing, and stop. What is left to do is printed."""
    _say(_ask(run, "Drain"), as_json)


def _quiet() -> None:
    os.environ.update(_QUIET)
    local = {"127.0.0.1", "localhost", *filter(None, os.environ.get("NO_PROXY", "").split(","))}
    os.environ["NO_PROXY"] = ",".join(sorted(local))  # Flower's client would ask a proxy for loopback too


@contextmanager
def _told(*, alone: bool) -> Iterator[None]:
    """Warnings and errors of ours go to the system's journal, by names and words: these processes have no vault.

    Args:
        alone: what libraries log is cut likewise. Flower's SuperNode says what an operator needs, and has no payloads.
    """
    from fedward.common.logs.guard import guarded
    from fedward.common.logs.logger import log

    with log.shown_on(lambda: sys.stderr), guarded(log) if alone else nullcontext():
        yield


def _on_loopback(address: str) -> str:
    host, _, port = address.rpartition(":")
    if host not in _LOOPBACK or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"--runtime {address}: expected a port on loopback", hint="Such as 127.0.0.1:9094.")
    return address


def _read_secret(path: Path) -> bytes:
    _require_private(path, 0o640)
    raw = path.read_bytes()
    if not 16 <= len(raw) <= _MAX_SECRET_BYTES:
        raise ConfigError(f"{path.name} has {len(raw)} bytes: expected 16 to {_MAX_SECRET_BYTES}")
    return raw


def _require_private(path: Path, widest: int) -> None:
    """Refuse a secret that is open to more than a mode says: SuperNode and relay share one through their group."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or 'cannot be read'}", hint="Check the path.") from error
    if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & ~widest:
        raise ConfigError(f"{path.name} is open to other accounts", hint=f"`chmod {widest:o} {path.name}`.")


def _ask(run: Path, method: str) -> StatusReply:
    import grpc

    from fedward.common.messages import parts
    from fedward.common.messages import site_daemon_pb2 as pb

    path = (run / "private" / "admin.sock").absolute()
    name, request = (parts.STATUS, pb.StatusRequest()) if method == "Status" else (parts.DRAIN, pb.DrainRequest())
    try:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            call = channel.unary_unary(
                name,
                request_serializer=type(request).SerializeToString,
                response_deserializer=pb.StatusReply.FromString,
            )
            reply: pb.StatusReply = call(request, timeout=_ADMIN_TIMEOUT_S)
    except grpc.RpcError as error:
        raise TransportError(
            f"no daemon answers at {path}: {error.code().name.lower()}",
            hint="Is it running, and is this its account?",
        ) from None
    return reply


def _say(reply: StatusReply, as_json: bool) -> None:
    from fedward.common.messages.site_daemon_pb2 import SiteState

    counts = {
        "in_work": reply.num_in_work,
        "open": reply.num_open,
        "kept": reply.num_kept,
        "kept_bytes": reply.kept_bytes,
        "refused_peers": reply.num_refused_peers,
    }
    state = SiteState.Name(reply.state).lower()
    if as_json:
        typer.echo(json.dumps({"state": state, **counts}))
        return
    typer.secho(state, bold=True)
    for name, number in counts.items():
        typer.echo(f"{name.replace('_', ' ')}: {number}")


def add_to(site_app: typer.Typer) -> None:
    """Hang the commands under ``fedward site``."""
    for command in (relay, supernode, status, drain):
        site_app.command(command.__name__)(command)


__all__ = ["add_to", "drain", "relay", "status", "supernode"]
