"""Surrogates of numbers are valid, of the same form, and not their originals."""

import datetime
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from fedward.common.desensitize import checksums, tables
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import is_valid
from fedward.common.desensitize.surrogates.numbers import resident_id
from tests.common.desensitize.surrogates.making import document, replaced

T = EntityType
MANY = 100_000


def digits(i: int, length: int) -> str:
    return str(int.from_bytes(hashlib.sha256(str(i).encode()).digest(), "big"))[:length]


def an_id(i: int) -> str:
    codes = tables.county_codes()
    born = datetime.date(1925, 1, 1) + datetime.timedelta(i * 7919 % 33_000)
    body = f"{codes[i % len(codes)]}{born:%Y%m%d}{i % 999 + 1:03d}"
    return body + checksums.id_cn_digit(body)


def a_card(i: int) -> str:
    body = ("622202", "411111", "510000", "340000")[i % 4] + digits(i, (12, 9, 9, 8)[i % 4])
    return body + checksums.luhn_digit(body)


def a_vin(i: int) -> str:
    body = f"1HGCM826{0}3A{digits(i, 6)}"
    return body[:8] + checksums.vin_digit(body) + body[9:]


def an_iban(i: int) -> str:
    bank = digits(i, 18)
    return f"DE{checksums.iban_digits('DE', bank)}{bank}"


def an_organisation(i: int) -> str:
    code = digits(i, 8)
    body = f"91350100{code}{checksums.org_digit(code)}"
    return body + checksums.uscc_digit(body)


MAKERS: dict[EntityType, Callable[[int], str]] = {
    T.ID_CN: an_id,
    T.CARD: a_card,
    T.VIN: a_vin,
    T.IBAN: an_iban,
    T.ORG_ID: an_organisation,
    T.PHONE: lambda i: "138" + digits(i, 8),
    T.SSN: lambda i: f"{i % 600 + 1:03d}-{i % 99 + 1:02d}-{i % 9999 + 1:04d}",
    T.DEVICE: lambda i: (body := "49015420" + digits(i, 6)) + checksums.luhn_digit(body),
    T.MRN: lambda i: "ZY" + digits(i, 7),
    T.ACCOUNT: lambda i: digits(i, 17),
    T.TXN: lambda i: digits(i, 28),
    T.PASSPORT: lambda i: "E" + digits(i, 8),
    T.HEALTH_PLAN: lambda i: digits(i, 12),
    T.PLATE: lambda i: "京A" + digits(i, 5),
    T.IP: lambda i: f"{i % 223 + 1}.{i // 256 % 256}.{i % 256}.7",
}


@pytest.mark.slow
@pytest.mark.parametrize("type_", MAKERS, ids=str)
def test_a_hundred_thousand_surrogates_are_valid_and_differ(type_: EntityType) -> None:
    phonenumbers: Any = pytest.importorskip("phonenumbers") if type_ is T.PHONE else None
    made = document()
    for i in range(MANY):
        original = MAKERS[type_](i)
        fresh = made.replace(type_, original).text
        assert fresh != original
        assert is_valid(type_, fresh)
        if phonenumbers:
            assert phonenumbers.is_valid_number(phonenumbers.parse(fresh, "CN"))


@pytest.mark.parametrize("type_", MAKERS, ids=str)
def test_surrogates_are_valid_of_the_same_length_and_mostly_distinct(type_: EntityType) -> None:
    originals = [MAKERS[type_](i) for i in range(500)]
    fresh = replaced(type_, *originals)
    assert all(is_valid(type_, text) for text in fresh)
    assert not set(originals) & set(fresh)
    assert type_ is T.IP or [len(text) for text in fresh] == [len(text) for text in originals]
    assert len(set(fresh)) > 0.98 * len(set(originals))


@pytest.mark.parametrize(
    ("type_", "original", "kept"),
    [
        (T.CARD, "4111 1111 1111 1111", "4111 11"),
        (T.MRN, "ZY-12.34567", "ZY-"),
        (T.IBAN, "GB29NWBK60161331926819", "GB"),
        (T.VIN, "1HGCM82633A004352", "1HG"),
        (T.DEVICE, "490154203237518", "49015420"),
        (T.PLATE, "粤B·D12345", "粤B·D"),
        (T.PLATE, "京AD12345", "京AD"),
        (T.PASSPORT, "EA1234567", "EA"),
        (T.ORG_ID, "91350100M000100Y43", "91"),
        (T.DEVICE, "00:1A:2B:3C:4D:5E", "02:"),
    ],
)
def test_what_tells_no_person_is_kept_with_the_form(type_: EntityType, original: str, kept: str) -> None:
    (fresh,) = replaced(type_, original)
    assert fresh.startswith(kept)
    assert [c for c in fresh if not c.isalnum()] == [c for c in original if not c.isalnum()]
    assert fresh != original


