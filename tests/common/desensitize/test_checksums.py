"""Check digits against published numbers and a second implementation."""

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize import checksums

DIGITS = st.text(alphabet="0123456789")


def stdnum(name: str) -> object:
    return pytest.importorskip(f"stdnum.{name}", reason="python-stdnum is for development")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (checksums.id_cn_digit("11010119900101123"), "7"),
        (checksums.id_cn_digit("13022419700101123"), "1"),
        (checksums.luhn_digit("411111111111111"), "1"),
        (checksums.iban_digits("GB", "NWBK60161331926819"), "29"),
        (checksums.vin_digit("1HGCM82603A004352"), "3"),
        (checksums.uscc_digit("91350100M000100Y4"), "3"),
        (checksums.dea_digit("123456"), "3"),
        (checksums.org_digit("M000100Y"), "4"),
    ],
)
def test_published_numbers_have_their_check_digits(made: str, expected: str) -> None:
    assert made == expected


@given(st.text(alphabet="0123456789", min_size=17, max_size=17))
def test_id_digit_agrees_with_a_second_implementation(body: str) -> None:
    stdnum("cn.ric")
    assert checksums.id_cn_digit(body) == importlib.import_module("stdnum.cn.ric").calc_check_digit(body + "0")


@given(st.text(alphabet="0123456789", min_size=5, max_size=20))
def test_luhn_digit_agrees_with_a_second_implementation(body: str) -> None:
    stdnum("luhn")
    assert checksums.luhn_digit(body) == importlib.import_module("stdnum.luhn").calc_check_digit(body)


@given(st.text(alphabet=checksums.USCC_ALPHABET, min_size=17, max_size=17))
def test_uscc_digit_agrees_with_a_second_implementation(body: str) -> None:
    stdnum("cn.uscc")
    assert checksums.uscc_digit(body) == importlib.import_module("stdnum.cn.uscc").calc_check_digit(body)


@given(st.text(alphabet=checksums.VIN_ALPHABET, min_size=17, max_size=17))
def test_vin_digit_does_not_depend_on_its_own_place(body: str) -> None:
    assert checksums.vin_digit(body) == checksums.vin_digit(body[:8] + "5" + body[9:])
