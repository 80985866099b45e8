"""A site's ledger backed up, put back, and recovered after it was lost."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.site_folder import SiteFolder
from fedward.client.vault_keys import public_text, write_key_file
from fedward.common.config import RunPlan
from fedward.common.envelope.recipients import X25519Identity
from fedward.common.errors import ConfigError, EnvelopeError, LedgerError, LedgerRolledBackError
from fedward.common.ledger.recovery import run_cost
from fedward.common.privacy.accounting import epsilon
from fedward.common.vault.folder import ANCHOR, LEDGER
from fedward.common.vault.unlocks import create_key_file
from tests.federation_simulator import RUN_ID, identity_of, make_plan
from tests.ledgers import account, clock, reserve
from tests.witnessed_federation import Witnessed, witnessed

RUNNER = CliRunner()
SECOND = b"\x12" * 16


def run(*words: object) -> dict[str, Any]:
    result = RUNNER.invoke(app, ["ledger", *map(str, words), "--json"], catch_exceptions=False)
    return {"code": result.exit_code, **json.loads(result.stdout.splitlines()[-1])}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Alpha's folder, its key file beside it, with an account."""
    path = tmp_path / "alpha"
    unlock = create_key_file(tmp_path / "alpha.key")
    with SiteFolder.create(path, "alpha", unlocks=[unlock], clock=clock, identity=identity_of("alpha")) as folder:
        folder.trail.append([account()])
    return path


@pytest.fixture
def backup_key(tmp_path: Path) -> tuple[Path, str]:
    """The key that opens backups, as a file, and its public line."""
    identity = X25519Identity.generate()
    write_key_file(tmp_path / "backup.key", identity)
    return tmp_path / "backup.key", public_text(identity.recipient)


@pytest.fixture
def federation(site: Path, tmp_path: Path) -> Iterator[Witnessed]:
    """Four sites; alpha's ledger is the one of its folder."""
    (tmp_path / "others").mkdir()
    found = witnessed(tmp_path / "others", "resilient", 4, paths={"alpha": site.joinpath(*LEDGER)})
    yield found
    found.close()


def kinds(site: Path) -> list[str]:
    return [row["kind"] for row in run("show", site.joinpath(*LEDGER), "--last", 1000)["entries"]]


def lose(site: Path) -> None:
    """The ledger's files are gone."""
    for path in site.joinpath("ledger").glob("ledger.db*"):
        path.unlink()


# ---------------------------------------------------------------------------------------------------- backup


def test_a_backup_holds_what_was_there_and_is_entered(site: Path, tmp_path: Path, backup_key: tuple[Path, str]) -> None:
    out = tmp_path / "backup.fwe"
    before = kinds(site)
    run("backup", out, "--site", site, "--to", backup_key[1])
    assert kinds(site) == [*before, "ledger.backup"]
    lose(site)
    assert run("restore", out, "--site", site, "-i", backup_key[0])["entries"] == len(before)
    assert kinds(site) == [*before, "ledger.restored"]
    assert run("verify", site.joinpath(*LEDGER), "--level", "witnessed")["verdict"] == "ok"


def test_a_ledger_that_is_there_is_not_replaced(site: Path, tmp_path: Path, backup_key: tuple[Path, str]) -> None:
    out = tmp_path / "backup.fwe"
    run("backup", out, "--site", site, "--to", backup_key[1])
    with pytest.raises(LedgerError, match="there is a ledger"):
        run("restore", out, "--site", site, "-i", backup_key[0])


def test_a_backup_is_not_put_beside_the_log_of_another_ledger(
    site: Path, tmp_path: Path, backup_key: tuple[Path, str]
) -> None:
    out = tmp_path / "backup.fwe"
    run("backup", out, "--site", site, "--to", backup_key[1])
    lose(site)
    site.joinpath("ledger", "ledger.db-wal").write_bytes(b"")
    with pytest.raises(LedgerError, match="of another ledger"):
        run("restore", out, "--site", site, "-i", backup_key[0])


def test_a_backup_for_another_leaves_nothing(site: Path, tmp_path: Path, backup_key: tuple[Path, str]) -> None:
    out, other = tmp_path / "backup.fwe", X25519Identity.generate()
    write_key_file(tmp_path / "other.key", other)
    run("backup", out, "--site", site, "--to", backup_key[1])
    lose(site)
    with pytest.raises(EnvelopeError):
        run("restore", out, "--site", site, "-i", tmp_path / "other.key")
    assert not list(site.joinpath("ledger").glob("*.db*"))


def test_an_old_file_beside_its_anchor_is_not_opened(site: Path, tmp_path: Path, backup_key: tuple[Path, str]) -> None:
    old = shutil.copy(site.joinpath(*LEDGER), tmp_path / "old.db")
    run("backup", tmp_path / "backup.fwe", "--site", site, "--to", backup_key[1])
    shutil.copy(old, site.joinpath(*LEDGER))
    with pytest.raises(LedgerRolledBackError):
        run("backup", tmp_path / "second.fwe", "--site", site, "--to", backup_key[1])
    assert run("verify", site.joinpath(*LEDGER), "--level", "witnessed")["fault"] == "HEAD_MISSING"


