import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from fedward.client.relay import site_socket
from fedward.client.relay.site_socket import RelayError, SiteSocket, hold_s
from fedward.common.messages import parts, wire
from fedward.common.messages import site_daemon_pb2 as pb

Answers = Callable[[Iterator[pb.Part], Any], Iterator[pb.Part]]


@contextmanager
def daemon(answers: Answers) -> Iterator[SiteSocket]:
    """A daemon that answers as a test says."""
    with tempfile.TemporaryDirectory(prefix="fw-") as folder, ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        handler = grpc.stream_stream_rpc_method_handler(
            answers, request_deserializer=pb.Part.FromString, response_serializer=pb.Part.SerializeToString
        )
        handlers = grpc.method_handlers_generic_handler("fedward.site.v1.SiteDaemon", {"Handle": handler})
        server.add_generic_rpc_handlers((handlers,))
        path = Path(folder) / "site.sock"
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield SiteSocket(path)
        finally:
            server.stop(0).wait()


def code_of(answers: Answers, *, timeout_s: float = 30.0) -> str:
    with daemon(answers) as site, pytest.raises(RelayError) as caught:
        site.ask(b"request", timeout_s=timeout_s)
    return caught.value.code


def test_reply_is_what_the_daemon_said() -> None:
    def echo(incoming: Iterator[pb.Part], context: object) -> Iterator[pb.Part]:
        yield from list(incoming)

    payload = os.urandom(3 * parts.PART_BYTES + 7)
    with daemon(echo) as site:
        assert site.ask(payload, timeout_s=30) == payload


@pytest.mark.parametrize("status", list(grpc.StatusCode))
def test_every_status_of_a_call_has_a_code_of_the_closed_list(status: grpc.StatusCode) -> None:
    def ends(incoming: Iterator[pb.Part], context: Any) -> Iterator[pb.Part]:  # noqa: ANN401
        if status is not grpc.StatusCode.OK:
            context.abort(status, "patient 4711 has gout")
        yield from ()

    code = code_of(ends)
    assert code in wire.RELAY_ERRORS
    assert code == site_socket.CODES.get(status, "internal")


REPLIES = {
    "nothing": [],
    "half": [pb.Part(data=b"ab", total_bytes=3)],
    "too much": [pb.Part(data=b"abcd", total_bytes=3)],
    "no length": [pb.Part(data=b"abc")],
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_that_is_no_message_is_internal(name: str) -> None:
    assert code_of(lambda incoming, context: iter(REPLIES[name])) == "internal"


def test_a_reply_that_is_too_long_is_not_read_to_its_end() -> None:
    first = pb.Part(data=b"x", total_bytes=wire.MAX_MESSAGE_BYTES + 1)
    assert code_of(lambda incoming, context: iter([first])) == "too-large"


def test_a_daemon_that_does_not_answer_in_time_is_a_deadline() -> None:
    def waits(incoming: Iterator[pb.Part], context: Any) -> Iterator[pb.Part]:  # noqa: ANN401
        list(incoming)
        while context.is_active():
            pass_the_time.wait(0.01)
        yield from ()

    import threading

    pass_the_time = threading.Event()
    assert code_of(waits, timeout_s=0.2) == "deadline"


def test_an_empty_request_is_not_sent() -> None:
    with pytest.raises(RelayError) as caught:
        SiteSocket(Path("nowhere.sock")).ask(b"", timeout_s=1)
    assert caught.value.code == "bad-record"


@pytest.mark.parametrize("path", ["nowhere.sock", "/dev/null", "/"])
def test_no_socket_is_a_daemon_that_is_down(path: str) -> None:
    with pytest.raises(RelayError) as caught:
        SiteSocket(Path(path)).ask(b"x", timeout_s=10)
    assert caught.value.code == "daemon-down"


def test_a_path_too_long_for_a_socket_is_a_failure_of_the_closed_list() -> None:
    with pytest.raises(RelayError) as caught:
        SiteSocket(Path("/tmp") / ("x" * 200)).ask(b"x", timeout_s=10)
    assert caught.value.code in {"daemon-down", "internal"}


@pytest.mark.parametrize("code", ["anything", "", "daemon-down "])
def test_a_code_that_is_not_on_the_list_is_internal(code: str) -> None:
    assert RelayError(code).code == "internal"


HOLDS = [
    # created, ttl, longest, now: hold
    (0.0, 43_200.0, 300.0, 0.0, 300.0),
    (0.0, 200.0, 300.0, 0.0, 170.0),
    (0.0, 200.0, 300.0, 100.0, 70.0),
    (0.0, 40.0, 300.0, 0.0, 20.0),
    (0.0, 40.0, 300.0, 1000.0, 1.0),
    (100.0, 200.0, 300.0, 0.0, 170.0),
]


@pytest.mark.parametrize(("created_at_s", "ttl_s", "longest_s", "now_s", "expected"), HOLDS)
def test_a_message_is_held_no_longer_than_it_lives_less_the_way_back(
    created_at_s: float, ttl_s: float, longest_s: float, now_s: float, expected: float
) -> None:
    assert hold_s(created_at_s, ttl_s, longest_s=longest_s, now_s=lambda: now_s) == expected
