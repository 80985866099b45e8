"""Rank orders: known answers, round trips, and what is refused."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize import tables
from fedward.common.desensitize.fpe import permutation
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.ranking import (
    CardRanking,
    IdRanking,
    InvalidValueError,
    LandlineRanking,
    MaskRanking,
    MobilePrefixRanking,
    MobileRanking,
    Ranking,
    SharedDobRanking,
)
from fedward.common.errors import DesensitizationError, FpeDomainError

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
NUM_DAYS = 46_386
BORN = datetime.date(1990, 1, 1)
TEST_MOBILE = MobileRanking(blocks=[str(p) for p in range(130, 140)])
TEST_IDS = IdRanking(num_days=NUM_DAYS, regions=["110101", "310101", "440305"])

KNOWN = [
    ("MRN", MaskRanking.of("ZY1234567"), "ZY1234567", "ZY3203968"),
    ("MRN", MaskRanking.of("000001"), "000001", "413497"),
    ("CARD", CardRanking.of("4111111111111111"), "4111111111111111", "4111116452058011"),
    ("CARD", CardRanking.of("4111111111111111", 8), "4111111111111111", "4111111112301026"),
    ("CARD", CardRanking.of("6222021234567890128"), "6222021234567890128", "6222021349520914938"),
    ("PHONE", TEST_MOBILE, "13800138000", "13343815088"),
    ("ID_CN", TEST_IDS, "110101199001011237", "440305197003295919"),
]
ALL = [
    MobileRanking(),
    MobilePrefixRanking(prefix="138"),
    LandlineRanking(area="10", length=8),
    LandlineRanking(area="311", length=7),
    IdRanking(num_days=NUM_DAYS),
    IdRanking(num_days=NUM_DAYS, parity=1),
    IdRanking(num_days=NUM_DAYS, parity=0),
    SharedDobRanking(born=BORN),
    SharedDobRanking(born=BORN, parity=1),
    SharedDobRanking(born=BORN, parity=0, regions=tables.county_codes(in_force=True)),
    CardRanking(kept="411111", length=16),
    CardRanking(kept="62220212", length=19),
    MaskRanking(mask="ZY-###.####"),
]


@pytest.mark.parametrize(("type_name", "ranking", "plain", "cipher"), KNOWN)
def test_value_has_its_known_answer_and_comes_back(type_name: str, ranking: Ranking, plain: str, cipher: str) -> None:
    fpe = permutation(KEYS, type_name, ranking.context, ranking.domain)
    assert ranking.unrank(fpe.encrypt(ranking.rank(plain))) == cipher
    assert ranking.unrank(fpe.decrypt(ranking.rank(cipher))) == plain


@pytest.mark.parametrize("ranking", ALL, ids=lambda ranking: f"{type(ranking).__name__} {ranking.context}")
@given(share=st.floats(0, 1))
def test_ranking_undoes_unranking(ranking: Ranking, share: float) -> None:
    rank = min(ranking.domain - 1, int(share * ranking.domain))
    assert ranking.rank(ranking.unrank(rank)) == rank


@pytest.mark.parametrize(
    ("ranking", "domain"),
    [
        (MobileRanking(), 5_216_000_000),
        (IdRanking(num_days=NUM_DAYS), 6298 * NUM_DAYS * 999),
        (SharedDobRanking(born=BORN), 6298 * 999),
        (SharedDobRanking(born=BORN, parity=0), 6298 * 499),
        (SharedDobRanking(born=BORN, regions=tables.county_codes(in_force=True), parity=1), 3137 * 500),
        (LandlineRanking(area="10", length=8), 70_000_000),
        (CardRanking(kept="411111", length=13), 10**6),
    ],
)
def test_number_of_values(ranking: Ranking, domain: int) -> None:
    assert ranking.domain == domain


@pytest.mark.parametrize(
    ("ranking", "value"),
    [
        (MobileRanking(), "12345678901"),
        (MobileRanking(), "1380013800"),
        (MobileRanking(), "138\uff10\uff10138000"),
        (MobilePrefixRanking(prefix="138"), "13900138000"),
        (LandlineRanking(area="10", length=8), "12345678"),
        (IdRanking(num_days=NUM_DAYS), "110101199001011234"),
        (IdRanking(num_days=NUM_DAYS), "119999199001011231"),
        (IdRanking(num_days=NUM_DAYS), "110101199002301230"),
        (IdRanking(num_days=NUM_DAYS), "11010119900101123"),
        (IdRanking(num_days=NUM_DAYS), "110101900101123"),
        (IdRanking(num_days=1000), "110101199001011237"),
        (IdRanking(num_days=NUM_DAYS, parity=0), "110101199001011237"),
        (CardRanking(kept="411111", length=16), "4111111111111112"),
        (CardRanking(kept="411111", length=16), "4222221111111111"),
        (MaskRanking(mask="ZY######"), "ZX123456"),
        (MaskRanking(mask="ZY"), "ZY"),
    ],
)
def test_invalid_value_is_refused_and_not_named(ranking: Ranking, value: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        ranking.rank(value)
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    "ranking",
    [
        MaskRanking.of("12345"),
        CardRanking(kept="62220212", length=14),
        CardRanking(kept="411111", length=12),
        SharedDobRanking(born=BORN, regions=["110101"]),
    ],
    ids=["record number under six digits", "BIN 8 of 14", "BIN 6 and last four of 12", "region and birth date kept"],
)
def test_too_few_values_are_refused(ranking: Ranking) -> None:
    with pytest.raises(FpeDomainError):
        permutation(KEYS, "T", ranking.context, ranking.domain)


def test_card_keeps_six_or_eight_digits_only() -> None:
    with pytest.raises(DesensitizationError, match="6 or 8"):
        CardRanking.of("4111111111111111", 4)
