"""The daemon as a real process: every limit of its sockets, its states, its end."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fedward.client.daemon.folder import RunFolder
from fedward.client.relay.site_socket import RelayError, SiteSocket
from fedward.common.errors import SocketError
from fedward.common.messages import parts
from fedward.common.messages import site_daemon_pb2 as pb
from tests.daemon_process import SiteProcess
from tests.site_requests import collect, position, reply_to, said, train, unmask

MIB = 1 << 20
HELD = train(position(90))
LATER = position(90)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How a connection of HTTP/2 begins: the words, and empty settings."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fw-") as name:
        yield Path(name)


def started(folder: Path, **options: Any) -> SiteProcess:  # noqa: ANN401
    return SiteProcess(folder, **options)


def ask(site: SiteProcess, request: bytes, timeout_s: float = 60.0) -> bytes:
    return SiteSocket(site.run.site).ask(request, timeout_s=timeout_s)


def code_of(site: SiteProcess, request: bytes, timeout_s: float = 60.0) -> str:
    with pytest.raises(RelayError) as caught:
        ask(site, request, timeout_s)
    return caught.value.code


def status_of(site: SiteProcess, items: Iterator[pb.Part] | list[pb.Part], path: Path | None = None) -> grpc.StatusCode:
    with grpc.insecure_channel(f"unix:{path or site.run.site}") as channel:
        call = channel.stream_stream(
            parts.HANDLE,
            request_serializer=lambda part: part if isinstance(part, bytes) else part.SerializeToString(),
            response_deserializer=pb.Part.FromString,
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter(items), timeout=60))
        status: grpc.StatusCode = caught.value.code()
        return status


# ---------------------------------------------------------------------------------------------------- sizes and times


@pytest.fixture(scope="module")
def strict_site() -> Iterator[SiteProcess]:
    """Small limits, for all tests that change nothing."""
    with tempfile.TemporaryDirectory(prefix="fw-") as name:
        limits: dict[str, Any] = {
            "max_message_bytes": 2 * MIB,
            "header_timeout_s": 0.3,
            "idle_timeout_s": 0.3,
            "max_connections": 3,
        }
        with SiteProcess(Path(name), **limits) as site:
            yield site.await_state(pb.READY)


@pytest.fixture(scope="module")
def patient_site() -> Iterator[SiteProcess]:
    """Small sizes and the usual times: a connection that waits for a busy machine is not closed meanwhile."""
    with (
        tempfile.TemporaryDirectory(prefix="fw-") as name,
        SiteProcess(Path(name), max_message_bytes=2 * MIB, max_connections=3) as site,
    ):
        yield site.await_state(pb.READY)


BAD_PARTS: dict[str, tuple[list[Any], grpc.StatusCode]] = {
    "too large": ([pb.Part(data=b"x", total_bytes=2 * MIB + 1)], grpc.StatusCode.RESOURCE_EXHAUSTED),
    "absurdly large": ([pb.Part(data=b"x", total_bytes=2**64 - 1)], grpc.StatusCode.RESOURCE_EXHAUSTED),
    "a part above 1 MiB": ([pb.Part(data=bytes(MIB + 1), total_bytes=MIB + 1)], grpc.StatusCode.INVALID_ARGUMENT),
    "a frame far above": ([pb.Part(data=bytes(3 * MIB), total_bytes=MIB)], grpc.StatusCode.RESOURCE_EXHAUSTED),
    "more than announced": ([pb.Part(data=b"xy", total_bytes=1)], grpc.StatusCode.INVALID_ARGUMENT),
    "half a message": ([pb.Part(data=b"x", total_bytes=2)], grpc.StatusCode.INVALID_ARGUMENT),
    "no length": ([pb.Part(data=b"x")], grpc.StatusCode.INVALID_ARGUMENT),
    "nothing": ([], grpc.StatusCode.INVALID_ARGUMENT),
    "no protobuf": ([b"\xff\xff\xff"], grpc.StatusCode.INTERNAL),
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_bad_parts_end_the_call_with_their_status_and_the_daemon_is_ready(patient_site: SiteProcess, name: str) -> None:
    items, status = BAD_PARTS[name]
    assert status_of(patient_site, items) is status
    assert patient_site.status().state == pb.READY
    assert said(ask(patient_site, train())) == "TrainReply"


def test_a_message_too_large_is_named_so_by_the_relay(strict_site: SiteProcess) -> None:
    assert code_of(strict_site, train(vector=bytes(3 * MIB))) == "too-large"


def test_a_whole_message_of_garbage_is_refused_by_the_site_itself(strict_site: SiteProcess) -> None:
    assert said(ask(strict_site, b"garbage")) == "BAD_ENCODING"


def waits(*items: pb.Part) -> Iterator[pb.Part]:
    yield from items
    threading.Event().wait(2)


def test_a_call_without_a_first_part_ends(strict_site: SiteProcess) -> None:
    assert status_of(strict_site, waits()) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_call_without_a_next_part_ends(strict_site: SiteProcess) -> None:
    assert status_of(strict_site, waits(pb.Part(data=b"x", total_bytes=2))) is grpc.StatusCode.DEADLINE_EXCEEDED


def connected(site: SiteProcess) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(site.run.site))
    return client


def test_a_connection_that_says_nothing_is_closed(strict_site: SiteProcess) -> None:
    with connected(strict_site) as client:
        assert client.recv(1) == b""


def test_a_connection_that_says_a_byte_and_no_more_is_closed(strict_site: SiteProcess) -> None:
    with connected(strict_site) as client:
        client.sendall(b"P")
        while client.recv(4096):
            pass


def test_a_connection_without_a_call_is_closed(strict_site: SiteProcess) -> None:
    with connected(strict_site) as client:
        client.sendall(PREFACE)
        while client.recv(4096):
            pass


def test_a_caller_that_does_not_read_is_left(folder: Path) -> None:
    request = train(vector=bytes(40 * 10**6))
    with started(folder, idle_timeout_s=0.3) as site, grpc.insecure_channel(f"unix:{site.run.site}") as channel:
        site.await_state(pb.READY)
        call = channel.stream_stream(
            parts.HANDLE,
            request_serializer=pb.Part.SerializeToString,
            response_deserializer=pb.Part.FromString,
        )(parts.split(request), timeout=60)
        assert next(call).total_bytes > 40 * 10**6
        site.await_status(lambda status: "why=too_slow" in site.log.read_text("utf-8"))
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert site.status().num_open == 1
        assert ask(site, request) == reply_to(request)


def test_a_connection_that_speaks_something_else_is_closed(strict_site: SiteProcess) -> None:
    with connected(strict_site) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n" * 10)
        while client.recv(4096):
            pass
    assert strict_site.status().state == pb.READY


def test_a_connection_above_the_limit_is_closed_and_a_place_is_free_again(strict_site: SiteProcess) -> None:
    holders = [connected(strict_site) for _ in range(3)]
    try:
        for holder in holders:
            holder.sendall(PREFACE)
            assert holder.recv(9)  # the server's settings: it is let in
        with connected(strict_site) as one_more:
            assert one_more.recv(1) == b""
    finally:
        for holder in holders:
            holder.close()
    for _ in range(100):
        try:
            assert said(ask(strict_site, train())) == "TrainReply"
            return
        except RelayError:  # the gate has not noticed yet
            threading.Event().wait(0.05)
    raise AssertionError("no place became free")


def test_a_method_that_is_not_there_is_refused(strict_site: SiteProcess) -> None:
    with grpc.insecure_channel(f"unix:{strict_site.run.site}") as channel:
        for path in (parts.STATUS, parts.DRAIN, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(path)(b"", timeout=30)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert strict_site.status().state == pb.READY


def test_health_says_state_and_limit(strict_site: SiteProcess) -> None:
    with grpc.insecure_channel(f"unix:{strict_site.run.site}") as channel:
        call = channel.unary_unary(
            parts.HEALTH,
            request_serializer=pb.HealthRequest.SerializeToString,
            response_deserializer=pb.HealthReply.FromString,
        )
        assert call(pb.HealthRequest(), timeout=30) == pb.HealthReply(state=pb.READY, max_message_bytes=2 * MIB)


def test_modes_of_the_sockets_are_as_narrow_as_they_are_said_to_be(strict_site: SiteProcess) -> None:
    run = strict_site.run
    modes = {path: oct(path.stat().st_mode & 0o777) for path in (run.path, run.site, run.private, run.admin, run.grpc)}
    assert list(modes.values()) == ["0o750", "0o660", "0o700", "0o600", "0o600"]


# ---------------------------------------------------------------------------------------------------- accounts


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
def test_another_account_is_closed_at_the_gate_and_counted(folder: Path) -> None:
    with started(folder, uid=65_534) as site:
        site.await_state(pb.READY)
        with connected(site) as client:
            assert client.recv(1) == b""
        assert code_of(site, train()) == "daemon-down"
        assert site.status().num_refused_peers >= 2


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
def test_the_relays_account_is_let_in_and_reaches_neither_admin_nor_private_socket(folder: Path) -> None:
    folder.chmod(0o755)
    with started(folder, uid=65_534, group=65_534) as site:
        site.await_state(pb.READY)
        script = (
            "import os, socket, sys\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "def reach(path):\n"
            "    try: socket.socket(socket.AF_UNIX).connect(path)\n"
            "    except PermissionError: return 'refused'\n"
            "    return 'reached'\n"
            "print(*[reach(path) for path in sys.argv[1:]])\n"
        )
        import subprocess
        import sys

        run = site.run
        command = [sys.executable, "-c", script, str(run.site), str(run.admin), str(run.grpc)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.split() == ["reached", "refused", "refused"]
        assert site.status().num_refused_peers == 0


# ---------------------------------------------------------------------------------------------------- requests


def test_repeated_requests_join_over_the_socket(folder: Path) -> None:
    with started(folder) as site:
        site.await_state(pb.READY)
        replies: list[bytes] = []
        callers = [threading.Thread(target=lambda: replies.append(ask(site, HELD))) for _ in range(3)]
        for caller in callers:
            caller.start()
        site.await_status(lambda status: status.num_in_work == 1)
        (folder / "go").touch()
        for caller in callers:
            caller.join(60)
        assert replies == [reply_to(HELD)] * 3


def test_a_long_job_is_pending_and_then_collected(folder: Path) -> None:
    with started(folder, hold_s=0.2) as site:
        site.await_state(pb.READY)
        assert said(ask(site, HELD)) == "Pending"
        assert said(ask(site, collect(HELD, LATER))) == "Pending"
        (folder / "go").touch()
        site.await_status(lambda status: status.num_in_work == 0)
        assert ask(site, collect(HELD, LATER)) == reply_to(HELD)


def test_the_callers_deadline_binds_where_it_is_shorter_than_the_daemons(folder: Path) -> None:
    with started(folder, hold_s=60.0) as site:
        site.await_state(pb.READY)
        assert said(ask(site, HELD, 1.0)) == "Pending"


def test_forty_megabytes_pass_unchanged_both_ways(folder: Path) -> None:
    request = train(vector=os.urandom(40 * 10**6))
    with started(folder) as site:
        site.await_state(pb.READY)
        assert ask(site, request) == reply_to(request)


# ---------------------------------------------------------------------------------------------------- life


def test_a_daemon_that_is_killed_at_work_is_down_at_once(folder: Path) -> None:
    with started(folder) as site:
        site.await_state(pb.READY)
        codes: list[str] = []
        caller = threading.Thread(target=lambda: codes.append(code_of(site, HELD)))
        caller.start()
        site.await_status(lambda status: status.num_in_work == 1)
        site.process.kill()
        caller.join(60)
        assert codes == ["daemon-down"]
        assert code_of(site, train()) == "daemon-down"
    with started(folder) as site:  # over the stale sockets
        site.await_state(pb.READY)
        assert said(ask(site, collect(HELD, LATER))) == "UNKNOWN_REQUEST"
        assert said(ask(site, train())) == "TrainReply"


def test_no_daemon_is_a_daemon_that_is_down(folder: Path) -> None:
    with pytest.raises(RelayError) as caught:
        SiteSocket(folder / "nothing.sock").ask(b"x", timeout_s=10)
    assert caught.value.code == "daemon-down"


def test_sigterm_ends_a_site_that_has_nothing_open_and_its_sockets_go(folder: Path) -> None:
    with started(folder) as site:
        site.await_state(pb.READY)
        assert site.end() == 0
        assert not site.run.site.exists()
        assert not site.run.admin.exists()


def test_sigterm_waits_for_an_open_attempt(folder: Path) -> None:
    with started(folder) as site:
        site.await_state(pb.READY)
        assert said(ask(site, train())) == "TrainReply"
        site.process.terminate()
        site.await_state(pb.DRAINING)
        assert said(ask(site, train(position(2)))) == "ABSTAIN"
        assert said(ask(site, unmask())) == "UnmaskReply"
        assert site.process.wait(30) == 0


def test_drain_by_the_admin_socket_is_a_sigterm(folder: Path) -> None:
    with started(folder) as site:
        site.await_state(pb.READY)
        assert said(ask(site, train())) == "TrainReply"
        assert site.drain() == pb.StatusReply(
            state=pb.DRAINING, num_open=1, num_kept=1, kept_bytes=len(reply_to(train()))
        )
        assert said(ask(site, unmask())) == "UnmaskReply"
        assert site.process.wait(30) == 0


def test_a_second_sigterm_stops_what_is_at_work(folder: Path) -> None:
    with started(folder, hold_s=0.1) as site:
        site.await_state(pb.READY)
        assert said(ask(site, HELD)) == "Pending"
        site.process.terminate()
        site.await_state(pb.DRAINING)
        assert site.end() == 1


def test_a_drain_has_an_end(folder: Path) -> None:
    with started(folder, hold_s=0.1, drain_timeout_s=0.2) as site:
        site.await_state(pb.READY)
        assert said(ask(site, HELD)) == "Pending"
        assert site.end() == 0


def test_states_of_a_start(folder: Path) -> None:
    with started(folder, unlock="held", load="held", hold_s=0.1) as site:
        site.await_state(pb.LOCKED)
        assert code_of(site, train()) == "daemon-down"
        (folder / "unlock").touch()
        site.await_state(pb.LOADING)
        assert said(ask(site, train())) == "Pending"
        (folder / "load").touch()
        site.await_state(pb.READY)
        assert said(ask(site, train())) == "TrainReply"


def test_sigterm_ends_a_daemon_that_never_became_ready(folder: Path) -> None:
    with started(folder, load="held") as site:
        site.await_state(pb.LOADING)
        assert site.end() == 0


def test_a_site_that_cannot_be_loaded_ends_with_an_error_and_is_never_ready(folder: Path) -> None:
    with started(folder, load="broken") as site:
        assert site.process.wait(60) == 1
        assert "LedgerInvalidError" in site.log.read_text("utf-8")
        assert not site.run.site.exists()


def test_systemd_is_told_of_each_state(folder: Path) -> None:
    address = folder / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(30)
        with started(folder, environment={"NOTIFY_SOCKET": str(address)}) as site:
            said_so = [listener.recv(100).decode() for _ in range(3)]
            assert said_so == ["STATUS=locked", "STATUS=loading", "READY=1\nSTATUS=ready"]
            site.process.terminate()
            assert listener.recv(100).decode() == "STOPPING=1\nSTATUS=draining"
            assert site.process.wait(30) == 0


# ---------------------------------------------------------------------------------------------------- folder


def test_a_second_daemon_in_one_folder_is_refused_and_disturbs_nothing(folder: Path) -> None:
    with started(folder) as site:
        site.await_state(pb.READY)
        with started(folder) as second:
            assert second.process.wait(60) == 1
        assert "a daemon runs in" in site.log.read_text("utf-8")
        assert said(ask(site, train())) == "TrainReply"


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(folder: Path) -> None:
    run = RunFolder(path=folder / ("x" * 100))
    with pytest.raises(SocketError, match="107 bytes"), run.held():
        pytest.fail("held")
    assert not run.path.exists()


@pytest.mark.parametrize("name", ["run", "run/private"])
def test_a_link_in_the_place_of_a_folder_is_refused(folder: Path, name: str) -> None:
    (folder / "elsewhere").mkdir()
    place = folder / name
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(folder / "elsewhere")
    with pytest.raises(SocketError), RunFolder(path=folder / "run").held():
        pytest.fail("held")
