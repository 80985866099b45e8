"""``fedward shred`` as a person uses it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.common.errors import (
    AccessRefusedError,
    CertificateError,
    ConfigError,
    FedwardError,
    KeystoreLockedError,
    LedgerError,
    ShreddingError,
)
from fedward.common.identity import Identity, Roster
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import read_key_file
from tests import shreddable
from tests.shreddable import OTHER, RECORD, RUN

RUNNER = CliRunner()


def run(*words: object) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["shred", *map(str, words)], catch_exceptions=False)
    return result.exit_code, result.stdout


def as_json(*words: object) -> tuple[int, dict[str, Any]]:
    code, shown = run(*words, "--json")
    return code, json.loads(shown.splitlines()[-1])


def with_key(site: Path) -> Path:
    """The key file of a made site, where the command looks for it."""
    path = site.with_name(f"{site.name}.key")
    path.write_bytes(shreddable.SECRET)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shreddable.create(tmp_path_factory.mktemp("made") / "alpha")


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    site = shreddable.copy_of(made, tmp_path / "alpha")
    with_key(site)
    return site


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """The output of a demo: two sites and a server, each with the same run."""
    out = tmp_path / "out"
    for name in ("sites/alpha", "sites/beta", "server"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        with_key(shreddable.copy_of(made, out / name))
    return out


def test_run_is_shredded_and_the_certificate_shown(site: Path) -> None:
    code, shown = as_json(RUN.hex(), "--site", site)
    (certificate,) = shown["shredded"]
    assert (code, certificate["run_id"], certificate["assurance"]) == (0, RUN.hex(), "erased-logical")
    assert {row["kind"] for row in certificate["objects"]} == {"adapter", "checkpoint", "report", "scores"}
    assert not (site / "runs" / RUN.hex()).exists()
    assert (site / "runs" / OTHER.hex()).exists()


def test_words_for_a_person_say_what_overwriting_is_worth(site: Path) -> None:
    code, shown = run(RUN.hex(), "--site", site, "--medium", "snapshots")
    assert code == 0
    assert "erased-logical" in shown
    assert "worth: none" in shown
    assert "1 checkpoint" in shown


def test_verify_destroys_nothing_and_says_that_the_run_is_there(site: Path) -> None:
    code, shown = as_json(RUN.hex(), "--site", site, "--verify")
    assert (code, shown["verified"]) == (3, False)
    assert "not-shredded" in shown["runs"][0]["findings"]
    with shreddable.opened(site) as party:
        assert len(party.vault.find(run_id=RUN)) == 4


def test_verify_with_a_backup_tries_every_key(site: Path, tmp_path: Path) -> None:
    backup = shreddable.copy_of(site / "runs", tmp_path / "backup")
    run(RUN.hex(), "--site", site)
    code, shown = as_json(RUN.hex(), "--site", site, "--verify", "--ciphertext", backup)
    (row,) = shown["runs"]
    assert (code, shown["verified"], row["ciphertexts"]["refused_every_key"]) == (0, True, 10)
    code, text = run(RUN.hex(), "--site", site, "--verify", "--ciphertext", backup)
    assert (code, "10 ciphertexts refused every one of" in text) == (0, True)


def test_backup_that_still_opens_is_found_bad_by_name(site: Path, tmp_path: Path) -> None:
    backup = shreddable.copy_of(site, tmp_path / "backup")
    run(RUN.hex(), "--site", site)
    code, text = run(RUN.hex(), "--site", site, "--verify", "--ciphertext", backup)
    assert code == 3
    assert "opens-by-old-keystore" in text
    assert "checkpoint-1.slot" in text


def test_rotated_root_makes_the_whole_backup_worthless(site: Path, tmp_path: Path) -> None:
    backup = shreddable.copy_of(site, tmp_path / "backup")
    before = site.with_name("alpha.key").read_bytes()
    code, shown = as_json(RUN.hex(), "--site", site, "--rotate-root")
    assert (code, shown["shredded"][0]["root_replaced"]) == (0, True)
    assert site.with_name("alpha.key").read_bytes() != before
    assert as_json(RUN.hex(), "--site", site, "--verify", "--ciphertext", backup)[0] == 0


def test_old_key_file_opens_the_site_no_more(site: Path) -> None:
    run(RUN.hex(), "--site", site, "--rotate-root")
    with pytest.raises(KeystoreLockedError):
        shreddable.opened(site)
    with PartyFolder.open(site, unlocks=[read_key_file(site.with_name("alpha.key"))], clock=shreddable.clock) as party:
        assert len(party.vault.find(run_id=OTHER)) == 4


def test_release_can_be_kept(site: Path) -> None:
    code, shown = as_json(RUN.hex(), "--site", site, "--keep-release")
    assert (code, shown["shredded"][0]["kept"]) == (
        0,
        [{"kind": "adapter", "count": 1}, {"kind": "report", "count": 1}],
    )
    assert as_json(RUN.hex(), "--site", site, "--verify")[0] == 0


def test_output_of_a_demo_is_shredded_in_all_of_its_folders(out: Path) -> None:
    code, shown = as_json(out)
    assert (code, len(shown["shredded"])) == (0, 6)  # three parties, two runs each
    assert list(out.glob("*/runs/*")) == list(out.glob("sites/*/runs/*")) == []
    code, shown = as_json(out, "--verify")
    assert (code, shown["verified"], len(shown["runs"])) == (0, True, 6)
    code, text = run(out)
    assert (code, "nothing is left" in text) == (0, True)


def test_folder_that_cannot_be_opened_keeps_no_other_from_being_shredded(out: Path) -> None:
    (out / "server.key").unlink()
    with pytest.raises(ShreddingError, match=r"1 of 3 folders were not shredded; .*server: server\.key"):
        run(out)
    assert list(out.glob("sites/*/runs/*")) == []
    assert len(list(out.glob("server/runs/*"))) == 2


def test_backup_of_some_runs_of_a_demo_is_enough(out: Path, tmp_path: Path) -> None:
    backup = shreddable.copy_of(out / "sites/alpha/runs" / RUN.hex(), tmp_path / "backup")
    run(out)
    code, shown = as_json(out, "--verify", "--ciphertext", backup)
    assert (code, shown["verified"], len(shown["runs"])) == (0, True, 6)
    (tmp_path / "empty").mkdir()
    assert as_json(out, "--verify", "--ciphertext", tmp_path / "empty")[0] == 3


def test_one_run_of_a_demo_is_shredded_in_all_of_its_folders(out: Path) -> None:
    code, shown = as_json(RUN.hex(), "--site", out)
    assert (code, [row["run_id"] for row in shown["shredded"]]) == (0, [RUN.hex()] * 3)


def test_nothing_readable_is_left_in_the_output(out: Path) -> None:
    (out / "sites/alpha/runs" / RUN.hex() / "records.csv").write_bytes(RECORD)
    run(out)
    assert not any(RECORD in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_certificate_is_written_and_judged_elsewhere(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.certificate"
    run(RUN.hex(), "--site", site, "--certificate", path)
    ledger = shutil.copy(site / "ledger/ledger.db", tmp_path / "ledger.db")
    code, shown = as_json(RUN.hex(), "--verify", "--certificate", path, "--ledger", ledger)
    assert (code, shown["in_ledger"], shown["sees_the_disk"]) == (0, True, False)
    code, text = run(RUN.hex(), "--verify", "--certificate", path, "--ledger", ledger)
    assert (code, "nobody but the site sees its disk" in text) == (0, True)


def roster_of(site: Path, path: Path, *, key: bytes | None = None) -> Path:
    with shreddable.opened(site) as party:
        members = {"alpha": key or party.identity.public_key, "beta": Identity.generate().public_key}
    path.write_bytes(Roster(coordinator_key=Identity.generate().public_key, members=members).to_bytes())
    return path


def test_certificate_is_held_to_the_roster(site: Path, tmp_path: Path) -> None:
    path, good = tmp_path / "run.certificate", roster_of(site, tmp_path / "good.json")
    run(RUN.hex(), "--site", site, "--certificate", path)
    words = (RUN.hex(), "--site", site, "--verify", "--certificate", path, "--roster")
    assert as_json(*words, good)[0] == 0
    other = roster_of(site, tmp_path / "other.json", key=Identity.generate().public_key)
    with pytest.raises(CertificateError, match="not signed by a key"):
        run(*words, other)


def test_certificate_that_the_ledger_does_not_have_is_found_bad(site: Path, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.certificate"
    run(RUN.hex(), "--site", site, "--certificate", path)
    code, text = run(RUN.hex(), "--site", made, "--verify", "--certificate", path)
    assert (code, "NOT in this ledger" in text) == (3, True)


@pytest.mark.parametrize(("run_id", "flip"), [(OTHER, -1), (RUN, 40)])
def test_certificate_of_another_run_or_altered_is_refused(run_id: bytes, flip: int, site: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.certificate"
    run(RUN.hex(), "--site", site, "--certificate", path)
    raw = bytearray(path.read_bytes())
    if flip >= 0:
        raw[flip] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CertificateError):
        run(run_id.hex(), "--site", site, "--verify", "--certificate", path)


def test_ledger_that_was_altered_judges_nothing(site: Path, tmp_path: Path) -> None:
    path, export = tmp_path / "run.certificate", tmp_path / "export.jsonl"
    run(RUN.hex(), "--site", site, "--certificate", path)
    RUNNER.invoke(app, ["ledger", "export", str(site / "ledger/ledger.db"), str(export)])
    lines = export.read_text("utf-8").splitlines()
    export.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n", "utf-8")
    with pytest.raises(LedgerError):
        run(RUN.hex(), "--verify", "--certificate", path, "--ledger", export)


WRONG: list[tuple[tuple[str, ...], type[FedwardError], str]] = [
    ((RUN.hex(),), ConfigError, "whose run"),
    (("not-a-run", "--site", "SITE"), ConfigError, "32 hex digits"),
    (("nowhere",), ConfigError, "no site's folder"),
    ((RUN.hex(), "--site", "SITE", "--medium", "memory"), ConfigError, "lowers the verdict"),
    ((RUN.hex(), "--site", "SITE", "--ciphertext", "x"), ConfigError, "go with --verify"),
    ((RUN.hex(), "--site", "SITE", "--verify", "--rotate-root"), ConfigError, "changes nothing"),
    ((RUN.hex(), "--site", "SITE", "--role", "king"), ConfigError, "unknown role"),
    ((RUN.hex(), "--site", "SITE", "--role", "auditor"), AccessRefusedError, "may not"),
    (("44" * 16, "--site", "SITE"), ShreddingError, "nothing of this run"),
    (("x", "--verify", "--certificate", "y"), ConfigError, "32 hex digits"),
    ((RUN.hex(), "--verify", "--certificate", "y"), ConfigError, "--site is missing"),
    ((RUN.hex(), "--site", "SITE", "--key-file", "a", "--keyring"), ConfigError, "one unlock"),
]


@pytest.mark.parametrize(("words", "error", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_words_destroy_nothing(
    words: tuple[str, ...], error: type[FedwardError], message: str, site: Path
) -> None:
    with pytest.raises(error, match=message):
        run(*(str(site) if word == "SITE" else word for word in words))
    with shreddable.opened(site) as party:
        assert len(party.vault.find()) == 8


def test_certificate_of_a_whole_demo_is_not_one_file(out: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one run of one site"):
        run(out, "--certificate", tmp_path / "c")


def test_refused_shredding_is_in_the_ledger(site: Path) -> None:
    with pytest.raises(AccessRefusedError):
        run(RUN.hex(), "--site", site, "--role", "developer")
    with shreddable.opened(site) as party:
        *_, entry = party.trail.entries()
        assert (entry.kind, entry.fields["role"], entry.fields["allowed"]) == ("access", str(Role.DEVELOPER), False)


def test_half_shredded_run_is_finished(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedward.common.shredding.shred import Shredder

    with shreddable.opened(site) as party, shreddable.killed_at(60, monkeypatch), pytest.raises(shreddable.Killed):
        Shredder(party).shred(RUN)
    code, shown = as_json(RUN.hex(), "--site", site)
    assert (code, [row["run_id"] for row in shown["shredded"]]) == (0, [RUN.hex()])
    assert as_json(RUN.hex(), "--site", site, "--verify")[0] == 0


def test_site_of_another_process_is_not_touched(site: Path) -> None:
    with shreddable.opened(site), pytest.raises(LedgerError):
        run(RUN.hex(), "--site", site)
    assert os.path.isdir(site / "runs" / RUN.hex())
