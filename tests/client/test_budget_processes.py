"""One budget for all processes of a site: restarts, old files, races and kill -9, with real processes."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.ledger_files import VerifyLevel, judge_file
from fedward.common.agreement import round_event
from fedward.common.ledger.reader import LedgerReader
from fedward.common.privacy.accounting import epsilon
from tests.federation_simulator import POLICY, refusal_of
from tests.masked_federation import agent_of, masked_federation
from tests.site_process import CAP, EVENT, finished, ledger_store, started

pytestmark = pytest.mark.slow
ACCEPTED = ["PLAN_ACCEPT", "TRAIN_REPLY", "RUN_END_REPLY"]
A, B, C = ("aa" * 16, "bb" * 16, "cc" * 16)


def kinds(folder: Path) -> list[str]:
    with LedgerReader(folder / "ledger.db") as reader:
        return [entry.kind for entry in reader.entries()]


def spent(folder: Path) -> float:
    """By the file alone, judged whole."""
    judged = judge_file(folder / "ledger.db", VerifyLevel.BUDGET)
    assert judged.verdict.is_good, judged.verdict
    return judged.accounts[0].epsilon


def test_two_runs_in_two_processes_add_up_and_the_third_is_refused(tmp_path: Path) -> None:
    assert finished("run", tmp_path, A) == ACCEPTED
    assert finished("run", tmp_path, B) == ACCEPTED
    assert finished("run", tmp_path, C) == ["BUDGET_REFUSED/epsilon_total"]
    assert spent(tmp_path) == epsilon([EVENT] * 2, POLICY.account_delta) <= CAP
    assert kinds(tmp_path)[-1] == "plan.refused"
    command = ["site", "budget", str(tmp_path / "ledger.db"), "--json"]
    found = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)["accounts"]
    assert [(a["account"], a["open_reservations"]) for a in found] == [("default", 0)]


def test_a_run_that_was_accepted_before_never_begins_again(tmp_path: Path) -> None:
    assert finished("run", tmp_path, A) == ACCEPTED
    assert finished("run", tmp_path, B) == ACCEPTED
    assert finished("run", tmp_path, A) == ["REPLAY_CONFLICT"]


def test_an_old_file_put_back_between_runs_is_told_by_the_anchor(tmp_path: Path) -> None:
    assert finished("run", tmp_path, A, "anchored") == ACCEPTED
    shutil.copy(tmp_path / "ledger.db", tmp_path / "old.db")
    assert finished("run", tmp_path, B, "anchored") == ACCEPTED
    shutil.copy(tmp_path / "old.db", tmp_path / "ledger.db")
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"ledger.db{suffix}").unlink(missing_ok=True)
    assert spent(tmp_path) == epsilon([EVENT], POLICY.account_delta)  # the file alone is good in itself
    assert finished("run", tmp_path, C, "anchored") == ["LedgerRolledBackError"]


def test_a_second_process_meets_the_lock(tmp_path: Path) -> None:
    first = started("hold", tmp_path)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        assert finished("run", tmp_path, A) == ["LedgerLockedError"]
    finally:
        first.communicate("go on\n", timeout=60)
    assert finished("run", tmp_path, A) == ACCEPTED


def test_of_two_processes_past_the_lock_one_spends(tmp_path: Path) -> None:
    first = started("race", tmp_path, A)
    assert first.stdout is not None
    assert first.stdout.readline() == "PLAN_ACCEPT\n"
    second = started("race", tmp_path, B)
    assert second.stdout is not None
    assert second.stdout.readline() == "PLAN_ACCEPT\n"
    stale, _ = first.communicate("go on\n", timeout=60)
    newer, _ = second.communicate("go on\n", timeout=60)
    assert (stale, newer) == ("ABSTAIN\n", "TRAIN_REPLY\n")
    assert spent(tmp_path) == epsilon([EVENT], POLICY.account_delta)


STEPS = ("before BEGIN", "after BEGIN", *(f"after INSERT {n}" for n in (1, 2, 3)), "after beside", "before COMMIT")


@pytest.mark.parametrize(
    ("transaction", "place", "is_reserved", "is_charged"),
    [
        *((1, place, False, False) for place in STEPS),
        (1, "after COMMIT", True, False),
        # The second leaves the sealed state as it is: the charge moves no position.
        *((2, place, True, False) for place in STEPS if place != "after beside"),
        (2, "after COMMIT", True, True),
        (2, "before send", True, True),
    ],
)
def test_killed_at_any_step_of_a_charge_it_is_counted_or_nothing_was_read(
    transaction: int, place: str, is_reserved: bool, is_charged: bool, tmp_path: Path
) -> None:
    killed = started("charge", tmp_path, transaction, place)
    _, err = killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL, err
    assert not (tmp_path / "left").exists()
    found = kinds(tmp_path)
    assert (found.count("budget.reserve"), found.count("journal.accepted")) == (is_reserved, is_reserved)
    assert (found.count("budget.charge"), found.count("journal.sent")) == (is_charged, is_charged)
    is_trained = (tmp_path / "trained").exists()
    assert is_trained == (transaction == 2)
    assert is_reserved or not is_trained

    federation = masked_federation("resilient")
    store = ledger_store(tmp_path)
    again = agent_of(federation, store=store)
    assert again.history == again.accounts.of_site.history == (round_event(federation.plan),) * is_reserved
    code = refusal_of(again.handle((tmp_path / "train").read_bytes())).code
    assert code == ("REPLAY_CONFLICT" if is_reserved else "PREKEY_UNKNOWN")
    store.close()
    assert judge_file(tmp_path / "ledger.db", VerifyLevel.BUDGET).verdict.is_good
