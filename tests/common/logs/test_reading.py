"""Segments read back strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import LogError
from fedward.common.logs.events import EVENTS
from fedward.common.logs.logger import Log
from fedward.common.logs.reading import Segment, in_order, parse_segment
from fedward.common.logs.shelves import MAX_SEALED_PLAINTEXT
from tests.log_sinks import AT_S, CANARY, RUN

HEAD = b'{"schema":"fedward.log/1","boot":"aaaaaaaa","segment":1}\n'
LINE: dict[str, Any] = {
    "n": 1,
    "at": AT_S,
    "level": "info",
    "event": "round.sent",
    "run": RUN.hex(),
    "round": 1,
    "attempt": 0,
}


def line(**changes: Any) -> bytes:  # noqa: ANN401 - any JSON
    document = {**LINE, **changes}
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode() + b"\n"


def test_line_comes_back() -> None:
    (found,) = parse_segment(HEAD + line()).lines
    assert (found.number, found.at_s, found.event, found.run) == (1, AT_S, "round.sent", RUN.hex())
    assert found.fields == {"run": RUN.hex(), "round": 1, "attempt": 0}


@given(st.sampled_from(sorted(EVENTS)), st.data())
def test_whatever_is_logged_comes_back(name: str, data: st.DataObject) -> None:
    values = st.one_of(st.integers(0, 9), st.binary(min_size=16, max_size=16), st.text(max_size=5), st.just("LATE"))
    fields = {field: data.draw(values) for field in EVENTS[name].all_fields}
    log = Log(clock_s=lambda: AT_S)
    log.event(name, **fields)
    segment = parse_segment(HEAD + log.waiting[0].to_line())
    assert segment.num_unreadable == 0
    assert segment.lines[0].fields == log.waiting[0].fields


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "no.such"},
        {"event": 1},
        {"level": "error"},
        {"n": "1"},
        {"n": True},
        {"at": -1},
        {"at": 10**12},
        {"at": 1.5},
        {"loss": 0.5},
        {"loss": 1},
        {"round": CANARY},
        {"round": 0.5},
        {"round": True},
        {"round": [1]},
        {"run": CANARY},
        {"run": RUN.hex().upper() + "AB"},
        {"event": ...},
    ],
)
def test_line_that_no_schema_wrote_is_counted_and_not_shown(changes: dict[str, Any]) -> None:
    segment = parse_segment(HEAD + line() + line(**changes) + line(n=3))
    assert [found.number for found in segment.lines] == [1, 3]
    assert segment.num_unreadable == 1


@pytest.mark.parametrize(
    "text", [b"x", b"[1]", b"\xff", b"{}" * 3000, b'{"n":1,"n":1}', b"[" * 4000, b'{"n":' + b"1" * 5000 + b"}"]
)
def test_line_that_is_no_object_is_counted(text: bytes) -> None:
    assert parse_segment(HEAD + text + b"\n").num_unreadable == 1


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"x", line(), b'{"schema":"fedward.log/2","boot":"a","segment":1}\n', bytes(MAX_SEALED_PLAINTEXT + 1)],
)
def test_what_does_not_begin_as_a_segment_is_refused(raw: bytes) -> None:
    with pytest.raises(LogError):
        parse_segment(raw)


@given(st.binary(max_size=300))
def test_no_bytes_raise_but_our_own_error(raw: bytes) -> None:
    try:
        segment = parse_segment(HEAD + raw)
    except LogError:
        return
    assert isinstance(segment, Segment)


def test_lines_of_two_processes_are_in_order_of_time() -> None:
    def segment(boot: str, *lines: bytes) -> Segment:
        parsed = parse_segment(HEAD + b"".join(lines))
        parsed.boot = boot
        return parsed

    first = segment("a", line(n=1), line(n=2, at=AT_S + 5))
    second = segment("b", line(n=1, at=AT_S + 1), line(n=2, at=AT_S + 1))
    assert [(boot, found.number) for boot, found in in_order([first, second])] == [
        ("a", 1),
        ("b", 1),
        ("b", 2),
        ("a", 2),
    ]
