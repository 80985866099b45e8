"""The one logger: what has a schema is kept, all else is dropped and counted; nothing raises, nothing is printed."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import LogEventError, TrainingError
from fedward.common.logs import logger
from fedward.common.logs.events import EVENTS
from fedward.common.logs.logger import Drop, Event, Log
from tests.log_sinks import AT_S, CANARY, RUN, Kept, hits, text_of

SENT: dict[str, Any] = {"run": RUN, "round": 3, "attempt": 0}
NAMES = st.one_of(st.sampled_from(sorted(EVENTS)), st.text(), st.just(CANARY))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.just(CANARY),
    st.binary(max_size=33),
    st.sampled_from([ValueError(CANARY), TrainingError(CANARY), KeyError, CANARY.encode(), [CANARY], {CANARY: 1}]),
)
FIELDS = st.dictionaries(
    st.one_of(st.sampled_from(sorted({name for s in EVENTS.values() for name in s.all_fields})), st.text()),
    VALUES,
    max_size=8,
)


def new() -> Log:
    return Log(clock_s=lambda: AT_S)


def raised(text: str = CANARY) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_event_is_stored_as_its_schema_has_it() -> None:
    log = new()
    log.event("round.sent", **SENT)
    (event,) = log.waiting
    assert json.loads(event.to_line()) == {
        "n": 1,
        "at": AT_S,
        "level": "info",
        "event": "round.sent",
        "run": RUN.hex(),
        "round": 3,
        "attempt": 0,
    }


@given(name=NAMES, fields=FIELDS)
def test_any_call_leaves_no_text_and_raises_nothing(name: str, fields: dict[str, object]) -> None:
    log, console = new(), io.StringIO()
    with log.shown_on(lambda: console):
        log.event(name, **fields)
    assert hits(text_of(log), console.getvalue(), repr(log.waiting), repr(log.dropped)) == []
    assert len(log.waiting) == (name in EVENTS)


@pytest.mark.parametrize(
    ("name", "fields", "reason", "is_kept"),
    [
        (CANARY, {}, Drop.UNKNOWN_EVENT, False),
        ("round.sent", {**SENT, CANARY: 1}, Drop.UNKNOWN_FIELD, True),
        ("round.sent", {**SENT, "loss": 0.5}, Drop.UNKNOWN_FIELD, True),
        ("round.sent", {**SENT, "round": CANARY}, Drop.WRONG_TYPE, True),
        ("round.sent", {**SENT, "round": 0.5}, Drop.WRONG_TYPE, True),
        ("round.sent", {**SENT, "run": RUN.hex()}, Drop.WRONG_TYPE, True),
        ("round.sent", {"run": RUN, "round": 3}, Drop.MISSING_FIELD, True),
        ("request.refused", {**SENT, "code": "NO_SUCH_CODE"}, Drop.WRONG_TYPE, True),
        ("request.refused", {**SENT, "code": "LATE", "rule": "no such rule"}, Drop.WRONG_TYPE, True),
    ],
)
def test_what_no_schema_allows_is_counted_and_raises_in_strict_mode(
    name: str, fields: dict[str, Any], reason: Drop, is_kept: bool
) -> None:
    log = new()
    log.event(name, **fields)
    assert log.dropped == {reason: 1}
    assert len(log.waiting) == is_kept
    assert hits(text_of(log)) == []
    with log.strict(), pytest.raises(LogEventError) as caught:
        log.event(name, **fields)
    assert hits(str(caught.value)) == []


def test_failure_says_class_module_and_line_and_never_the_text() -> None:
    log = new()
    log.failure("relay.failed", raised())
    (event,) = log.waiting
    assert event.fields["error"] == "ValueError"
    assert event.fields["line"] > 0  # type: ignore[operator]
    assert hits(text_of(log)) == []


def test_failure_names_the_deepest_line_of_ours() -> None:
    from fedward.common.ledger.body import parse_body

    log = new()
    try:
        parse_body(CANARY.encode())
    except Exception as error:  # noqa: BLE001 - whatever it is
        log.failure("relay.failed", error)
    assert log.waiting[0].fields["module"] == "fedward.common.ledger.body"


def test_error_that_was_never_raised_is_nowhere() -> None:
    log = new()
    log.failure("relay.failed", ValueError(CANARY))
    assert log.waiting[0].fields == {"error": "ValueError", "module": "other", "line": 0}


class HostileError(Exception):
    """Says what it should not whenever it is asked."""

    def __str__(self) -> str:
        raise AssertionError("str() was asked")

    __repr__ = __str__


def test_text_of_an_exception_is_not_even_asked_for() -> None:
    log = new()
    with log.strict():
        log.failure("relay.failed", HostileError(CANARY))
    assert log.waiting[0].fields["error"] == "HostileError"


def test_last_thousand_events_wait_and_older_ones_are_counted() -> None:
    log = new()
    for number in range(1003):
        log.event("round.sent", run=RUN, round=number, attempt=0)
    assert [event.fields["round"] for event in log.waiting] == list(range(3, 1003))
    assert log.dropped[Drop.OVERRUN] == 3


def test_sink_gets_what_waited_and_then_what_comes() -> None:
    log, sink = new(), Kept()
    log.event("round.sent", **SENT)
    with log.kept_in(sink):
        assert sink.names == ["round.sent", "log.opened"]
        log.event("run.ended", run=RUN)
        assert sink.names == ["round.sent", "log.opened"]
        log.tick()
        assert sink.names == ["round.sent", "log.opened", "run.ended"]
        assert log.waiting == ()
    assert sink.names[-1] == "log.closed"
    assert sink.closed == 1
    log.event("round.sent", **SENT)
    log.tick()
    assert len(log.waiting) == 1


def test_second_sink_is_refused() -> None:
    log = new()
    with log.kept_in(Kept()), pytest.raises(LogEventError), log.kept_in(Kept()):
        pass


@pytest.mark.parametrize("error", [OSError(28, CANARY), ValueError(CANARY), TrainingError(CANARY), MemoryError()])
def test_sink_that_fails_stops_nobody(error: Exception) -> None:
    log, sink = new(), Kept()
    with log.kept_in(sink):
        sink.error = error
        log.event("round.sent", **SENT)
        log.tick()
        assert log.dropped == {Drop.SINK_FAILED: 1}
        sink.error = None
        log.tick()
        assert sink.names == ["log.opened", "round.sent", "log.dropped"]
        sink.error = error
    assert log.dropped[Drop.SINK_FAILED] == 3
    assert hits(*(event.to_line() for event in sink.events)) == []


def test_sink_without_room_is_counted() -> None:
    log, sink = new(), Kept()
    with log.kept_in(sink):
        sink.room = 2
        for _ in range(5):
            log.event("round.sent", **SENT)
        log.tick()
        assert log.dropped == {Drop.OVERRUN: 3}


def test_what_was_dropped_is_told_once() -> None:
    log, sink = new(), Kept()
    with log.kept_in(sink):
        log.event(CANARY)
        log.event("round.sent", **SENT, loss=1.0)
        log.tick()
        log.tick()
    (told,) = (event for event in sink.events if event.schema.name == "log.dropped")
    assert told.fields == {
        "unknown_event": 1,
        "unknown_field": 1,
        "wrong_type": 0,
        "missing_field": 0,
        "overrun": 0,
        "sink_failed": 0,
    }


def test_sink_that_logs_is_heard_with_the_next_tick() -> None:
    log = new()

    class Echo(Kept):
        def write(self, events: Sequence[Event]) -> int:
            log.event("site.state", state="ready")
            return super().write(events)

    sink = Echo()
    with log.kept_in(sink):
        log.tick()
    assert sink.names == ["log.opened", "site.state", "site.state", "log.closed"]


def test_console_is_told_states_and_refusals_by_their_words_alone() -> None:
    log, console = new(), io.StringIO()
    with log.shown_on(lambda: console):
        log.event("round.sent", **SENT)
        log.event("request.refused", **SENT, code="POLICY_REFUSED", rule="noise")
        log.failure("site.abstained", raised(), **SENT)
        log.event("site.state", state="ready", took=3.0)
    assert console.getvalue() == (
        "request.refused code=POLICY_REFUSED rule=noise\nsite.abstained error=ValueError\nsite.state state=ready\n"
    )


def test_closed_console_stops_nobody() -> None:
    log, console = new(), io.StringIO()
    console.close()
    with log.shown_on(lambda: console):
        log.event("site.state", state="ready")
    assert log.dropped[Drop.SINK_FAILED] == 1
    assert len(log.waiting) == 1


def test_forked_child_leaves_its_parents_log_alone() -> None:
    log, sink = new(), Kept()
    reader, writer = os.pipe()
    with log.kept_in(sink), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests may have left threads
        child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            log.event("round.sent", **SENT)
            log.tick()
            os.write(writer, str(len(sink.events)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 8) == b"1"
    os.close(reader)
    os.close(writer)


def test_seconds_are_whole() -> None:
    log = Log()
    log.event("round.sent", **SENT)
    assert type(log.waiting[0].at_s) is int
    assert log.waiting[0].at_s == logger.wall_s() or log.waiting[0].at_s == logger.wall_s() - 1


def test_console_that_is_not_there_stops_nobody() -> None:
    log = Log(clock_s=lambda: AT_S)
    with log.shown_on(lambda: None):  # type: ignore[arg-type, return-value]  # `sys.stderr` of a daemon without one
        log.event("site.state", state="ready")
    assert [event.schema.name for event in log.waiting] == ["site.state"]
    assert log.dropped == {Drop.SINK_FAILED: 1}
