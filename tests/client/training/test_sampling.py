"""Poisson sampling of units and the draw of records."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from fedward.client.training.sampling import draw_records, draw_units, effective_rate, threshold
from fedward.common.errors import ConfigError
from fedward.common.privacy.noise import Entropy


def seeded(number: int = 0) -> Entropy:
    return Entropy.seeded(number.to_bytes(32, "big"))


def test_a_rate_of_one_draws_everyone() -> None:
    assert draw_units(5, 1.0, seeded()).tolist() == [0, 1, 2, 3, 4]


def test_nobody_is_drawn_from_nobody() -> None:
    assert draw_units(0, 0.5, seeded()).tolist() == []


def test_each_unit_is_drawn_at_the_rate() -> None:
    drawn = len(draw_units(200_000, 0.1, seeded()))
    assert abs(drawn - 20_000) < 5 * (200_000 * 0.1 * 0.9) ** 0.5


def test_units_are_drawn_independently_of_each_other() -> None:
    entropy = seeded()
    sizes = [len(draw_units(100, 0.3, entropy)) for _ in range(2000)]
    # The variance of a binomial; a sample of fixed size would have none.
    assert np.var(sizes) == pytest.approx(21.0, rel=0.2)


@settings(deadline=None, derandomize=True)
@given(rate=st.floats(min_value=1e-300, max_value=1.0, exclude_min=True))
def test_a_unit_is_never_drawn_more_often_than_booked(rate: float) -> None:
    assert 0 <= effective_rate(rate) <= rate
    assert rate - effective_rate(rate) < 2.0**-64


def test_the_threshold_of_a_rate_is_exact() -> None:
    assert threshold(0.5) == 1 << 63
    assert threshold(1.0) == 1 << 64
    assert threshold(0.1) == int(0.1 * 2**64)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError):
        draw_units(3, rate, seeded())


def test_few_records_are_all_taken() -> None:
    assert draw_records(3, 3, seeded()) == [0, 1, 2]


def test_many_records_are_cut_to_the_limit_without_repeats() -> None:
    drawn = draw_records(10, 4, seeded())
    assert len(set(drawn)) == 4
    assert drawn == sorted(drawn)


def test_every_record_is_equally_likely() -> None:
    entropy = seeded()
    counts = np.bincount(np.concatenate([draw_records(6, 2, entropy) for _ in range(3000)]), minlength=6)
    assert np.abs(counts - 1000).max() < 5 * (3000 * (1 / 3) * (2 / 3)) ** 0.5
