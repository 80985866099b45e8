import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import DataError, EvaluationError
from fedward.common.evaluation import membership
from fedward.common.evaluation.distributions import normal_cdf
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.membership import (
    auc,
    balanced_accuracy,
    controlled_auc,
    mann_whitney_p,
    most_vulnerable,
    null_control,
    positive_control,
    tpr_at_fpr,
)
from tests.evaluations import normals

small_scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)


def pairwise(members: list[float], others: list[float]) -> float:
    wins = [(a > b) + (a == b) / 2 for a in members for b in others]
    return sum(wins) / len(wins)


@given(members=small_scores, others=small_scores)
def test_auc_is_the_share_of_pairs_in_order(members: list[float], others: list[float]) -> None:
    assert auc(members, others).value == pytest.approx(pairwise(members, others))


@given(members=small_scores, others=small_scores)
def test_auc_of_turned_scores_is_the_rest(members: list[float], others: list[float]) -> None:
    there, back = auc(members, others), auc([-a for a in members], [-b for b in others])
    assert there.value == pytest.approx(1 - back.value)
    assert (there.low, there.high) == pytest.approx((1 - back.high, 1 - back.low))


def test_separated_samples_have_the_exact_pairwise_interval() -> None:
    interval = auc([3, 4, 5], [0, 1, 2, 2.5])
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(0.025 ** (1 / 3))


def test_ties_alone_say_nothing() -> None:
    interval = auc([1, 1], [1, 1])
    assert (interval.low, interval.value, interval.high) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_of_the_auc_cover_the_truth(shift: float) -> None:
    truth = normal_cdf(shift / math.sqrt(2))
    hits = controlled = 0
    for seed in range(1000):
        members, others, base_in, base_out = normals(seed, 4, 60)
        hits += (found := auc(members + shift, others)).low <= truth <= found.high
        # The adapter ranks much as its base does.
        with_base = controlled_auc(members + base_in + 1.4 * shift, others + base_out, base_in, base_out)
        wide = normal_cdf(1.4 * shift / 2)
        controlled += with_base.low <= wide <= with_base.high
    assert hits >= 930
    assert controlled >= 925  # nominal 95 %; the page's 93 % less one standard error of 1000 runs


def test_control_variate_narrows_the_interval_of_a_private_model() -> None:
    base_in, base_out = normals(1, 300), normals(2, 300)
    members, others = base_in + 0.2 * normals(3, 300), base_out + 0.2 * normals(4, 300)
    plain, controlled = auc(members, others), controlled_auc(members, others, base_in, base_out)
    assert controlled.high - controlled.low < (plain.high - plain.low) / 2
    assert controlled.low <= 0.5 <= controlled.high


def test_control_variate_leaves_a_model_that_memorised_as_it_is() -> None:
    members, others = normals(3, 300) + 5, normals(4, 300)
    controlled = controlled_auc(members, others, normals(1, 300), normals(2, 300))
    assert controlled.value == pytest.approx(auc(members, others).value, abs=0.01)


def test_a_model_that_ranks_as_its_base_does_has_learnt_nothing() -> None:
    members, others = normals(1, 40) + 0.3, normals(2, 40)
    interval = controlled_auc(2 * members, 2 * others, members, others)
    assert (interval.low, interval.value, interval.high) == (0.5, 0.5, 0.5)


def test_base_that_says_nothing_takes_nothing_out() -> None:
    members, others = normals(1, 40) + 1, normals(2, 40)
    assert controlled_auc(members, others, np.zeros(40), np.zeros(40)) == auc(members, others)


def test_balanced_accuracy_covers_that_of_the_best_threshold() -> None:
    best = normal_cdf(0.75)
    found = [balanced_accuracy(normals(s, 200) + 1.5, normals(500 + s, 200), Draws(s, "split")) for s in range(100)]
    assert np.mean([f.value for f in found]) == pytest.approx(best, abs=0.015)  # below by the unknown threshold
    assert sum(f.low <= best <= f.high for f in found) >= 93


