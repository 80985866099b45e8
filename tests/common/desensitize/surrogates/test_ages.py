"""Ages over 89 are one class."""

import pytest

from fedward.common.desensitize.spans import EntityType
from tests.common.desensitize.surrogates.making import document

AGE = EntityType.AGE


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("92岁", "90+岁"),
        ("九十二岁", "90+岁"),
        ("一百零一岁", "90+岁"),
        ("\uff19\uff12岁", "90+岁"),
        ("aged 92", "aged 90+"),
        ("Aged 92", "Aged 90+"),
        ("101-year-old", "90+-year-old"),
        ("ninety-two years old", "90+ years old"),
        ("90岁", "90+岁"),
    ],
)
def test_age_over_89_becomes_90_and_more(original: str, expected: str) -> None:
    assert document().replace(AGE, original) == (expected, "generalise", None)


@pytest.mark.parametrize("original", ["89岁", "八十九岁", "aged 45", "3岁", "十二岁"])
def test_age_up_to_89_stays(original: str) -> None:
    assert document().replace(AGE, original) == (original, "generalise", None)


@pytest.mark.parametrize("original", ["高龄", "92岁张伟13800138000", "3到5岁", ""])
def test_what_is_no_single_age_becomes_a_placeholder(original: str) -> None:
    assert document().replace(AGE, original).action == "placeholder"
