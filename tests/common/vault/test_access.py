"""Who may do what with objects: the table, the grant, the key; and an entry for each attempt."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fedward.client.site_folder import SiteFolder
from fedward.common.errors import (
    AccessRefusedError,
    ChunkCorruptError,
    LedgerError,
)
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.store import Receipt
from fedward.common.vault.kinds import DURABLE, EPHEMERAL, SITE_DATA, Kind
from fedward.common.vault.roles import OPENING, Action, Principal, Role, is_allowed
from tests.vaults import RUN, SUBJECT, entries, files, new_site, open_site, principal, put

DAEMON = principal(Role.DAEMON)
STEWARD = principal(Role.STEWARD)
WRITTEN = sorted(set(Kind) - {Kind.INDEX})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteFolder]:
    with new_site(tmp_path / "site") as opened:
        yield opened


class _Failing:
    """A ledger that is full."""

    def append(self, drafts: Sequence[Draft]) -> Receipt:
        raise LedgerError("the disk is full")


@pytest.mark.parametrize("role", Role)
def test_role_opens_what_the_table_says_and_nothing_else(site: SiteFolder, role: Role) -> None:
    objects = {kind: put(site, kind) for kind in WRITTEN}
    site.vault.release(objects[Kind.ADAPTER], principal=STEWARD)
    wrong = []
    for kind, object_id in objects.items():
        for action in sorted(OPENING):
            try:
                opens = site.vault.read(object_id, principal=principal(role), action=action) == b"content"
            except AccessRefusedError:
                opens = False
            if opens is not is_allowed(role, kind, action, is_released=True):
                wrong.append((kind, action, opens))
    assert wrong == []


@pytest.mark.parametrize("role", Role)
def test_role_writes_and_deletes_what_the_table_says(site: SiteFolder, role: Role) -> None:
    wrong = []
    for kind in WRITTEN:
        object_id = put(site, kind)
        for action, act in (
            (Action.WRITE, lambda kind=kind: site.vault.put(kind, "n", b"", run_id=RUN, principal=principal(role))),
            (Action.DELETE, lambda one=object_id: site.vault.delete(one, principal=principal(role))),
        ):
            try:
                act()
                is_done = True
            except AccessRefusedError:
                is_done = False
            if is_done is not is_allowed(role, kind, action):
                wrong.append((kind, action, is_done))
    assert wrong == []


@pytest.mark.parametrize("role", Role)
def test_role_lists_kinds_that_it_may_list_or_open(site: SiteFolder, role: Role) -> None:
    objects = {kind: put(site, kind) for kind in WRITTEN}
    site.vault.release(objects[Kind.ADAPTER], principal=STEWARD)
    for kind in WRITTEN:
        may = any(is_allowed(role, kind, action, is_released=True) for action in (Action.LIST, *OPENING))
        if may:
            listed = site.vault.listing(kind, principal=principal(role))
            assert [info.object_id for info in listed] == [objects[kind]]
        else:
            with pytest.raises(AccessRefusedError):
                site.vault.listing(kind, principal=principal(role))


def test_developer_sees_and_reads_an_adapter_once_it_is_released(site: SiteFolder) -> None:
    developer = principal(Role.DEVELOPER)
    first, second = put(site, Kind.ADAPTER, b"first"), put(site, Kind.ADAPTER, b"second")
    assert site.vault.listing(Kind.ADAPTER, principal=developer) == ()
    with pytest.raises(AccessRefusedError, match="before it is released"):
        site.vault.read(first, principal=developer)
    site.vault.release(first, principal=STEWARD)
    assert site.vault.read(first, principal=developer) == b"first"
    assert [info.object_id for info in site.vault.listing(Kind.ADAPTER, principal=developer)] == [first]
    with pytest.raises(AccessRefusedError):
        site.vault.read(second, principal=developer)


def test_release_outlives_a_restart(site: SiteFolder) -> None:
    adapter = put(site, Kind.ADAPTER, b"first")
    site.vault.release(adapter, principal=STEWARD)
    site.close()
    with open_site(site.path) as again:
        gateway = principal(Role.BUSINESS_USER)
        assert again.vault.read(adapter, principal=gateway, action=Action.CALL) == b"first"


def test_role_that_the_table_let_through_still_needs_its_key(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    object_id = put(site, Kind.CHECKPOINT)
    monkeypatch.setattr("fedward.common.vault.gate.is_allowed", lambda *_, **__: True)
    with pytest.raises(AccessRefusedError, match="key of role auditor"):
        site.vault.read(object_id, principal=principal(Role.AUDITOR))
    assert entries(site, "access")[-1]["reason"] == "key"


def test_role_without_a_grant_is_refused(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT)
    with pytest.raises(AccessRefusedError, match="not granted"):
        site.vault.read(object_id, principal=Principal(subject="uid:1", role=Role.DAEMON))
    assert entries(site, "access")[-1]["reason"] == "grant"


def test_every_access_and_refusal_is_an_entry(site: SiteFolder) -> None:
    object_id = put(site, Kind.SCORES)
    site.vault.read(object_id, principal=principal(Role.AUDITOR))
    with pytest.raises(AccessRefusedError):
        site.vault.read(object_id, principal=principal(Role.DEVELOPER))
    with pytest.raises(AccessRefusedError):
        site.vault.put(Kind.SCORES, "forged", b"", run_id=RUN, principal=principal(Role.AUDITOR))
    common = {"principal": SUBJECT, "kind": "scores", "run": RUN.hex()}
    assert entries(site, "access") == [
        {**common, "role": "daemon", "action": "write", "object_id": object_id, "allowed": True, "reason": ""},
        {**common, "role": "auditor", "action": "read", "object_id": object_id, "allowed": True, "reason": ""},
        {**common, "role": "developer", "action": "read", "object_id": object_id, "allowed": False, "reason": "table"},
        {**common, "role": "auditor", "action": "write", "object_id": "", "allowed": False, "reason": "table"},
    ]


def test_entries_name_no_object_by_its_name(site: SiteFolder) -> None:
    put(site, Kind.TRAINING, name="ward-7-patients", run_id=SITE_DATA)
    assert all(b"ward-7" not in (entry.body or b"") for entry in site.trail.entries())


@pytest.mark.parametrize("kind", [Kind.CHECKPOINT, Kind.SHARD])
def test_without_a_ledger_nothing_is_read_or_written(
    site: SiteFolder, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_id = put(site, kind)
    before = files(site.path)
    monkeypatch.setattr(site.vault._storage, "_trail", _Failing())
    with pytest.raises(LedgerError):
        site.vault.read(object_id, principal=DAEMON)
    with pytest.raises(LedgerError):
        put(site, kind, b"more")
    assert files(site.path) == before


def test_entry_is_durable_before_the_bytes_are_decrypted(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"x" * 100)
    seen: list[int] = []

    def opened_chunk(*_: object, **__: object) -> bool:
        seen.append(len(entries(site, "access")))
        return False

    monkeypatch.setattr("fedward.common.envelope.payload.Payload.open_into", opened_chunk)
    with pytest.raises(ChunkCorruptError):
        site.vault.read(object_id, principal=DAEMON)
    assert set(seen) == {2}  # the write's and the read's


def test_reads_of_the_daemon_in_a_round_are_one_entry_for_each_kind(site: SiteFolder) -> None:
    objects = [put(site, kind, name=str(n)) for kind in (Kind.SHARD, Kind.CHECKPOINT) for n in range(3)]
    before = len(entries(site, "access"))
    for number in (1, 1, 2):
        for object_id in objects:
            site.vault.read(object_id, principal=DAEMON, round_number=number)
    noted = entries(site, "access")[before:]
    assert [(entry["kind"], entry["round"]) for entry in noted] == [
        ("shard", 1),
        ("checkpoint", 1),
        ("shard", 2),
        ("checkpoint", 2),
    ]


def test_reads_of_people_in_a_round_are_an_entry_each(site: SiteFolder) -> None:
    object_id = put(site, Kind.SCORES)
    before = len(entries(site, "access"))
    for _ in range(2):
        site.vault.read(object_id, principal=STEWARD, round_number=1)
    assert len(entries(site, "access")) == before + 2


def test_round_whose_entry_failed_is_not_taken_as_noted(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    object_id = put(site, Kind.CHECKPOINT)
    with monkeypatch.context() as patched:
        patched.setattr(site.vault._storage, "_trail", _Failing())
        with pytest.raises(LedgerError):
            site.vault.read(object_id, principal=DAEMON, round_number=1)
    before = len(entries(site, "access"))
    site.vault.read(object_id, principal=DAEMON, round_number=1)
    assert len(entries(site, "access")) == before + 1


def test_durable_kinds_are_all_written_by_somebody() -> None:
    written = {kind for kind in Kind if any(is_allowed(role, kind, Action.WRITE) for role in Role)}
    assert written == (DURABLE | EPHEMERAL) - {Kind.INDEX}
