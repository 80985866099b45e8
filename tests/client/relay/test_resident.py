import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from flwr.app import RecordDict
from flwr.supercore.constant import TaskType

from fedward.client import relay
from fedward.client.relay import Asked
from fedward.client.relay.resident import ResidentRelay, Runtime
from fedward.client.relay.site_socket import RelayError, SiteSocket
from fedward.common.logs.logger import log
from fedward.common.messages import wire
from tests.log_sinks import text_of
from tests.played_supernode import SECRET, PlayedSuperNode

SECRET_TEXT = "patient 4711 has gout"


class Site:
    """Answers as a test says, and notes what it was asked."""

    def __init__(self, answers: Callable[[bytes], bytes] = lambda payload: payload) -> None:
        self.answers = answers
        self.asked: list[tuple[bytes, float]] = []

    def ask(self, payload: bytes, *, timeout_s: float) -> bytes:
        self.asked.append((payload, timeout_s))
        return self.answers(payload)


@contextmanager
def running(address: str, site: Asked) -> Iterator[threading.Thread]:
    """A relay, until the block ends."""
    stop = threading.Event()
    # Nothing is waited for but tasks that are not there yet.
    runtime = Runtime(address=address, secret=SECRET)
    relay_ = ResidentRelay(runtime=runtime, site=site, wait=lambda seconds: stop.wait(min(seconds, 0.01)))
    thread = threading.Thread(target=relay_.run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(30)


@pytest.fixture
def node() -> Iterator[PlayedSuperNode]:
    with PlayedSuperNode() as played:
        yield played


def reply_of(node: PlayedSuperNode, site: Asked, content: RecordDict, *, message_type: str = "query") -> RecordDict:
    task_id = node.put(content, message_type=message_type)
    with running(node.address, site):
        node.until(lambda: node.task(task_id) in {"completed", "failed"})
    (reply,) = node.replies()
    assert node.task(task_id) == "completed"
    return reply.content


def is_completed(node: PlayedSuperNode, task_id: int) -> bool:
    return node.task(task_id) == "completed"


def code_of(content: RecordDict) -> str:
    assert list(content) == [wire.ERROR_RECORD]
    return str(content.config_records[wire.ERROR_RECORD][wire.ERROR_KEY])


def test_a_request_is_carried_there_and_back(node: PlayedSuperNode) -> None:
    site = Site(lambda payload: payload[::-1])
    payload = bytes(range(256)) * 50_000
    assert relay.unpack(reply_of(node, site, relay.pack(payload))) == payload[::-1]
    assert site.asked == [(payload, 300.0)]


def test_what_the_server_uploaded_is_neither_opened_nor_run_and_the_state_stays_empty(node: PlayedSuperNode) -> None:
    before = set(sys.modules)
    reply_of(node, Site(), relay.pack(b"request"))
    assert not any(
        name.split(".")[0] in {"app", "task", "serverapp", "clientapp"} for name in set(sys.modules) - before
    )
    assert node.context_state() == RecordDict()


def test_one_message_follows_another_in_one_process(node: PlayedSuperNode) -> None:
    site = Site()
    with running(node.address, site):
        for number in range(5):
            task_id = node.put(relay.pack(b"%d" % number))
            node.until(partial(is_completed, node, task_id))
            assert [relay.unpack(reply.content) for reply in node.replies()] == [b"%d" % number]


@pytest.mark.parametrize("code", sorted(wire.RELAY_ERRORS))
def test_a_failure_of_the_socket_is_its_code_and_the_relay_goes_on(node: PlayedSuperNode, code: str) -> None:
    def fails(payload: bytes) -> bytes:
        raise RelayError(code)

    assert code_of(reply_of(node, Site(fails), relay.pack(b"request"))) == code
    assert relay.unpack(reply_of(node, Site(), relay.pack(b"next"))) == b"next"


def test_a_daemon_that_is_down_is_said_to_be(node: PlayedSuperNode, tmp_path: Path) -> None:
    assert code_of(reply_of(node, SiteSocket(tmp_path / "no.sock"), relay.pack(b"request"))) == "daemon-down"


@pytest.mark.parametrize("error", [ValueError, MemoryError, OSError])
def test_text_of_an_exception_is_neither_sent_nor_logged(node: PlayedSuperNode, error: type[Exception]) -> None:
    def fails(payload: bytes) -> bytes:
        raise error(SECRET_TEXT)

    content = reply_of(node, Site(fails), relay.pack(b"request"))
    assert code_of(content) == "internal"
    assert "relay.failed" in text_of(log)
    assert SECRET_TEXT not in repr(content) + text_of(log)


def test_an_unanswered_request_is_logged_by_code_and_size(node: PlayedSuperNode) -> None:
    def fails(payload: bytes) -> bytes:
        raise RelayError("deadline")

    reply_of(node, Site(fails), relay.pack(SECRET_TEXT.encode()))
    last = [event for event in log.waiting if event.schema.name == "relay.unanswered"][-1]
    assert last.fields == {"code": "deadline", "bytes": len(SECRET_TEXT)}


def test_a_message_of_another_type_is_a_bad_record_and_not_carried(node: PlayedSuperNode) -> None:
    site = Site()
    assert code_of(reply_of(node, site, relay.pack(b"request"), message_type="train")) == "bad-record"
    assert site.asked == []


def test_a_foreign_record_is_a_bad_record_and_not_carried(node: PlayedSuperNode) -> None:
    site = Site()
    assert code_of(reply_of(node, site, RecordDict())) == "bad-record"
    assert site.asked == []


def test_tasks_of_other_types_are_left_alone(node: PlayedSuperNode) -> None:
    other = node.put(relay.pack(b"other"), task=TaskType.AGENT_APP)
    site = Site()
    mine = node.put(relay.pack(b"mine"))
    with running(node.address, site):
        node.until(lambda: node.task(mine) == "completed")
    assert node.task(other) == "pending"
    assert len(site.asked) == 1


def test_a_supernode_that_is_not_there_is_waited_for_and_the_relay_ends_when_told(
    node: PlayedSuperNode,
) -> None:
    with running("127.0.0.1:1", Site()) as thread:
        node.until(lambda: len(idle("ConnectError")) >= 2)
        assert thread.is_alive()
    assert not thread.is_alive()


def idle(error: str) -> list[object]:
    """HTTP statuses, or None, of the times when no task could be taken for that reason."""
    events = [event.fields for event in log.waiting if event.schema.name == "relay.idle"]
    return [fields.get("status") for fields in events if fields["error"] == error]


def test_a_wrong_secret_takes_nothing(node: PlayedSuperNode) -> None:
    task_id = node.put(relay.pack(b"request"))
    stop = threading.Event()
    wrong = ResidentRelay(runtime=Runtime(address=node.address, secret=b"x" * 32), site=Site(), wait=stop.wait)
    thread = threading.Thread(target=wrong.run)
    thread.start()
    node.until(lambda: 401 in idle("HTTPStatusError"))
    stop.set()
    thread.join(30)
    assert node.task(task_id) == "pending"


def test_the_secret_stays_out_of_reprs() -> None:
    assert SECRET.decode() not in repr(Runtime(address="127.0.0.1:1", secret=SECRET))
