"""Mode ``distributed``: the arithmetic, the sensitivity of the rounded vector, and the noise of the sum."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common import _keystream
from fedward.common.errors import ConfigError
from fedward.common.privacy import discrete_gaussian as sampler
from fedward.common.privacy import distributed as module
from fedward.common.privacy.accounting import PoissonGaussian
from fedward.common.privacy.distributed import (
    RingMechanism,
    mean_gradient,
    mechanism_for,
    noisy_ring_vector,
    round_to_ring,
)
from fedward.common.privacy.noise import Entropy, standard_normal
from fedward.common.secagg.ring import RingVector, add_into
from fedward.common.secagg.thresholds import Profile
from tests.strategies import keys

KEY = bytes(range(32))
SMALL = RingMechanism(
    num_coordinates=40, num_sites=5, num_honest=3, clip_norm=0.5, noise_multiplier=1.0, scale_log2=10, clamp_log2=15
)
"""Coarse enough for rounding to be a fair part of the sensitivity: √40 = 6.3 of 1030 steps."""


def mechanism(**changes: Any) -> RingMechanism:  # noqa: ANN401
    """Five sites, one may drop out and one may collude, so three honest shares."""
    settings: dict[str, Any] = {
        "num_sites": 5,
        "max_dropouts": 1,
        "assumed_colluders": 1,
        "num_coordinates": 1000,
        "clip_norm": 0.5,
        "noise_multiplier": 1.0,
    }
    return mechanism_for(Profile.RESILIENT_MALICIOUS, **(settings | changes))


def signed(vector: RingVector) -> NDArray[np.int64]:
    return vector.view(np.int32).astype(np.int64)


def ring_sum(vectors: list[RingVector]) -> RingVector:
    total = np.zeros(vectors[0].size, "<u4")
    for vector in vectors:
        add_into(total, vector)
    return total


def clipped_sums(count: int, size: int, deviation: float) -> list[NDArray[np.float64]]:
    values = standard_normal(count * size, key=KEY).astype(np.float64) * deviation
    return list(values.reshape(count, size))


# ------------------------------------------------------------------------------------------------ the arithmetic


@pytest.mark.parametrize(
    ("profile", "honest", "sigma"), [(Profile.RESILIENT_MALICIOUS, 7, 396_703), (Profile.RESILIENT, 6, 428_488)]
)
def test_the_known_answer_of_the_design(profile: Profile, honest: int, sigma: int) -> None:
    made = mechanism_for(
        profile,
        num_sites=10,
        max_dropouts=2,
        assumed_colluders=1,
        num_coordinates=10**6,
        clip_norm=0.3,
        noise_multiplier=1.0,
    )
    assert (made.num_honest, made.sensitivity_steps, made.sigma_steps) == (honest, 1_049_576.0, sigma)
    assert made.effective_noise_multiplier == pytest.approx(math.sqrt(honest * sigma**2 - 16) / 1_049_576, abs=1e-10)
    assert made.scale == 2**20 / 0.3
    assert made.clamp == 32 * 0.3


def test_the_effective_noise_of_the_known_answer() -> None:
    made = mechanism(num_sites=10, max_dropouts=2, num_coordinates=10**6)
    assert f"{made.effective_noise_multiplier:.7f}" == "1.0000014"


mechanisms = st.builds(
    lambda **settings: settings,
    num_coordinates=st.integers(1, 10**8),
    num_honest=st.integers(2, 64),
    noise_multiplier=st.floats(0.01, 20),
    scale_log2=st.integers(7, 21),
)


def drawn_mechanism(settings: dict[str, Any]) -> RingMechanism:
    assume(settings["num_coordinates"] <= 1e-4 * 4.0 ** settings["scale_log2"])
    try:
        return RingMechanism(**settings, num_sites=64, clip_norm=1.0, clamp_log2=20)
    except ConfigError:  # noise beyond the ring
        assume(False)
        raise


@given(mechanisms)
def test_the_booked_noise_is_there_and_no_step_is_wasted(settings: dict[str, Any]) -> None:
    made = drawn_mechanism(settings)
    # √D rounded down, and the float64 rounding of S / C at the clamp: the least that must be covered.
    root = Fraction(math.isqrt(made.num_coordinates * 10**40), 10**20) * (1 + Fraction(2 ** (20 - 52)))
    reach_squared = (2**made.scale_log2 + root) ** 2
    booked = Fraction(made.effective_noise_multiplier)
    assert booked >= Fraction(made.noise_multiplier)
    assert booked**2 * reach_squared <= made.num_honest * made.sigma_steps**2 - 16
    spare = (Fraction(made.noise_multiplier) * (2**made.scale_log2 + root)) ** 2 * Fraction(1 + 1e-8) + 16
    assert made.sigma_steps == 4 or made.num_honest * (made.sigma_steps - 1) ** 2 < spare


def test_a_share_that_comes_out_whole_still_covers_the_smoothing() -> None:
    # ⌈z·Δ₂ / √h⌉ alone would be 524788 here, and its noise, less 16 of variance, below z.
    made = mechanism(num_sites=7, max_dropouts=2, num_coordinates=10**6)
    assert (made.num_honest, made.sensitivity_steps / 2) == (4, 524_788.0)
    assert made.sigma_steps == 524_789
    assert made.effective_noise_multiplier >= 1.0


def test_a_share_that_would_fall_short_by_the_smoothing_alone_is_a_step_larger() -> None:
    wanted = math.sqrt(4 * 50**2 - 8) / 129
    made = mechanism(num_sites=7, max_dropouts=2, num_coordinates=1, scale_log2=7, noise_multiplier=wanted)
    assert math.sqrt(4 * 50**2 - 16) / 129 < wanted
    assert made.sigma_steps == 51


def test_the_share_never_falls_below_four_steps() -> None:
    made = mechanism(num_coordinates=1, scale_log2=7, noise_multiplier=0.01)
    assert made.sigma_steps == 4
    assert made.effective_noise_multiplier == pytest.approx(math.sqrt(3 * 16 - 16) / 129)


def test_the_event_is_one_poisson_step_with_the_effective_noise() -> None:
    made = mechanism()
    assert made.event(0.1) == PoissonGaussian(
        sample_rate=0.1, noise_multiplier=made.effective_noise_multiplier, num_steps=1
    )


@pytest.mark.parametrize(("sites", "clips"), [(2, 32), (32, 32), (33, 16), (64, 16)])
def test_the_clamp_is_32_clips_or_what_leaves_half_the_ring_to_noise(sites: int, clips: int) -> None:
    made = mechanism_for(
        Profile.STRICT,
        num_sites=sites,
        max_dropouts=0,
        assumed_colluders=0,
        num_coordinates=1000,
        clip_norm=0.5,
        noise_multiplier=1.0,
    )
    assert made.clamp == clips * 0.5


def test_a_plan_may_set_its_own_clamp() -> None:
    assert mechanism(clamp_log2=22).clamp == 4 * 0.5


# ------------------------------------------------------------------------------------------------ refusals


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("one honest site", {"num_honest": 1}, "num_honest"),
    ("more honest sites than sites", {"num_honest": 6}, "num_honest"),
    ("no coordinate", {"num_coordinates": 0}, "num_coordinates"),
    ("half a coordinate", {"num_coordinates": 1.5}, "num_coordinates"),
    ("a truth value for a count", {"num_sites": True}, "num_sites"),
    ("no clip", {"clip_norm": 0.0}, "clip_norm"),
    ("a clip that is no number", {"clip_norm": math.nan}, "clip_norm"),
    ("an infinite clip", {"clip_norm": math.inf}, "clip_norm"),
    ("no noise", {"noise_multiplier": 0.0}, "noise_multiplier"),
    ("noise that is no number", {"noise_multiplier": math.nan}, "noise_multiplier"),
    ("the 16-bit ring's scale", {"num_coordinates": 10**6, "scale_log2": 11}, "too coarse"),
    ("a scale beyond the ring", {"scale_log2": 32}, "too coarse"),
    ("noise beyond the sampler", {"noise_multiplier": 1e6, "scale_log2": 20}, "leaves the ring"),
    ("clamps beyond the ring", {"clamp_log2": 29}, "overflow"),
    ("a clamp that is no ring value", {"clamp_log2": 31}, "does not fit the ring"),
]


@pytest.mark.parametrize(("changes", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_mechanism_is_refused_with(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(SMALL, **changes)


@pytest.mark.parametrize("scale_log2", [7, 10, 20])
def test_rounding_may_cost_one_percent_and_not_one_coordinate_more(scale_log2: int) -> None:
    most = 4**scale_log2 // 10**4
    assert mechanism(num_coordinates=most, scale_log2=scale_log2).sensitivity_steps <= 1.01 * 2**scale_log2
    with pytest.raises(ConfigError, match="too coarse"):
        mechanism(num_coordinates=most + 1, scale_log2=scale_log2)


def test_a_cohort_with_one_honest_site_is_refused() -> None:
    with pytest.raises(ConfigError, match="honest"):
        mechanism_for(
            Profile.STRICT,
            num_sites=3,
            max_dropouts=0,
            assumed_colluders=2,
            num_coordinates=9,
            clip_norm=1.0,
            noise_multiplier=1.0,
        )


FULL = RingMechanism(
    num_coordinates=64, num_sites=3, num_honest=2, clip_norm=0.5, noise_multiplier=40.0, scale_log2=20, clamp_log2=29
)
"""Three clamps of a quarter of the ring's half: the noise has 2^29 steps."""


