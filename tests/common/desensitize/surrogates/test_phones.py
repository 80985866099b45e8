"""Phones keep their kind, country, area and written form."""

import re

import pytest

from fedward.common.desensitize import tables
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import is_valid
from fedward.common.desensitize.surrogates.phones import canonical_phone
from tests.common.desensitize.surrogates.making import document, replaced

PHONE = EntityType.PHONE
WIDE = "".join(chr(0xFEE0 + ord(c)) for c in "13800138000")
SPELLINGS = [
    "13800138000",
    "138-0013-8000",
    "138 0013 8000",
    "+86 138 0013 8000",
    "8613800138000",
    "013800138000",
    WIDE,
]


def test_spellings_of_one_mobile_number_have_one_surrogate_each_in_its_form() -> None:
    fresh = replaced(PHONE, *SPELLINGS)
    assert len({canonical_phone(text) for text in fresh}) == 1
    for before, after in zip(SPELLINGS, fresh, strict=True):
        assert re.sub(r"\d", "9", before) == re.sub(r"\d", "9", after)
        assert before != after
    assert fresh[3].startswith("+86 1")


@pytest.mark.parametrize(
    ("original", "kept"),
    [
        ("010-62345678", "010-"),
        ("(010)62345678", "(010)"),
        ("0755-26012345", "0755-"),
        ("0310-7654321", "0310-"),
        ("0311-7654321", "0311-"),
        ("+86 10 6234 5678", "+86 10 "),
        ("86-10-62345678", "86-10-"),
        ("62345678", ""),
        ("400-820-8820", "400-"),
        ("0755-26012345转8001", "0755-"),
        ("+44 20 7946 0958", "+44 2"),
        ("0085229876543", "00852"),
    ],
)
def test_country_and_area_code_stay_and_the_rest_is_valid(original: str, kept: str) -> None:
    (fresh,) = replaced(PHONE, original)
    assert fresh.startswith(kept)
    assert fresh != original
    assert re.sub(r"\d", "9", fresh) == re.sub(r"\d", "9", original)
    assert is_valid(PHONE, fresh)


@pytest.mark.parametrize(
    "original", ["(212) 555-1234", "+1 212-555-1234", "1-212-664-7665", "12126647665", "212.664.7665"]
)
def test_north_american_number_takes_a_line_that_nobody_has(original: str) -> None:
    (fresh,) = replaced(PHONE, original)
    digits = re.sub(r"\D", "", fresh)[-10:]
    assert digits[:3] in tables.read_table("phone")["nanp"]
    assert re.fullmatch(r"55501\d\d", digits[3:])


@pytest.mark.parametrize("original", ["0755-26012345转80017", "345-899-3560x45870", "345-899-3560 ext. 45870"])
def test_extension_is_drawn_too(original: str) -> None:
    (fresh,) = replaced(PHONE, original)
    assert re.sub(r"\d", "9", fresh) == re.sub(r"\d", "9", original)
    assert fresh[-5:] != original[-5:]


@pytest.mark.parametrize("original", ["张伟13800138000", "138", "电话", "1380013800013800138000", "138\n0013\x008000"])
def test_what_is_no_phone_becomes_a_placeholder(original: str) -> None:
    assert document().replace(PHONE, original).action == "placeholder"
