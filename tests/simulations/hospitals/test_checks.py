from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.simulations.hospitals.checks import (
    luhn_check_digit,
    luhn_is_valid,
    resident_check_character,
    resident_id_is_valid,
)

# The examples of GB 11643-1999 itself, and one with X that is widely printed.
RESIDENT_IDS = ["11010519491231002X", "440524188001010014", "34052419800101001X"]
# ISO/IEC 7812-1 annex B, and test card numbers that payment processors publish.
LUHN_NUMBERS = ["79927398713", "4111111111111111", "5555555555554444", "378282246310005"]


@pytest.mark.parametrize("number", RESIDENT_IDS)
def test_published_resident_ids_are_valid(number: str) -> None:
    assert resident_id_is_valid(number)
    assert resident_check_character(number[:17]) == number[17]


@pytest.mark.parametrize("number", ["110105194912310021", "11010519491331002X", "11010519491231002", "\uff11" * 18, ""])
def test_wrong_resident_ids_are_refused(number: str) -> None:
    assert not resident_id_is_valid(number)


@pytest.mark.parametrize("number", LUHN_NUMBERS)
def test_published_card_numbers_pass_luhn(number: str) -> None:
    assert luhn_is_valid(number)


@pytest.mark.parametrize("number", ["79927398710", "4111111111111112", "", "0", "41111111-11111111"])
def test_wrong_card_numbers_fail_luhn(number: str) -> None:
    assert not luhn_is_valid(number)


@settings(deadline=None)
@given(st.text("0123456789", min_size=1, max_size=20), st.data())
def test_luhn_notices_every_single_wrong_digit(body: str, data: st.DataObject) -> None:
    number = body + luhn_check_digit(body)
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    assert luhn_is_valid(number)
    assert not luhn_is_valid(number[:place] + other + number[place + 1 :])
