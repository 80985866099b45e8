"""Grants as the ledger tells them, their use, and what is overdue."""

from pathlib import Path

import pytest

from fedward.common.errors import AccessRefusedError, VaultError
from fedward.common.vault.grants import DAY_MS, Grants
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.kinds import DURABLE, Kind
from fedward.common.vault.roles import Action, Office, Principal, Role
from fedward.common.vault.rotation import overdue
from tests.vaults import START_MS, SUBJECT, entries, new_site, open_site, principal

STEWARD = principal(Role.STEWARD)
OTHER = Principal(subject="uid:9", role=Role.AUDITOR)


def test_grant_without_use_is_idle_from_its_own_day_on() -> None:
    grants = Grants()
    grants.grant("uid:1", "auditor", 0)
    assert grants.idle(90 * DAY_MS - 1, 90) == ()
    assert [grant.subject for grant in grants.idle(90 * DAY_MS, 90)] == ["uid:1"]


def test_use_in_the_role_counts_and_in_another_does_not() -> None:
    grants = Grants()
    grants.grant("uid:1", "auditor", 0)
    grants.use("uid:1", "operator", 80 * DAY_MS)
    assert len(grants.idle(90 * DAY_MS, 90)) == 1
    grants.use("uid:1", "auditor", 80 * DAY_MS)
    assert grants.idle(90 * DAY_MS, 90) == ()
    assert grants.all()[0].idle_days(90 * DAY_MS) == 10


def test_clock_that_ran_back_makes_nothing_idle() -> None:
    grants = Grants()
    grants.grant("uid:1", "auditor", 10 * DAY_MS)
    assert grants.all()[0].idle_days(0) == 0


def test_revoked_and_granted_again_begins_anew() -> None:
    grants = Grants()
    grants.grant("uid:1", "auditor", 0)
    grants.use("uid:1", "auditor", 5)
    grants.revoke("uid:1", "auditor", 6)
    assert not grants.holds(Principal(subject="uid:1", role=Role.AUDITOR))
    grants.grant("uid:1", "auditor", 7)
    assert grants.all()[0].used_at_ms is None


def test_steward_grants_and_revokes_and_the_ledger_keeps_it(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        gate = site.vault.gate
        gate.grant("uid:9", Role.AUDITOR, principal=STEWARD)
        assert gate.grants.holds(OTHER)
        assert entries(site, "role.granted")[-1] == {"subject": "uid:9", "role": "auditor", "by": SUBJECT}
    with open_site(tmp_path / "site") as site:
        assert site.vault.gate.grants.holds(OTHER)
        site.vault.gate.revoke("uid:9", Role.AUDITOR, principal=STEWARD)
        assert not site.vault.gate.grants.holds(OTHER)
        assert entries(site, "access")[-1]["kind"] == "keys"


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.STEWARD}))
def test_nobody_else_grants(tmp_path: Path, role: Role) -> None:
    with new_site(tmp_path / "site") as site:
        with pytest.raises(AccessRefusedError):
            site.vault.gate.grant("uid:9", Role.AUDITOR, principal=principal(role))
        assert not site.vault.gate.grants.holds(OTHER)


def test_last_steward_is_not_revoked(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        with pytest.raises(VaultError, match="last steward"):
            site.vault.gate.revoke(SUBJECT, Role.STEWARD, principal=STEWARD)
        site.vault.gate.grant("uid:9", Role.STEWARD, principal=STEWARD)
        site.vault.gate.revoke(SUBJECT, Role.STEWARD, principal=STEWARD)
        assert site.vault.gate.grants.holders(Role.STEWARD) == ("uid:9",)


def test_role_that_is_not_held_is_not_revoked(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site, pytest.raises(VaultError, match="does not hold"):
        site.vault.gate.revoke("uid:9", Role.AUDITOR, principal=STEWARD)


def test_action_on_an_office_is_an_entry_either_way(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        site.vault.gate.check(Office.LEDGER, Action.EXPORT, principal=principal(Role.AUDITOR))
        with pytest.raises(AccessRefusedError):
            site.vault.gate.check(Office.LEDGER, Action.EXPORT, principal=principal(Role.OPERATOR))
        verdicts = [(entry["role"], entry["allowed"]) for entry in entries(site, "access")]
        assert verdicts == [("auditor", True), ("operator", False)]


def test_young_keys_are_not_overdue_and_old_ones_are(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        assert overdue(site.keystore, START_MS + 90 * DAY_MS - 1) == ()
        late = overdue(site.keystore, START_MS + 90 * DAY_MS)
        assert [(one.purpose, one.name, one.age_days) for one in late] == [
            (Purpose.KEK, kind, 90) for kind in sorted(DURABLE)
        ]
        assert len(overdue(site.keystore, START_MS + 180 * DAY_MS)) == len(DURABLE) + len(Role)
        assert {one.name for one in overdue(site.keystore, START_MS, kek_days=1, role_days=0)} == set(Role)


def test_rotated_key_is_young_again(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        site.keystore.begin([(Purpose.KEK, Kind.LOG)], at_ms=START_MS + 80 * DAY_MS)
        late = overdue(site.keystore, START_MS + 90 * DAY_MS)
        assert {one.name for one in late} == DURABLE - {Kind.LOG}


@pytest.mark.parametrize("subject", [SUBJECT, "uid:9"])
def test_who_holds_a_role_is_not_told_to_whoever_tries_to_revoke_it(tmp_path: Path, subject: str) -> None:
    with new_site(tmp_path / "site") as site:
        with pytest.raises(AccessRefusedError):
            site.vault.gate.revoke(subject, Role.STEWARD, principal=principal(Role.OPERATOR))
        last = entries(site, "access")[-1]
    assert (last["role"], last["kind"], last["allowed"], last["reason"]) == ("operator", "keys", False, "table")