def test_noise_may_fill_the_room_that_the_clamps_leave_and_not_more() -> None:
    room = 2**31 - 3 * (2**29 + 1)
    edge = room / 10 / math.sqrt(3) * math.sqrt(2) / FULL.sensitivity_steps
    fits = replace(FULL, noise_multiplier=edge * (1 - 1e-6))
    assert 10 * fits.sigma_steps * math.sqrt(3) == pytest.approx(room, rel=2e-6)
    with pytest.raises(ConfigError, match="overflow"):
        replace(FULL, noise_multiplier=edge * (1 + 1e-6))


def test_the_room_is_counted_to_the_step() -> None:
    full = replace(FULL, num_sites=64, num_honest=64, clamp_log2=24)
    fits, too_much = (2**30 // 80 - 1, 2**30 // 80)  # 80σ + 1 steps of noise beside 64 · (2^24 + 1)
    multiplier = 8 / full.sensitivity_steps
    assert replace(full, noise_multiplier=(fits - 0.5) * multiplier).sigma_steps == fits
    with pytest.raises(ConfigError, match="overflow"):
        replace(full, noise_multiplier=(too_much - 0.5) * multiplier)


# ------------------------------------------------------------------------------------------------ one site's vector


@st.composite
def sums(draw: st.DrawFn) -> NDArray[np.float64]:
    """(40,) float64, beyond the clamp too."""
    values = st.floats(-2 * SMALL.clamp, 2 * SMALL.clamp, allow_subnormal=False)
    return np.array(draw(st.lists(values, min_size=40, max_size=40)))


@st.composite
def units(draw: st.DrawFn) -> NDArray[np.float64]:
    """(40,) float64 of norm C, less the engine's margin; a few coordinates or all."""
    values = np.array(draw(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=40, max_size=40)))
    norm = float(np.linalg.norm(values))
    assume(norm > 1e-6)
    return np.asarray(values * (SMALL.clip_norm * (1 - 1e-5) / norm))


