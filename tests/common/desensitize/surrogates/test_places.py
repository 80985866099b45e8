"""Addresses keep a city or province of our own table and nothing else."""

import pytest

from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import is_valid
from tests.common.desensitize.surrogates.making import document

ADDRESS, POSTCODE, LOC = EntityType.ADDRESS, EntityType.POSTCODE, EntityType.LOC


@pytest.mark.parametrize(
    ("original", "city", "province"),
    [
        ("广东省深圳市南山区科技园路1号", "广东省深圳市", "广东省"),
        ("深圳市南山区科技园路1号", "深圳市", "广东省"),
        ("上海市浦东新区张江路1号2栋301室", "上海市", "上海市"),
        ("北京海淀区中关村大街27号", "北京市", "北京市"),
        ("内蒙古呼和浩特市新城区", "内蒙古自治区呼和浩特市", "内蒙古自治区"),
        ("廣東省廣州市天河區", "广东省广州市", "广东省"),
        ("湖北 武汉 洪山区珞喻路\uff11\uff10号", "湖北省武汉市", "湖北省"),
        ("恩施市施州大道3号", "恩施土家族苗族自治州", "湖北省"),
        ("123 Main St, Springfield, IL 62704", "Springfield, IL", "IL"),
        ("12 Oak Avenue, Apt 4, San Jose, California", "San Jose, California", "California"),
        ("12 Oak Avenue, TX", "TX", "TX"),
        ("1 Elm Road, Denver, CO 80202-1234, USA", "Denver, CO", "CO"),
    ],
)
def test_address_keeps_city_or_province(original: str, city: str, province: str) -> None:
    assert document().replace(ADDRESS, original).text == city
    assert document(address="province").replace(ADDRESS, original).text == province
    assert document(safe_harbor=True).replace(ADDRESS, original).text == province


@pytest.mark.parametrize(
    "original",
    [
        "南山区科技园路1号",
        "幸福村三组12号",
        "12 Oak Avenue",
        "Flat 2, 7 Mill Lane, Leeds",
        "PO Box 12",
        "三楼",
        "Springfield",
    ],
)
def test_address_without_a_known_place_becomes_a_placeholder(original: str) -> None:
    assert document().replace(ADDRESS, original).action == "placeholder"


@pytest.mark.parametrize(
    "original", ["广东省深圳市南山区科技园路1号", "幸福路88号3栋301室", "12 Oak Avenue, Apt 4, San Jose, CA"]
)
def test_surrogate_address_shares_no_number_and_no_street(original: str) -> None:
    for patient in map(str, range(50)):
        fresh = document(patient, address="surrogate").replace(ADDRESS, original)
        assert fresh.action == "surrogate"
        assert not {"科技园", "幸福", "Oak Avenue", "南山"} & {
            w for w in ("科技园", "幸福", "Oak Avenue", "南山") if w in fresh.text
        }
        assert is_valid(ADDRESS, fresh.text)


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("518057", "518000"),
        ("62704", "62700"),
        ("62704-1234", "62700"),
        ("03601", "00000"),
        ("82101", "00000"),
        ("\uff15\uff11\uff18\uff10\uff15\uff17", "\uff15\uff11\uff18\uff10\uff10\uff10"),
    ],
)
def test_postcode_keeps_three_digits_where_enough_people_live(original: str, expected: str) -> None:
    assert document().replace(POSTCODE, original).text == expected


@pytest.mark.parametrize("original", ["SW1A 1AA", "1234", "邮编", "1234567"])
def test_other_postcode_becomes_a_placeholder(original: str) -> None:
    assert document().replace(POSTCODE, original).action == "placeholder"


def test_postcode_that_is_general_already_becomes_a_coarser_one_or_a_placeholder() -> None:
    assert document().replace(POSTCODE, "518000").text == "510000"
    assert document().replace(POSTCODE, "510000").action == "placeholder"
    assert document().replace(POSTCODE, "62700").action == "placeholder"


def test_address_that_is_a_city_already_stays() -> None:
    assert document().replace(ADDRESS, "广东省深圳市") == ("广东省深圳市", "generalise", None)


def test_place_is_kept_unless_the_policy_says_otherwise() -> None:
    assert document().replace(LOC, "深圳") == ("深圳", "keep", None)
    assert document(safe_harbor=True).replace(LOC, "深圳").text == "广东省"
    assert document(safe_harbor=True).replace(LOC, "Springfield").action == "placeholder"


@pytest.mark.parametrize(
    ("original", "ending"), [("深圳市", ("市", "州", "盟", "区")), ("广东省", ("省", "市", "区")), ("Springfield", ())]
)
def test_surrogate_place_is_another_one_of_its_level(original: str, ending: tuple[str, ...]) -> None:
    fresh = document(actions={LOC: "surrogate"}).replace(LOC, original).text
    assert fresh != original
    assert not ending or fresh.endswith(ending)
