"""The discrete Gaussian: known answers, exact tables, samples against the law with a stated rate of false alarms."""

from __future__ import annotations

import hashlib
import json
import math
import os
from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.errors import ConfigError
from fedward.common.privacy import discrete_gaussian as module
from fedward.common.privacy.discrete_gaussian import MAX_SIGMA, discrete_gaussian, split, total_variation
from fedward.common.privacy.noise import standard_normal

DOCUMENT = json.loads((Path(__file__).parents[2] / "vectors/discrete_gaussian_v1.json").read_text("utf-8"))
SAMPLES = [vector for vector in DOCUMENT["vectors"] if vector["kind"] == "samples"]
THRESHOLDS = [vector for vector in DOCUMENT["vectors"] if vector["kind"] == "thresholds"]
KEY = bytes(range(32))
COUNT = 1_000_000
FALSE_ALARM = 1e-6
"""Of each goodness-of-fit test, were its key drawn anew. The keys are fixed, so a pass stays one."""
SIGMAS = [0.5, 0.7, 4, 50, 1000, 1025, 396_703]


def draw(sigma: float, count: int = COUNT) -> NDArray[np.int64]:
    return discrete_gaussian(count, sigma_steps=sigma, key=KEY).astype(np.int64)


# ------------------------------------------------------------------------------------------------ known answers


@pytest.mark.parametrize("vector", SAMPLES, ids=lambda vector: vector["name"])
def test_samples_are_the_known_answer(vector: dict[str, Any]) -> None:
    inputs, expected = vector["inputs"], vector["expected"]
    key = bytes.fromhex(inputs["key"])
    samples = discrete_gaussian(inputs["count"], sigma_steps=inputs["sigma_steps"], key=key)
    assert samples[:8].tolist() == expected["first"]
    assert hashlib.sha256(samples.astype("<i4").tobytes()).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("vector", THRESHOLDS, ids=lambda vector: vector["name"])
