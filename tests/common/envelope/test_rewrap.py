"""Other recipients for a sealed file: the payload stays, a crash leaves a header that opens."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedward.common.envelope.header import HEADER_BYTES
from fedward.common.envelope.recipients import SlotKey
from fedward.common.envelope.rewrap import rewrap
from fedward.common.errors import ConfigError, ContextMismatchError, HeaderTamperedError, WrongRecipientError
from tests.envelopes import CONTEXT, SLOT, X25519, opened, sealed

NEW = SlotKey(slot_id=bytes(16), key=bytes(range(32)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "file.fwe"
    place.write_bytes(sealed(b"text", [SLOT, X25519.recipient]))
    return place


def test_the_new_recipients_open_and_the_old_ones_do_not(path: Path) -> None:
    before = path.read_bytes()
    rewrap(path, [X25519], [NEW], expect=CONTEXT)
    after = path.read_bytes()
    assert after[2 * HEADER_BYTES :] == before[2 * HEADER_BYTES :]
    assert opened(after, [NEW]) == b"text"
    with pytest.raises(WrongRecipientError):
        opened(after, [SLOT, X25519])


def test_a_stranger_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(WrongRecipientError):
        rewrap(path, [NEW], [NEW])
    with pytest.raises(ContextMismatchError):
        rewrap(path, [SLOT], [NEW], expect=replace(CONTEXT, name="other"))
    with pytest.raises(ConfigError):
        rewrap(path, [SLOT], [])
    assert path.read_bytes() == before


def test_links_and_missing_files_are_refused(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    for place in (link, path.with_name("none")):
        with pytest.raises(ConfigError):
            rewrap(place, [SLOT], [NEW])


def test_a_damaged_copy_is_repaired(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    rewrap(path, [SLOT], [SLOT])
    repaired = path.read_bytes()
    assert repaired[:HEADER_BYTES] == repaired[HEADER_BYTES : 2 * HEADER_BYTES]


def test_recipients_that_no_reader_accepts_leave_the_file_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigError):
        rewrap(path, [SLOT], [X25519.recipient, X25519.recipient])
    assert path.read_bytes() == before


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path / "fifo", tmp_path):
        with pytest.raises(ConfigError):
            rewrap(place, [SLOT], [NEW])


class Killed(BaseException):
    """The process dies here."""


def dying_after(num_bytes: int, real: Callable[[int, bytes, int], int]) -> Callable[[int, bytes, int], int]:
    """``os.pwrite`` that writes ``num_bytes`` in all, a few at a time, and then no more."""
    left = num_bytes

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        nonlocal left
        if left == 0:
            raise Killed
        count = real(descriptor, data[: min(left, 1000)], at)
        left -= count
        return count

    return pwrite


@pytest.mark.parametrize("num_bytes", [0, 1, 500, 4000, 4095, 4096, 4097, 6000, 8191])
def test_a_crash_at_any_write_leaves_the_old_or_the_new_recipients(
    path: Path, num_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", dying_after(num_bytes, os.pwrite))
    with pytest.raises(Killed):
        rewrap(path, [SLOT], [NEW])
    raw = path.read_bytes()
    opens_for = []
    for identity in (SLOT, NEW):
        try:
            assert opened(raw, [identity]) == b"text"
            opens_for.append(identity)
        except (WrongRecipientError, HeaderTamperedError):  # the torn copy is nobody's
            continue
    assert opens_for


@pytest.mark.parametrize("damaged_at", [100, HEADER_BYTES + 100])
@pytest.mark.parametrize("num_bytes", [1, 4000, 4096, 6000])
def test_a_crash_beside_a_damaged_copy_leaves_one_that_opens(
    path: Path, damaged_at: int, num_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = bytearray(path.read_bytes())
    raw[damaged_at] ^= 1
    path.write_bytes(raw)
    monkeypatch.setattr(os, "pwrite", dying_after(num_bytes, os.pwrite))
    with pytest.raises(Killed):
        rewrap(path, [SLOT], [SLOT])
    assert opened(path.read_bytes()) == b"text"


@pytest.mark.parametrize("num_bytes", [1, 4000, 4096, 6000])
def test_a_second_crash_still_leaves_a_copy_that_opens(
    path: Path, num_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    for size in (6000, num_bytes):  # the first dies in copy A, and leaves B alone
        monkeypatch.setattr(os, "pwrite", dying_after(size, real))
        with pytest.raises(Killed):
            rewrap(path, [SLOT], [SLOT])
    assert opened(path.read_bytes()) == b"text"
