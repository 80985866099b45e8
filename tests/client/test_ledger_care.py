"""A site's ledger backed up, put back, and recovered after it was lost."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.ledger_care import _Chain
from fedward.client.site_folder import SiteFolder
from fedward.client.vault_keys import public_text, read_key_file, write_key_file
from fedward.common.config import COORDINATOR, RunPlan
from fedward.common.envelope.header import Context
from fedward.common.envelope.recipients import X25519Identity
from fedward.common.envelope.stream import seal
from fedward.common.errors import (
    ConfigError,
    EnvelopeError,
    LedgerError,
    LedgerInvalidError,
    LedgerRolledBackError,
)
from fedward.common.ledger.backup import image_of
from fedward.common.ledger.recovery import run_cost
from fedward.common.ledger.store import Ledger
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.accounting import epsilon
from fedward.common.vault import unlocks
from fedward.common.vault.folder import ANCHOR, LEDGER
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import RUN_ID, identity_of, make_plan, type_of
from tests.ledgers import account, chained, clock, reserve, void
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
    unlock = unlocks.create_key_file(tmp_path / "alpha.key")
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


def test_a_backup_that_does_not_hold_leaves_nothing(site: Path, tmp_path: Path, backup_key: tuple[Path, str]) -> None:
    sealed, image = tmp_path / "backup.fwe", image_of(site.joinpath(*LEDGER))
    context = Context(kind="ledger", name="backup", run_id=bytes(16))
    with sealed.open("wb") as file:
        changed = io.BytesIO(image.replace(b'"epsilon":"5"', b'"epsilon":"9"'))
        seal(changed, file, [read_key_file(backup_key[0]).recipient], context=context)
    lose(site)
    with pytest.raises(LedgerInvalidError, match="ENTRY_ALTERED"):
        run("restore", sealed, "--site", site, "-i", backup_key[0])
    assert not list(site.joinpath("ledger").glob("ledger.db*"))


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


def lose_a_run(federation: Witnessed, site: Path, **how: Any) -> list[Path]:  # noqa: ANN401
    """A run, and then alpha's file and anchor of before it; the exports of the others."""
    federation.stop("alpha")
    ledger, anchor = site.joinpath(*LEDGER), site.joinpath(*ANCHOR)
    kept = ledger.read_bytes(), anchor.read_bytes()
    federation.start("alpha")
    federation.run(**how)
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


def _unlock(site: Path) -> unlocks.Unlock:
    return unlocks.read_key_file(site.with_name("alpha.key"))