# ---------------------------------------------------------------------------------------------------- recovery


def lose_a_run(federation: Witnessed, site: Path) -> list[Path]:
    """A run, and then alpha's file and anchor of before it; the exports of the others."""
    federation.stop("alpha")
    ledger, anchor = site.joinpath(*LEDGER), site.joinpath(*ANCHOR)
    kept = ledger.read_bytes(), anchor.read_bytes()
    federation.start("alpha")
    federation.run()
    federation.stop("alpha")
    ledger.write_bytes(kept[0])
    anchor.write_bytes(kept[1])
    exports = []
    for name in ("beta", "gamma"):
        exports.append(federation.folder / f"{name}.jsonl")
        run("export", federation.path(name), exports[-1], "--redacted")
    return exports


def with_all(exports: list[Path]) -> list[object]:
    return [word for path in exports for word in ("--with", path)]


def test_a_lost_run_is_charged_in_full_and_the_site_comes_back(federation: Witnessed, site: Path) -> None:
    exports = lose_a_run(federation, site)
    plan = federation.folder / "plan.json"
    plan.write_bytes(federation.federation.plan_bytes)
    found = run("recover", "--site", site, *with_all(exports), "--run", f"{RUN_ID.hex()}={plan}")
    assert (found["code"], found["closed"]) == (0, [])
    judged = run("verify", site.joinpath(*LEDGER), *with_all(exports))
    assert judged["verdict"] == "ok"
    expected = run_cost(federation.federation.plan, ()) or ()
    assert judged["accounts"][0]["epsilon"] == pytest.approx(epsilon(expected, 1e-6))
    federation.start("alpha")
    result = federation.run(run_id=SECOND)
    assert all("alpha" in record.survivors for record in result.rounds)


def test_before_the_recovery_others_name_what_is_missing(federation: Witnessed, site: Path) -> None:
    exports = lose_a_run(federation, site)
    judged = run("verify", site.joinpath(*LEDGER), *with_all(exports))
    assert (judged["code"], judged["fault"]) == (3, "HEAD_MISSING")
    federation.start("alpha")
    assert federation.run(run_id=SECOND).rounds[0].dropped["alpha"] == "LEDGER_ROLLED_BACK"


def test_a_lost_run_whose_plan_is_not_known_closes_the_account(federation: Witnessed, site: Path) -> None:
    exports = lose_a_run(federation, site)
    assert run("recover", "--site", site, *with_all(exports))["closed"] == [RUN_ID.hex()]
    with SiteFolder.open(site, unlocks=[_unlock(site)], clock=clock) as folder:
        folder.trail.append([reserve()])
    judged = run("verify", site.joinpath(*LEDGER))
    assert (judged["code"], judged["fault"]) == (3, "BUDGET_INVALID")


def _unlock(site: Path) -> Any:  # noqa: ANN401
    from fedward.common.vault.unlocks import read_key_file

    return read_key_file(site.with_name("alpha.key"))


def test_where_nothing_is_missing_nothing_is_charged(federation: Witnessed, site: Path) -> None:
    federation.run()
    federation.stop("alpha")
    with SiteFolder.open(site, unlocks=[_unlock(site)], clock=clock):
        pass  # moves the anchor on
    export = federation.folder / "beta.jsonl"
    run("export", federation.path("beta"), export)
    before = kinds(site)
    with pytest.raises(LedgerError, match="nothing is missing"):
        run("recover", "--site", site, "--with", export)
    assert kinds(site) == before


def test_an_anchor_that_is_ahead_of_all_evidence_closes_the_account(
    site: Path, tmp_path: Path, federation: Witnessed
) -> None:
    old = shutil.copy(site.joinpath(*LEDGER), tmp_path / "old.db")
    federation.stop("alpha")
    with SiteFolder.open(site, unlocks=[_unlock(site)], clock=clock) as folder:
        folder.trail.append([reserve()])
    shutil.copy(old, site.joinpath(*LEDGER))
    export = federation.folder / "beta.jsonl"
    run("export", federation.path("beta"), export)
    assert run("recover", "--site", site, "--with", export)["closed"] == [bytes(16).hex()]


@pytest.mark.parametrize("words", [["--run", "xx=plan"], ["--account", "other"], ["--reply", "missing"]])
def test_options_that_cannot_be_are_refused(federation: Witnessed, site: Path, words: list[str]) -> None:
    exports = lose_a_run(federation, site)
    with pytest.raises(ConfigError):
        run("recover", "--site", site, *with_all(exports), *words)


def test_a_run_costs_every_attempt_but_those_that_are_counted() -> None:
    plan = make_plan(rounds=3)
    whole = run_cost(plan, ()) or ()
    assert [event.num_steps for event in whole] == [3 * 2 * plan.secagg.max_attempts]  # type: ignore[union-attr]
    left = run_cost(plan, {(1, 0), (1, 1), (2, 0)}) or ()
    assert [event.num_steps for event in left] == [2 * (3 * plan.secagg.max_attempts - 3)]  # type: ignore[union-attr]
    assert run_cost(without_privacy(), ()) is None


def without_privacy() -> RunPlan:
    return make_plan(privacy={"mode": "none", "noise_multiplier": None})
