import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import ConfigError
from fedward.common.evaluation.distributions import (
    binomial_tails,
    bisect_sign,
    log_normal_cdf,
    normal_cdf,
    normal_quantile,
    two_sided_z,
)


@pytest.fixture(scope="module")
def special() -> Any:  # noqa: ANN401 - an untyped oracle
    return pytest.importorskip("scipy.special", reason="scipy comes with dp-accounting")


@pytest.mark.parametrize("x", [-300.0, -38.0, -30.5, -30.0, -29.5, -8.0, -1.0, 0.0, 1.0, 6.0])
def test_normal_probabilities_are_scipys(special: Any, x: float) -> None:  # noqa: ANN401
    assert normal_cdf(x) == pytest.approx(special.ndtr(x), rel=1e-12)
    assert log_normal_cdf(x) == pytest.approx(special.log_ndtr(x), rel=1e-12)


@pytest.mark.parametrize("p", [1e-300, 1e-12, 0.01, 0.5, 0.975, 1 - 1e-12])
def test_normal_quantiles_are_scipys(special: Any, p: float) -> None:  # noqa: ANN401
    assert normal_quantile(p) == pytest.approx(special.ndtri(p), rel=1e-9)


@pytest.mark.parametrize(("trials", "p"), [(1, 0.5), (30, 0.2), (200, 0.9997), (5000, 0.73), (10_000, 1e-4)])
def test_binomial_tails_are_scipys(special: Any, trials: int, p: float) -> None:  # noqa: ANN401
    tails = binomial_tails(trials, p)
    k = np.arange(1, trials + 1)
    assert tails[1 : trials + 1] == pytest.approx(special.bdtrc(k - 1, trials, p), rel=1e-8, abs=1e-290)
    assert (tails[0], tails[trials + 1]) == (1.0, 0.0)


@given(trials=st.integers(0, 60), p=st.floats(0, 1))
def test_binomial_tails_are_probabilities_that_never_rise(trials: int, p: float) -> None:
    tails = binomial_tails(trials, p)
    assert tails.shape == (trials + 2,)
    assert ((tails >= 0) & (tails <= 1)).all()
    assert (np.diff(tails) <= 0).all()


def test_certain_trials_have_certain_tails() -> None:
    assert binomial_tails(2, 1.0).tolist() == [1, 1, 1, 0]
    assert binomial_tails(2, 0.0).tolist() == [1, 0, 0, 0]


def test_quantiles_of_certainty_are_infinite() -> None:
    assert (normal_quantile(0.0), normal_quantile(1.0)) == (-math.inf, math.inf)


def test_bisection_ends_below_the_change_of_sign() -> None:
    assert bisect_sign(lambda x: x * x <= 2, 0.0, 2.0, tolerance=1e-9) == pytest.approx(math.sqrt(2), abs=1e-8)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(value: float) -> None:
    for call in (normal_quantile, two_sided_z, lambda p: binomial_tails(3, p)):
        with pytest.raises(ConfigError):
            call(value)


@pytest.mark.parametrize("trials", [-1, 10**9])
def test_impossible_numbers_of_trials_are_refused(trials: int) -> None:
    with pytest.raises(ConfigError):
        binomial_tails(trials, 0.5)
