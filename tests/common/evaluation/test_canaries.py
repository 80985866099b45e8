import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import CommitmentError, ConfigError, IdentityError
from fedward.common.evaluation.canaries import (
    DEFAULT_REGISTRATION,
    SALT_BYTES,
    SHEET_GROUPS,
    CanarySheet,
    Group,
    check_caps,
    coin,
    coins,
    counts_in_bounds,
    open_sheet,
    record_commitment,
    verify_claims,
)
from tests.evaluations import VECTORS

KNOWN = VECTORS["sheet"]
SEED = bytes(range(32))
SALT = bytes.fromhex(KNOWN["salt"])
RAW = KNOWN["bytes"].encode()
COMMITMENT = bytes.fromhex(KNOWN["commitment"])


def a_sheet(**changes: Any) -> CanarySheet:  # noqa: ANN401
    return dataclasses.replace(open_sheet(COMMITMENT, SALT, RAW), **changes)


def test_coins_are_the_known_answer() -> None:
    known = VECTORS["coins"]
    found = coins(bytes.fromhex(known["seed"]), Group(known["group"]), len(known["bits"]))
    assert "".join("01"[value] for value in found) == known["bits"]


def test_coins_are_fair_and_differ_by_group() -> None:
    token, secret = coins(SEED, Group.TOKEN, 4000), coins(SEED, Group.SECRET, 4000)
    assert abs(sum(token) - 2000) < 160  # five standard deviations
    assert abs(sum(a == b for a, b in zip(token, secret, strict=True)) - 2000) < 160


@pytest.mark.parametrize("group", [Group.TOKEN_RESERVE, Group.TWINS, Group.HELDOUT])
def test_groups_without_a_coin_are_never_in(group: Group) -> None:
    assert not any(coins(SEED, group, 100))
    assert not group.is_in_training


def test_control_canaries_have_a_coin_and_stay_out_of_the_run() -> None:
    assert Group.CONTROL.has_coin
    assert not Group.CONTROL.is_in_training
    assert not counts_in_bounds(Group.CONTROL, unit_is_record=False)


@pytest.mark.parametrize(("seed", "index"), [(b"short", 0), (SEED, -1), (SEED, 1 << 32)])
def test_impossible_coins_are_refused(seed: bytes, index: int) -> None:
    with pytest.raises(ConfigError):
        coin(seed, "token", index)


def test_canonical_bytes_and_commitment_are_the_known_answer() -> None:
    sheet = open_sheet(COMMITMENT, SALT, RAW)
    assert sheet.to_bytes() == RAW
    assert sheet.commitment(SALT) == COMMITMENT
    assert hashlib.sha256(b"fedward/coins/1\0" + SALT + RAW).digest() == COMMITMENT


def test_seed_is_not_in_the_representation() -> None:
    assert "seed" not in repr(a_sheet())


@given(position=st.integers(0, len(RAW) - 1), bit=st.integers(0, 7))
def test_flipped_bit_of_a_sheet_does_not_open(position: int, bit: int) -> None:
    raw = bytearray(RAW)
    raw[position] ^= 1 << bit
    with pytest.raises(CommitmentError):
        open_sheet(COMMITMENT, SALT, bytes(raw))


@given(salt=st.binary(max_size=40).filter(lambda salt: salt != SALT))
def test_another_salt_does_not_open(salt: bytes) -> None:
    with pytest.raises(CommitmentError):
        open_sheet(COMMITMENT, salt, RAW)


def _committed(raw: bytes) -> bytes:
    return hashlib.sha256(b"fedward/coins/1\0" + SALT + raw).digest()


def _edited(**changes: object) -> bytes:
    return json.dumps(json.loads(RAW) | changes, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[" * 5000,
        b"\xff",
        RAW.replace(b'":', b'": ', 1),
        RAW[:-1] + b',"more":1}',
        _edited(schema="fedward.coins/2"),
        _edited(generator="fedward.canaries/2"),
        _edited(seed="00"),
        _edited(seed="zz" * 32),
        _edited(site_id=""),
        _edited(run_id=7),
        _edited(counts={group.value: 5001 for group in SHEET_GROUPS}),
        _edited(counts={group.value: -1 for group in SHEET_GROUPS}),
        _edited(counts={group.value: True for group in SHEET_GROUPS}),
        _edited(counts={"records": 3}),
        _edited(registered={}),
        _edited(registered=json.loads(RAW)["registered"] | {"fractions": ["nan"]}),
        _edited(registered=json.loads(RAW)["registered"] | {"fractions": []}),
        _edited(registered=json.loads(RAW)["registered"] | {"headline": {"token": "none"}}),
        _edited(registered=json.loads(RAW)["registered"] | {"scores": {"token": 3}}),
        _edited(registered=json.loads(RAW)["registered"] | {"alpha": "0.050"}),
        b" " * 70_000,
    ],
)
def test_committed_bytes_that_are_no_canonical_sheet_do_not_open(raw: bytes) -> None:
    with pytest.raises(CommitmentError):
        open_sheet(_committed(raw), SALT, raw)