@given(sums(), keys)
def test_a_rounded_coordinate_is_less_than_a_step_off_and_within_the_clamp(
    clipped_sum: NDArray[np.float64], key: bytes
) -> None:
    rounded = signed(round_to_ring(clipped_sum, SMALL, dither_key=key))
    exact = np.clip(clipped_sum, -SMALL.clamp, SMALL.clamp) * SMALL.scale
    assert np.all(np.abs(rounded - exact) < 1 + 1e-9)
    assert np.abs(rounded).max() <= 2**15


@given(sums(), units(), keys)
def test_one_unit_moves_the_rounded_vector_by_at_most_the_sensitivity(
    clipped_sum: NDArray[np.float64], unit: NDArray[np.float64], key: bytes
) -> None:
    without = signed(round_to_ring(clipped_sum, SMALL, dither_key=key))
    with_unit = signed(round_to_ring(clipped_sum + unit, SMALL, dither_key=key))
    assert np.linalg.norm(with_unit - without) <= SMALL.sensitivity_steps
    assert np.all(np.abs(with_unit - without) < np.abs(unit) * SMALL.scale + 1 + 1e-9)


def test_the_sensitivity_is_reached_so_the_root_of_d_is_needed() -> None:
    # Each coordinate a hair beyond 129 steps, from just below a rounding edge: it moves by 130.
    worst = replace(SMALL, num_coordinates=63, clip_norm=1.0)
    edge = (_keystream.words(KEY, 63) >> np.uint32(8)).astype(np.float64) * 2.0**-24
    unit = np.full(63, 1 / math.sqrt(63))
    without = signed(round_to_ring(edge / 2**10, worst, dither_key=KEY))
    moved = np.linalg.norm(signed(round_to_ring(edge / 2**10 + unit, worst, dither_key=KEY)) - without)
    assert 0.999 * worst.sensitivity_steps < moved <= worst.sensitivity_steps


