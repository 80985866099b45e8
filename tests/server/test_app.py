from collections.abc import Iterable
from typing import Any, cast

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.serverapp import Grid as FlowerTransport
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given
from hypothesis import strategies as st

from fedward.client import relay
from fedward.common.messages import wire
from fedward.server import app
from fedward.server.app import FlowerGrid, SystemClock
from fedward.server.grid import Delivery, GridError, Post

FOREIGN = {
    "empty": RecordDict(),
    "another record": RecordDict({"other": ArrayRecord()}),
    "no array": RecordDict({wire.RECORD: ArrayRecord()}),
    "another type": RecordDict(
        {wire.RECORD: ArrayRecord({wire.ARRAY: Array(dtype="uint8", shape=(1,), stype="numpy.ndarray", data=b"x")})}
    ),
    "config in its place": RecordDict({wire.RECORD: ConfigRecord({wire.ARRAY: b"x"})}),
    **{f"relay: {code}": relay.failure(code) for code in sorted(wire.RELAY_ERRORS)},
}


class Transport:
    """Flower's Grid as far as ours asks it."""

    def __init__(self, online: Iterable[int] = (), refuses: int | None = None) -> None:
        self.online = list(online)
        self.refuses = refuses
        self.pushed: list[Message] = []
        self.replies: list[Message] = []

    def get_node_ids(self) -> list[int]:
        return self.online

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        taken = [message for message in messages if message.metadata.dst_node_id != self.refuses]
        self.pushed += taken
        return [f"id{message.metadata.dst_node_id}" for message in taken]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return self.replies


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Flower sets in the process of a ServerApp; without it no message can be made."""
    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def grid_on(transport: Transport, nodes: dict[str, int] | None = None) -> FlowerGrid:
    return FlowerGrid(cast("FlowerTransport", transport), nodes or {"alpha": 1, "beta": 2})


def request() -> Message:
    message = Message(RecordDict(), 1, "query")
    message.metadata.__dict__["_message_id"] = "m1"
    return message


def reply(content: RecordDict) -> Message:
    return Message(content, reply_to=request())


@given(st.binary(max_size=100))
def test_bytes_and_back_is_the_identity(payload: bytes) -> None:
    assert app.unpack(app.pack(payload)) == payload


@given(st.binary(max_size=100))
def test_both_ends_pack_alike(payload: bytes) -> None:
    assert app.unpack(relay.pack(payload)) == payload
    assert relay.unpack(app.pack(payload)) == payload


def test_reply_of_a_site_is_delivered() -> None:
    assert app.delivery(reply(relay.pack(b"bytes"))) == Delivery(message_id="m1", payload=b"bytes")


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_record_is_a_failure_of_the_relay(name: str) -> None:
    assert app.delivery(reply(FOREIGN[name])) == Delivery(message_id="m1", error=GridError.RELAY)


@pytest.mark.parametrize("code", range(9))
def test_error_of_flower_keeps_its_code_and_loses_its_text(code: int) -> None:
    delivery = app.delivery(Message(Error(code, "patient 4711 has gout"), reply_to=request()))
    assert delivery == Delivery(message_id="m1", error=GridError(code))
    assert "gout" not in repr(delivery)


@pytest.mark.parametrize("code", [9, 99, 12345])
def test_error_that_we_do_not_know_is_unknown(code: int) -> None:
    assert app.delivery(Message(Error(code), reply_to=request())).error is GridError.UNKNOWN


def test_sites_are_those_whose_node_is_online() -> None:
    assert grid_on(Transport(online=[2, 77])).sites() == {"beta"}


def test_posts_go_to_their_nodes_and_ids_keep_their_order() -> None:
    transport = Transport(refuses=1)
    posts = [Post(site_id=site, payload=site.encode(), ttl_s=7.0) for site in ("beta", "mallory", "alpha", "beta")]
    assert grid_on(transport).push(posts) == ("id2", None, None, "id2")
    assert [relay.unpack(message.content) for message in transport.pushed] == [b"beta", b"beta"]
    assert {(message.metadata.ttl, message.metadata.message_type) for message in transport.pushed} == {(7.0, "query")}


def test_pulling_delivers_what_has_come() -> None:
    transport = Transport()
    assert grid_on(transport).pull(["m1"]) == ()
    transport.replies = [reply(relay.pack(b"x")), Message(Error(5), reply_to=request())]
    assert grid_on(transport).pull(["m1"]) == (
        Delivery(message_id="m1", payload=b"x"),
        Delivery(message_id="m1", error=GridError.NODE_UNAVAILABLE),
    )


def test_codes_are_flowers_own() -> None:
    from flwr.common.constant import ErrorCode

    ours: dict[str, Any] = {error.name: error.value for error in GridError if error is not GridError.RELAY}
    theirs = [value for name, value in vars(ErrorCode).items() if not name.startswith("_")]
    assert sorted(ours.values()) == sorted(theirs)
    assert ours["NODE_UNAVAILABLE"] == ErrorCode.NODE_UNAVAILABLE
    assert ours["MESSAGE_UNAVAILABLE"] == ErrorCode.MESSAGE_UNAVAILABLE
    assert ours["REPLY_UNAVAILABLE"] == ErrorCode.REPLY_MESSAGE_UNAVAILABLE
    assert ours["CLIENT_APP_RAISED"] == ErrorCode.CLIENT_APP_RAISED_EXCEPTION


def test_system_clock_goes_on() -> None:
    clock = SystemClock()
    before = clock.now_s()
    clock.wait_s(0.001)
    assert clock.now_s() > before
