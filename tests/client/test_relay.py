import logging
from collections.abc import Callable
from typing import Any, cast

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedward.client import relay
from fedward.common.logs.logger import log
from fedward.common.messages import wire

CONTEXT = cast("Context", object())
SECRET_TEXT = "patient 4711 has gout"


def array(data: bytes = b"abc", **changes: Any) -> Array:  # noqa: ANN401
    values: dict[str, Any] = {"dtype": "uint8", "shape": (len(data),), "stype": "fedward/1", "data": data} | changes
    return Array(**values)


def record(value: Array, *, name: str = wire.RECORD, key: str = wire.ARRAY) -> RecordDict:
    return RecordDict({name: ArrayRecord({key: value})})


FOREIGN: dict[str, Callable[[], RecordDict]] = {
    "empty": RecordDict,
    "another record": lambda: record(array(), name="other"),
    "another key": lambda: record(array(), key="other"),
    "another type": lambda: record(array(stype="numpy.ndarray")),
    "another dtype": lambda: record(array(dtype="float32")),
    "another shape": lambda: record(array(shape=(2,))),
    "matrix": lambda: record(array(shape=(3, 1))),
    "metrics in its place": lambda: RecordDict({wire.RECORD: MetricRecord({wire.ARRAY: 1})}),
    "config in its place": lambda: RecordDict({wire.RECORD: ConfigRecord({wire.ARRAY: b"abc"})}),
    "a relay's failure": lambda: relay.failure("deadline"),
}


def code_of(content: RecordDict) -> str:
    assert list(content) == [wire.ERROR_RECORD]
    return str(content.config_records[wire.ERROR_RECORD][wire.ERROR_KEY])


@given(st.binary(max_size=100))
def test_bytes_and_back_is_the_identity(payload: bytes) -> None:
    assert relay.unpack(relay.pack(payload)) == payload


def test_packed_bytes_travel_untouched_and_alone() -> None:
    content = relay.pack(b"abc")
    assert list(content) == ["fw"]
    assert content.array_records["fw"]["m"].data == b"abc"


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_record_is_answered_with_a_code_and_never_handled(name: str) -> None:
    reply = relay.carry(FOREIGN[name](), CONTEXT, lambda *_: pytest.fail("handled"))
    assert code_of(reply) == "bad-record"


def test_request_is_handed_on_and_the_reply_handed_back() -> None:
    seen: list[tuple[bytes, Context]] = []

    def handler(payload: bytes, context: Context) -> bytes:
        seen.append((payload, context))
        return b"reply"

    assert relay.unpack(relay.carry(relay.pack(b"request"), CONTEXT, handler)) == b"reply"
    assert seen == [(b"request", CONTEXT)]


def test_largest_message_passes_and_one_byte_more_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MAX_MESSAGE_BYTES", 3)
    assert relay.unpack(relay.carry(relay.pack(b"abc"), CONTEXT, lambda payload, _: payload)) == b"abc"
    assert code_of(relay.carry(relay.pack(b"abcd"), CONTEXT, lambda *_: pytest.fail("handled"))) == "too-large"


@pytest.mark.parametrize("error", [ValueError, KeyError, MemoryError, OSError, RecursionError])
def test_text_of_an_exception_is_neither_sent_nor_logged(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(payload: bytes, context: Context) -> bytes:
        raise error(SECRET_TEXT)

    with caplog.at_level(logging.DEBUG):
        reply = relay.carry(relay.pack(b"request"), CONTEXT, handler)
    assert code_of(reply) == "internal"
    assert "gout" not in repr(reply)
    assert "gout" not in caplog.text
    assert log.waiting[-1].fields["error"] == error.__name__
    assert b"gout" not in log.waiting[-1].to_line()


def test_handler_that_returns_no_bytes_is_an_internal_failure() -> None:
    reply = relay.carry(relay.pack(b"request"), CONTEXT, lambda *_: cast("bytes", None))
    assert code_of(reply) == "internal"


@pytest.mark.parametrize("code", ["bad-record", "too-large", "internal"])
def test_what_a_relay_says_is_on_the_closed_list(code: str) -> None:
    assert code in wire.RELAY_ERRORS


def test_app_answers_queries() -> None:
    assert type(relay.client_app(lambda payload, _: payload)).__name__ == "ClientApp"
