"""The anchor: behind each commit, and never ahead of the chain."""

import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from fedward.common.errors import LedgerError, LedgerRolledBackError
from fedward.common.identity import Identity
from fedward.common.ledger.anchor import Anchor, AnchorFile
from fedward.common.ledger.chain import Head
from fedward.common.ledger.store import Ledger
from tests.ledgers import IDENTITY, LEDGER_ID, account, charge, clock, reserve

HEAD = Head(ledger_id=LEDGER_ID, seq=3, hash=b"\x77" * 32)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A ledger of three entries with its anchor."""
    path = tmp_path / "ledger.db"
    with Ledger.create(
        path, identity=IDENTITY, site_id="alpha", clock=clock, anchor=AnchorFile(tmp_path / "anchor")
    ) as ledger:
        ledger.append([account()], expected_head=ledger.head)
        ledger.append([reserve()], expected_head=ledger.head)
    return path


def anchor_of(path: Path) -> AnchorFile:
    return AnchorFile(path.with_name("anchor"))


def opened(path: Path, identity: Identity = IDENTITY) -> Ledger:
    return Ledger.open(path, identity=identity, clock=clock, anchor=anchor_of(path))


def test_an_anchor_is_read_as_it_was_written() -> None:
    anchor = Anchor.of(HEAD, IDENTITY)
    assert Anchor.from_bytes(anchor.to_bytes()) == anchor
    assert anchor.is_signed_by([IDENTITY.public_key])
    assert not replace(anchor, head=replace(HEAD, seq=4)).is_signed_by([IDENTITY.public_key])


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", Anchor.of(HEAD, IDENTITY).to_bytes() + b" ", b"1" * 5000])
def test_what_is_no_anchor_is_refused(raw: bytes) -> None:
    with pytest.raises(LedgerError, match="no anchor"):
        Anchor.from_bytes(raw)


def test_the_anchor_moves_with_every_commit(place: Path) -> None:
    with opened(place) as ledger:
        assert (anchor_of(place).read() or Anchor.of(HEAD, IDENTITY)).head == ledger.head
        ledger.append([charge(2)], expected_head=ledger.head)
        assert (anchor_of(place).read() or Anchor.of(HEAD, IDENTITY)).head == ledger.head
    assert stat.S_IMODE(anchor_of(place).path.stat().st_mode) == 0o600


def test_an_older_file_put_back_is_found(place: Path) -> None:
    old = shutil.copy(place, place.with_name("old.db"))
    with opened(place) as ledger:
        ledger.append([charge(2)], expected_head=ledger.head)
    shutil.copy(old, place)
    with pytest.raises(LedgerRolledBackError, match="ends at entry 2"):
        opened(place)


def test_another_chain_of_the_same_length_is_found(place: Path) -> None:
    old = shutil.copy(place, place.with_name("old.db"))
    with opened(place) as ledger:
        ledger.append([charge(2)], expected_head=ledger.head)
    kept = anchor_of(place).path.read_bytes()
    shutil.copy(old, place)
    anchor_of(place).path.unlink()
    with Ledger.open(place, identity=IDENTITY, clock=clock) as ledger:
        ledger.append([reserve(number=2)], expected_head=ledger.head)
    anchor_of(place).path.write_bytes(kept)
    with pytest.raises(LedgerRolledBackError, match="not the one"):
        opened(place)


def test_a_new_ledger_beside_the_old_anchor_is_found(place: Path) -> None:
    place.unlink()
    Ledger.create(place, identity=IDENTITY, site_id="alpha", clock=clock).close()
    with pytest.raises(LedgerRolledBackError, match="another ledger"):
        opened(place)


def test_a_ledger_without_its_anchor_is_not_opened(place: Path) -> None:
    anchor_of(place).path.unlink()
    with pytest.raises(LedgerRolledBackError, match="gone"):
        opened(place)


def test_an_anchor_that_a_crash_left_behind_is_good(place: Path) -> None:
    kept = anchor_of(place).path.read_bytes()
    with opened(place) as ledger:
        ledger.append([charge(2)], expected_head=ledger.head)
    anchor_of(place).path.write_bytes(kept)
    opened(place).close()


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_slot_leaves_the_other(place: Path, slot: int) -> None:
    raw = bytearray(anchor_of(place).path.read_bytes())
    raw[4096 * slot + 100 : 4096 * slot + 512] = bytes(412)
    anchor_of(place).path.write_bytes(raw)
    with opened(place) as ledger:
        ledger.append([charge(2)], expected_head=ledger.head)
    found = anchor_of(place).read()
    assert found is not None
    assert found.head.seq == 3


@pytest.mark.parametrize("raw", [b"", bytes(8192), b"x" * 9000, b"{}\n"], ids=["empty", "zeros", "long", "other"])
def test_a_file_without_an_anchor_is_none(place: Path, raw: bytes) -> None:
    anchor_of(place).path.write_bytes(raw)
    with pytest.raises(LedgerError, match="no anchor"):
        opened(place)


def test_a_link_in_its_place_is_not_followed(place: Path) -> None:
    anchor_of(place).path.rename(place.with_name("elsewhere"))
    anchor_of(place).path.symlink_to(place.with_name("elsewhere"))
    with pytest.raises(LedgerError, match="anchor"):
        opened(place)


def test_an_anchor_of_before_a_change_of_the_key_is_good(place: Path) -> None:
    kept, fresh = anchor_of(place).path.read_bytes(), Identity.generate()
    with opened(place) as ledger:
        ledger.rotate(fresh)
    anchor_of(place).path.write_bytes(kept)
    opened(place, fresh).close()


def test_an_anchor_of_a_stranger_is_none(place: Path) -> None:
    with opened(place) as ledger:
        anchor_of(place).path.unlink()
        anchor_of(place).write(Anchor.of(ledger.head, Identity.generate()))
    with pytest.raises(LedgerRolledBackError, match="another ledger"):
        opened(place)


def test_nothing_is_appended_while_the_anchor_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(place) as ledger:
        monkeypatch.setattr(AnchorFile, "write", full)
        ledger.append([charge(2)], expected_head=ledger.head)  # stands: it was durable before
        with pytest.raises(LedgerError, match="anchor cannot be written"):
            ledger.append([reserve(number=2)], expected_head=ledger.head)
        monkeypatch.undo()
        ledger.append([reserve(number=2)], expected_head=ledger.head)


def test_an_end_while_the_anchor_is_moved_at_the_opening_lets_go_of_the_lock(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(AnchorFile, "write", end)
        with pytest.raises(KeyboardInterrupt):
            opened(place)
    opened(place).close()
