"""Starts Flower's SuperNode in this process, with three things that it lacks (flwr 1.41).

* A client certificate: Flower's HTTP client cannot present one. Chain and key are loaded into each TLS context that it
  is given, and nothing below TLS 1.3 is spoken. If the hook does not take, the proxy refuses: it fails closed.
* A short idle sleep: three seconds a trip otherwise.
* An end: after some errors the SuperNode's loop ends but a thread keeps the process alive; so whenever its main
  function returns the process ends, and the service manager starts another.
"""

from __future__ import annotations

import importlib
import os
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from flwr.supercore.protobuf.client import ProtobufClient

from fedward.common.errors import ConfigError
from fedward.common.logs.logger import log

_LOOP = "flwr.supernode.start_client_internal"
ENDED = 75
"""EX_TEMPFAIL of sysexits.h: start it again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperNode:
    """How a site's SuperNode is started.

    Args:
        coordinator: host:port of the proxy.
        ca: PEM of the consortium's CA.
        certificate: PEM chain of the site's TLS certificate.
        key: PEM of its key, not encrypted.
        node_key: the P-384 node key, OpenSSH format.
        runtime: host:port, on loopback, of the Runtime API.
        secret: file that the relay shares.
        poll_s: longest idle sleep.
    """

    coordinator: str
    ca: Path
    certificate: Path
    key: Path
    node_key: Path
    runtime: str
    secret: Path
    poll_s: float = 0.5

    def arguments(self) -> list[str]:
        """For ``flower-supernode``."""
        host, _, port = self.runtime.rpartition(":")
        return [
            "--superlink",
            self.coordinator,
            "--root-certificates",
            str(self.ca),
            "--auth-supernode-private-key",
            str(self.node_key),
            "--isolation",
            "process",
            "--host",
            host,
            "--port",
            port,
            "--superexec-auth-secret-file",
            str(self.secret),
        ]

    def run(self) -> NoReturn:
        """Start it; the process ends when it does.

        Raises:
            ConfigError: a file cannot be read, or certificate and key are no pair.
        """
        present_certificate(self.certificate, self.key)
        cap_idle_sleep(self.poll_s)
        from flwr.supernode.cli.flower_supernode import flower_supernode

        sys.argv = ["flower-supernode", *self.arguments()]
        end_with(flower_supernode)


def present_certificate(certificate: Path, key: Path) -> None:
    """Make every TLS client of Flower's in this process present a certificate, and speak TLS 1.3.

    Raises:
        ConfigError: no such pair.
    """
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)
    plain = ProtobufClient.__init__

    def init(self: ProtobufClient, base_url: str, **options: Any) -> None:  # noqa: ANN401 - Flower's own options
        context = options.get("verify", True)
        if base_url.startswith("https:"):
            if not isinstance(context, ssl.SSLContext):
                raise ConfigError("Flower gives no TLS context of its own", hint="Name the CA's certificate.")
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            _load(context, certificate, key)
        plain(self, base_url, **options)

    ProtobufClient.__init__ = init  # type: ignore[method-assign]


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def no_password() -> str:
        raise ConfigError(f"{key.name} is encrypted", hint="The SuperNode's keys have no passphrase; see the modes.")

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except OSError as error:  # ssl.SSLError among them
        raise ConfigError(
            f"{certificate.name} and {key.name} cannot be used: {error.strerror or type(error).__name__}",
            hint="They must be readable PEM files, and the certificate that of the key.",
        ) from error


class _CappedTime:
    """Flower's view of ``time`` in the SuperNode's loop."""

    def __init__(self, longest_s: float, sleep: Callable[[float], None]) -> None:
        self._longest_s = longest_s
        self._sleep = sleep

    def sleep(self, seconds: float) -> None:
        self._sleep(min(seconds, self._longest_s))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else the module has
        return getattr(time, name)


def cap_idle_sleep(longest_s: float, *, sleep: Callable[[float], None] = time.sleep) -> None:  # noqa: TID251
    """No sleep of the SuperNode's loop is longer."""
    importlib.import_module(_LOOP).time = _CappedTime(longest_s, sleep)  # type: ignore[attr-defined]


def end_with(main: Callable[[], None], *, leave: Callable[[int], NoReturn] = os._exit) -> NoReturn:
    """Run, then end the process whatever threads are left: 0 after a signal to stop, 75 after anything else."""
    code = ENDED
    try:
        main()
    except SystemExit as error:
        code = ENDED if error.code else 0
    except BaseException as error:  # noqa: BLE001 - there is nobody above
        log.failure("supernode.ended", error)
    sys.stdout.flush()
    sys.stderr.flush()
    leave(code)


__all__ = ["cap_idle_sleep", "end_with", "ENDED", "present_certificate", "SuperNode"]
