"""Mode ``distributed``: every site adds its share of the noise inside the ring, and only the sum is private.

A site's vector of one round, S being the sum of its sampled units' gradients, each clipped to C, and s = 2^k / C::

    r = ⌊s · clip(S, −M, M) + dither⌋        M = 2^b / s, by default 32 C
    x = r + N_Z(0, σ_loc²)   modulo 2^32     per coordinate, no floating-point noise anywhere

For a fixed dither one unit moves r by at most Δ₂ = s·C + √D in L2: a coordinate whose scaled value moves by δ moves by
less than |δ| + 1, and the clip is a projection. Of n sites at most d drop out and n_C tell the server their noise, so h
honest shares are in every sum (``common.secagg.thresholds``); σ_loc is the least whole number for which those alone
carry the noise. For σ_loc ≥ 4 the sum of h shares is, to a factor of 1 ± 1e-67 per coordinate, a discrete Gaussian of
variance h·σ_loc² (paper: Kairouz, Liu, Steinke 2021), and that one a random rounding, of variance 16, of a continuous
Gaussian of variance h·σ_loc² − 16 (derived by Poisson summation). Rounding is post-processing. Hence the event
``PoissonGaussian(q, z_eff, 1)`` with z_eff = √(h·σ_loc² − 16) / Δ₂; neighbours differ by one unit at one site.

Guarantee: against everyone outside the h honest sites who sees nothing but the sum; it falls if a site's own vector is
seen. Whoever sums S must keep what one unit adds to it, in float64, at a norm of at most C; the 1e-5 by which the
engine clips below C pays for the rounding of that sum. The rounding of S / C in here is counted in σ_loc.

A unit that may be on file at m sites moves the sum by up to m·Δ₂, and each site draws it for itself. The noise is made
m times as large. Split its variance into m equal parts, one for each of the sites that may hold the unit: then the sum
is a function of m releases, each with the noise z·√m in units of Δ₂, and that is what is booked (derived).

Not handled here: masks, sending, and which numbers a plan prescribes for a cohort (``common.distributed_terms``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedward.common import _validate
from fedward.common.errors import ConfigError
from fedward.common.privacy.accounting import NOISE_RANGE, PoissonGaussian
from fedward.common.privacy.discrete_gaussian import MAX_SIGMA, discrete_gaussian
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.ring import RING_BITS, Quantiser, RingVector, add_into
from fedward.common.secagg.thresholds import MIN_HONEST, Profile, min_honest_sites

SCALE_LOG2 = 20
"""Steps per clip norm: the rounding of a million coordinates costs 0.1 % of the noise."""
CLAMP_CLIPS_LOG2 = 5
"""M = 32 C."""
MIN_SIGMA_STEPS = 4
"""From here on a sum of discrete Gaussians and a rounded continuous one cannot be told apart."""
SMOOTHING_VARIANCE = 16
MAX_ROUNDING_COST = Fraction(1, 100)
HEADROOM_SIGMAS = 10
CLIP_RANGE = (1e-30, 1e30)
"""Where no product of this module leaves the normal range of float64."""
_ROOT_BITS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class RingMechanism:
    """One step of mode ``distributed``, the same at all sites and at the server.

    Args:
        num_coordinates: D.
        num_sites: n, the cohort.
        num_honest: h, the honest shares in every sum that can be opened; 2 … n.
        clip_norm: C, the L2 bound per unit.
        noise_multiplier: z, which the honest shares carry at least.
        scale_log2: k; 2^k steps are one clip norm.
        clamp_log2: b; no coordinate exceeds 2^b steps before noise.
        max_sites_per_unit: m, at how many sites one unit may have records.

    Raises:
        ConfigError: at construction, for numbers that are impossible, for a scale at which rounding costs over 1 % of
            the noise, and for sums that might leave the ring.
    """

    num_coordinates: int
    num_sites: int
    num_honest: int
    clip_norm: float
    noise_multiplier: float
    scale_log2: int
    clamp_log2: int
    max_sites_per_unit: int = 1

    def __post_init__(self) -> None:
        for name in ("num_coordinates", "num_sites", "num_honest", "scale_log2", "clamp_log2", "max_sites_per_unit"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:  # not isinstance: true is no count
                raise ConfigError(f"{name} = {value!r}: expected a whole number of at least 1")
        if not CLIP_RANGE[0] <= self.clip_norm <= CLIP_RANGE[1]:  # this way round NaN is refused
            raise ConfigError(f"clip_norm = {self.clip_norm!r}: expected a number from 1e-30 to 1e30")
        if not NOISE_RANGE[0] <= self.noise_multiplier <= NOISE_RANGE[1]:
            raise ConfigError(f"noise_multiplier = {self.noise_multiplier!r}: expected a number from 0.01 to 1e6")
        if not MIN_HONEST <= self.num_honest <= self.num_sites:
            raise ConfigError(f"num_honest = {self.num_honest}: expected {MIN_HONEST} to {self.num_sites}")
        if self.scale_log2 >= RING_BITS or self.num_coordinates > (MAX_ROUNDING_COST * (1 << self.scale_log2)) ** 2:
            raise ConfigError(
                f"2^{self.scale_log2} steps per clip norm are too coarse: rounding {self.num_coordinates} coordinates "
                f"would cost more than {float(MAX_ROUNDING_COST):.0%} of the noise",
                hint=f"Use a scale of 2^{SCALE_LOG2} steps.",
            )
        if not self.sigma_steps < MAX_SIGMA:
            raise ConfigError(f"noise of {self.sigma_steps} steps a site leaves the ring: lower noise or scale")
        # One more step a site than the clamp: the room of an unclamped rounding, as the design counts it.
        self.quantiser.check_no_overflow(self.num_sites, noise_steps=self.num_sites + self.noise_steps)

    @property
    def quantiser(self) -> Quantiser:
        """Of S / C."""
        return Quantiser(scale_log2=self.scale_log2, clamp_log2=self.clamp_log2)

    @property
    def scale(self) -> float:
        """Steps per unit of gradient, s = 2^k / C."""
        return 2.0**self.scale_log2 / self.clip_norm

    @property
    def clamp(self) -> float:
        """M, in units of gradient."""
        return 2.0 ** (self.clamp_log2 - self.scale_log2) * self.clip_norm

    @property
    def sensitivity_steps(self) -> float:
        """m·Δ₂ = m·(s·C + √D)."""
        return self.max_sites_per_unit * (2.0**self.scale_log2 + math.sqrt(self.num_coordinates))

    @property
    def sigma_steps(self) -> int:
        """σ_loc: the least whole number, at least 4, with h·σ_loc² − 16 ≥ (z·Δ₂)², in exact arithmetic."""
        needed = (Fraction(self.noise_multiplier) * self._reach()) ** 2 + SMOOTHING_VARIANCE
        return max(MIN_SIGMA_STEPS, math.isqrt(math.ceil(needed / self.num_honest) - 1) + 1)

    @property
    def noise_steps(self) -> int:
        """Ten standard deviations of the noise of all n sites: passed with a probability of 1.6e-23 a coordinate."""
        return math.isqrt((HEADROOM_SIGMAS * self.sigma_steps) ** 2 * self.num_sites) + 1

    @property
    def effective_noise_multiplier(self) -> float:
        """z_eff, at least z, rounded down: a booking never claims noise that is not there."""
        square = (self.num_honest * self.sigma_steps**2 - SMOOTHING_VARIANCE) / self._reach() ** 2
        root = Fraction(math.isqrt(math.floor(square * 4**_ROOT_BITS)), 2**_ROOT_BITS)
        nearest = float(root)
        return nearest if Fraction(nearest) <= root else math.nextafter(nearest, 0.0)

    def event(self, sample_rate: float) -> PoissonGaussian:
        """What each site books for one round.

        Args:
            sample_rate: q, the same at all sites.
        """
        return poisson_event(sample_rate, self.effective_noise_multiplier, self.max_sites_per_unit)

    def mean_noise_variance(self, num_survivors: int, *, denominator: float) -> float:
        """ν of a coordinate of ``mean_gradient``, for the server optimiser's bias correction; a public number."""
        _validate.positive(num_survivors=num_survivors, denominator=denominator)
        deviation = self.sigma_steps / (self.scale * denominator)
        return num_survivors * (deviation * deviation)  # no power: all machines agree to the bit

    def _reach(self) -> Fraction:
        """m·Δ₂ rounded up, with the float64 rounding of S / C of both neighbours: 2^(b−51) steps a coordinate."""
        root = Fraction(math.isqrt(self.num_coordinates * 4**_ROOT_BITS - 1) + 1, 2**_ROOT_BITS)
        one_site = (1 << self.scale_log2) + root * (1 + Fraction(1 << self.clamp_log2, 1 << 51))
        return self.max_sites_per_unit * one_site


