"""The policy's file: set by the steward's word, shown by what it loosens, refused when it was edited by hand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.approvals import waiting_plans
from fedward.client.ledger_store import LedgerStore, wall_clock_ms
from fedward.client.policy_file import LOOSER, PLACE, current_policy, differences, parse_policy, set_policy
from fedward.client.site_folder import SiteFolder
from fedward.common.config import PrivacyMode, PrivacyUnit, SitePolicy
from fedward.common.errors import AccessRefusedError, ConfigError, FedwardError, PolicyAlteredError, VaultError
from fedward.common.ledger.chain import Draft
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import create_key_file, read_key_file
from tests.federation_simulator import POLICY, Federation, identity_of, refusal_of, reply_of
from tests.site_stores import KEY

RUNNER = CliRunner()
STRICT = b"max_rounds = 10\n"
LOOSE = b'max_rounds = 2000\nprivacy_modes = ["local", "none"]\nmin_cohort = 5\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site's folder, with its key file beside it."""
    unlock = create_key_file(tmp_path / "site.key")
    SiteFolder.create(
        tmp_path / "site", "alpha", unlocks=[unlock], clock=wall_clock_ms, identity=identity_of("alpha")
    ).close()
    return tmp_path / "site"


def opened(folder: Path) -> SiteFolder:
    unlock = read_key_file(folder.with_name("site.key"))
    return SiteFolder.open(folder, unlocks=[unlock], clock=wall_clock_ms)


