"""Columns under FF1: bijective on valid values, everything else takes ``on_invalid``."""

import dataclasses
from typing import Literal

import pytest

from fedward.common.desensitize import checksums
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.fpe_column import FIXED_POINT, INVALID, FpeColumn, FpeOptions, SharedDobIds
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.ranking import InvalidValueError, MobileRanking
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError, DesensitizationError, FpeDomainError

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
DESCRIPTOR = KeyDescriptor(key_id="1", site_id="hospital-a", created="2026-01-01", not_after="2026-12-31")
ID = "110101199001011237"


def column(
    type_: EntityType,
    options: FpeOptions = FpeOptions(),  # noqa: B008 - frozen
    on_invalid: Literal["token", "placeholder", "error"] = "token",
) -> FpeColumn:
    return FpeColumn(keys=KEYS, descriptor=DESCRIPTOR, type_=type_, options=options, on_invalid=on_invalid)


@pytest.mark.parametrize(
    ("type_", "options", "values"),
    [
        (EntityType.PHONE, FpeOptions(), ["13800138000", "01062345678", "075526012345", "17400123456"]),
        (EntityType.PHONE, FpeOptions(keep_prefix=True), ["13800138000", "13800138001"]),
        (EntityType.ID_CN, FpeOptions(), [ID]),
        (EntityType.ID_CN, FpeOptions(keep_sex=True), [ID]),
        (EntityType.ID_CN, FpeOptions(id_scheme="province"), [ID]),
        (EntityType.CARD, FpeOptions(card_digits=8), ["4111111111111111", "6222021234567890128"]),
        (EntityType.MRN, FpeOptions(), ["ZY1234567", "ZY-12.34567", "000001", "住院00012345"]),
        (EntityType.ACCOUNT, FpeOptions(), ["6217000010001234567"]),
    ],
)
def test_column_changes_and_comes_back(type_: EntityType, options: FpeOptions, values: list[str]) -> None:
    out = column(type_, options).encrypt(values)
    assert [len(x) for x in out] == [len(x) for x in values]
    assert all(x != y for x, y in zip(out, values, strict=True))
    assert column(type_, options).decrypt(out) == values


def test_known_answer_through_a_column() -> None:
    assert column(EntityType.MRN).encrypt(["ZY1234567", "000001"]) == ["ZY3203968", "413497"]


def test_kept_sex_and_province_are_kept() -> None:
    (out,) = column(EntityType.ID_CN, FpeOptions(id_scheme="province", keep_sex=True)).encrypt([ID])
    assert out[:2] == ID[:2]
    assert int(out[16]) % 2 == int(ID[16]) % 2
    assert checksums.id_cn_digit(out[:17]) == out[17]


@pytest.mark.parametrize(
    "invalid", ["", "12", "\uff11\uff13\uff18", "110101199001011234", "\ud800", "张伟", "12345678901234567890"]
)
@pytest.mark.parametrize("type_", [EntityType.PHONE, EntityType.ID_CN, EntityType.CARD])
def test_invalid_value_becomes_a_stable_token_and_is_never_repaired(type_: EntityType, invalid: str) -> None:
    one, two = column(type_).encrypt([invalid, invalid])
    assert one == two
    assert one.startswith(f"[{type_}:")
    assert column(type_).decrypt([one]) == [one]


def test_invalid_value_becomes_a_placeholder_or_an_error_as_asked() -> None:
    assert column(EntityType.CARD, on_invalid="placeholder").encrypt(["4111111111111112"]) == [INVALID]
    with pytest.raises(InvalidValueError, match="check digit"):
        column(EntityType.CARD, on_invalid="error").encrypt(["4111111111111112"])
    with pytest.raises(FpeDomainError):
        column(EntityType.MRN, on_invalid="error").encrypt(["ZY12345"])


def test_fixed_point_becomes_a_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    mobile = MobileRanking()
    fixed = column(EntityType.PHONE)
    monkeypatch.setattr(fixed, "_permutation", lambda ranking: _Identity())
    assert fixed.encrypt([mobile.unrank(5)]) == [FIXED_POINT]
    assert fixed.num_fixed == 1


class _Identity:
    def encrypt(self, rank: int) -> int:
        return rank


@pytest.mark.parametrize("keep_sex", [False, True])
def test_id_with_the_shifted_birth_date_is_valid_and_comes_back(keep_sex: bool) -> None:
    ids = SharedDobIds(keys=KEYS, descriptor=DESCRIPTOR, keep_sex=keep_sex)
    out = ids.encrypt(ID, 254)
    assert out[6:14] == "19900912"
    assert checksums.id_cn_digit(out[:17]) == out[17]
    assert not keep_sex or int(out[16]) % 2 == int(ID[16]) % 2
    assert ids.decrypt(out, 254) == ID


@pytest.mark.parametrize(
    "value", ["", ID[:-1], "110101199001011234", "110101199013011234", "\ud800" * 18, "110101999912311230"]
)
def test_id_that_cannot_be_shifted_is_refused(value: str) -> None:
    with pytest.raises(InvalidValueError):
        SharedDobIds(keys=KEYS, descriptor=DESCRIPTOR, keep_sex=True).encrypt(value, 254)


def test_type_without_a_rank_order_is_refused() -> None:
    with pytest.raises(ConfigError, match="SECRET"):
        column(EntityType.SECRET)


def test_descriptor_of_another_key_is_refused() -> None:
    with pytest.raises(DesensitizationError, match="key_id"):
        FpeColumn(keys=dataclasses.replace(KEYS, key_id="2"), descriptor=DESCRIPTOR, type_=EntityType.MRN)