def poisson_event(sample_rate: float, noise_multiplier: float, max_sites_per_unit: int = 1) -> PoissonGaussian:
    """What one release costs a unit that may be at so many sites.

    Args:
        sample_rate: q, of each site.
        noise_multiplier: z, the deviation of the honest noise over m·Δ₂.
        max_sites_per_unit: m.
    """
    count = max_sites_per_unit
    # Rounded down, so that the booking never claims noise that is not there.
    part = noise_multiplier if count == 1 else math.nextafter(noise_multiplier * math.sqrt(count), 0.0)
    while Fraction(part) ** 2 > count * Fraction(noise_multiplier) ** 2:
        part = math.nextafter(part, 0.0)
    return PoissonGaussian(sample_rate=sample_rate, noise_multiplier=part, num_steps=count)


def mechanism_for(
    profile: Profile,
    *,
    num_sites: int,
    max_dropouts: int,
    assumed_colluders: int,
    num_coordinates: int,
    clip_norm: float,
    noise_multiplier: float,
    scale_log2: int = SCALE_LOG2,
    clamp_log2: int | None = None,
    max_sites_per_unit: int = 1,
) -> RingMechanism:
    """The mechanism of a cohort, with h by its profile.

    Args:
        clamp_log2: None takes M = 32 C, or less where n sites would leave no room for noise.

    Raises:
        ConfigError: fewer than two honest sites, or what ``RingMechanism`` refuses.
    """
    honest = min_honest_sites(
        profile, num_sites=num_sites, max_dropouts=max_dropouts, assumed_colluders=assumed_colluders
    )
    return RingMechanism(
        num_coordinates=num_coordinates,
        num_sites=num_sites,
        num_honest=honest,
        clip_norm=clip_norm,
        noise_multiplier=noise_multiplier,
        scale_log2=scale_log2,
        clamp_log2=default_clamp_log2(num_sites, scale_log2) if clamp_log2 is None else clamp_log2,
        max_sites_per_unit=max_sites_per_unit,
    )


