"""Check digits against published examples and independent implementations; number plans against phonenumbers."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum import luhn as stdnum_luhn
from stdnum.cn import ric, uscc

from fedward.common.desensitize import validators as check

digits17 = st.text("0123456789", min_size=17, max_size=17)

PUBLISHED = [
    (check.id_has_check, b"11010519491231002X", True),  # GB 11643-1999
    (check.id_has_check, b"440524188001010014", True),  # GB 11643-1999
    (check.id_has_check, b"110101199001011234", False),
    (check.id_has_check, b"130224197001011231", True),
    (check.has_luhn, b"79927398713", True),
    (check.is_card, b"4111111111111111", True),
    (check.is_card, b"378282246310005", True),
    (check.is_card, b"5555555555554444", True),
    (check.is_card, b"6222021234567890128", True),
    (check.is_card, b"1234567890123452", False),
    (check.is_iban, b"GB82WEST12345698765432", True),  # ISO 13616
    (check.is_iban, b"DE89370400440532013000", True),
    (check.is_iban, b"GB82WEST1234569876543", False),
    (check.is_iban, b"GB83WEST12345698765432", False),
    (check.is_vin, b"1M8GDM9AXKP042788", True),  # 49 CFR 565
    (check.is_vin, b"1M8GDM9A1KP042788", False),
    (check.is_vin, b"1M8GDM9AXKP04278O", False),
    (check.is_org_id, b"91350100M000100Y43", True),  # GB 32100-2015
    (check.is_org_id, b"91350100M000100Y44", False),
    (check.is_imei, b"490154203237518", True),  # 3GPP TS 23.003
    (check.is_imei, b"490154203237517", False),
    (check.is_npi, b"1234567893", True),  # CMS
    (check.is_npi, b"1234567890", False),
    (check.is_dea, b"AB1234563", True),
    (check.is_dea, b"AB1234564", False),
    (check.is_ssn, b"123456789", True),
    (check.is_ssn, b"666123456", False),
    (check.is_ssn, b"900123456", False),
    (check.is_nanp, b"2025550143", True),
    (check.is_nanp, b"2021110143", False),
    (check.is_nanp, b"9115550143", False),
    (check.is_mobile, b"13800138000", True),
    (check.is_mobile, b"15412345678", False),
    (check.is_mobile, b"17400012345", True),
    (check.is_mobile, b"17490012345", False),
    (check.is_landline, b"01062345678", True),
    (check.is_landline, b"057187654321", True),
    (check.is_landline, b"01012345678", False),
    (check.is_landline, b"00062345678", False),
    (check.is_e164, b"442079460958", True),
    (check.is_e164, b"999123456789", False),
    (check.old_id_has_meaning, b"110101900101123", True),
    (check.old_id_has_meaning, b"110101901301123", False),
]


@pytest.mark.parametrize(("test", "value", "expected"), PUBLISHED)
def test_published_examples(test: object, value: bytes, expected: bool) -> None:
    assert callable(test)
    assert test(value) is expected


@given(digits17)
def test_the_resident_ids_check_character_agrees_with_stdnum(digits: str) -> None:
    assert chr(check.id_check_character(digits.encode())) == ric.calc_check_digit(digits + "0")


@given(st.text("0123456789", min_size=1, max_size=19))
def test_luhn_agrees_with_stdnum(digits: str) -> None:
    assert check.has_luhn(digits.encode()) == stdnum_luhn.is_valid(digits)


@given(st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=9, max_size=9))
def test_the_credit_codes_check_character_agrees_with_stdnum(organisation: str) -> None:
    code = "91110108" + organisation
    assert check.is_org_id((code + uscc.calc_check_digit(code)).encode())


@given(st.text("0123456789", min_size=18, max_size=18))
def test_iban_agrees_with_stdnum(digits: str) -> None:
    value = "DE00" + digits
    valid = "DE" + stdnum_iban.calc_check_digits(value) + digits
    assert check.is_iban(valid.encode())


@pytest.mark.parametrize("prefix", sorted(check.MOBILE_PREFIXES - {b"146", b"148", b"149"}))
def test_mobile_prefixes_are_those_of_phonenumbers(prefix: bytes) -> None:
    number = phonenumbers.parse(prefix.decode() + "12345678", "CN")
    assert phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE


def test_no_mobile_prefix_of_phonenumbers_is_missing() -> None:
    for prefix in range(100, 200):
        number = phonenumbers.parse(f"{prefix}12345678", "CN")
        if phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE:
            assert b"%d" % prefix in check.MOBILE_PREFIXES


def test_no_calling_code_of_phonenumbers_is_missing() -> None:
    codes = {b"%d" % code for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE}
    assert codes <= check.CALLING_CODES


@pytest.mark.parametrize(("day", "real"), [((2024, 2, 29), True), ((2023, 2, 29), False), ((1900, 2, 29), False)])
def test_leap_days(day: tuple[int, int, int], real: bool) -> None:
    assert check.is_real_date(*day) is real


def test_all_is_sorted_and_present() -> None:
    assert check.__all__ == sorted(set(check.__all__) & set(dir(check)), key=str.casefold)