def test_single_steps_count_up_to_the_clamp() -> None:
    # In float32 they are two steps wide there, and a coordinate that moves by one could move by two.
    made = mechanism(num_coordinates=5)
    near = made.clamp - np.arange(5.0) / made.scale
    assert signed(round_to_ring(near, made, dither_key=KEY)).tolist() == [2**25 - k for k in range(5)]


def test_a_vector_is_rounding_plus_noise_under_two_keys() -> None:
    made = mechanism(num_coordinates=50)
    clipped_sum = clipped_sums(1, 50, 0.01)[0]
    vector = noisy_ring_vector(clipped_sum, made, entropy=Entropy.seeded(KEY))
    entropy = Entropy.seeded(KEY)
    dither_key, noise_key = entropy.words(4).tobytes(), entropy.words(4).tobytes()
    rounded = round_to_ring(clipped_sum, made, dither_key=dither_key)
    noise = sampler.discrete_gaussian(50, sigma_steps=made.sigma_steps, key=noise_key)
    assert dither_key != noise_key
    assert vector.dtype == np.uint32
    assert np.array_equal(vector, rounded + noise.view(np.uint32))


def test_every_vector_takes_fresh_keys_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = os.urandom

    def counted(count: int) -> bytes:
        asked.append(count)
        return real(count)

    monkeypatch.setattr(os, "urandom", counted)
    one, other = (noisy_ring_vector(np.zeros(1000), mechanism(), entropy=Entropy.system()) for _ in range(2))
    assert asked == [32] * 4
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "clipped_sum",
    [np.zeros(39), np.zeros((40, 1)), np.zeros(40, np.float32), np.full(40, np.nan), np.full(40, -np.inf)],
    ids=["short", "matrix", "float32", "nan", "inf"],
)
def test_a_sum_that_is_not_one_finite_float64_vector_is_refused(clipped_sum: NDArray[np.float64]) -> None:
    with pytest.raises(ConfigError, match="finite"):
        noisy_ring_vector(clipped_sum, SMALL, entropy=Entropy.seeded(KEY))


def test_the_largest_float_is_clamped_without_a_warning() -> None:
    most = np.full(40, np.finfo(np.float64).max)
    assert signed(round_to_ring(-most, SMALL, dither_key=KEY)).tolist() == [-(2**15)] * 40


# ------------------------------------------------------------------------------------------------ the sum


def test_without_noise_the_ring_gives_the_pooled_clipped_sum_within_n_steps() -> None:
    made = mechanism(num_coordinates=5000)
    sites = clipped_sums(5, 5000, made.clip_norm)
    entropy = Entropy.seeded(KEY)
    vectors = [round_to_ring(site, made, dither_key=entropy.words(4).tobytes()) for site in sites]
    pooled = mean_gradient(ring_sum(vectors), made, denominator=1.0)
    assert np.abs(pooled - np.sum(sites, axis=0)).max() <= 5 / made.scale


def noise_of_sum(made: RingMechanism, noised: int, silent: int = 0) -> NDArray[np.float64]:
    """What the noise of a sum is, in steps, if ``silent`` of its sites forget theirs."""
    sites = clipped_sums(noised + silent, made.num_coordinates, made.clip_norm)
    entropy = Entropy.seeded(KEY)
    vectors = [noisy_ring_vector(site, made, entropy=entropy) for site in sites[:noised]]
    vectors += [round_to_ring(site, made, dither_key=entropy.words(4).tobytes()) for site in sites[noised:]]
    return np.asarray(signed(ring_sum(vectors)) - np.sum(sites, axis=0) * made.scale)


def test_after_one_dropout_the_noise_has_the_variance_of_the_survivors() -> None:
    made = mechanism(num_coordinates=100_000)
    expected = 4 * made.sigma_steps**2
    assert float(noise_of_sum(made, 4).var()) == pytest.approx(expected, rel=0.05)
    assert float(noise_of_sum(made, 3, silent=1).var()) != pytest.approx(expected, rel=0.05), "must be found"


