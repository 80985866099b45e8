"""Organisations become others of the same kind."""

import pytest

from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates.organisations import kind_of
from tests.common.desensitize.surrogates.making import document, replaced

ORG = EntityType.ORG


@pytest.mark.parametrize(
    ("original", "kind"),
    [
        ("北京协和医院", "医院"),
        ("武汉大学附属医院", "附属医院"),
        ("中国工商银行深圳支行", "支行"),
        ("深圳市腾讯计算机系统有限公司", "有限公司"),
        ("第一人民醫院", "人民醫院"),
        ("红旗小学", "小学"),
        ("Massachusetts General Hospital", "General Hospital"),
        ("Wells Fargo Bank", "Bank"),
        ("University of Oxford", "University"),
        ("ACME CORPORATION", "Corporation"),
    ],
)
def test_kind_stays_and_the_name_goes(original: str, kind: str) -> None:
    assert kind_of(original) == kind
    (fresh,) = replaced(ORG, original)
    assert fresh.casefold().endswith(kind.casefold())
    assert not any(
        word in fresh for word in ("协和", "武汉", "工商", "腾讯", "红旗", "Massachusetts", "Fargo", "Oxford", "ACME")
    )


def test_branch_of_a_bank_stays_one() -> None:
    (fresh,) = replaced(ORG, "中国工商银行深圳支行")
    assert "银行" in fresh


@pytest.mark.parametrize("original", ["腾讯", "Google"])
def test_name_without_a_kind_becomes_another_name(original: str) -> None:
    (fresh,) = replaced(ORG, original)
    assert fresh != original
    assert fresh.isascii() == original.isascii()


@pytest.mark.parametrize("original", ["...", "院", "x" * 200, "12345", "a\x00b"])
def test_what_is_no_organisation_becomes_a_placeholder(original: str) -> None:
    assert document().replace(ORG, original).action == "placeholder"


def test_organisations_under_safe_harbor_are_placeholders() -> None:
    assert document(safe_harbor=True).replace(ORG, "北京协和医院").text == "[机构1]"
