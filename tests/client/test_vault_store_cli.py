"""``fedward site init|rotate|grant|revoke``, ``vault objects|read|rotate``, ``audit idle`` as a person uses them."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client import audit_cli, site_options
from fedward.client.site_folder import SiteFolder
from fedward.common.errors import (
    AccessRefusedError,
    ConfigError,
    FedwardError,
    KeystoreLockedError,
    LedgerInvalidError,
    ObjectNotFoundError,
    VaultError,
)
from fedward.common.vault.grants import DAY_MS
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import read_key_file
from tests.vaults import RUN

RUNNER = CliRunner()
ME = f"uid:{os.geteuid()}"


def invoke(*words: object) -> Result:
    return RUNNER.invoke(app, [*map(str, words)], catch_exceptions=False)


def run(*words: object) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """The JSON of a command that must succeed."""
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    run("site", "init", tmp_path / "alpha", "--name", "alpha")
    return tmp_path / "alpha"


def put(site: Path, kind: Kind, data: bytes = b"content", *, name: str = "one") -> str:
    unlock = read_key_file(site.with_name("alpha.key"))
    with SiteFolder.open(site, unlocks=[unlock], clock=site_options.clock) as folder:
        return folder.vault.put(kind, name, data, run_id=RUN, principal=folder.principal(Role.DAEMON))


def test_init_makes_a_private_folder_and_a_key_file_beside_it(tmp_path: Path) -> None:
    told = run("site", "init", tmp_path / "alpha", "--name", "alpha")
    assert (told["site"], told["unlock"], told["key_file"]) == ("alpha", "key-file", str(tmp_path / "alpha.key"))
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("alpha", "alpha.key")]
    assert modes == [0o700, 0o600]
    assert run("ledger", "verify", tmp_path / "alpha/ledger/ledger.db", "--identity", told["identity"])["entries"] == 4


def test_init_with_a_passphrase_opens_by_it_alone(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("correct horse battery\n")
    words.chmod(0o600)
    told = run("site", "init", tmp_path / "alpha", "--name", "alpha", "--passphrase-file", words)
    assert (told["unlock"], told["key_file"]) == ("passphrase", None)
    assert run("vault", "objects", "--site", tmp_path / "alpha", "--role", "steward", "--passphrase-file", words)
    words.write_text("another horse battery\n")
    with pytest.raises(KeystoreLockedError):
        invoke("vault", "objects", "--site", tmp_path / "alpha", "--role", "steward", "--passphrase-file", words)


def test_init_does_not_touch_what_is_there_and_leaves_no_key_behind(site: Path) -> None:
    with pytest.raises(VaultError):
        invoke("site", "init", site, "--name", "alpha", "--key-file", site.with_name("second.key"))
    assert not site.with_name("second.key").exists()
    with pytest.raises(ConfigError):
        invoke("site", "init", site.with_name("beta"), "--name", "beta", "--key-file", site.with_name("alpha.key"))
    assert site.with_name("alpha.key").exists()


def test_objects_are_listed_by_role(site: Path) -> None:
    report, log = put(site, Kind.REPORT, name="evaluation"), put(site, Kind.LOG)
    told = run("vault", "objects", "--site", site, "--role", "operator")
    assert {(row["object"], row["kind"], row["run"]) for row in told["objects"]} == {
        (report, "report", RUN.hex()),
        (log, "log", RUN.hex()),
    }
    assert "quarantine" in told["kinds"]
    shown = invoke("vault", "objects", "--site", site, "--role", "operator", "--kind", "report").stdout
    assert "1 objects" in shown


def test_object_is_written_to_standard_output_and_nowhere_else(site: Path) -> None:
    report = put(site, Kind.REPORT, b"\0\xffbytes\n")
    before = sorted(path for path in site.rglob("*") if "ledger" not in str(path))
    result = invoke("vault", "read", report, "--site", site, "--role", "steward")
    assert result.stdout_bytes == b"\0\xffbytes\n"
    told = run("vault", "read", report, "--site", site, "--role", "steward")
    assert base64.b64decode(told["base64"]) == b"\0\xffbytes\n"
    assert sorted(path for path in site.rglob("*") if "ledger" not in str(path)) == before


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_object_is_not_written_to_a_terminal(site: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    report = put(site, Kind.REPORT)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    with pytest.raises(ConfigError, match="terminal"):
        invoke("vault", "read", report, "--site", site, "--role", "steward", *words)


@pytest.mark.parametrize(
    ("role", "error"), [("operator", AccessRefusedError), ("auditor", AccessRefusedError), ("king", ConfigError)]
)
def test_reading_is_refused_by_table_and_by_grant(site: Path, role: str, error: type[FedwardError]) -> None:
    scores = put(site, Kind.SCORES)
    with pytest.raises(error) as caught:
        invoke("vault", "read", scores, "--site", site, "--role", role)
    assert caught.value.exit_code == (3 if error is AccessRefusedError else 2)


def test_refusal_of_a_command_is_in_the_ledger(site: Path) -> None:
    scores = put(site, Kind.SCORES)
    with pytest.raises(AccessRefusedError):
        invoke("vault", "read", scores, "--site", site, "--role", "operator")
    last = run("ledger", "show", site / "ledger/ledger.db", "--last", 1)["entries"][0]
    assert (last["kind"], last["body"]["allowed"], last["body"]["object_id"]) == ("access", False, scores)


def test_unknown_object_and_kind_and_run_are_told_apart(site: Path) -> None:
    with pytest.raises(ObjectNotFoundError):
        invoke("vault", "read", "00" * 16, "--site", site, "--role", "steward")
    with pytest.raises(ConfigError, match="kind"):
        invoke("vault", "objects", "--site", site, "--role", "steward", "--kind", "nonsense")
    with pytest.raises(ConfigError, match="hex"):
        invoke("vault", "objects", "--site", site, "--role", "steward", "--run", "nonsense")


def test_vault_keys_are_rotated_by_the_operator(site: Path) -> None:
    report = put(site, Kind.REPORT)
    assert run("vault", "rotate", "--site", site, "--kind", "report")["epochs"] == {"report": 2}
    assert len(run("vault", "rotate", "--site", site)["epochs"]) == 9
    assert run("vault", "rotate", "--site", site, "--kind", "report", "--reseal")["resealed"] == 1
    assert run("vault", "read", report, "--site", site, "--role", "steward")["bytes"] > 8192
    with pytest.raises(AccessRefusedError):
        invoke("vault", "rotate", "--site", site, "--role", "daemon")


@pytest.mark.parametrize("words", [["--kind", "shard"], ["--reseal"], ["--kind", "nonsense"]])
def test_rotation_that_cannot_be_is_a_usage_error(site: Path, words: list[str]) -> None:
    with pytest.raises(ConfigError):
        invoke("vault", "rotate", "--site", site, *words)


def test_what_is_overdue_is_rotated_by_the_schedule_and_nothing_else(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(site, Kind.REPORT)
    now = site_options.clock()
    assert run("vault", "rotate", "--site", site, "--due")["due"] == []
    monkeypatch.setattr(site_options, "clock", lambda: now + 91 * DAY_MS)
    assert run("vault", "rotate", "--site", site, "--kind", "log")["epochs"] == {"log": 2}
    told = run("vault", "rotate", "--site", site, "--due")
    assert set(told["due"]) == {
        "adapter",
        "checkpoint",
        "index",
        "quarantine",
        "report",
        "scores",
        "sheets",
        "training",
    }
    assert set(told["epochs"].values()) == {2}
    monkeypatch.setattr(site_options, "clock", lambda: now + 181 * DAY_MS)
    assert set(Role) <= set(run("vault", "rotate", "--site", site, "--due")["due"])
    assert run("vault", "rotate", "--site", site, "--due")["due"] == []
    with pytest.raises(ConfigError, match="schedule"):
        invoke("vault", "rotate", "--site", site, "--due", "--kind", "log")


def test_site_rotates_keks_roles_and_identity(site: Path) -> None:
    before = run("site", "rotate", "kek", "--site", site, "--name", "log")
    assert before["rotated"] == ["log"]
    assert run("site", "rotate", "role", "--site", site, "--name", "auditor")["rotated"] == ["auditor"]
    after = run("site", "rotate", "identity", "--site", site)
    assert (after["rotated"], after["identity"] != before["identity"]) == (["identity"], True)
    with pytest.raises(ConfigError):
        invoke("site", "rotate", "identity", "--site", site, "--name", "x")
    with pytest.raises(ConfigError):
        invoke("site", "rotate", "everything", "--site", site)
    assert run("ledger", "verify", site / "ledger/ledger.db")["verdict"] == "ok"


def test_granted_role_is_used_idle_and_taken_back(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("site", "grant", ME, "auditor", "--site", site)
    run("vault", "objects", "--site", site, "--role", "auditor")
    run("site", "grant", "gateway:alice", "developer", "--site", site)
    assert run("audit", "idle", "--site", site)["idle"] == []
    later = site_options.clock() + 90 * DAY_MS
    for module in (audit_cli, site_options):
        monkeypatch.setattr(module, "clock", lambda: later)
    idle = run("audit", "idle", "--site", site)["idle"]
    assert {(row["subject"], row["role"], row["used"]) for row in idle} == {
        (ME, "auditor", True),
        (ME, "daemon", False),
        (ME, "operator", False),
        (ME, "steward", True),
        ("gateway:alice", "developer", False),
    }
    told = run("audit", "idle", "--site", site, "--revoke")
    assert told["revoked"] == 3  # neither the daemon nor the last steward
    left = {row["role"] for row in run("audit", "idle", "--site", site, "--days", 0)["idle"]}
    assert left == {"daemon", "steward"}


def test_steward_who_cleans_up_does_not_revoke_himself(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("site", "grant", "uid:9999999999", "steward", "--site", site)
    later = site_options.clock() + 90 * DAY_MS
    for module in (audit_cli, site_options):
        monkeypatch.setattr(module, "clock", lambda: later)
    assert run("audit", "idle", "--site", site, "--revoke")["revoked"] == 2  # his own operator, and the other steward
    left = {(row["subject"], row["role"]) for row in run("audit", "idle", "--site", site, "--days", 0)["idle"]}
    assert left == {(ME, "daemon"), (ME, "steward")}


def test_key_of_a_folder_that_was_made_is_kept_whatever_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SiteFolder, "open", interrupted)  # the last step of its creation
    result = RUNNER.invoke(app, ["site", "init", str(tmp_path / "alpha"), "--name", "alpha"])
    assert result.exit_code != 0
    monkeypatch.undo()
    assert run("vault", "objects", "--site", tmp_path / "alpha", "--role", "steward")["objects"] == []


def test_idle_grants_are_read_without_a_key_while_another_process_has_the_site(site: Path) -> None:
    unlock = read_key_file(site.with_name("alpha.key"))
    with SiteFolder.open(site, unlocks=[unlock], clock=site_options.clock):
        site.with_name("alpha.key").unlink()
        assert len(run("audit", "idle", "--site", site, "--days", 0)["idle"]) == 3
        assert "3 idle grants" in invoke("audit", "idle", "--site", site, "--days", 0).stdout


def test_idle_grants_of_a_ledger_that_does_not_hold_are_not_told(site: Path) -> None:
    path = site / "ledger/ledger.db"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"role":"steward"', b'"role":"auditor"'))
    with pytest.raises(LedgerInvalidError):
        invoke("audit", "idle", "--site", site)


def test_role_is_revoked_by_the_steward_and_the_last_steward_stays(site: Path) -> None:
    run("site", "grant", "uid:7", "auditor", "--site", site)
    assert run("site", "revoke", "uid:7", "auditor", "--site", site)["revoked"] == "auditor"
    with pytest.raises(VaultError):
        invoke("site", "revoke", ME, "steward", "--site", site)
    with pytest.raises(AccessRefusedError):
        invoke("site", "grant", "uid:7", "auditor", "--site", site, "--role", "operator")


@pytest.mark.parametrize(
    "subject", ["alice", "uid:", "uid:x", "uid:٣", "uid:007", "uid:" + "9" * 99, "gateway:", "gateway:a\nb", "root:0"]
)
def test_subject_that_cannot_be_is_refused(site: Path, subject: str) -> None:
    with pytest.raises(ConfigError):
        invoke("site", "grant", subject, "auditor", "--site", site)


def test_two_unlocks_at_once_are_refused(site: Path) -> None:
    with pytest.raises(ConfigError, match="one unlock"):
        invoke("vault", "objects", "--site", site, "--role", "steward", "--keyring", "--key-file", site)
    with pytest.raises(ConfigError, match="one unlock"):
        invoke("site", "init", site.with_name("b"), "--name", "b", "--keyring", "--key-file", site)


def test_missing_key_file_is_named_with_what_to_do(site: Path) -> None:
    site.with_name("alpha.key").unlink()
    with pytest.raises(ConfigError, match=r"alpha\.key") as caught:
        invoke("vault", "objects", "--site", site, "--role", "steward")
    assert "key file" in caught.value.advice


def test_credential_of_the_service_is_taken_before_the_default(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = site.with_name("credentials")
    folder.mkdir()
    site.with_name("alpha.key").rename(folder / "fedward.unlock")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert run("vault", "objects", "--site", site, "--role", "steward")["objects"] == []
