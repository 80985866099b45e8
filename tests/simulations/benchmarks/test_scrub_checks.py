from __future__ import annotations

import pytest

from fedward.simulations.benchmarks.scrub_checks import canonical, invalid, is_valid, left_over
from fedward.simulations.benchmarks.scrub_subjects import Reading, Replaced
from fedward.simulations.scrub_corpus.gold import Gold, Sample
from fedward.simulations.scrub_corpus.spelling import wide

VALID = [
    ("ID_CN", "11010519491231002X", "440524188001010014"),
    ("ID_CN", "110105 19491231 002X", "440524 18800101 0014"),
    ("CARD", "4111111111111111", "4111116452058011"),
    ("PHONE", "13800138000", "13343815088"),
    ("PHONE", "+86 138-0013-8000", "+86 133-4381-5088"),
    ("EMAIL", "wang@163.com", "li8@example.com"),
    ("PLATE", "京A12345", "京B54321"),
    ("PLATE", "京A·12345", "京B·54321"),
    ("MRN", "ZY1234567", "ZY3203968"),
    ("PHONE", "+1 404-502-4277", "+1 617-555-0174"),
    ("PLATE", "ZJL 6765", "SVR 5619"),
]
WRONG = [
    ("ID_CN", "11010519491231002X", "110105194912310021"),
    ("CARD", "4111111111111111", "4111111111111112"),
    ("CARD", "4111111111111111", "411111111111111"),
    ("PHONE", "13800138000", "12143815088"),
    ("PHONE", "13800138000", "1334381508"),
    ("PHONE", "13800138000", "138-0013-8000"),
    ("EMAIL", "wang@163.com", "li8 at example"),
    ("PLATE", "京A12345", "12345京A"),
    ("MRN", "ZY1234567", "ZY32039"),
]


@pytest.mark.parametrize(("type_", "before", "after"), VALID)
def test_a_valid_surrogate_passes(type_: str, before: str, after: str) -> None:
    if type_ == "PHONE":
        pytest.importorskip("phonenumbers", reason="phonenumbers is not installed")
    assert is_valid(Replaced(type_, before, after, "surrogate"))


@pytest.mark.parametrize(("type_", "before", "after"), WRONG)
def test_an_invalid_surrogate_or_the_original_in_another_spelling_is_noticed(
    type_: str, before: str, after: str
) -> None:
    if type_ == "PHONE":
        pytest.importorskip("phonenumbers", reason="phonenumbers is not installed")
    assert not is_valid(Replaced(type_, before, after, "surrogate"))


def test_placeholders_are_not_checked() -> None:
    reading = Reading(
        found=(),
        replaced=(
            Replaced("CARD", "4111111111111111", "[卡号1]", "placeholder"),
            Replaced("MRN", "1234567", "12345", "surrogate"),
        ),
    )
    assert invalid([reading]) == (1, [reading.replaced[1]])


def test_an_original_in_another_spelling_is_left_over() -> None:
    one = Sample(
        document_id="d",
        patient_id="p",
        kind="t",
        text="电话13800138000或张三",
        gold=(Gold(2, 13, "PHONE", "plain"), Gold(14, 16, "PERSON", "plain")),
    )
    leaking = Reading(found=(), text="电话１３８-0013 8000或李四")
    clean = Reading(found=(), text="电话13343815088或李四")
    assert left_over([one], [leaking], ["PHONE"]) == ["13800138000"]
    assert left_over([one], [clean], ["PHONE"]) == []


def test_canonical_form_has_no_separators_width_or_case() -> None:
    assert canonical(wide("ZY") + "-12 3·" + wide("A")) == "zy123a"