@pytest.mark.parametrize("original", ["沪A1234学", "粤Z1234港", "京A1234警"])
def test_plate_keeps_the_mark_of_its_kind(original: str) -> None:
    (fresh,) = replaced(T.PLATE, original)
    assert fresh[-1] == original[-1]
    assert is_valid(T.PLATE, fresh)


@pytest.mark.parametrize("original", ["1234567893", "AB1234563"])
def test_npi_and_dea_numbers_stay_valid(original: str) -> None:
    (fresh,) = replaced(T.LICENCE, original)
    if fresh.isdigit():
        assert checksums.luhn_holds("80840" + fresh)
    else:
        assert checksums.dea_digit(fresh[2:8]) == fresh[8]


def test_licence_with_the_number_of_an_id_is_replaced_as_that_id() -> None:
    made = document()
    original = "110101199001011237"
    assert made.replace(T.LICENCE, original).text == made.replace(T.ID_CN, original).text


def test_account_with_the_number_of_a_card_is_replaced_as_that_card() -> None:
    made = document()
    assert made.replace(T.ACCOUNT, "4111111111111111").text == made.replace(T.CARD, "4111111111111111").text


@pytest.mark.parametrize("original", ["110101199001011237", "110101199001011245", "110101900101123"])
def test_id_keeps_the_sex_and_moves_the_birth_date_with_the_dates(original: str) -> None:
    made = document("P-0002", dates="shift")
    fresh = made.replace(T.ID_CN, original).text
    at = 16 if len(original) == 18 else 14
    assert int(fresh[at]) % 2 == int(original[at]) % 2
    assert made.replace(T.DATE, "1990-01-01").text.replace("-", "")[8 - len(fresh[6 : at - 2]) :] == fresh[6 : at - 2]


def test_old_and_new_number_of_one_person_are_one_id() -> None:
    old, new = replaced(T.ID_CN, "110101900101123", "110101199001011237")
    assert new == f"{old[:6]}19{old[6:]}{new[-1]}"


def test_letters_of_an_account_are_drawn_and_those_of_the_bank_stay() -> None:
    (fresh,) = replaced(T.IBAN, "MT84MALT011000012345MTLCAST001S")
    assert fresh.startswith("MT")
    assert fresh[4:8] == "MALT"
    assert "MTLCAST" not in fresh
    assert is_valid(T.IBAN, fresh)


def test_id_of_a_permit_keeps_its_region() -> None:
    (fresh,) = replaced(T.ID_CN, "830000199001011238")
    assert fresh.startswith("830000")
    assert is_valid(T.ID_CN, fresh)


def test_id_with_a_wrong_check_digit_gets_a_valid_surrogate() -> None:
    (fresh,) = replaced(T.ID_CN, "110101199001011234")
    assert is_valid(T.ID_CN, fresh)
    assert fresh[6:14] == "19900912"


@pytest.mark.parametrize("original", ["110101199013011234", "110101199902301234", "110101991231123"])
def test_id_with_a_birth_date_that_cannot_be_written_becomes_a_placeholder(original: str) -> None:
    assert document().replace(T.ID_CN, original) == ("[ID_CN1]", "placeholder", "impossible_date")


def test_id_in_safe_harbour_years_keeps_only_the_year() -> None:
    fresh = document(dates="year_only").replace(T.ID_CN, "110101199001011237").text
    assert fresh[6:10] == "1990"
    assert is_valid(T.ID_CN, fresh)


def test_upper_and_lower_case_x_are_one_id() -> None:
    lower, upper = replaced(T.ID_CN, "11010119900101123x", "11010119900101123X")
    assert lower.upper() == upper


@pytest.mark.parametrize("value", ["", "1", "11010119900101123", "A" * 18, "1101011990010112370"])
def test_maker_refuses_what_is_no_id(value: str) -> None:
    assert resident_id(value, datetime.date(1990, 1, 1), bytes(32)) is None
