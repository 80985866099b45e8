"""The mutation table of the policy, and that it can fail."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client import policy as guard
from fedward.client.policy import RULES
from fedward.simulations.attacks.policy import MUTATIONS, POLICY, measure, mutated, offered


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return measure()


def test_no_loosened_plan_is_accepted_and_every_rule_is_named(figures: dict[str, Any]) -> None:
    assert figures["passed"], [row for row in figures["rows"] if not row["is_as_expected"]]
    assert figures["mutations"] >= 20
    assert (figures["accepted"], figures["wrong_rule"], figures["data_reads"]) == (0, 0, 0)
    assert figures["unmutated_accepted"]
    assert {row["ledger_entries"] for row in figures["rows"]} == {1}


def test_every_rule_has_a_row(figures: dict[str, Any]) -> None:
    assert {mutation.rule for mutation in MUTATIONS} - {""} == {rule.name for rule in RULES}
    assert figures["rules_without_row"] == []


def test_every_rule_is_what_stops_at_least_one_of_its_rows(figures: dict[str, Any]) -> None:
    stopping = {row["rule"] for row in figures["rows"] if row["control_accepted"]}
    # Without `profile` an agent has nothing to run such a plan with, without `unit` its account takes no such plan; the
    # rest of the table needs its rule.
    assert {rule.name for rule in RULES} - stopping <= {"profile", "unit"}


def test_the_table_notices_a_rule_that_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RULES", tuple(rule for rule in RULES if rule.name != "clip"))
    clip = next(mutation for mutation in MUTATIONS if mutation.rule == "clip")
    assert offered(mutated(clip), POLICY).is_accepted


def test_a_rule_that_breaks_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bool:
        raise RuntimeError("never seen before")

    rule = guard.Rule(name="x", code="X", paths=(), limits=(), direction="", holds=broken)
    monkeypatch.setattr(guard, "RULES", (*RULES, rule))
    answer = offered(mutated(None), POLICY)
    assert (answer.is_accepted, answer.code, answer.rule) == (False, "POLICY_REFUSED", "internal")
    assert answer.reads == 0


def test_the_command_prints_the_table_and_one_object() -> None:
    result = CliRunner().invoke(app, ["attack", "policy", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["accepted"], last["passed"]) == (0, True)
