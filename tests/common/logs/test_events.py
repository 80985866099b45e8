"""The table of events, and what must not be in it (control T2)."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from fedward.client.policy import RULES as POLICY_RULES
from fedward.common.ledger.witness import WITNESS_RULE
from fedward.common.logs.events import CODES, EVENTS, RULES, Level, Schema
from fedward.common.logs.fields import Choice, Digest, Duration, ErrorClass, ModuleName, Whole
from fedward.common.plan_parts import MetricName
from fedward.common.secagg.actions import Fault

CLOSED_SET = (Choice, Whole, Digest, Duration, ErrorClass, ModuleName)
FORBIDDEN = re.compile(
    r"record|unit(?!_loss)|patient|sample|batch|loss|grad|param|weight|norm|text|message|file|path|name|token|secret"
    r"|key|password|epsilon|value|data",
)
MAY_SAY = {("trend.opened", "unit_loss"), ("relay.unanswered", "bad-record")}
"""The metric that a plan pays for; a relay's code for a record of Flower's that is none of ours."""
_REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("schema", EVENTS.values(), ids=lambda schema: schema.name)
def test_fields_are_of_the_closed_set_and_none_is_of_what_is_forbidden(schema: Schema) -> None:
    assert all(isinstance(kind, CLOSED_SET) for kind in schema.all_fields.values())
    assert [name for name in schema.all_fields if FORBIDDEN.search(name)] == []
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", schema.name)
    assert set(schema.fields).isdisjoint(schema.may_have)
    assert set(schema.all_fields).isdisjoint({"n", "at", "level", "event"})


@pytest.mark.parametrize("schema", EVENTS.values(), ids=lambda schema: schema.name)
def test_no_word_of_an_enum_is_of_what_is_forbidden(schema: Schema) -> None:
    words = {word for kind in schema.all_fields.values() if isinstance(kind, Choice) for word in kind.words}
    own = words - CODES.words - RULES.words
    assert {(schema.name, word) for word in own if FORBIDDEN.search(word)} <= MAY_SAY


def test_no_site_event_times_a_round() -> None:
    timed = {s.name for s in EVENTS.values() if any(isinstance(kind, Duration) for kind in s.all_fields.values())}
    assert timed == {"site.state", "round.opened"}


def test_a_mean_loss_is_logged_as_an_opened_metric_alone() -> None:
    metric = EVENTS["trend.opened"].fields["metric"]
    assert isinstance(metric, Choice)
    assert metric.words == frozenset(get_args(MetricName))
    assert not any(
        "unit_loss" in kind.words
        for schema in EVENTS.values()
        if schema.name != "trend.opened"
        for kind in schema.all_fields.values()
        if isinstance(kind, Choice)
    )


def test_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        EVENTS["x"] = EVENTS["log.opened"]  # type: ignore[index]


def test_all_rules_of_the_policy_can_be_named() -> None:
    assert {*(rule.name for rule in POLICY_RULES), WITNESS_RULE} <= RULES.words
    assert {rule.code for rule in POLICY_RULES} <= CODES.words


def codes_in_the_sources() -> set[str]:
    found: set[str] = set()
    for room in ("common", "client", "server"):
        for path in (_REPOSITORY / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ProtocolError":
                    words = [word.value for word in ast.walk(node.args[0]) if isinstance(word, ast.Constant)]
                    found |= {word for word in words if isinstance(word, str) and word.isupper()}
    return found


def test_all_codes_of_the_sources_can_be_logged() -> None:
    found = codes_in_the_sources()
    assert len(found) > 30
    assert found <= CODES.words
    assert {Fault("a", "").code, "SHARE_UNREADABLE"} <= CODES.words


def test_what_is_told_to_the_system_is_a_state_a_warning_or_an_error() -> None:
    assert EVENTS["site.state"].is_told
    assert EVENTS["request.refused"].is_told
    assert not EVENTS["round.sent"].is_told
    assert {s.name for s in EVENTS.values() if s.is_told and s.level is Level.INFO} == {"site.state"}


def stdlib_logging_in(source: str) -> set[int]:
    """Lines that import or use ``logging``, or warn."""
    return {node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt | ast.expr) and says(node)}


def says(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == "logging" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] in ("logging", "warnings")
    return isinstance(node, ast.Attribute) and node.attr in ("warn", "warn_explicit", "getLogger", "print_exc")


ALLOWED = {
    "common/logs/guard.py": "replaces what the standard library would do",
    "common/privacy/accounting.py": "filters one line of dp-accounting's; says nothing itself",
    "simulations/attacks/flower.py": "silences Flower while its own protocol is attacked",
}


def test_nobody_but_the_logger_logs_or_warns() -> None:
    users = {
        path.relative_to(_REPOSITORY).as_posix()
        for room in ("common", "client", "server", "simulations", "fedward")
        for path in (_REPOSITORY / room).rglob("*.py")
        if not path.is_relative_to(_REPOSITORY / "fedward" / room) and stdlib_logging_in(path.read_text("utf-8"))
    }
    assert users == set(ALLOWED)


@pytest.mark.parametrize(
    "source",
    [
        "import logging",
        "def f():\n    import logging.handlers",
        "from logging import getLogger",
        "import warnings\nwarnings.warn('x')",
        "from warnings import warn",
        "x.getLogger('a')",
        "traceback.print_exc()",
    ],
)
def test_the_search_sees_every_kind_of_use(source: str) -> None:
    assert stdlib_logging_in(source)
