from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize import intervals
from fedward.common.desensitize.intervals import trials_without_a_miss, wilson
from fedward.common.errors import ConfigError


def test_a_thousand_without_a_miss_is_the_known_answer() -> None:
    assert round(wilson(1000, 1000)[0], 5) == 0.99617


def test_the_trials_for_999_in_a_thousand_are_the_known_answer() -> None:
    assert trials_without_a_miss(0.999) == 3838


def test_the_next_smaller_number_of_trials_misses_the_target() -> None:
    assert wilson(3838, 3838)[0] >= 0.999 > wilson(3837, 3837)[0]


def test_without_a_miss_the_lower_end_is_n_over_n_plus_z_squared() -> None:
    assert wilson(50, 50)[0] == pytest.approx(50 / (50 + 1.96**2), abs=1e-12)


def test_the_published_interval_of_8_in_10() -> None:
    # R: binom.confint(8, 10, method = "wilson") gives 0.4901625, 0.9433178
    assert wilson(8, 10, z=1.959964) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


def test_no_trial_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(counts: tuple[int, int]) -> None:
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


@pytest.mark.parametrize(("successes", "total"), [(-1, 3), (4, 3), (1, 0)])
def test_impossible_counts_are_refused(successes: int, total: int) -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        wilson(successes, total)


@pytest.mark.parametrize("target", [1.0, -0.1, float("nan")])
def test_an_impossible_target_is_refused(target: float) -> None:
    with pytest.raises(ConfigError, match="target"):
        trials_without_a_miss(target)


def test_all_is_sorted() -> None:
    assert intervals.__all__ == sorted(set(intervals.__all__) & set(dir(intervals)), key=str.casefold)