def said(*words: str) -> dict[str, Any]:
    result = RUNNER.invoke(app, [*words, "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


# ---------------------------------------------------------------------------------------------------- what is loosened


def test_every_field_says_which_change_of_it_allows_more() -> None:
    assert set(LOOSER) == set(SitePolicy.model_fields)


@pytest.mark.parametrize(
    ("name", "strict", "loose"),
    [
        ("max_epsilon", 1.0, 2.0),
        ("account", "default", "second"),
        ("account", "second", "default"),
        ("units", (PrivacyUnit.PATIENT,), tuple(PrivacyUnit)),
        ("privacy_modes", (PrivacyMode.LOCAL,), (PrivacyMode.LOCAL, PrivacyMode.NONE)),
        ("require_desensitization", True, False),
        ("min_noise_multiplier", 0.5, 0.3),
        ("base_models", ("ab" * 32,), None),
        ("max_sum_norm", 4.0, None),
        ("assumed_colluders", 2, 1),
        ("allow_two_sites", False, True),
        ("approve", "manual", "auto"),
        ("disclose", "first", "all"),
        ("min_witnesses", 2, 1),
        ("max_plans_per_day", 10, 11),
    ],
)
def test_a_loosened_field_is_told_and_the_way_back_is_none(name: str, strict: object, loose: object) -> None:
    first, second = (SitePolicy().model_copy(update={name: value}) for value in (strict, loose))
    (change,) = differences(first, second)
    assert (change.name, change.is_loosened) == (name, True)
    (back,) = differences(second, first)
    assert back.is_loosened == (name == "account")
    assert differences(first, first) == ()


def test_a_limit_that_cannot_be_compared_counts_as_loosened() -> None:
    formula, fixed = SitePolicy(), SitePolicy(assumed_colluders=1)
    assert [change.is_loosened for change in differences(formula, fixed)] == [True]
    assert [change.is_loosened for change in differences(fixed, formula)] == [True]


@pytest.mark.parametrize("raw", [b"\xff", b"max_rounds = ", b"max_rounds = nan", b"nonsense = 1", b"[" * 5000])
def test_bytes_that_are_no_policy_are_one_clear_error(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_policy(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_an_error_of_ours(raw: bytes) -> None:
    with contextlib.suppress(FedwardError):
        assert isinstance(parse_policy(raw), SitePolicy)


# ---------------------------------------------------------------------------------------------------- the folder


def test_without_a_policy_the_defaults_bind(folder: Path) -> None:
    with opened(folder) as site:
        assert current_policy(site) == (SitePolicy(), None)


def test_a_policy_binds_once_it_is_set(folder: Path) -> None:
    with opened(folder) as site:
        digest = set_policy(site, STRICT, principal=site.principal(Role.STEWARD))
        assert digest == hashlib.sha256(STRICT).digest()
        assert current_policy(site) == (SitePolicy(max_rounds=10), digest)
        last = site.ledger.entries()[-1]
        assert (last.kind, last.fields["sha256"]) == ("policy.set", digest.hex())
        assert b"max_rounds" not in b"".join(entry.body or b"" for entry in site.ledger.entries())
    assert (folder / PLACE[0]).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("edit", ["edited", "gone", "planted"])
def test_a_file_that_was_not_set_binds_nobody(edit: str, folder: Path) -> None:
    path = folder / PLACE[0]
    with opened(folder) as site:
        if edit != "planted":
            set_policy(site, STRICT, principal=site.principal(Role.STEWARD))
        if edit == "gone":
            path.unlink()
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(descriptor, LOOSE)
            os.close(descriptor)
        with pytest.raises(PolicyAlteredError, match="POLICY_ALTERED"):
            current_policy(site)
        set_policy(site, LOOSE, principal=site.principal(Role.STEWARD))
        assert current_policy(site)[0].max_rounds == 2000


def test_a_crash_between_entry_and_file_leaves_a_site_that_refuses(folder: Path) -> None:
    with opened(folder) as site:
        set_policy(site, STRICT, principal=site.principal(Role.STEWARD))
        site.trail.append([Draft(kind="policy.set", fields={"sha256": hashlib.sha256(LOOSE).hexdigest()})])
        with pytest.raises(PolicyAlteredError):
            current_policy(site)


def test_a_policy_that_others_may_write_is_not_read(folder: Path) -> None:
    with opened(folder) as site:
        set_policy(site, STRICT, principal=site.principal(Role.STEWARD))
        (folder / PLACE[0]).chmod(0o666)
        with pytest.raises(VaultError):
            current_policy(site)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR, Role.DEVELOPER])
def test_only_the_steward_sets_a_policy(role: Role, folder: Path) -> None:
    with opened(folder) as site:
        with pytest.raises(AccessRefusedError):
            set_policy(site, LOOSE, principal=site.principal(role))
        assert current_policy(site) == (SitePolicy(), None)
        assert not (folder / PLACE[0]).exists()


def test_an_account_may_be_raised_behind_a_policy_that_was_set(folder: Path) -> None:
    federation = Federation(policy=POLICY.model_copy(update={"account_epsilon": 2.0}))
    with opened(folder) as site:
        agent = federation.agent(store=LedgerStore(site.ledger, key=KEY))
        reply_of(agent.handle(federation.offer()), pb.PlanAccept)
        reply_of(agent.handle(federation.train()), pb.TrainReply)
        federation.policy = POLICY.model_copy(update={"account_epsilon": 6.0})
        assert federation.agent(store=LedgerStore(site.ledger, key=KEY)).accounts.of_site.epsilon_cap == 2.0
        set_policy(site, b"account_epsilon = 6.0\n", principal=site.principal(Role.STEWARD))
        assert federation.agent(store=LedgerStore(site.ledger, key=KEY)).accounts.of_site.epsilon_cap == 6.0


# ---------------------------------------------------------------------------------------------------- commands


def test_the_command_names_what_it_loosens_and_asks(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    file.write_bytes(LOOSE)
    command = ["site", "policy", "set", str(file), "--site", str(folder)]
    refused = RUNNER.invoke(app, command, input="n\n")
    assert refused.exit_code == 1
    assert "loosened" in refused.output
    assert not (folder / PLACE[0]).exists()
    found = said(*command, "--yes")
    assert found["changed"] == ["privacy_modes", "max_rounds", "min_cohort"]
    assert found["loosened"] == ["privacy_modes", "max_rounds"]
    assert found["policy"] == hashlib.sha256(LOOSE).hexdigest()
    assert RUNNER.invoke(app, command, input="y\n").exit_code == 0


def test_the_command_says_that_the_old_file_was_altered(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    file.write_bytes(STRICT)
    command = ["site", "policy", "set", str(file), "--site", str(folder), "--yes"]
    assert said(*command)["was_altered"] is False
    (folder / PLACE[0]).write_bytes(LOOSE)
    assert said(*command)["was_altered"] is True
    assert said(*command)["was_altered"] is False


def test_a_waiting_plan_is_approved_by_the_command_and_then_accepted(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(b'approve = "manual"\n')
    said("site", "policy", "set", str(file), "--site", str(folder), "--yes")
    federation = Federation(policy=POLICY.model_copy(update={"approve": "manual"}))

    def offered() -> bytes:
        with opened(folder) as site:
            return federation.agent(store=LedgerStore(site.ledger, key=KEY)).handle(federation.offer())

    where = ("--site", str(folder))
    assert said("site", "approve", *where) == {"waiting": []}
    assert refusal_of(offered()).code == "APPROVAL_MISSING"
    (waiting,) = said("site", "approve", *where)["waiting"]
    run, plan = waiting["run"], waiting["plan"]
    assert run == federation.run_id.hex()
    for wrong in (["ff"], [run, "--plan", "ff" * 32]):
        result = RUNNER.invoke(app, ["site", "approve", *wrong, *where, "--yes"])
        assert isinstance(result.exception, ConfigError)
    assert said("site", "approve", run[:8], *where, "--yes") == {"approved": {"run": run, "plan": plan}}
    assert said("site", "approve", *where) == {"waiting": []}
    reply_of(offered(), pb.PlanAccept)


def test_only_the_steward_approves(folder: Path) -> None:
    federation = Federation(policy=POLICY.model_copy(update={"approve": "manual"}))
    with opened(folder) as site:
        federation.agent(store=LedgerStore(site.ledger, key=KEY)).handle(federation.offer())
    command = ["site", "approve", "1", "--site", str(folder), "--yes", "--role"]
    assert isinstance(RUNNER.invoke(app, [*command, "operator"]).exception, AccessRefusedError)
    assert RUNNER.invoke(app, [*command, "steward"]).exit_code == 0


def test_the_policy_is_read_without_all_of_the_chain_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder) as site:
        digest = set_policy(site, STRICT, principal=site.principal(Role.STEWARD))
        monkeypatch.setattr(site.ledger, "entries", None)
        assert current_policy(site)[1] == digest
        assert waiting_plans(site) == ()