def test_the_honest_shares_alone_carry_the_noise_of_the_plan() -> None:
    made = mechanism(num_coordinates=100_000, noise_multiplier=0.7)
    alone = noise_of_sum(made, made.num_honest, silent=2)
    assert float(alone.std()) / made.sensitivity_steps == pytest.approx(0.7, rel=0.01)
    assert made.num_honest == 3


def test_the_noise_of_the_mean_gradient_has_the_stated_variance() -> None:
    made = mechanism(num_coordinates=100_000)
    entropy = Entropy.seeded(KEY)
    total = ring_sum([noisy_ring_vector(np.zeros(100_000), made, entropy=entropy) for _ in range(4)])
    mean = mean_gradient(total, made, denominator=12.5)
    assert float(mean.var()) == pytest.approx(made.mean_noise_variance(4, denominator=12.5), rel=0.05)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_sums_at_the_bound_do_not_wrap(sign: float) -> None:
    far = np.full(64, sign * 1e6)
    rounded = [round_to_ring(far, FULL, dither_key=KEY) for _ in range(3)]
    largest = np.full(64, int(sign) * FULL.noise_steps, np.int32).view(np.uint32)
    total = mean_gradient(ring_sum([*rounded, largest]), FULL, denominator=1.0)
    assert total == pytest.approx(sign * (3 * FULL.clamp + FULL.noise_steps / FULL.scale))
    entropy = Entropy.seeded(KEY)
    drawn = mean_gradient(
        ring_sum([noisy_ring_vector(far, FULL, entropy=entropy) for _ in range(3)]), FULL, denominator=1.0
    )
    assert np.abs(drawn - sign * 3 * FULL.clamp).max() < FULL.noise_steps / FULL.scale


def test_the_mean_gradient_is_the_sum_over_scale_and_denominator() -> None:
    total = np.array([2**10, -(2**10), 3, 0] * 10, np.int32).view(np.uint32)
    assert mean_gradient(total, SMALL, denominator=4.0)[:4].tolist() == [0.125, -0.125, 3 / 2**13, 0.0]


@pytest.mark.parametrize("denominator", [0.0, -1.0, math.nan, math.inf])
def test_a_denominator_that_cannot_be_is_refused(denominator: float) -> None:
    with pytest.raises(ConfigError, match="denominator"):
        mean_gradient(np.zeros(40, "<u4"), SMALL, denominator=denominator)


def test_a_sum_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="40 coordinates"):
        mean_gradient(np.zeros(39, "<u4"), SMALL, denominator=1.0)


# ------------------------------------------------------------------------------------------------ the booked event


def shares(variance: int, count: int) -> NDArray[np.float64]:
    """The law of the sum of ``count`` samples of the sampler's own table."""
    thresholds = sampler._table(Fraction(variance)).thresholds
    one = np.array([int(mass) / 2**128 for mass in np.diff(np.array([0, *thresholds, 1 << 128], dtype=object))])
    total = one
    for _ in range(count - 1):
        total = np.convolve(total, one)
    return total


def sampled_moment(law: NDArray[np.float64], shift: int, sample_rate: float, order: int) -> float:
    """E over the law of (1 − q + q·ratio)^order, ratio being that of the law moved by ``shift`` to the law."""
    present = np.flatnonzero(law > 0)
    moved = np.concatenate([np.zeros(shift), law[:-shift]])
    ratio = moved[present] / law[present]
    return math.fsum(law[present] * (1 - sample_rate + sample_rate * ratio) ** order)


def continuous_moment(variance: float, shift: int, sample_rate: float, order: int) -> float:
    """The same of a continuous Gaussian, in closed form (Mironov, Talwar, Zhang 2019)."""
    return math.fsum(
        math.comb(order, k)
        * (1 - sample_rate) ** (order - k)
        * sample_rate**k
        * math.exp(k * (k - 1) * shift**2 / (2 * variance))
        for k in range(order + 1)
    )


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("sample_rate", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_sampled_moments_of_a_sum_of_shares_are_the_continuous_ones(count: int, sample_rate: float, order: int) -> None:
    moment = sampled_moment(shares(16, count), 4, sample_rate, order)
    assert moment == pytest.approx(continuous_moment(16 * count, 4, sample_rate, order), rel=1e-12)
    if count > 1:
        assert moment < continuous_moment(16 * count - 16, 4, sample_rate, order), "the booked event is above"


def test_exported_names_are_sorted() -> None:
    assert module.__all__ == sorted(set(module.__all__) & set(dir(module)), key=str.casefold)
