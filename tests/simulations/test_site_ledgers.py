"""The ledger that a simulated site leaves, judged like a real one's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.ledger_files import Judged, VerifyLevel, judge_file
from fedward.common.ledger.reader import LedgerReader
from fedward.common.privacy.accounting import epsilon, history_from_json
from fedward.common.vault.folder import LEDGER
from fedward.simulations.console import Silent
from fedward.simulations.driver import Options, simulate
from fedward.simulations.parties import folder_of
from fedward.simulations.recipe import read_recipe
from fedward.simulations.report import Outcome
from tests.simulations.conftest import Writer

pytestmark = pytest.mark.slow


def run(recipe: Path, folder: Path, **changes: object) -> Outcome:
    options = Options(data_root=recipe.parent, out=folder / "out")
    return simulate(read_recipe(recipe, changes), options, Silent())


def ledgers(folder: Path) -> list[Path]:
    return [folder_of(folder / "out", f"site-{place}").joinpath(*LEDGER) for place in range(3)]


def judged(path: Path) -> Judged:
    found = judge_file(path, VerifyLevel.BUDGET)
    assert found.verdict.is_good, found.verdict
    return found


def kinds(path: Path) -> list[str]:
    with LedgerReader(path) as reader:
        return [entry.kind for entry in reader.entries()]


def said(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("profile", ["strict", "plain_ring"])
def test_a_private_run_leaves_every_sites_ledger_with_what_it_spent(
    profile: str, recipe_file: Writer, tmp_path: Path
) -> None:
    outcome = run(recipe_file(), tmp_path, **{"secagg.profile": profile})
    stated = [history_from_json(raw) for raw in outcome.result.events.values()]
    events = stated[0]
    for path in ledgers(tmp_path):
        (account,) = judged(path).accounts
        assert (account.unit, account.num_open, account.history) == ("patient", 0, tuple(events))
        assert account.epsilon == epsilon(events, account.delta)
        found = kinds(path)
        assert [found.count(f"journal.{kind}") for kind in ("accepted", "sent")] == [2, 2]
        assert [found.count(f"budget.{kind}") for kind in ("account", "reserve", "charge")] == [1, 2, 2]
    assert said("ledger", "verify", str(path), "--level", "budget")["verdict"] == "ok"
    assert said("site", "budget", str(path))["accounts"][0]["epsilon"] == account.epsilon


def test_a_run_without_privacy_leaves_a_ledger_that_verifies(recipe_file: Writer, tmp_path: Path) -> None:
    run(recipe_file(), tmp_path, **{"privacy.mode": "none"})
    for path in ledgers(tmp_path):
        assert judged(path).accounts == ()
        assert kinds(path).count("journal.sent") == 2
