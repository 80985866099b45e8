"""Canonical forms, and writing a value into the form of another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates.canonical import canonical, compact, refill, widened

WIDE = "".join(chr(0xFEE0 + ord(c)) for c in "13800138000")


@pytest.mark.parametrize(
    ("type_", "one", "other"),
    [
        (EntityType.PHONE, "138-0013-8000", WIDE),
        (EntityType.ID_CN, "11010119900101123x", "110101 19900101 123X"),
        (EntityType.PERSON, "陳偉", "陈 伟"),
        (EntityType.PERSON, "JOSÉ García", "jose garcia"),
        (EntityType.CARD, "4111\u200b1111 1111-1111", "4111111111111111"),
        (EntityType.EMAIL, "A@example.com", "a\uff20example.com"),
    ],
)
def test_spellings_of_one_value_are_one(type_: EntityType, one: str, other: str) -> None:
    assert canonical(type_, one) == canonical(type_, other)


@pytest.mark.parametrize(
    ("original", "new", "expected"),
    [
        ("138-0013-8000", "13912345678", "139-1234-5678"),
        (WIDE, "13912345678", "".join(chr(0xFEE0 + ord(c)) for c in "13912345678")),
        ("138\u200b00138000", "13912345678", "13912345678"),
    ],
)
def test_value_is_written_in_the_form_of_the_original(original: str, new: str, expected: str) -> None:
    assert refill(original, compact(original), new) == expected


def test_lower_case_stays_lower() -> None:
    assert refill("ab-12x", "AB12X", "CD34X") == "cd-34x"


def test_value_that_does_not_fit_is_not_written() -> None:
    assert refill("12-34", "1234", "123") is None
    assert refill("12-34", "9999", "1234") is None


@given(st.text(alphabet="0123456789ABCxyz -./\uff11\uff21\u200b", min_size=1))
def test_refilling_with_itself_changes_no_canonical_form(text: str) -> None:
    value = compact(text).upper()
    out = refill(text, value, value)
    assert out is not None
    assert compact(out).upper() == value


def test_full_width_is_kept_only_where_it_was() -> None:
    assert widened("\uff11\uff12", "34") == "\uff13\uff14"
    assert widened("1年", "2年") == "2年"