@settings(max_examples=30)
@given(seed=st.binary(min_size=32, max_size=32), count=st.integers(0, 5000), salt=st.binary(min_size=32, max_size=32))
def test_every_sheet_opens_to_itself(seed: bytes, count: int, salt: bytes) -> None:
    sheet = a_sheet(seed=seed, counts=dict.fromkeys(SHEET_GROUPS, count))
    assert open_sheet(sheet.commitment(salt), salt, sheet.to_bytes()) == sheet


def test_claims_that_are_the_sheets_hold() -> None:
    sheet = a_sheet()
    verify_claims(sheet, DEFAULT_REGISTRATION, {group: sheet.coins(group) for group in SHEET_GROUPS})


def test_one_flipped_coin_is_named() -> None:
    sheet = a_sheet(counts={Group.TOKEN: 50})
    claimed = list(sheet.coins(Group.TOKEN))
    claimed[17] = not claimed[17]
    with pytest.raises(CommitmentError, match="token: coin 17"):
        verify_claims(sheet, DEFAULT_REGISTRATION, {Group.TOKEN: claimed})


def test_left_out_canary_is_named() -> None:
    sheet = a_sheet(counts={Group.TOKEN: 50})
    with pytest.raises(CommitmentError, match="token: 49 coins"):
        verify_claims(sheet, DEFAULT_REGISTRATION, {Group.TOKEN: sheet.coins(Group.TOKEN)[:49]})


@pytest.mark.parametrize(
    "change",
    [
        {"fractions": (0.25,)},
        {"delta": 1e-6},
        {"alpha": 0.1},
        {"headline": {**DEFAULT_REGISTRATION.headline, "token": "zlib"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_registration_is_named(change: dict[str, Any]) -> None:
    used = dataclasses.replace(DEFAULT_REGISTRATION, **change)
    with pytest.raises(CommitmentError, match=next(iter(change))):
        verify_claims(a_sheet(), used, {})


def test_record_commitment_binds_ids_coins_and_salt_and_not_their_order() -> None:
    ids = [hashlib.sha256(bytes([n])).digest() for n in range(5)]
    known = record_commitment(SALT, SEED, ids)
    assert record_commitment(SALT, SEED, ids[::-1]) == known
    others = [
        record_commitment(SALT, SEED, ids[:-1]),
        record_commitment(bytes(SALT_BYTES), SEED, ids),
        record_commitment(SALT, bytes(32), ids),
    ]
    assert len({known, *others}) == 4


@pytest.mark.parametrize("ids", [[bytes(32)] * 2, [bytes(31)]])
def test_impossible_unit_ids_are_refused(ids: list[bytes]) -> None:
    with pytest.raises(ConfigError):
        record_commitment(SALT, SEED, ids)


def test_caps_count_the_worst_case_of_the_coins() -> None:
    check_caps({Group.TOKEN: 50}, num_units=1000, unit_is_record=True)
    with pytest.raises(ConfigError):
        check_caps({Group.TOKEN: 51}, num_units=1000, unit_is_record=True)


def test_what_never_enters_the_run_takes_nothing_of_the_cap() -> None:
    check_caps({Group.TOKEN_RESERVE: 5000, Group.TWINS: 5000, Group.CONTROL: 5000}, num_units=1, unit_is_record=True)


def test_repeated_secret_is_six_units_where_a_unit_is_a_record() -> None:
    counts = {Group.SECRET_X6: 10}
    check_caps(counts, num_units=200, unit_is_record=False)
    with pytest.raises(ConfigError):
        check_caps(counts, num_units=200, unit_is_record=True)
    assert counts_in_bounds(Group.SECRET_X6, unit_is_record=False)
    assert not counts_in_bounds(Group.SECRET_X6, unit_is_record=True)


@pytest.mark.parametrize("share_max", [0.0, float("nan"), 1.5])
def test_impossible_caps_are_refused(share_max: float) -> None:
    with pytest.raises(ConfigError):
        check_caps({}, num_units=10, unit_is_record=True, share_max=share_max)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": b""},
        {"run_id": b""},
        {"plan_digest": b""},
        {"site_id": "a b"},
        {"generator": "other"},
        {"counts": {Group.RECORDS: 1}},
    ],
)
def test_impossible_sheets_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, IdentityError)):
        a_sheet(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {}, "headline": {}},
        {"scores": {"token": ("loss", "loss")}, "headline": {"token": "loss"}},
        {"fractions": (0.7,)},
        {"delta": 0.0},
        {"alpha": float("nan")},
    ],
)
def test_impossible_registrations_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(DEFAULT_REGISTRATION, **change)