def default_clamp_log2(num_sites: int, scale_log2: int = SCALE_LOG2) -> int:
    """B for M = 32 C, or less where n sites would leave no room for noise."""
    return min(scale_log2 + CLAMP_CLIPS_LOG2, RING_BITS - 2 - (num_sites - 1).bit_length())


def round_to_ring(clipped_sum: NDArray[np.float64], mechanism: RingMechanism, *, dither_key: bytes) -> RingVector:
    """r, without noise: not private, and never to leave a site.

    Args:
        clipped_sum: (D,) float64, finite; S, neither divided nor weighted by anything of the site.
        dither_key: 32 fresh bytes, used for this vector alone.

    Returns:
        (D,) uint32; as signed integers within ±2^clamp_log2.

    Raises:
        ConfigError: another shape or dtype, or a value that is not finite.
    """
    if clipped_sum.shape != (mechanism.num_coordinates,) or not np.isfinite(clipped_sum).all():
        raise ConfigError(f"a clipped sum must be one finite vector of {mechanism.num_coordinates} coordinates")
    # Before the division, so that it cannot overflow.
    in_clips = np.clip(clipped_sum, -mechanism.clamp, mechanism.clamp)
    in_clips /= mechanism.clip_norm
    return mechanism.quantiser.quantise_float64(in_clips, dither_key=dither_key)


def noisy_ring_vector(clipped_sum: NDArray[np.float64], mechanism: RingMechanism, *, entropy: Entropy) -> RingVector:
    """x, one site's vector of one round: rounded and noised, still to be masked.

    Args:
        clipped_sum: as for ``round_to_ring``.
        entropy: where the keys of dither and noise come from, in this order, each used for this vector alone.

    Returns:
        (D,) uint32, modulo 2^32.

    Raises:
        ConfigError: as ``round_to_ring``.
    """
    vector = round_to_ring(clipped_sum, mechanism, dither_key=entropy.words(4).tobytes())
    noise = discrete_gaussian(vector.size, sigma_steps=mechanism.sigma_steps, key=entropy.words(4).tobytes())
    add_into(vector, noise.view(np.uint32))
    return vector


def mean_gradient(total: RingVector, mechanism: RingMechanism, *, denominator: float) -> NDArray[np.float64]:
    """The server's ĝ = Σ x / (s·L).

    Args:
        total: (D,) uint32, the ring sum over the survivors.
        denominator: L = q·ΣN₀ over the survivors, from public numbers alone.

    Returns:
        (D,) float64, in units of gradient.

    Raises:
        ConfigError: another shape, or a denominator that is not above zero.
    """
    _validate.positive(denominator=denominator)
    if total.shape != (mechanism.num_coordinates,):
        raise ConfigError(f"a sum must be one vector of {mechanism.num_coordinates} coordinates")
    return mechanism.quantiser.dequantise(total) * (mechanism.clip_norm / denominator)


__all__ = [
    "CLAMP_CLIPS_LOG2",
    "CLIP_RANGE",
    "default_clamp_log2",
    "HEADROOM_SIGMAS",
    "MAX_ROUNDING_COST",
    "mean_gradient",
    "mechanism_for",
    "MIN_SIGMA_STEPS",
    "noisy_ring_vector",
    "poisson_event",
    "RingMechanism",
    "round_to_ring",
    "SCALE_LOG2",
    "SMOOTHING_VARIANCE",
]
