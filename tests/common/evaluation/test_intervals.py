import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.errors import ConfigError, EmptyDataError
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.intervals import (
    Interval,
    bootstrap,
    clopper_pearson,
    mean_of_two,
    newcombe,
    wilson,
)
from tests.evaluations import VECTORS, Vector, normals

KNOWN = VECTORS["intervals"]


@pytest.mark.parametrize("total", [200, 1000])
def test_wilson_upper_end_of_no_hit_is_the_known_answer(total: int) -> None:
    assert wilson(0, total).high == pytest.approx(KNOWN[f"wilson_0_{total}"], abs=1e-5)


def test_newcombe_is_the_known_answer() -> None:
    interval = newcombe(56, 70, 48, 80)
    assert (interval.low, interval.high) == pytest.approx(tuple(KNOWN["newcombe_56_70_48_80"]), abs=1e-4)
    assert interval.value == pytest.approx(0.2)


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (1, 10), (7, 400), (399, 400), (400, 400)])
def test_clopper_pearson_is_scipys_beta_quantile(hits: int, total: int) -> None:
    special = pytest.importorskip("scipy.special", reason="scipy comes with dp-accounting")
    interval = clopper_pearson(hits, total)
    low = special.betaincinv(hits, total - hits + 1, 0.025) if hits else 0.0
    high = special.betaincinv(hits + 1, total - hits, 0.975) if hits < total else 1.0
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-8)


@given(total=st.integers(1, 80), share=st.floats(0, 1), level=st.floats(0.5, 0.999))
def test_shares_lie_within_both_intervals(total: int, share: float, level: float) -> None:
    hits = round(share * total)
    for interval in (wilson(hits, total, level), clopper_pearson(hits, total, level)):
        assert 0 <= interval.low <= interval.value + 1e-12
        assert interval.value <= interval.high + 1e-12 <= 1 + 1e-12


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5])
def test_intervals_of_a_share_cover_it(share: float) -> None:
    total = 60
    p = np.array([math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total + 1)])
    exact = sum(p[k] for k in range(total + 1) if (i := clopper_pearson(k, total)).low <= share <= i.high)
    score = sum(p[k] for k in range(total + 1) if (i := wilson(k, total)).low <= share <= i.high)
    assert exact >= 0.95
    assert score >= 0.91  # Wilson's is right on average, not for every share


def test_newcombe_covers_the_true_difference() -> None:
    uniform = np.random.default_rng(5)  # noqa: TID251 - simulated answers
    a, b = uniform.binomial(70, 0.3, 1000), uniform.binomial(80, 0.1, 1000)
    covered = [(i := newcombe(int(x), 70, int(y), 80)).low <= 0.2 <= i.high for x, y in zip(a, b, strict=True)]
    assert np.mean(covered) >= 0.93


def test_mean_of_two_shares_covers_the_true_mean_even_at_certainty() -> None:
    certain = clopper_pearson(30, 30)
    both = mean_of_two(certain, certain)
    assert both.value == both.high == 1.0
    assert 0.88 < both.low < 0.95


def _means(values: Vector, blocks: NDArray[np.int64]) -> Vector:
    return np.asarray(values[blocks].mean(axis=1))


def test_bootstrap_of_a_mean_is_near_its_normal_interval_and_repeats_itself() -> None:
    values = normals(2, 400)
    first = bootstrap(lambda block: _means(values, block), 400, draws=Draws(1, "mean"))
    again = bootstrap(lambda block: _means(values, block), 400, draws=Draws(1, "mean"))
    assert first == again
    half = 1.96 * values.std() / 20
    assert (first.low, first.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


@settings(max_examples=20, deadline=None)
@given(values=st.lists(st.floats(-5, 5), min_size=1, max_size=20))
def test_bootstrap_interval_holds_its_estimate(values: list[float]) -> None:
    array = np.array(values)
    interval = bootstrap(lambda block: _means(array, block), len(values), draws=Draws(1, "x"), num_draws=50)
    assert interval.low <= interval.value <= interval.high


def test_draws_without_a_value_are_left_out() -> None:
    def lonely(block: NDArray[np.int64]) -> Vector:
        return np.where((block == 0).any(axis=1), 1.0, np.nan)

    assert bootstrap(lonely, 3, draws=Draws(1, "x"), num_draws=50) == Interval(value=1.0, low=1.0, high=1.0)


def test_nothing_tried_has_no_interval() -> None:
    calls: list[Callable[[], Interval]] = [
        lambda: wilson(0, 0),
        lambda: clopper_pearson(0, 0),
        lambda: newcombe(0, 0, 0, 5),
        lambda: bootstrap(lambda block: block[:, 0].astype(float), 0, draws=Draws(1, "x")),
        lambda: bootstrap(lambda block: np.full(len(block), np.nan), 3, draws=Draws(1, "x")),
    ]
    for call in calls:
        with pytest.raises(EmptyDataError):
            call()


@pytest.mark.parametrize(("hits", "total"), [(3, 2), (-1, 2)])
def test_impossible_counts_are_refused(hits: int, total: int) -> None:
    for share in (wilson, clopper_pearson):
        with pytest.raises(ConfigError):
            share(hits, total)
