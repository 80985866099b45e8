"""``fedward site policy check`` and ``fedward site budget``."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.policy import RULES
from fedward.common.errors import ConfigError, LedgerInvalidError
from tests.ledgers import account, charge, reserve, stored

RUNNER = CliRunner()
PLAN = """
schema = "fedward.plan/1"
name = "quarterly"
rounds = {rounds}
[privacy]
epsilon = 3.0
noise_multiplier = {noise}
[training]
sample_rate = 0.05
steps_per_round = 10
[secagg]
profile = "resilient"
[[sites]]
id = "north"
nominal_units = 2000
[[sites]]
id = "south"
nominal_units = 900
[[sites]]
id = "east"
nominal_units = 900
[[sites]]
id = "west"
nominal_units = 900
"""


def checked(tmp_path: Path, *words: str, rounds: int = 10, noise: str = "1.5") -> tuple[int, dict[str, Any]]:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(rounds=rounds, noise=noise))
    command = ["site", "policy", "check", str(plan), "--site", "north", "--json", *words]
    result = RUNNER.invoke(app, command, catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def test_every_rule_is_explained_for_a_plan_that_passes(tmp_path: Path) -> None:
    code, found = checked(tmp_path)
    assert (code, found["accepted"]) == (0, True)
    assert [row["rule"] for row in found["rules"]] == [rule.name for rule in RULES]


def test_a_refused_number_comes_with_the_nearest_that_passes(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("max_sample_rate = 0.02\nmax_clip_norm = 0.5\n")
    code, found = checked(tmp_path, "--policy", str(policy))
    assert (code, found["refused_by"]) == (3, ["clip", "sample_rate"])
    nearest = {row["rule"]: row["nearest"] for row in found["rules"] if not row["holds"]}
    assert nearest["sample_rate"] == "training.sample_rate = 0.02"


def test_the_most_rounds_that_fit_are_found(tmp_path: Path) -> None:
    code, found = checked(tmp_path, rounds=900)
    assert code == 3
    (row,) = [row for row in found["rules"] if row["rule"] == "epsilon_run"]
    rounds = int(row["nearest"].removeprefix("rounds = "))
    assert 10 < rounds < 900
    assert "epsilon_run" not in checked(tmp_path, rounds=rounds)[1]["refused_by"]
    assert "epsilon_run" in checked(tmp_path, rounds=rounds + 1)[1]["refused_by"]


def test_what_the_ledger_has_spent_counts(tmp_path: Path) -> None:
    ledger, policy = tmp_path / "ledger.db", tmp_path / "policy.toml"
    stored(ledger, [account(), reserve(), charge(2)])
    alone = next(row for row in checked(tmp_path)[1]["rules"] if row["rule"] == "epsilon_total")
    cost = alone["plan"]["epsilon with the account"]
    policy.write_text(f"account_epsilon = {cost + 0.01}\n")
    assert checked(tmp_path, "--policy", str(policy))[0] == 0
    code, found = checked(tmp_path, "--policy", str(policy), "--ledger", str(ledger))
    assert (code, found["refused_by"]) == (3, ["epsilon_total"])


def test_the_table_is_for_people(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(rounds=5000, noise="1.5"))
    result = RUNNER.invoke(app, ["site", "policy", "check", str(plan), "--site", "north"])
    assert result.exit_code == 3
    assert "refused: rounds" in result.stdout


@pytest.mark.parametrize("text", ["", "schema = 1", "[", PLAN.format(rounds="nan", noise="1.5")])
def test_what_is_no_plan_is_refused_in_words(tmp_path: Path, text: str) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    with pytest.raises(ConfigError):
        RUNNER.invoke(app, ["site", "policy", "check", str(plan)], catch_exceptions=False)


def test_sites_that_differ_must_be_named(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(rounds=10, noise="1.5"))
    for words in ([], ["--site", "nowhere"]):
        with pytest.raises(ConfigError, match="--site"):
            RUNNER.invoke(app, ["site", "policy", "check", str(plan), *words], catch_exceptions=False)


def test_a_sample_rate_that_will_be_filled_in_is_judged_as_what_it_will_be(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(rounds=10, noise="3.0").replace("sample_rate = 0.05", 'sample_rate = "auto"'))
    command = ["site", "policy", "check", str(plan), "--site", "north", "--json"]
    result = RUNNER.invoke(app, command, catch_exceptions=False)
    assert json.loads(result.stdout.splitlines()[-1])["refused_by"] == []


def test_nothing_in_a_plan_steers_the_terminal(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    text = PLAN.format(rounds=10, noise="1.5").replace('id = "north"', 'id = "[/north]"')
    plan.write_text(text.replace("[privacy]", '[lora]\ntargets = ["\\u001b[2J"]\n[privacy]'))
    result = RUNNER.invoke(app, ["site", "policy", "check", str(plan), "--site", "[/north]"], catch_exceptions=False)
    assert result.exit_code == 3
    assert "\x1b[2J" not in result.stdout
    assert "[/north]" in result.stdout


def test_a_ledger_that_does_not_hold_or_has_another_delta_is_not_reckoned_with(tmp_path: Path) -> None:
    bad, other = tmp_path / "bad.db", tmp_path / "other.db"
    stored(bad, [account(), charge(1)])
    stored(other, [account(delta="1e-5")])
    with pytest.raises(LedgerInvalidError):
        checked(tmp_path, "--ledger", str(bad))
    with pytest.raises(ConfigError, match="delta"):
        checked(tmp_path, "--ledger", str(other))
    with pytest.raises(ConfigError, match="--account"):
        checked(tmp_path, "--ledger", str(other), "--account", "none")


def test_the_budget_is_shown(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    stored(ledger, [account(), reserve(), charge(2), reserve(number=2)])
    result = RUNNER.invoke(app, ["site", "budget", str(ledger), "--json"], catch_exceptions=False)
    (found,) = json.loads(result.stdout)["accounts"]
    assert (found["account"], found["cap"], found["open_reservations"]) == ("default", 5.0, 1)
    assert found["left"] == pytest.approx(5.0 - found["epsilon"])
    assert "Privacy budget" in RUNNER.invoke(app, ["site", "budget", str(ledger)]).stdout


def test_the_budget_of_a_ledger_that_does_not_hold_is_not_shown(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    stored(ledger, [account(), charge(1)])
    with pytest.raises(LedgerInvalidError):
        RUNNER.invoke(app, ["site", "budget", str(ledger)], catch_exceptions=False)
