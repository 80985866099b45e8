import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import ConfigError, DataError
from fedward.common.evaluation import audit as module
from fedward.common.evaluation.audit import (
    ALPHA,
    EPSILON_CAP,
    accuracy_limit,
    audit,
    epsilon_gdp,
    epsilon_pure,
    gaussian_limits,
    gdp_delta,
    gdp_epsilon,
    gdp_mu,
    p_value,
    power,
    rejects_mu,
    tpr_limit,
)
from fedward.common.evaluation.distributions import binomial_tails
from tests.evaluations import VECTORS, flips, normals


@pytest.mark.parametrize("row", VECTORS["bounds"], ids=lambda row: f"{row['v']} of {row['r']} of {row['m']}")
def test_bounds_are_the_frozen_ones(row: dict[str, Any]) -> None:
    counts = (row["m"], row["r"], row["v"], row["delta"], row["alpha"])
    assert epsilon_pure(*counts) == pytest.approx(row["pure"], abs=1e-3)
    assert epsilon_gdp(*counts) == pytest.approx(row["gdp"], abs=1e-3)


@pytest.mark.parametrize("row", VECTORS["exact_sizes"], ids=lambda row: f"epsilon {row['epsilon']}, m {row['m']}")
def test_exact_size_at_randomised_response_is_at_most_alpha(row: dict[str, Any]) -> None:
    counts = (row["m"], row["r"])
    assert epsilon_pure(*counts, row["first"]) > row["epsilon"] >= epsilon_pure(*counts, row["first"] - 1)
    size = binomial_tails(row["r"], 1 / (1 + math.exp(-row["epsilon"])))[row["first"]]
    assert size == pytest.approx(row["size"], abs=5e-5)
    assert size <= ALPHA


