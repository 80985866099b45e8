"""Numbers against published examples and against libraries that others wrote."""

from __future__ import annotations

from random import Random  # noqa: TID251

import pytest

from fedward.simulations.scrub_corpus import numbers


@pytest.fixture
def rng() -> Random:
    return Random(1)


# The examples of GB 11643-1999.
@pytest.mark.parametrize("value", ["11010519491231002X", "440524188001010014"])
def test_published_resident_ids_are_valid(value: str) -> None:
    assert numbers.is_resident_id(value)


@pytest.mark.parametrize("value", ["110105194912310021", "11010519491331002X", "1101051949123100", "", "A" * 18])
def test_wrong_resident_ids_are_refused(value: str) -> None:
    assert not numbers.is_resident_id(value)


@pytest.mark.parametrize("value", ["4111111111111111", "378282246310005"])
def test_published_test_cards_pass(value: str) -> None:
    assert numbers.luhn_sum(value) == 0


@pytest.mark.parametrize("value", ["GB82WEST12345698765432", "DE89370400440532013000"])
def test_published_ibans_pass(value: str) -> None:
    assert numbers.is_iban(value)
    assert not numbers.is_iban(value[:-1] + str((int(value[-1]) + 1) % 10))


def test_drawn_numbers_agree_with_python_stdnum(rng: Random) -> None:
    luhn = pytest.importorskip("stdnum.luhn", reason="python-stdnum is not installed")
    iban = pytest.importorskip("stdnum.iban")
    ric = pytest.importorskip("stdnum.cn.ric")
    uscc = pytest.importorskip("stdnum.cn.uscc")
    for _ in range(300):
        assert luhn.is_valid(numbers.card(rng))
        assert luhn.is_valid(numbers.imei(rng))
        assert not luhn.is_valid(numbers.wrong_luhn(rng))
        assert iban.is_valid(numbers.iban(rng), check_country=False)
        assert uscc.is_valid(numbers.organisation_id(rng))
        value = numbers.resident_id(rng, numbers.birthday(rng))
        assert ric.calc_check_digit(value) == value[17]
        wrong = numbers.wrong_resident_id(rng, numbers.birthday(rng))
        assert ric.calc_check_digit(wrong) != wrong[17]


def test_drawn_mobile_numbers_are_allocated_and_the_decoys_are_not(rng: Random) -> None:
    phonenumbers = pytest.importorskip("phonenumbers", reason="phonenumbers is not installed")
    for _ in range(500):
        assert phonenumbers.is_valid_number(phonenumbers.parse(numbers.mobile(rng), "CN"))
    for prefix in numbers.UNALLOCATED:
        assert not phonenumbers.is_valid_number(phonenumbers.parse(prefix + "12345678", "CN"))


def test_drawn_vins_have_the_right_check_digit() -> None:
    # 1M8GDM9AXKP042788 is the standard's own worked example.
    assert numbers.vin_check("1M8GDM9AXKP042788") == "X"
    drawn = [numbers.vin(Random(n)) for n in range(50)]
    assert all(numbers.vin_check(value) == value[8] for value in drawn)


def test_drawn_plates_have_seven_or_eight_characters(rng: Random) -> None:
    assert {len(numbers.plate(rng)) for _ in range(300)} == {7, 8}
