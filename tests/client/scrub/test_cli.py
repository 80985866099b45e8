"""``fedward scrub`` and ``fedward desensitize`` as a person calls them."""

import csv
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.scrub.key_file import read_key
from fedward.common.desensitize.policy import load_policy
from fedward.common.errors import ConfigError, DesensitizationError, FedwardError
from tests.client.scrub.samples import PHONE, PLANTED, assert_clean, many, read_jsonl, write_jsonl

POLICY_TOML = 'profile = "structured"\n[canaries]\nnum_structured = 10\nnum_names = 0\n'


def call(*words: object, fails: type[FedwardError] | None = None) -> Any:  # noqa: ANN401
    result = CliRunner().invoke(app, [str(word) for word in words])
    if fails is None:
        assert result.exception is None, result.exception
        assert result.exit_code == 0, result.output
    else:
        assert isinstance(result.exception, fails)
    return result


NEW_CLICK = tuple(map(int, version("click").split(".")[:2])) >= (8, 5)


@pytest.mark.skipif(NEW_CLICK, reason="typer 0.20 loses arguments' help with click 8.5; constraints.txt pins 8.4")
def test_the_help_says_what_each_argument_is() -> None:
    shown = " ".join(call("scrub", "--help").output.split())
    assert "A file, or a folder of a saved data set." in shown
    assert "Where the result goes." in shown


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY_TOML, "utf-8")
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    call("desensitize", "key", tmp_path / "site.key", "--site", "hospital-a")
    return tmp_path / "site.key"


def test_scrub_works_with_input_and_output_alone(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(6))
    result = call("scrub", source, tmp_path / "b.jsonl")
    assert_clean((tmp_path / "b.jsonl").read_text("utf-8"))
    assert "linkable to nothing later" in result.stderr


def test_report_and_json_say_what_was_done_and_nothing_else(tmp_path: Path, policy: Path, key: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(6))
    words = (
        "scrub",
        source,
        tmp_path / "b.jsonl",
        "--policy",
        policy,
        "--key",
        key,
        "--report",
        tmp_path / "r",
        "--json",
    )
    document = json.loads(call(*words).stdout.splitlines()[-1])
    assert document["by_type"]["PHONE"] == 6
    assert document["key"] == {"site_id": "hospital-a", "key_id": "1", "one_run": False}
    assert document["policy"]["sha256"] == load_policy(policy).digest
    assert {row["type"] for row in document["canaries"]} >= {"PHONE", "ID_CN", "CARD"}
    for path in (tmp_path / "r").iterdir():
        assert [value for value in PLANTED if value in path.read_text("utf-8")] == []


def test_same_key_gives_the_same_bytes_in_another_run(tmp_path: Path, policy: Path, key: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(4))
    for name in ("b", "c"):
        call("scrub", source, tmp_path / f"{name}.jsonl", "--policy", policy, "--key", key)
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "c.jsonl").read_bytes()


def test_key_that_others_may_read_is_refused(tmp_path: Path, key: Path) -> None:
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        read_key(key)


def test_key_is_never_replaced(key: Path) -> None:
    before = key.read_bytes()
    call("desensitize", "key", key, "--site", "hospital-b", fails=ConfigError)
    assert key.read_bytes() == before


def test_policy_that_encrypts_needs_a_key(tmp_path: Path, policy: Path) -> None:
    policy.write_text(POLICY_TOML + '[columns.phone]\nkind = "direct"\naction = "fpe"\ntype = "PHONE"\n', "utf-8")
    source = write_jsonl(tmp_path / "a.jsonl", [{"phone": PHONE}])
    call("scrub", source, tmp_path / "b.jsonl", "--policy", policy, fails=ConfigError)
    assert not (tmp_path / "b.jsonl").exists()


def test_encrypted_columns_come_back_and_go_to_a_new_key(tmp_path: Path, policy: Path, key: Path) -> None:
    policy.write_text(POLICY_TOML + '[columns.phone]\nkind = "direct"\naction = "fpe"\ntype = "PHONE"\n', "utf-8")
    phones = [f"1380013{number:04d}" for number in range(20)]
    (tmp_path / "a.csv").write_text("phone,note\n" + "".join(f"{phone},无\n" for phone in phones), "utf-8")
    call("scrub", tmp_path / "a.csv", tmp_path / "b.csv", "--policy", policy, "--key", key)
    call("desensitize", "key", tmp_path / "new.key", "--site", "hospital-a", "--key-id", "2")
    old = ("--policy", policy, "--key", key)
    call("desensitize", "rekey", tmp_path / "b.csv", tmp_path / "c.csv", *old, "--new-key", tmp_path / "new.key")
    call("desensitize", "restore", tmp_path / "b.csv", tmp_path / "d.csv", *old)
    again = ("--policy", policy, "--key", tmp_path / "new.key")
    call("desensitize", "restore", tmp_path / "c.csv", tmp_path / "e.csv", *again)

    def column(name: str) -> list[str]:
        return [row[0] for row in csv.reader((tmp_path / name).read_text("utf-8").splitlines())][1:]

    assert set(column("b.csv")) & set(phones) == set()
    assert set(column("c.csv")) & set(column("b.csv")) == set()
    assert column("d.csv") == column("e.csv") == phones
    uses = read_jsonl(key.with_name("site.key.audit.jsonl"))
    assert [use["action"] for use in uses] == ["rekey to 2", "rekey to 2: done", "restore", "restore: done"]


def test_check_passes_our_output_and_refuses_the_input_itself(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A key of its own: of one number in a hundred of the range that the sample is of, a surrogate shares six digits.
    monkeypatch.setattr("fedward.common.desensitize.keys.secrets.token_bytes", lambda size: bytes(range(size)))
    source = write_jsonl(tmp_path / "a.jsonl", many(6))
    call("scrub", source, tmp_path / "b.jsonl", "--policy", policy)
    call("desensitize", "check", tmp_path / "b.jsonl", "--against", source, "--policy", policy)
    same = tmp_path / "same.jsonl"
    same.write_bytes(source.read_bytes())
    words = ("desensitize", "check", same, "--against", source, "--policy", policy)
    result = call(*words, fails=DesensitizationError)
    assert "6 of 6 records" in result.exception.message
    assert [value for value in PLANTED if value in result.exception.message] == []


def test_profile_drafts_a_policy_that_can_be_used(tmp_path: Path, policy: Path) -> None:
    rows = [
        {"姓名": "张伟", "手机号": f"1380013{i:04d}", "性别": "男", "备注": "复诊，血压稳定，继续服药观察。"}
        for i in range(30)
    ]
    source = write_jsonl(tmp_path / "a.jsonl", rows)
    call("desensitize", "profile", source, "--policy", policy, "--out", tmp_path / "draft.toml")
    draft = load_policy(tmp_path / "draft.toml")
    assert draft.columns["手机号"].type == "PHONE"
    assert draft.columns["性别"].kind.value == "quasi"
    assert "13800130001" not in (tmp_path / "draft.toml").read_text("utf-8")
    call("scrub", source, tmp_path / "b.jsonl", "--policy", tmp_path / "draft.toml")
    assert "张伟" not in (tmp_path / "b.jsonl").read_text("utf-8")
