"""Slots: the data key for the vault and for each role that may read; and for nobody else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.envelope.recipients import SlotKey, X25519Identity
from fedward.common.errors import (
    ContextMismatchError,
    EnvelopeError,
    EnvelopeHeaderError,
    NotAnEnvelopeError,
    WrongRecipientError,
)
from fedward.common.vault.kinds import DURABLE, Kind
from fedward.common.vault.roles import Role, readers
from fedward.common.vault.slots import SLOT_BYTES, SlotName, new_slot, next_generation, opened, wrapped
from tests.vaults import RUN, new_site, principal, put

NAME = SlotName(run_id=RUN, kind=Kind.CHECKPOINT, epoch=1)
KEK = SlotKey(slot_id=bytes([1]) * 16, key=bytes([2]) * 32)
ROLE_KEY = X25519Identity.from_bytes(bytes([3]) * 32)
SLOT = new_slot(NAME)
RAW = wrapped(SLOT, [KEK, ROLE_KEY.recipient])


@pytest.mark.parametrize("identity", [KEK, ROLE_KEY], ids=["vault", "role"])
def test_either_key_alone_gives_the_data_key(identity: SlotKey | X25519Identity) -> None:
    assert opened(RAW, NAME, [identity]) == SLOT


def test_slot_is_one_block_and_does_not_show_its_key() -> None:
    assert len(RAW) == SLOT_BYTES == 4096
    assert SLOT.key.key not in RAW
    assert SLOT.key.key.hex() not in repr(SLOT)


def test_another_key_opens_nothing() -> None:
    strangers = [X25519Identity.generate(), SlotKey(slot_id=KEK.slot_id, key=bytes(32))]
    with pytest.raises(WrongRecipientError):
        opened(RAW, NAME, strangers)


@pytest.mark.parametrize(
    "other",
    [
        SlotName(run_id=bytes(16), kind=Kind.CHECKPOINT, epoch=1),
        SlotName(run_id=RUN, kind=Kind.ADAPTER, epoch=1),
        SlotName(run_id=RUN, kind=Kind.CHECKPOINT, epoch=2),
    ],
    ids=["run", "kind", "epoch"],
)
def test_slot_in_another_place_is_refused(other: SlotName) -> None:
    with pytest.raises(ContextMismatchError):
        opened(RAW, other, [KEK])


@pytest.mark.parametrize(
    ("raw", "error"),
    [(b"", NotAnEnvelopeError), (RAW[:-1], EnvelopeHeaderError), (RAW + b"\0", EnvelopeHeaderError)],
)
def test_slot_of_another_length_is_refused(raw: bytes, error: type[EnvelopeError]) -> None:
    with pytest.raises(error):
        opened(raw, NAME, [KEK])


@given(at=st.integers(0, SLOT_BYTES - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(at: int, bit: int) -> None:
    raw = bytearray(RAW)
    raw[at] ^= 1 << bit
    with pytest.raises(EnvelopeError):
        opened(bytes(raw), NAME, [KEK, ROLE_KEY])


def test_wrapping_anew_keeps_the_key_and_changes_who_opens_it() -> None:
    fresh = SlotKey(slot_id=bytes([4]) * 16, key=bytes([5]) * 32)
    raw = wrapped(next_generation(SLOT), [fresh])
    again = opened(raw, NAME, [fresh])
    assert (again.key, again.generation) == (SLOT.key, 1)
    with pytest.raises(WrongRecipientError):
        opened(raw, NAME, [KEK, ROLE_KEY])


@pytest.mark.parametrize("is_released", [False, True])
def test_each_slot_opens_with_the_key_of_each_reader_alone_and_of_no_other_role(
    tmp_path: Path, is_released: bool
) -> None:
    written = sorted(DURABLE - {Kind.INDEX})
    with new_site(tmp_path / "site") as site:
        adapter = [put(site, kind) for kind in written][written.index(Kind.ADAPTER)]
        if is_released:
            site.vault.release(adapter, principal=principal(Role.STEWARD))
        wrong = []
        for kind in [*written, Kind.INDEX]:
            name = SlotName(run_id=RUN, kind=kind, epoch=1)
            raw = (tmp_path / "site/runs" / RUN.hex() / "slots" / name.file).read_bytes()
            for role in Role:
                try:
                    opened(raw, name, [site.keystore.role_key(role, kind)])
                    opens = True
                except WrongRecipientError:
                    opens = False
                if opens is not (role in readers(kind, is_released=is_released)):
                    wrong.append((kind, role, opens))
        assert wrong == []


def test_key_of_a_role_for_one_kind_opens_no_other_kind(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        put(site, Kind.SCORES)
        name = SlotName(run_id=RUN, kind=Kind.SCORES, epoch=1)
        raw = (tmp_path / "site/runs" / RUN.hex() / "slots" / name.file).read_bytes()
        with pytest.raises(WrongRecipientError):
            opened(raw, name, [site.keystore.role_key(Role.AUDITOR, Kind.SHEETS)])