@pytest.mark.parametrize("row", VECTORS["power"], ids=lambda row: f"m {row['m']}")
def test_power_is_that_of_the_table(row: dict[str, Any]) -> None:
    half = (row["m"], row["m"] // 2, row["m"] // 2, 1e-5, ALPHA / 5)
    assert epsilon_pure(*half) == pytest.approx(row["pure"], abs=0.0051)
    assert epsilon_gdp(*half) == pytest.approx(row["gdp"], abs=0.0051)
    assert power(row["m"]).pure == pytest.approx(row["pure"], abs=0.0051)


@pytest.mark.parametrize("row", VECTORS["limits"], ids=lambda row: f"epsilon {row['epsilon']}")
def test_limits_of_a_gaussian_claim_are_those_of_the_table(row: dict[str, Any]) -> None:
    limits = gaussian_limits(row["epsilon"])
    found = (limits.auc, limits.accuracy, limits.tpr_at_1_percent)
    assert found == pytest.approx((row["auc"], row["accuracy"], row["tpr"]), abs=5.1e-4)


@settings(max_examples=30, deadline=None)
@given(m=st.integers(20, 300), data=st.data())
def test_a_further_right_guess_never_lowers_a_bound(m: int, data: st.DataObject) -> None:
    r = data.draw(st.integers(1, m))
    v = data.draw(st.integers(0, r - 1))
    assert epsilon_pure(m, r, v) <= epsilon_pure(m, r, v + 1) + 1e-6
    assert epsilon_gdp(m, r, v) <= epsilon_gdp(m, r, v + 1) + 1e-5


@settings(max_examples=30, deadline=None)
@given(m=st.integers(20, 300), data=st.data())
def test_half_right_proves_nothing(m: int, data: st.DataObject) -> None:
    r = data.draw(st.integers(1, m))
    assert epsilon_pure(m, r, r // 2) == epsilon_gdp(m, r, r // 2) == 0.0


@settings(max_examples=30, deadline=None)
@given(delta=st.sampled_from([0.0, 1e-6, 1e-5, 1e-3]), v=st.integers(60, 100))
def test_the_bound_is_where_the_p_value_crosses_alpha(delta: float, v: int) -> None:
    bound = epsilon_pure(200, 100, v, delta)
    if bound:
        assert p_value(200, 100, v, bound - 1e-4, delta) < ALPHA <= p_value(200, 100, v, bound + 1e-4, delta) + 1e-12


@settings(max_examples=50, deadline=None)
@given(epsilon=st.floats(0.01, 20), log_delta=st.floats(-12, -1))
def test_gaussian_curve_and_its_inverse_agree(epsilon: float, log_delta: float) -> None:
    delta = 10.0**log_delta
    mu = gdp_mu(epsilon, delta)
    assert gdp_delta(mu, epsilon) == pytest.approx(delta, rel=1e-4)
    assert gdp_epsilon(mu, delta) == pytest.approx(epsilon, abs=1e-4)


@pytest.mark.parametrize("size", [20, 400])
def test_perfect_scores_reach_the_power(size: int) -> None:
    result = audit(np.arange(size), np.arange(size) >= size / 2)
    assert (result.pure.epsilon, result.gdp.epsilon) == (result.power.pure, result.power.gdp)
    assert result.pure.correct == result.pure.guesses


def test_blind_guesses_raise_a_false_alarm_in_no_more_than_five_percent_of_runs() -> None:
    found = [audit(normals(seed, 400), flips(1000 + seed, 400)) for seed in range(200)]
    assert sum(result.pure.epsilon > 0 for result in found) <= 17  # 99 % of Bin(200, 0.05)
    assert sum(result.gdp.epsilon > 0 for result in found) <= 17


@pytest.mark.parametrize("epsilon", [1.0, 2.0])
def test_randomised_response_is_not_accused_of_more_than_its_epsilon(epsilon: float) -> None:
    alarms = 0
    for seed in range(200):
        coins = flips(seed, 200)
        truthful = np.random.default_rng(900 + seed).random(200) < 1 / (1 + math.exp(-epsilon))  # noqa: TID251
        scores = (coins == truthful) + 1e-3 * normals(seed, 200)
        alarms += audit(scores, coins).pure.epsilon > epsilon
    assert alarms <= 17


def test_gaussian_mechanism_is_not_accused_of_more_than_its_epsilon_and_shows_some_of_it() -> None:
    mu = gdp_mu(4.0)
    bounds = []
    for seed in range(100):
        coins = flips(seed, 2000)
        bounds.append(audit(normals(seed, 2000) + mu * coins, coins).gdp.epsilon)
    assert sum(bound > 4.0 for bound in bounds) <= 11  # 99 % of Bin(100, 0.05)
    assert np.median(bounds) > 1.5


def test_an_unprotected_model_is_proven_to_be_one() -> None:
    coins = flips(1, 400)
    result = audit(normals(2, 400) + 4.0 * coins, coins)
    assert result.pure.epsilon > 2
    assert result.gdp.epsilon > 4


def test_a_statistic_that_forgets_the_slack_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = epsilon_pure(600, 150, 147, 1e-2)
    monkeypatch.setattr(module, "p_value", lambda m, r, v, e, d: binomial_tails(r, 1 / (1 + math.exp(-e)))[v])
    assert right == 0.0
    assert epsilon_pure(600, 150, 147, 1e-2) > 2.9


def test_scores_that_are_turned_round_prove_nothing() -> None:
    coins = flips(1, 400)
    result = audit(-(normals(2, 400) + 4.0 * coins), coins)
    assert result.pure.epsilon == result.gdp.epsilon == 0.0


def test_ties_go_by_index_and_not_by_coin() -> None:
    coins = np.array([False] * 100 + [True] * 100)
    assert audit(np.zeros(200), coins).pure.epsilon == 0.0
    assert audit(np.zeros(200), ~coins).pure.correct > 0  # the first ones are in by luck of their index


def test_monotone_transformations_of_scores_change_nothing() -> None:
    coins = flips(4, 300)
    scores = normals(5, 300) + coins
    assert audit(scores, coins) == audit(np.exp(scores / 3), coins)


def test_every_registered_fraction_pays_even_where_two_come_to_the_same_count() -> None:
    coins = np.arange(20) >= 10
    one = audit(np.arange(20), coins, fractions=(0.5,))
    five = audit(np.arange(20), coins, fractions=(0.5, 0.499, 0.501 - 0.002, 0.4995, 0.4985))
    assert five.pure.epsilon < one.pure.epsilon


def test_limit_of_a_claim_is_that_of_the_gaussian_curve() -> None:
    mu = gdp_mu(2.0)
    rates = np.array([1e-3, 0.01, 0.1, 0.5])
    limit = tpr_limit(rates, lambda epsilon: gdp_delta(mu, epsilon), np.linspace(0, 12, 4000).tolist())
    special = pytest.importorskip("scipy.special", reason="scipy comes with dp-accounting")
    assert limit == pytest.approx(special.ndtr(special.ndtri(rates) + mu), abs=1e-4)
    assert accuracy_limit(lambda epsilon: gdp_delta(mu, epsilon)) == pytest.approx(gaussian_limits(2.0).accuracy)


def test_fewer_points_make_the_limit_of_a_claim_looser_only() -> None:
    mu = gdp_mu(2.0)
    rates = np.linspace(0, 1, 50)
    curve = [tpr_limit(rates, lambda e: gdp_delta(mu, e), points) for points in ([0.0], [0.0, 1.0], [0.0, 1.0, 3.0])]
    assert (curve[0] >= curve[1]).all()
    assert (curve[1] >= curve[2]).all()


def test_bound_at_the_cap_is_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert epsilon_pure(100_000, 50_000, 50_000, 0.0) < EPSILON_CAP
    monkeypatch.setattr(module, "p_value", lambda *args: 0.0)
    monkeypatch.setattr(module, "rejects_mu", lambda *args: True)
    assert epsilon_pure(100, 50, 50) == epsilon_gdp(100, 50, 50) == EPSILON_CAP


@pytest.mark.parametrize(
    ("scores", "coins"),
    [
        ([0.0] * 19, [True] * 19),
        ([0.0] * 20, [True] * 21),
        ([0.0] * 20, [1] * 20),
        ([[0.0] * 20], [[True] * 20]),
        ([0.0] * 19 + [math.nan], [True] * 20),
        ([0.0] * 19 + [math.inf], [True] * 20),
    ],
    ids=["too few", "lengths", "numbers for coins", "two axes", "nan", "infinite"],
)
def test_impossible_scores_are_refused(scores: list[float], coins: list[bool]) -> None:
    with pytest.raises(DataError):
        audit(scores, coins)


def test_score_that_is_not_finite_is_named_by_its_canary() -> None:
    with pytest.raises(DataError, match="canary 7"):
        audit([*[0.0] * 7, math.nan, *[0.0] * 20], [True] * 28)


@pytest.mark.parametrize("fractions", [(), (0.0,), (0.6,), (math.nan,)])
def test_impossible_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError):
        power(100, fractions=fractions)


@pytest.mark.parametrize(
    "counts", [(0, 0, 0), (10, 11, 3), (10, 5, 6), (10, 5, -1), (10**9, 5, 5)], ids=lambda counts: str(counts)
)
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    for call in (epsilon_pure, epsilon_gdp):
        with pytest.raises(ConfigError):
            call(*counts)


def test_impossible_claims_and_levels_are_refused() -> None:
    for call in (
        lambda: p_value(10, 5, 5, -1.0),
        lambda: p_value(10, 5, 5, math.nan),
        lambda: p_value(10, 5, 5, 1.0, 1.0),
        lambda: epsilon_pure(10, 5, 5, alpha=0.0),
        lambda: rejects_mu(10, 5, 5, 1.0, alpha=0.5),
        lambda: gdp_epsilon(1.0, 0.0),
        lambda: gdp_mu(1.0, 0.0),
        lambda: tpr_limit([0.1], lambda e: 0.0, []),
        lambda: tpr_limit([0.1], lambda e: 2.0, [1.0]),
    ):
        with pytest.raises(ConfigError):
            call()


def test_no_mechanism_has_no_delta() -> None:
    assert gdp_delta(0.0, 1.0) == 0.0
    assert gdp_epsilon(1e-9) == 0.0