def keeping(into: list[bytes]) -> Callable[[str, Handler], Handler]:
    """The coordinator keeps alpha's vectors."""

    def around(name: str, handler: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            reply = handler(request)
            if name == "alpha" and type_of(reply) == pb.TRAIN_REPLY:
                into.append(reply)
            return reply

        return handle

    return around


def test_a_reply_that_the_coordinator_kept_proves_a_run_and_its_plan(federation: Witnessed, site: Path) -> None:
    kept: list[bytes] = []
    lose_a_run(federation, site, around=keeping(kept))
    reply, plan, other = (federation.folder / name for name in ("reply", "plan.json", "other.json"))
    reply.write_bytes(kept[0])
    plan.write_bytes(federation.federation.plan_bytes)
    other.write_bytes(make_plan(rounds=1).to_bytes())
    export = federation.folder / "zeta.jsonl"  # of a party that knows nothing
    with Ledger.create(federation.folder / "zeta.db", identity=identity_of("zeta"), site_id="zeta", clock=clock):
        pass
    run("export", federation.folder / "zeta.db", export)
    words = ["recover", "--site", site, "--with", export, "--reply", reply]
    with pytest.raises(ConfigError, match="not the plan"):
        run(*words, "--run", f"{RUN_ID.hex()}={other}")
    found = run(*words, "--run", f"{RUN_ID.hex()}={plan}")
    assert found["charged"]
    assert not found["closed"]


def test_a_reply_of_another_site_proves_nothing(federation: Witnessed, site: Path) -> None:
    exports = lose_a_run(federation, site)
    reply = federation.folder / "reply"
    reply.write_bytes(federation.federation.offer())
    with pytest.raises(ConfigError, match="no TrainReply"):
        run("recover", "--site", site, *with_all(exports), "--reply", reply)


def test_a_recovery_says_what_it_charged_and_that_it_closed(federation: Witnessed, site: Path) -> None:
    exports = lose_a_run(federation, site)
    plan = federation.folder / "plan.json"
    plan.write_bytes(federation.federation.plan_bytes)
    words = ["ledger", "recover", "--site", site, *with_all(exports), "--run", f"{RUN_ID.hex()}={plan}"]
    shown = RUNNER.invoke(app, [str(word) for word in words], catch_exceptions=False).stdout
    assert "charged: PoissonGaussian" in shown
    assert "closed" not in shown


def test_an_account_is_named_where_there_are_several(federation: Witnessed, site: Path) -> None:
    exports = lose_a_run(federation, site)
    with SiteFolder.open(site, unlocks=[_unlock(site)], clock=clock) as folder:
        folder.trail.append([account(name="other")])
    with pytest.raises(ConfigError, match="which account"):
        run("recover", "--site", site, *with_all(exports))
    assert run("recover", "--site", site, *with_all(exports), "--account", "other")["closed"]


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


@pytest.mark.parametrize(("witness", "closed"), [("beta", [bytes(16).hex()]), (COORDINATOR, [])])
def test_only_the_coordinator_knows_all_runs_that_an_anchor_tells_were_lost(
    federation: Witnessed, site: Path, witness: str, closed: list[str]
) -> None:
    ledger = site.joinpath(*LEDGER)
    federation.stop("alpha")
    kept = ledger.read_bytes()
    federation.start("alpha")
    federation.run()
    federation.stop("alpha")
    with SiteFolder.open(site, unlocks=[_unlock(site)], clock=clock):
        pass  # moves the anchor on
    ledger.write_bytes(kept)
    export, plan = federation.folder / "export.jsonl", federation.folder / "plan.json"
    run("export", federation.path(witness), export)
    plan.write_bytes(federation.federation.plan_bytes)
    found = run("recover", "--site", site, "--with", export, "--run", f"{RUN_ID.hex()}={plan}")
    assert found["charged"]
    assert found["closed"] == closed


def test_behind_a_restored_backup_a_peers_word_bounds_nothing(
    federation: Witnessed, site: Path, tmp_path: Path, backup_key: tuple[Path, str]
) -> None:
    federation.stop("alpha")
    run("backup", tmp_path / "backup.fwe", "--site", site, "--to", backup_key[1])
    federation.start("alpha")
    federation.run()
    federation.stop("alpha")
    lose(site)
    run("restore", tmp_path / "backup.fwe", "--site", site, "-i", backup_key[0])
    export, plan = federation.folder / "beta.jsonl", federation.folder / "plan.json"
    run("export", federation.path("beta"), export)
    plan.write_bytes(federation.federation.plan_bytes)
    found = run("recover", "--site", site, "--with", export, "--run", f"{RUN_ID.hex()}={plan}")
    assert found["closed"] == [bytes(16).hex()]


def test_the_coordinators_export_tells_which_plan_a_lost_run_had(federation: Witnessed, site: Path) -> None:
    lose_a_run(federation, site)
    export, other = federation.folder / "whole.jsonl", federation.folder / "other.json"
    run("export", federation.path(COORDINATOR), export)
    other.write_bytes(make_plan(rounds=1).to_bytes())
    with pytest.raises(ConfigError, match="not the plan"):
        run("recover", "--site", site, "--with", export, "--run", f"{RUN_ID.hex()}={other}")


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


def test_a_voided_position_counts_for_nothing_in_a_recovery() -> None:
    chain = _Chain()
    for entry in chained([account(), reserve(), reserve(number=2), void(2)]):
        chain.take(entry)
    assert chain.counted == {b"\x22" * 16: {(2, 0)}}


def without_privacy() -> RunPlan:
    return make_plan(privacy={"mode": "none", "noise_multiplier": None})
