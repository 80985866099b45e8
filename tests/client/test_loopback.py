"""The whole way of a message, with real processes: coordinator, proxy, SuperNode, relay, daemon, and back."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fedward.common.messages import site_daemon_pb2 as pb
from tests.daemon_process import HELD_FROM_ROUND
from tests.loopback import Loopback, loopback
from tests.site_requests import position, reply_to, said, train, unmask

pytestmark = [pytest.mark.slow, pytest.mark.flower]
HELD = train(position(HELD_FROM_ROUND))


@pytest.fixture
def deployment() -> Iterator[Loopback]:
    with (
        tempfile.TemporaryDirectory(prefix="fw-", ignore_cleanup_errors=True) as name,
        loopback(Path(name), hold_s=3.0) as started,
    ):
        started.start_coordinator()
        started.start_daemon().await_state(pb.READY)
        started.start_relay()
        started.start_supernode()
        yield started


def test_requests_are_answered_at_once_or_held_and_collected(deployment: Loopback) -> None:
    large = train(position(3), vector=os.urandom(12_000_000))
    later = train(position(HELD_FROM_ROUND + 1))
    deployment.run([train(), unmask(), large, HELD, later])

    assert deployment.reply(0) == reply_to(train())
    assert deployment.reply(1) == reply_to(unmask())
    assert deployment.reply(2) == reply_to(large)

    daemon = deployment.daemon
    assert daemon is not None
    daemon.await_status(lambda status: status.num_in_work == 1)
    (deployment.folder / "go").touch()
    assert deployment.reply(3) == reply_to(HELD)

    assert deployment.reply(4) == reply_to(later)


def test_a_request_survives_a_daemon_that_was_killed_at_work(deployment: Loopback) -> None:
    deployment.run([train(), HELD])
    assert deployment.reply(0) == reply_to(train())
    daemon = deployment.daemon
    assert daemon is not None
    daemon.await_status(lambda status: status.num_in_work == 1)
    daemon.process.kill()
    daemon.process.wait(30)
    deployment.until(lambda: "daemon-down" in deployment.log("relay"))
    (deployment.folder / "go").touch()
    deployment.start_daemon().await_state(pb.READY)
    assert said(deployment.reply(1)) == "TrainReply"
    assert deployment.reply(1) == reply_to(HELD)
    assert "UNKNOWN_REQUEST" in daemon.log.read_text("utf-8")


def test_a_client_without_a_certificate_does_not_get_as_far_as_flower(deployment: Loopback) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.post(
            f"https://127.0.0.1:{deployment.proxy_port}/v1/fleet/pull-messages",
            verify=ssl.create_default_context(cafile=str(deployment.ca.certificate)),
            trust_env=False,
        )
