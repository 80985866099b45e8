"""Keyed draws: the known answers of the design, and the fast path against the plain one."""

from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.keys import below
from fedward.common.desensitize.surrogates.draws import Draws, Stream, digits, number
from tests.common.desensitize.surrogates.making import KEYS


def test_derived_key_has_its_known_answer() -> None:
    expected = "a4028daaeac4ecccd5893dd5b2eeb87ab370af245fe7a632e8a53dad3e48cf58"
    assert KEYS.derive("surrogate", "PERSON").hex() == expected


def test_first_draws_of_a_name_have_their_known_answers() -> None:
    draws = Draws(KEYS, "patient", "P-0001")
    assert draws.draw("PERSON.surname", "张").hex().startswith("004d6438e2ab8698")
    assert draws.draw("PERSON.given", "伟").hex().startswith("d83d6902896fa7b1")


@given(st.text(), st.text(), st.integers(0, 2**32 - 1))
def test_draws_are_those_of_the_keys(scope_id: str, canonical: str, counter: int) -> None:
    expected = KEYS.draw("MRN", "document", scope_id, canonical, counter)
    assert Draws(KEYS, "document", scope_id).draw("MRN", canonical, counter) == expected


def test_scope_and_its_id_cannot_run_into_the_value() -> None:
    assert Draws(KEYS, "patient", "P1").draw("MRN", "23") != Draws(KEYS, "patient", "P12").draw("MRN", "3")


@given(st.binary(min_size=32, max_size=32), st.integers(1, 2**64))
def test_number_is_the_first_sixteen_bytes_modulo_the_domain(draw: bytes, domain: int) -> None:
    assert number(draw, domain) == below(draw, domain) < domain


@given(st.binary(min_size=32, max_size=32), st.integers(0, 64))
def test_digits_are_as_many_as_asked(draw: bytes, length: int) -> None:
    made = digits(draw, length)
    assert len(made) == length
    assert made == "" or made.isdigit()


def test_stream_gives_numbers_that_do_not_repeat_the_draw() -> None:
    stream = Stream(bytes(32))
    assert [stream.below(1000) for _ in range(50)] != [stream.below(1000) for _ in range(50)]
