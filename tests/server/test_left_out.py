"""Who is left out of a retry and of the rounds after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.server.left_out import LeftOut


def first_choice(left_out: LeftOut, round_number: int) -> set[str]:
    return set(next(iter(left_out.choices(round_number))))


def asked_in(left_out: LeftOut, rounds: int) -> list[int]:
    """Rounds in which a site is asked that fails whenever it is asked."""
    found = []
    for number in range(1, rounds + 1):
        left_out.new_round()
        if "alpha" not in first_choice(left_out, number):
            found.append(number)
            left_out.void(number, 0, {"alpha": "LATE"})
    return found


def test_a_site_that_always_fails_is_asked_less_and_less_often_and_never_given_up() -> None:
    assert asked_in(LeftOut(max_attempts=2), 40) == [1, 2, 4, 8, 16, 32]


def test_a_vector_that_counts_makes_up_for_what_was_before() -> None:
    left_out = LeftOut(max_attempts=2)
    asked_in(left_out, 3)
    left_out.took_part(["alpha"])
    left_out.void(4, 0, {"alpha": "LATE"})
    left_out.new_round()
    assert first_choice(left_out, 5) == set()


def test_a_site_that_was_asked_while_it_rested_and_took_part_rests_no_more() -> None:
    left_out = LeftOut(max_attempts=2)
    asked_in(left_out, 8)
    left_out.new_round()
    assert first_choice(left_out, 9) == {"alpha"}
    left_out.took_part(["alpha"])
    assert first_choice(left_out, 10) == set()


@pytest.mark.parametrize(("code", "second"), [("LATE", {"alpha"}), ("TRANSPORT:refused", {"alpha"})])
def test_where_one_is_to_be_asked_after_all_it_is_the_one_that_was_lost_by_accident(
    code: str, second: set[str]
) -> None:
    left_out = LeftOut(max_attempts=2)
    asked_in(left_out, 2)
    left_out.new_round()
    left_out.void(3, 0, {"beta": code})
    assert [set(choice) for choice in left_out.choices(3)][:2] == [{"alpha", "beta"}, second]


def test_where_one_is_to_be_asked_after_all_it_is_none_that_refused_or_lied_just_now() -> None:
    left_out = LeftOut(max_attempts=2)
    asked_in(left_out, 2)
    left_out.new_round()
    left_out.void(3, 0, {"beta": "BUDGET_REFUSED"})
    assert [set(choice) for choice in left_out.choices(3)][1:3] == [{"alpha", "beta"}, {"beta"}]


def test_two_failures_in_one_round_are_one() -> None:
    left_out = LeftOut(max_attempts=4)
    for attempt in range(3):
        left_out.void(1, attempt, {"alpha": "LATE"})
    left_out.new_round()
    assert first_choice(left_out, 2) == set()


@pytest.mark.parametrize(
    ("code", "attempt", "is_out"),
    [
        ("LATE", 0, True),
        ("BUDGET_REFUSED", 0, True),
        ("MODEL_MISMATCH", 0, False),
        ("PREKEY_UNKNOWN", 0, False),
        ("MODEL_MISMATCH", 1, True),
        ("PREKEY_UNKNOWN", 1, True),
    ],
)
def test_a_retry_goes_without_a_site_that_it_would_not_mend(code: str, attempt: int, is_out: bool) -> None:
    left_out = LeftOut(max_attempts=3)
    left_out.void(1, attempt, {"alpha": code})
    assert (first_choice(left_out, 1) == {"alpha"}) is is_out


def test_a_site_that_says_again_that_it_lost_its_model_is_not_given_it_in_every_attempt() -> None:
    left_out = LeftOut(max_attempts=5)
    out = []
    for attempt in range(3):
        out.append("alpha" in first_choice(left_out, 1))
        if not out[-1]:
            left_out.void(1, attempt, {"alpha": "MODEL_MISMATCH"})
    assert out == [False, False, True]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["LATE", "MODEL_MISMATCH"])), max_size=12))
def test_the_last_choice_leaves_out_nobody(failures: list[tuple[str, str]]) -> None:
    left_out = LeftOut(max_attempts=2)
    for number, (site, code) in enumerate(failures, start=1):
        left_out.accuse(site, code)
        left_out.void(number, 0, {site: code})
    choices = [set(choice) for choice in left_out.choices(len(failures) + 1)]
    assert choices[-1] == set()
    assert all(choices[0] >= choice for choice in choices)
