"""``fedward ledger`` as a person uses it."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.common.errors import ConfigError, LedgerError
from tests.ledgers import IDENTITY, account, charge, reserve, sent, stored, void

RUNNER = CliRunner()


def run(*words: object) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["ledger", *map(str, words)], catch_exceptions=False)
    return result.exit_code, result.stdout


def verified(path: Path, *words: str) -> tuple[int, dict[str, Any]]:
    code, shown = run("verify", path, "--json", *words)
    return code, json.loads(shown.splitlines()[-1])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "ledger.db"
    stored(place, [account(), reserve(), charge(2), sent(), reserve(number=2), void(5)])
    return place


def edited(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("entry_update", "entry_delete", "journal_update", "journal_delete"):
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def test_a_good_ledger_is_good_and_says_what_is_spent(path: Path) -> None:
    code, found = verified(path, "--identity", IDENTITY.public_key.hex())
    assert code == 0
    assert (found["verdict"], found["entries"], found["fault"]) == ("ok", 7, None)
    (spent,) = found["accounts"]
    assert (spent["account"], spent["cap"]) == ("default", 5.0)
    assert 0 < spent["epsilon"] < 5
    assert "good up to level budget" in run("verify", path)[1]


@pytest.mark.parametrize(
    ("statement", "fault", "seq"),
    [
        ("UPDATE entry SET body = CAST(replace(body, '1.1', '9.9') AS BLOB) WHERE seq = 2", "ENTRY_ALTERED", 2),
        ("DELETE FROM entry WHERE seq = 3", "SEQ_GAP", 3),
        ("UPDATE entry SET signature = zeroblob(64) WHERE seq = 4", "SIGNATURE_BAD", 4),
        ("DELETE FROM journal", "JOURNAL_DIFFERS", None),
        ("UPDATE entry SET seq = CASE seq WHEN 2 THEN 102 ELSE 103 END WHERE seq IN (2, 3)", "SEQ_GAP", 2),
    ],
)
def test_the_first_bad_entry_is_named(path: Path, statement: str, fault: str, seq: int | None) -> None:
    edited(path, statement)
    code, found = verified(path)
    assert code == 3
    assert (found["verdict"], found["fault"], found["bad_seq"]) == ("BAD", fault, seq)
    assert fault in run("verify", path)[1]


def test_a_charge_beyond_the_cap_is_found_in_a_chain_that_is_otherwise_good(tmp_path: Path) -> None:
    place = tmp_path / "over.db"
    stored(place, [account("0.1"), reserve()])
    assert verified(place, "--level", "signed")[0] == 0
    code, found = verified(place)
    assert (code, found["fault"], found["bad_seq"]) == (3, "BUDGET_INVALID", 2)


def test_another_identity_than_the_pinned_one_is_found(path: Path) -> None:
    code, found = verified(path, "--identity", "11" * 32)
    assert (code, found["fault"], found["bad_seq"]) == (3, "GENESIS_DIFFERS", 0)


def test_an_export_is_judged_like_the_ledger(path: Path, tmp_path: Path) -> None:
    whole, redacted = tmp_path / "whole.jsonl", tmp_path / "redacted.jsonl"
    run("export", path, whole)
    run("export", path, redacted, "--redacted", "--json")
    assert verified(whole)[1]["head"] == verified(path)[1]["head"]
    assert verified(redacted, "--level", "signed")[1]["head"] == verified(path)[1]["head"]
    assert "noise_multiplier" not in redacted.read_text()
    lines = whole.read_text().splitlines()
    whole.write_text("\n".join([*lines[:3], lines[4], lines[3], *lines[5:]]))
    assert verified(whole)[1]["bad_seq"] == 3


def test_the_last_entries_are_shown(path: Path) -> None:
    _, shown = run("show", path, "--last", "2", "--json")
    assert [entry["kind"] for entry in json.loads(shown)["entries"]] == ["budget.reserve", "budget.void"]
    assert "budget.charge" in run("show", path)[1]


def test_what_is_no_ledger_is_refused_in_words(path: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe" * 100)
    (tmp_path / "long").write_text("x" * 1_000_000)
    for name in ("none", "text", "empty", "bytes", "long"):
        with pytest.raises(LedgerError):
            run("verify", tmp_path / name)
    for words in (("--level", "all"), ("--identity", "12")):
        with pytest.raises(ConfigError):
            run("verify", path, *words)


def test_a_ledger_is_not_replaced_by_an_export(path: Path, tmp_path: Path) -> None:
    raw, other, link = path.read_bytes(), tmp_path / "other.db", tmp_path / "link"
    stored(other, [account()])
    link.symlink_to(tmp_path / "out.jsonl")
    for out in (path, other, link, tmp_path):
        with pytest.raises(ConfigError):
            run("export", path, out)
    assert path.read_bytes() == raw
    assert verified(other)[0] == 0


def test_an_export_is_judged_from_a_pipe(path: Path, tmp_path: Path) -> None:
    run("export", path, tmp_path / "whole.jsonl")
    reading, writing = os.pipe()
    os.write(writing, (tmp_path / "whole.jsonl").read_bytes())
    os.close(writing)
    code, found = verified(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert (code, found["entries"]) == (0, 7)


def test_entries_are_shown_as_they_stand_there(path: Path, tmp_path: Path) -> None:
    edited(path, f"UPDATE entry SET at_ms = {2**53 - 1}, body = CAST('{{\x1b[2J' AS BLOB) WHERE seq = 6")
    _, shown = run("show", path, "--last", "1", "--json")
    (entry,) = json.loads(shown)["entries"]
    assert (entry["at"], entry["body"]) == (f"{2**53 - 1} ms", "{\x1b[2J")
    assert "\x1b[2J" not in run("show", path)[1]
