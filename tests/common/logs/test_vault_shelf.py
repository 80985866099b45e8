"""The log in the vault: who writes, who reads, what a crash and time do to it. All of it is in the ledger."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedward.client.site_folder import SiteFolder
from fedward.common.envelope.header import Context
from fedward.common.envelope.stream import inspect, open_bytes
from fedward.common.errors import AccessRefusedError, LedgerError, ObjectReplacedError, WrongRecipientError
from fedward.common.ledger.chain import Draft
from fedward.common.logs import shelves
from fedward.common.logs.logger import Log
from fedward.common.logs.reading import parse_segment
from fedward.common.logs.retention import LOG_DAYS, LOG_PURGED, purge
from fedward.common.logs.segments import SealedStream
from fedward.common.logs.shelves import SegmentName
from fedward.common.logs.vault_shelf import VaultShelf
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Principal, Role
from fedward.common.vault.unlocks import KeyUnlock
from tests.log_sinks import AT_S, RUN, Clocks

UNLOCK = KeyUnlock.of_secret(bytes([9]) * 32, "key-file")
SUBJECT = "uid:4711"
DAY_S = 86_400
READERS = (Role.STEWARD, Role.OPERATOR)


def as_role(role: Role) -> Principal:
    return Principal(subject=SUBJECT, role=role)


def opened(path: Path) -> SiteFolder:
    return SiteFolder.open(path, unlocks=[UNLOCK], clock=lambda: AT_S * 1000)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteFolder]:
    grants = [(SUBJECT, role) for role in Role]
    clock = lambda: AT_S * 1000  # noqa: E731
    with SiteFolder.create(tmp_path / "site", "alpha", unlocks=[UNLOCK], clock=clock, grants=grants) as folder:
        yield folder


def shelf_of(site: SiteFolder) -> VaultShelf:
    return VaultShelf(site, as_role(Role.DAEMON))


def name_of(number: int = 1, at_s: int = AT_S) -> SegmentName:
    return SegmentName(opened_at_s=at_s, boot="aa" * 4, number=number)


def entries(site: SiteFolder, entry_kind: str, **fields: str) -> list[dict[str, Any]]:
    found = [entry.fields for entry in site.trail.entries() if entry.kind == entry_kind]
    return [body for body in found if all(body[name] == value for name, value in fields.items())]


def growing(site: SiteFolder) -> list[Path]:
    return sorted((site.path / "state" / "log").iterdir())


def test_growing_segment_is_a_file_and_a_full_one_an_object(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"first", is_last=False)
    assert len(growing(site)) == 1
    assert site.vault.find(Kind.LOG) == ()
    shelf.put(name_of(), b"first and last", is_last=True)
    assert growing(site) == []
    (info,) = site.vault.find(Kind.LOG)
    assert info.name == str(name_of())
    (stored,) = shelf.stored()
    assert shelf.read(stored, as_role(Role.OPERATOR)) == b"first and last"


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("role", list(Role))
def test_operator_and_steward_read_and_every_reading_is_an_entry(site: SiteFolder, role: Role, is_last: bool) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=is_last)
    (stored,) = shelf.stored()
    if role in READERS:
        assert shelf.read(stored, as_role(role)) == b"content"
    else:
        with pytest.raises(AccessRefusedError):
            shelf.read(stored, as_role(role))
    (entry,) = entries(site, "access", kind="log", action="read")
    assert (entry["role"], entry["principal"], entry["allowed"]) == (role, SUBJECT, role in READERS)


def test_role_that_was_not_granted_reads_nothing(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=False)
    with pytest.raises(AccessRefusedError):
        shelf.read(shelf.stored()[0], Principal(subject="uid:1", role=Role.OPERATOR))


@pytest.mark.parametrize("role", list(Role))
def test_growing_segment_opens_with_the_keys_of_its_readers_alone(site: SiteFolder, role: Role) -> None:
    shelf_of(site).put(name_of(), b"content", is_last=False)
    (path,) = growing(site)
    with path.open("rb", buffering=0) as file:
        header, context = inspect(file)
    key = site.keystore.role_key(role, Kind.LOG)
    opens = [key.unwrap(stanza, header.file_id) is not None for stanza in header.stanzas]
    assert any(opens) == (role in READERS)
    assert context == Context(kind="log", name=str(name_of()))


def test_what_a_crash_left_growing_is_adopted(site: SiteFolder) -> None:
    shelf_of(site).put(name_of(), b"content", is_last=False)
    site.close()
    with opened(site.path) as again:
        shelf = shelf_of(again)
        assert shelf.adopt() == 1
        assert growing(again) == []
        assert shelf.adopt() == 0
        (stored,) = shelf.stored()
        assert stored.object_id
        assert shelf.read(stored, as_role(Role.STEWARD)) == b"content"


def test_crash_between_object_and_file_leaves_one_segment(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=False)
    site.vault.put(Kind.LOG, str(name_of()), b"content", principal=as_role(Role.DAEMON))
    assert len(shelf.stored()) == 1
    shelf.adopt()
    assert growing(site) == []
    assert len(site.vault.find(Kind.LOG)) == 1


def test_log_stays_readable_over_a_change_of_keys(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(1), b"old", is_last=True)
    shelf.put(name_of(2), b"grows", is_last=False)
    site.vault.rotate()
    site.vault.rotate_roles()
    shelf.put(name_of(2), b"grows on", is_last=False)
    read = [shelf.read(stored, as_role(Role.OPERATOR)) for stored in shelf.stored()]
    assert read == [b"old", b"grows on"]


@pytest.mark.parametrize("is_crashed", [False, True])
def test_growing_segment_is_adopted_after_a_change_of_keys(site: SiteFolder, is_crashed: bool) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=False)
    if is_crashed:  # the next start finishes the change
        site.keystore.begin([(Purpose.KEK, Kind.LOG)], at_ms=9)
    else:
        site.vault.rotate([Kind.LOG])
        site.vault.rotate_roles()
    site.close()
    with opened(site.path) as again:
        assert again.keystore.pending == ()
        assert shelf_of(again).adopt() == 1
        (stored,) = shelf_of(again).stored()
        assert shelf_of(again).read(stored, as_role(Role.OPERATOR)) == b"content"


def test_old_keys_of_a_reader_do_not_open_the_growing_segment_after_a_change(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=False)
    old = site.keystore.role_key(Role.OPERATOR, Kind.LOG)
    site.vault.rotate_roles([Role.OPERATOR])
    with growing(site)[0].open("rb", buffering=0) as file, pytest.raises(WrongRecipientError):
        open_bytes(file, [old], expect=name_of().context)


def test_keys_do_not_change_between_the_choice_of_keys_and_the_write(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, write = shelf_of(site), shelves._replace

    def slow(path: Path, data: bytes) -> None:
        rotation = threading.Thread(target=site.vault.rotate, args=([Kind.LOG],))
        rotation.start()
        rotation.join(0.2)  # it waits for this write
        write(path, data)
        rotations.append(rotation)

    rotations: list[threading.Thread] = []
    monkeypatch.setattr(shelves, "_replace", slow)
    shelf.put(name_of(), b"content", is_last=False)
    rotations[0].join()
    assert shelf.adopt() == 1


def test_half_written_leftover_goes_at_the_next_start(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=False)
    leftover = growing(site)[0].with_name(".fedward.abc")
    leftover.write_bytes(b"half of it")
    shelf.adopt()
    assert not leftover.exists()


@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_growing_segment_that_is_no_file_is_passed_over(site: SiteFolder, what: str) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=False)
    place = growing(site)[0]
    if what == "link":
        place.rename(place.with_name("elsewhere"))
        place.symlink_to(place.with_name("elsewhere"))
    else:
        place.unlink()
        place.mkdir() if what == "folder" else os.mkfifo(place)
    site.vault.rotate([Kind.LOG])
    assert shelf.adopt() == 0


def test_segment_that_no_longer_opens_stays_until_it_is_old(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=False)
    growing(site)[0].write_bytes(b"damaged")
    assert shelf.adopt() == 0
    assert len(growing(site)) == 1
    assert purge(shelf, site.trail, now_s=lambda: AT_S + 91 * DAY_S, log=Log()) == 1
    assert growing(site) == []


def test_older_file_put_back_is_found(site: SiteFolder) -> None:
    shelf = shelf_of(site)
    for number in (1, 2):
        shelf.put(name_of(number), b"content", is_last=True)
    first, second = sorted((site.path / "data" / "objects" / "log").iterdir())
    second.write_bytes(first.read_bytes())
    stored = next(one for one in shelf.stored() if one.object_id == second.name.removesuffix(".fwe"))
    with pytest.raises(ObjectReplacedError):
        shelf.read(stored, as_role(Role.OPERATOR))


def test_objects_of_somebody_else_are_passed_over(site: SiteFolder) -> None:
    site.vault.put(Kind.LOG, "inference", b"x", principal=as_role(Role.DAEMON))
    assert shelf_of(site).stored() == ()


def test_log_goes_from_an_event_to_the_vault_and_back(site: SiteFolder) -> None:
    clocks, shelf = Clocks(), shelf_of(site)
    log = Log(clock_s=clocks.wall_s)
    with log.strict(), log.kept_in(SealedStream(shelf, now_s=clocks.now_s)):
        log.event("round.sent", run=RUN, round=1, attempt=0)
        clocks.now += 5
        log.tick()
        assert site.vault.find(Kind.LOG) == ()
    (stored,) = shelf.stored()
    segment = parse_segment(shelf.read(stored, as_role(Role.OPERATOR)))
    assert [line.event for line in segment.lines] == ["log.opened", "round.sent", "log.closed"]
    assert segment.num_unreadable == 0
    assert log.dropped == {}


# ---------------------------------------------------------------------------------------------------- retention


def test_ninety_days_are_kept_and_the_ledger_says_what_went(site: SiteFolder) -> None:
    shelf, log = shelf_of(site), Log()
    for number, age_days in enumerate((200, 91, 90, 0), start=1):
        shelf.put(name_of(number, AT_S - age_days * DAY_S), b"content", is_last=True)
    with log.strict():
        assert purge(shelf, site.trail, now_s=lambda: AT_S, log=log) == 2
        assert purge(shelf, site.trail, now_s=lambda: AT_S, log=log) == 0
    assert [stored.name.number for stored in shelf.stored()] == [3, 4]
    (entry,) = entries(site, LOG_PURGED)
    assert (entry["segments"], entry["log_days"]) == (2, LOG_DAYS)
    assert [event.schema.name for event in log.waiting] == ["log.expired"]
    assert len(list((site.path / "data" / "objects" / "log").iterdir())) == 2


def test_without_an_entry_nothing_is_deleted(site: SiteFolder) -> None:
    class Full:
        def append(self, drafts: list[Draft]) -> object:
            raise LedgerError("no space")

    shelf = shelf_of(site)
    shelf.put(name_of(), b"content", is_last=True)
    with pytest.raises(LedgerError):
        purge(shelf, Full(), now_s=lambda: AT_S + 1000 * DAY_S, log=Log())  # type: ignore[arg-type]
    assert len(shelf.stored()) == 1


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.DAEMON])
def test_nobody_but_the_daemon_deletes_a_log(site: SiteFolder, role: Role) -> None:
    shelf_of(site).put(name_of(), b"content", is_last=True)
    shelf = VaultShelf(site, as_role(role))
    with pytest.raises(AccessRefusedError):
        shelf.delete(shelf.stored()[0])
    assert len(shelf.stored()) == 1
