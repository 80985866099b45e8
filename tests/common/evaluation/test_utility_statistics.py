import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import DataError, EmptyDataError
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.utility_statistics import (
    UnitSums,
    bits_per_byte,
    classify,
    domain_recall,
    forgetting,
    log_perplexity,
    over_sites,
    predict,
    retention,
)
from tests.evaluations import normals

LABELS = ("yes", "no", "maybe")


def draws() -> Draws:
    return Draws(1, "utility")


def sums(nll: list[float], tokens: list[float], num_bytes: list[float]) -> UnitSums:
    return UnitSums(nll_nats=np.array(nll), tokens=np.array(tokens), num_bytes=np.array(num_bytes))


KNOWN = sums([10.0, 6.0], [10, 2], [25, 5])


def test_sums_are_divided_once() -> None:
    assert math.exp(log_perplexity(KNOWN, draws()).value) == pytest.approx(3.79367, abs=5e-6)
    assert bits_per_byte(KNOWN, draws()).value == pytest.approx(0.76944, abs=5e-6)


def test_units_without_a_token_change_nothing_but_may_be_drawn() -> None:
    interval = log_perplexity(sums([10.0, 6.0, 0.0], [10, 2, 0], [25, 5, 0]), draws())
    assert interval.value == log_perplexity(KNOWN, draws()).value


def test_intervals_over_units_are_wider_than_over_tokens_of_alike_units() -> None:
    nll = 40 + 10 * normals(1, 300)
    interval = log_perplexity(UnitSums(nll_nats=nll, tokens=np.full(300, 20.0), num_bytes=np.full(300, 60.0)), draws())
    half = 1.96 * nll.std() / 20 / math.sqrt(300)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)


def test_forgetting_is_paired_by_unit() -> None:
    base = UnitSums(nll_nats=100 + 30 * normals(1, 80), tokens=np.full(80, 40.0), num_bytes=np.full(80, 99.0))
    tuned = UnitSums(nll_nats=base.nll_nats + 4, tokens=base.tokens, num_bytes=base.num_bytes)
    interval = forgetting(base, tuned, draws())
    assert (interval.low, interval.value, interval.high) == pytest.approx((0.1, 0.1, 0.1))


def test_forgetting_of_other_texts_is_refused() -> None:
    with pytest.raises(DataError):
        forgetting(KNOWN, sums([10.0, 6.0], [10, 3], [25, 5]), draws())


def test_retention_is_the_share_of_the_gain() -> None:
    assert retention(3.0, 2.4, 2.0) == pytest.approx(0.6)
    assert retention(3.0, 3.1, 2.0) == pytest.approx(-0.1)
    assert retention(3.0, 2.9, 2.96) is None


def test_worst_site_and_macro_mean() -> None:
    found = over_sites({s: Interval(value=v, low=v, high=v) for s, v in {"a": 1.0, "b": 3.0, "c": 2.0}.items()})
    assert (found.macro, found.worst) == (2.0, "b")


def test_prediction_is_the_first_of_the_likeliest_and_ties_are_counted() -> None:
    predicted, ties = predict([[-1.0, -2.0, -3.0], [-2.0, -1.0, -1.0], [-3.0, -3.0, -3.0]])
    assert predicted.tolist() == [0, 1, 0]
    assert ties == 2


def test_prior_is_taken_off() -> None:
    assert predict([[-1.0, -2.0]], prior=[0.0, -1.5])[0].tolist() == [1]


def naive_f1(gold: list[int], told: list[int]) -> float:
    values = []
    for label in sorted(set(gold)):
        hit = sum(g == t == label for g, t in zip(gold, told, strict=True))
        precision = hit / max(1, told.count(label))
        recall = hit / gold.count(label)
        values.append(2 * precision * recall / (precision + recall) if hit else 0.0)
    return sum(values) / len(values)


@settings(deadline=None, max_examples=60)
@given(pairs=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_macro_f1_and_accuracy_are_those_of_the_naive_count(pairs: list[tuple[int, int]]) -> None:
    gold, told = [g for g, _ in pairs], [t for _, t in pairs]
    found = classify(gold, told, LABELS, draws(), num_draws=20)
    assert found.macro_f1.value == pytest.approx(naive_f1(gold, told))
    assert found.accuracy.value == pytest.approx(np.mean([g == t for g, t in pairs]))
    assert found.macro_f1.low <= found.macro_f1.value <= found.macro_f1.high


def test_labels_that_the_gold_standard_lacks_are_named_and_left_out() -> None:
    found = classify([0, 0, 1], [0, 2, 1], LABELS, draws())
    assert found.absent == ("maybe",)
    assert set(found.recall) == {"yes", "no"}
    assert found.macro_f1.value == pytest.approx((2 / 3 + 1) / 2)


def test_units_are_drawn_whole() -> None:
    gold, told = [0, 1] * 60, [0, 1] * 30 + [1, 0] * 30
    alone = classify(gold, told, LABELS[:2], draws())
    two_units = classify(gold, told, LABELS[:2], draws(), units=[0] * 60 + [1] * 60)
    assert (two_units.macro_f1.low, two_units.macro_f1.high) == (0.0, 1.0)
    assert alone.macro_f1.low > 0.3


def test_domain_recall_is_the_mean_and_the_worst() -> None:
    recall = classify([0, 0, 1, 1, 2], [0, 0, 1, 0, 2], LABELS, draws()).recall
    assert domain_recall(recall, ("yes", "no")) == (0.75, "no")


def test_impossible_input_is_refused() -> None:
    for call in (
        lambda: sums([1.0], [1, 2], [1]),
        lambda: sums([math.nan], [1], [1]),
        lambda: sums([1.0], [-1], [1]),
        lambda: predict([[math.nan, 1.0]]),
        lambda: predict([[]]),
        lambda: predict([[1.0, 2.0]], prior=[0.0]),
        lambda: classify([3], [0], LABELS, draws()),
        lambda: classify([0], [0, 1], LABELS, draws()),
        lambda: classify([0.5], [0], LABELS, draws()),
        lambda: classify([-1], [0], LABELS, draws()),
    ):
        with pytest.raises(DataError):
            call()
    for empty in (
        lambda: log_perplexity(sums([1.0], [0], [0]), draws()),
        lambda: over_sites({}),
        lambda: classify([], [], LABELS, draws()),
        lambda: domain_recall({}, ("yes",)),
        lambda: domain_recall({}, ()),
    ):
        with pytest.raises(EmptyDataError):
            empty()