def test_threshold_is_not_chosen_on_the_texts_it_is_judged_on() -> None:
    values = [balanced_accuracy(normals(s, 10), normals(50 + s, 10), Draws(s, "split")).value for s in range(200)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)


def test_peeking_at_the_judged_texts_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    best, values = membership._best_threshold, []
    for seed in range(100):
        inside, outside = normals(seed, 10), normals(50 + seed, 10)
        peeked = best(inside, outside)
        monkeypatch.setattr(membership, "_best_threshold", lambda *_, peeked=peeked: peeked)
        values.append(balanced_accuracy(inside, outside, Draws(seed, "split")).value)
    assert np.mean(values) > 0.6  # against the half of the test before


def test_rate_at_low_error_takes_its_threshold_from_the_reserve() -> None:
    reserve = np.arange(1000.0)
    members = np.array([990.5] * 3 + [989.0] * 7)  # the 11th highest of the reserve is 989
    interval = tpr_at_fpr(members, reserve)
    assert interval.value == 0.3
    assert interval.low < 0.3 < interval.high


def test_rate_at_low_error_of_no_difference_is_that_error() -> None:
    rates = [tpr_at_fpr(normals(s, 1000), normals(70 + s, 1000)).value for s in range(30)]
    assert np.mean(rates) == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(("size", "fpr"), [(999, 0.01), (9_999, 0.001)])
def test_too_small_a_reserve_is_not_measurable(size: int, fpr: float) -> None:
    with pytest.raises(EvaluationError, match="needs"):
        tpr_at_fpr([1.0], np.zeros(size), fpr)


def test_mann_whitney_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with dp-accounting")
    members, others = np.round(normals(1, 40), 1) + 0.3, np.round(normals(2, 50), 1)
    known = stats.mannwhitneyu(members, others, alternative="greater", method="asymptotic").pvalue
    assert mann_whitney_p(members, others) == pytest.approx(known, rel=1e-9)


def test_ties_alone_have_a_p_value_of_one() -> None:
    assert mann_whitney_p([1.0, 1.0], [1.0]) == 1.0


def test_null_control_holds_for_a_base_and_fails_for_a_leak() -> None:
    assert null_control("base", normals(1, 200), normals(2, 200)).holds
    assert not null_control("bag", normals(1, 200) + 1, normals(2, 200)).holds


def test_positive_control_fails_for_a_broken_attack() -> None:
    assert positive_control(normals(1, 50) + 2, normals(2, 50)).holds
    assert not positive_control(normals(1, 50), normals(2, 50)).holds


def test_most_vulnerable_are_those_the_base_finds_least_likely() -> None:
    assert most_vulnerable(np.array([3.0, -1.0, 2.0, -5.0]), 0.5).tolist() == [3, 1]


@settings(max_examples=20)
@given(bad=st.sampled_from([math.nan, math.inf, -math.inf]), place=st.integers(0, 4))
def test_score_that_is_not_finite_is_named(bad: float, place: int) -> None:
    scores = [0.0] * 5
    scores[place] = bad
    calls: list[Callable[[list[float], list[float]], object]] = [
        auc,
        mann_whitney_p,
        lambda a, b: balanced_accuracy(a, b, Draws(1, "x")),
    ]
    for call in calls:
        with pytest.raises(DataError, match=f"score {place} "):
            call(scores, [0.0, 1.0])


def test_empty_and_unlike_groups_are_refused() -> None:
    calls: list[Callable[[], object]] = [
        lambda: auc([], [1.0]),
        lambda: auc([1.0], []),
        lambda: controlled_auc([1.0], [1.0], [1.0, 2.0], [1.0]),
        lambda: balanced_accuracy([1.0], [1.0, 2.0], Draws(1, "x")),
        lambda: tpr_at_fpr([], np.zeros(1000)),
    ]
    for call in calls:
        with pytest.raises(DataError):
            call()