def test_thresholds_are_the_known_answer(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    thresholds = module._table(Fraction(vector["inputs"]["sigma_steps"]) ** 2).thresholds
    assert f"{thresholds[len(thresholds) // 2]:032x}" == expected["at_zero"]
    assert len(thresholds) == expected["count"]
    raw = b"".join(threshold.to_bytes(16, "big") for threshold in thresholds)
    assert hashlib.sha256(raw).hexdigest() == expected["sha256"]


# ------------------------------------------------------------------------------------------------ the tables


def masses(sigma: float) -> NDArray[Any]:
    """P(k)·2^128 of the table, as whole numbers, for k = −bound … bound."""
    thresholds = module._table(Fraction(sigma) ** 2).thresholds
    return np.diff(np.array([0, *thresholds, 1 << 128], dtype=object))


@pytest.mark.parametrize("sigma", [0.5, 0.7, 1.0, 4.0, 50.0])
def test_every_probability_of_a_table_is_exact_to_two_units_of_the_last_bit(sigma: float) -> None:
    table = masses(sigma)
    bound = len(table) // 2
    with localcontext() as context:
        context.prec = 80
        # Each weight by its own exponential and over a wider range, where the table uses a recursion.
        weights = [(-(Decimal(k) ** 2) / (2 * Decimal(sigma) ** 2)).exp() for k in range(2 * bound)]
        total = weights[0] + 2 * sum(weights[1:])
        for k in range(-bound, bound + 1):
            exact = weights[abs(k)] / total * 2**128
            # The tail beyond the table, 3.6e-33 of each probability, is spread over it.
            assert abs(Decimal(int(table[k + bound])) - exact) < 2 + exact * Decimal("3.6e-33")


@pytest.mark.parametrize("sigma", [0.5, 4.0, 1000.0])
def test_a_table_is_symmetric_to_the_last_bit_but_one(sigma: float) -> None:
    table = masses(sigma)
    assert max(abs(one - other) for one, other in zip(table, table[::-1], strict=True)) <= 2


def test_small_laws_have_the_probabilities_of_the_formula() -> None:
    at_zero = 1 / (1 + 2 * (math.exp(-2) + math.exp(-8) + math.exp(-18) + math.exp(-32)))
    assert float(masses(0.5)[6] / 2**128) == pytest.approx(at_zero, rel=1e-14)
    assert float(masses(0.5)[7] / masses(0.5)[6]) == pytest.approx(math.exp(-2), rel=1e-14)
    assert float(masses(4.0)[48 + 8] / masses(4.0)[48]) == pytest.approx(math.exp(-2), rel=1e-14)


@given(st.integers(0, 2**128 - 1), st.sampled_from([0.5, 4.0, 50.0]))
def test_a_word_becomes_the_number_of_thresholds_at_or_below_it(word: int, sigma: float) -> None:
    table = module._table(Fraction(sigma) ** 2)
    assert invert(table, [word]) == [bisect_right(table.thresholds, word) - table.bound]


@pytest.mark.parametrize("sigma", [0.5, 4.0, 50.0])
def test_a_word_on_a_threshold_is_decided_on_all_bits(sigma: float) -> None:
    # In a draw this path runs once in 2^50 samples.
    table = module._table(Fraction(sigma) ** 2)
    inner = [j for j, threshold in enumerate(table.thresholds) if threshold > 0]
    at = invert(table, [table.thresholds[j] for j in inner])
    below = invert(table, [table.thresholds[j] - 1 for j in inner])
    assert at == [bisect_right(table.thresholds, table.thresholds[j]) - table.bound for j in inner]
    assert below == [bisect_right(table.thresholds, table.thresholds[j] - 1) - table.bound for j in inner]
    assert all(low < high for low, high in zip(below, at, strict=True))


def invert(table: module._Table, words: list[int]) -> list[int]:
    halves = [(word >> 64, word & (2**64 - 1)) for word in words]
    return [int(sample) for sample in table.invert(np.array(halves, np.uint64))]


@pytest.mark.parametrize("sigma", [0.5, 4.0, 1024.0])
def test_the_extreme_words_stay_within_the_table(sigma: float) -> None:
    table = module._table(Fraction(sigma) ** 2)
    assert invert(table, [0, 2**128 - 1]) == [-table.bound, table.bound]
    assert table.is_wide[-1], "a walk would run past the end"


# ------------------------------------------------------------------------------------------------ the composition


@given(st.floats(1024, MAX_SIGMA, exclude_min=True, exclude_max=True))
def test_two_tables_compose_to_the_variance_exactly_and_to_the_law_within_two_to_minus_250(sigma: float) -> None:
    parts = split(sigma)
    assert parts.fine_variance + parts.factor**2 * parts.coarse_variance == Fraction(sigma) ** 2
    width_square = parts.fine_variance * parts.coarse_variance / Fraction(sigma) ** 2
    assert math.log2(4) - 2 * math.pi**2 * float(width_square) / math.log(2) < -250


@pytest.mark.parametrize("width", [0.5, 0.7, 0.9])
def test_the_bound_on_the_composition_holds_and_is_no_exaggeration(width: float) -> None:
    # At widths where the error is large enough to be seen; the sampler's is about 3.
    factor, coarse = 9, 30.0
    fine = width * factor / math.sqrt(1 - (width / coarse) ** 2)
    sigma = math.hypot(fine, factor * coarse)
    spread = np.zeros(2 * 400 * factor + 1)
    spread[::factor] = law(coarse, 400)
    composed = np.convolve(law(fine, 200), spread)
    middle, reach = 200 + 400 * factor, int(5 * sigma)
    within = slice(middle - reach, middle + reach)
    worst = float(np.abs(composed[within] / law(sigma, middle)[within] - 1).max())
    bound = 4 * math.exp(-2 * math.pi**2 * width**2)
    assert bound / 4 < worst < bound


def law(sigma: float, bound: int) -> NDArray[np.float64]:
    k = np.arange(-bound, bound + 1, dtype=np.float64)
    weights = np.exp(-(k**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def test_the_total_variation_is_the_known_answer() -> None:
    assert total_variation(10**8, sigma_steps=2.0**18) == pytest.approx(7.2e-25, rel=0.01)


def test_no_sample_of_the_largest_law_can_leave_an_int32() -> None:
    parts = split(math.nextafter(MAX_SIGMA, 0))
    assert 2 * (module._bound(parts.fine_variance) + parts.factor * module._bound(parts.coarse_variance)) < 2**31


# ------------------------------------------------------------------------------------------------ goodness of fit


def limit(freedom: int) -> float:
    """What a chi-square passes with a probability of ``FALSE_ALARM`` (Wilson and Hilferty's approximation)."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + NormalDist().inv_cdf(1 - FALSE_ALARM) * math.sqrt(part)) ** 3


def misfit(samples: NDArray[np.int64], sigma: float) -> float:
    """The chi-square of ``samples`` over its limit, in cells of a quarter sigma; thin cells join the outermost one."""
    bound, width = math.ceil(8 * sigma), max(1, int(sigma / 4))
    cell_of = np.arange(2 * bound + 1) // width
    expected = np.bincount(cell_of, weights=law(sigma, bound)) * samples.size
    solid = np.flatnonzero(expected >= 20)
    first, last = int(solid[0]), int(solid[-1])
    pooled = expected[first : last + 1].copy()
    pooled[0] += expected[:first].sum()
    pooled[-1] += expected[last + 1 :].sum()
    cells = np.clip((samples + bound) // width, first, last) - first
    seen = np.bincount(cells, minlength=pooled.size)
    return float(((seen - pooled) ** 2 / pooled).sum()) / limit(pooled.size - 1)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_samples_fit_the_law(sigma: float) -> None:
    assert misfit(draw(sigma), sigma) < 1


def rounded(sigma: float) -> NDArray[np.int64]:
    return np.rint(sigma * standard_normal(COUNT, key=KEY).astype(np.float64)).astype(np.int64)


CONTROLS: list[tuple[str, float, Callable[[], NDArray[np.int64]]]] = [
    ("a rounded continuous Gaussian of the same sigma", 0.7, lambda: rounded(0.7)),
    ("a rounded continuous Gaussian 1 % wider", 50, lambda: rounded(50.5)),
    ("a discrete Gaussian 1 % narrower", 4, lambda: draw(3.96)),
    ("a tail cut at 3.5 sigma", 4, lambda: draw(4)[np.abs(draw(4)) <= 14]),
    ("values moved by one hundredth of sigma", 1000, lambda: draw(1000) + 10),
    ("zero drawn 5 % too rarely", 4, lambda: np.delete(draw(4), np.flatnonzero(draw(4) == 0)[::20])),
]


@pytest.mark.parametrize(("sigma", "samples"), [case[1:] for case in CONTROLS], ids=[case[0] for case in CONTROLS])
def test_the_goodness_of_fit_test_finds(sigma: float, samples: Callable[[], NDArray[np.int64]]) -> None:
    assert misfit(samples(), sigma) > 1


def residue_misfit(samples: NDArray[np.int64], factor: int) -> float:
    seen, expected = np.bincount(samples % factor, minlength=factor), samples.size / factor
    return float(((seen - expected) ** 2 / expected).sum()) / limit(factor - 1)


def test_every_whole_number_is_reached_above_one_table() -> None:
    factor = split(396_703).factor
    assert residue_misfit(draw(396_703), factor) < 1
    assert residue_misfit(draw(396_703) // factor * factor, factor) > 1, "multiples alone must be found"


@pytest.mark.parametrize("sigma", SIGMAS)
def test_mean_variance_and_signs_are_those_of_the_law(sigma: float) -> None:
    samples = draw(sigma).astype(np.float64)
    bound = math.ceil(12 * sigma)
    variance = float((law(sigma, bound) * np.arange(-bound, bound + 1.0) ** 2).sum())
    assert abs(samples.mean()) < 5 * math.sqrt(variance / COUNT)
    assert abs((samples**2).mean() / variance - 1) < 5 * math.sqrt(max(2.0, 1 / variance) / COUNT)
    assert abs(int((samples > 0).sum()) - int((samples < 0).sum())) < 5 * math.sqrt(COUNT)


def test_neighbours_are_not_correlated() -> None:
    samples = draw(396_703, 100_000).astype(np.float64)
    for shift in (1, 2, 16_384):
        assert abs(np.corrcoef(samples[:-shift], samples[shift:])[0, 1]) < 5 / (100_000 - shift) ** 0.5


# ------------------------------------------------------------------------------------------------ keys and bounds


@pytest.mark.parametrize("count", [0, 1, 16_383, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("sigma", [4, 5000])
def test_a_longer_draw_starts_with_the_shorter_one(count: int, sigma: int) -> None:
    samples = discrete_gaussian(count, sigma_steps=sigma, key=KEY)
    assert samples.dtype == np.int32
    assert np.array_equal(samples, draw(sigma, 50_000)[:count])


def test_the_default_is_a_fresh_key_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(count: int) -> bytes:
        asked.append(count)
        return KEY

    monkeypatch.setattr(os, "urandom", counted)
    for sigma in (4, 5000):
        assert discrete_gaussian(9, sigma_steps=sigma).tolist() == draw(sigma, 9).tolist()
    assert asked == [32, 32], "one key of 32 bytes for each vector"


def test_draws_of_the_systems_key_never_repeat() -> None:
    one, other = (discrete_gaussian(8, sigma_steps=1e6).tolist() for _ in range(2))
    assert one != other


@pytest.mark.parametrize("sigma", [0.0, 0.49, -4.0, MAX_SIGMA, float("inf"), float("nan")])
def test_a_sigma_outside_its_range_is_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match="sigma_steps"):
        discrete_gaussian(1, sigma_steps=sigma, key=KEY)


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused_without_showing_it(key: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^a noise key has 32 bytes$"):
        discrete_gaussian(1, sigma_steps=4, key=key)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ConfigError, match="count = -1"):
        discrete_gaussian(-1, sigma_steps=4)
