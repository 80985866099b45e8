"""Encrypted columns come back as they were written, under the key that encrypted them and under no other."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedward.cli import app
from fedward.common.errors import DataError, DesensitizationError

WIDE = " ".join("".join(chr(ord(digit) + 0xFEE0) for digit in part) for part in ("138", "0013", "8000"))
ROWS = f"phone,mrn,note\n13800138000,ZY1234567,a\n138-0013-8000,12345,b\n{WIDE},,c\nbad,ZY7654321,d\n"
POLICY = """profile = "structured"
[columns.phone]
kind = "direct"
action = "fpe"
type = "PHONE"
[columns.mrn]
kind = "direct"
action = "fpe"
type = "MRN"
"""


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(POLICY, "utf-8")
    for name, site in (("key", "ward-1"), ("other-site", "ward-2"), ("other-secret", "ward-1")):
        assert call("desensitize", "key", tmp_path / name, "--site", site).exit_code == 0
    (tmp_path / "in.csv").write_text(ROWS, "utf-8")
    done = call("scrub", tmp_path / "in.csv", tmp_path / "out.csv", "--key", tmp_path / "key", *_policy(tmp_path))
    assert done.exit_code == 0, done.output
    return tmp_path


def _policy(place: Path) -> tuple[str, Path]:
    return "--policy", place / "policy.toml"


def restore(place: Path, source: str, target: str, key: str = "key") -> Result:
    return call("desensitize", "restore", place / source, place / target, "--key", place / key, *_policy(place))


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text("utf-8").splitlines()[1:]]


def test_values_come_back_in_the_form_they_were_written_in(place: Path) -> None:
    assert restore(place, "out.csv", "back.csv").exit_code == 0
    phones = [row[0] for row in rows(place / "back.csv")]
    assert phones[:3] == ["13800138000", "138-0013-8000", WIDE]
    assert rows(place / "back.csv")[3][1] == "ZY7654321"


def test_tokens_of_invalid_values_stay_as_they_are(place: Path) -> None:
    assert restore(place, "out.csv", "back.csv").exit_code == 0
    before, after = rows(place / "out.csv"), rows(place / "back.csv")
    assert before[1][1].startswith("[MRN:")
    assert (after[1][1], after[3][0]) == (before[1][1], before[3][0])


def test_a_new_key_loses_no_value(place: Path) -> None:
    words = ("--key", place / "key", "--new-key", place / "other-site")
    assert call("desensitize", "rekey", place / "out.csv", place / "new.csv", *words, *_policy(place)).exit_code == 0
    assert rows(place / "new.csv")[1][0] != rows(place / "out.csv")[1][0]
    assert restore(place, "new.csv", "back.csv", "other-site").exit_code == 0
    assert [row[0] for row in rows(place / "back.csv")][:3] == [row[0] for row in rows(place / "in.csv")][:3]


@pytest.mark.parametrize("key", ["other-site", "other-secret"])
def test_another_key_is_refused_and_nothing_is_written(place: Path, key: str) -> None:
    failed = restore(place, "out.csv", "back.csv", key)
    assert isinstance(failed.exception, DesensitizationError)
    assert not (place / "back.csv").exists()


def test_what_was_restored_is_not_restored_twice_and_counts_as_plaintext(place: Path) -> None:
    assert restore(place, "out.csv", "back.csv").exit_code == 0
    assert isinstance(restore(place, "back.csv", "twice.csv").exception, DesensitizationError)
    again = call("scrub", place / "back.csv", place / "again.csv", "--key", place / "key", *_policy(place))
    assert again.exit_code == 0, again.exception
    assert not isinstance(again.exception, DataError)


def test_a_rule_for_a_whole_object_reaches_its_inner_values_both_ways(place: Path) -> None:
    (place / "in.jsonl").write_text('{"phone": {"home": "13800138000"}, "mrn": ""}\n', "utf-8")
    done = call("scrub", place / "in.jsonl", place / "out.jsonl", "--key", place / "key", *_policy(place))
    assert done.exit_code == 0
    assert "13800138000" not in (place / "out.jsonl").read_text("utf-8")
    assert restore(place, "out.jsonl", "back.jsonl").exit_code == 0
    assert "13800138000" in (place / "back.jsonl").read_text("utf-8")
