"""The discrete Gaussian N_Z(0, σ²): whole-number noise for the ring, P(k) proportional to exp(−k² / 2σ²).

No floating-point number is ever drawn, so the attack on the low-order bits of floating-point noise has no object here.

* Up to ``DIRECT_SIGMA_MAX``: a cumulative table of 128-bit thresholds, computed with 70 decimal digits. A sample
  is the number of thresholds at or below a uniform 128-bit word of an AES-256-CTR stream. The fast path compares the
  high 64 bits; the low 64 are looked at on a tie, about once in 2^50 samples.
* Above: X = X₁ + K·X₂ from two such tables with σ₁ = 3K and σ₁² + K²·σ₂² = σ², exactly. Completing the square shows the
  law of X to be the true one times a factor within 1 ± 4·exp(−2π²·(σ₁σ₂/σ)²), less than 2^−250 off one (derived).

What is left is the tables' own error, which ``total_variation`` bounds. Table look-ups take no constant time: that
matters to whoever can time single look-ups on the site's own machine.

Not handled here: how much noise is needed (``common.privacy.distributed``).
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fedward.common import _keystream
from fedward.common.errors import ConfigError

MIN_SIGMA = 0.5
MAX_SIGMA = 2**26
"""Not included. Below it no sample leaves an int32, by a factor of two and more."""
DIRECT_SIGMA_MAX = 1024
TAIL_SIGMAS = 12
"""Where a table ends; the mass beyond, on both sides, is 3.6e-33 of the law."""

_WORD_BITS = 128
_WORDS_PER_SAMPLE = _WORD_BITS // 32
_SAMPLES_PER_CHUNK = _keystream.CHUNK_WORDS // _WORDS_PER_SAMPLE
_DIGITS = 70
"""The recursion over k loses at most 12 digits at the largest bound, and 128 bits are 39."""
_GUIDE_BITS = 15
_MAX_WALK = 3
_INFO = b"fedward/dgauss/v1/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """How a law is put together: X = X₁ + ``factor``·X₂, both discrete Gaussians; one of them if ``factor`` is 0."""

    fine_variance: Fraction
    factor: int
    coarse_variance: Fraction


def discrete_gaussian(count: int, *, sigma_steps: float, key: bytes | None = None) -> NDArray[np.int32]:
    """(count,) int32, independent samples of N_Z(0, ``sigma_steps``²).

    Args:
        count: at least 0.
        sigma_steps: the law's σ in steps of the ring, 0.5 to 2^26; a float is taken at its exact value.
        key: 32 bytes, for tests and simulations only; None takes a fresh one from the operating system.

    Raises:
        ConfigError: a number outside its range, NaN, or a key of another length.
    """
    if count < 0:
        raise ConfigError(f"count = {count}: expected at least 0")
    parts = split(sigma_steps)
    if key is None:
        key = os.urandom(_keystream.KEY_BYTES)
    if len(key) != _keystream.KEY_BYTES:
        raise ConfigError(f"a noise key has {_keystream.KEY_BYTES} bytes")
    samples = _table(parts.fine_variance).draw(count, _subkey(key, b"fine"))
    if parts.factor:
        coarse = _table(parts.coarse_variance).draw(count, _subkey(key, b"coarse"))
        coarse *= np.int32(parts.factor)
        samples += coarse
    return samples


def split(sigma_steps: float) -> Parts:
    """The exact composition of a law.

    Raises:
        ConfigError: ``sigma_steps`` outside [0.5, 2^26).
    """
    if not MIN_SIGMA <= sigma_steps < MAX_SIGMA:  # this way round NaN is refused
        raise ConfigError(f"sigma_steps = {sigma_steps!r}: expected a number from {MIN_SIGMA} to below {MAX_SIGMA}")
    variance = Fraction(sigma_steps) ** 2
    if sigma_steps <= DIRECT_SIGMA_MAX:
        return Parts(fine_variance=variance, factor=0, coarse_variance=Fraction(0))
    factor = math.ceil(math.sqrt(sigma_steps / 3))
    fine = Fraction(9 * factor**2)
    return Parts(fine_variance=fine, factor=factor, coarse_variance=(variance - fine) / factor**2)


def total_variation(count: int, *, sigma_steps: float) -> float:
    """Upper bound on the distance of ``count`` samples from the exact law. A δ grows by at most (1 + e^ε) times it."""
    parts = split(sigma_steps)
    variances = [parts.fine_variance] + ([parts.coarse_variance] if parts.factor else [])
    tail = math.erfc(TAIL_SIGMAS / math.sqrt(2))
    # Each threshold is rounded down by less than 2^-128 and moves that much mass to a neighbour.
    one = sum((2 * _bound(variance) + 1) * 2.0**-_WORD_BITS + tail for variance in variances)
    return count * (one + 2.0**-250)


def _bound(variance: Fraction) -> int:
    """The least whole number of at least 12 standard deviations."""
    square = math.ceil(TAIL_SIGMAS**2 * variance)
    return math.isqrt(square - 1) + 1


def _thresholds(variance: Fraction, bound: int) -> tuple[int, ...]:
    """P(X ≤ k)·2^128, rounded down, for k = −bound … bound − 1."""
    with localcontext() as context:
        context.prec = _DIGITS
        ratio = (-Decimal(variance.denominator) / (2 * Decimal(variance.numerator))).exp()
        # exp(-k²/2σ²) by the recursion k² -> (k + 1)² = k² + (2k + 1)
        step, square, weight, weights = ratio, ratio * ratio, Decimal(1), []
        for _ in range(bound + 1):
            weights.append(weight)
            weight, step = weight * step, step * square
        scale, running, thresholds = Decimal(2) ** _WORD_BITS / (2 * sum(weights) - 1), Decimal(0), []
        for k in range(-bound, bound):
            running += weights[abs(k)]
            thresholds.append(int(running * scale))
    return tuple(thresholds)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """Inversion of the law on −bound … bound, with T = 2·bound thresholds."""

    bound: int
    thresholds: tuple[int, ...]
    """Sorted; whole numbers below 2^128."""
    high: NDArray[np.uint64]
    """(T,) their high 64 bits."""
    guide: NDArray[np.int32]
    """(2^15,) how many of ``high`` are at or below the start of a bin of the word's top bits."""
    is_wide: NDArray[np.bool_]
    """(2^15,) whether a bin holds so many thresholds, as in the tails, that it is searched instead of walked."""

    def draw(self, count: int, key: bytes) -> NDArray[np.int32]:
        """(count,) int32; sample i is made of block i of the stream, so a longer draw starts with a shorter one."""
        context, buffer = _keystream.stream(key), _keystream.new_buffer()
        out = np.empty(count, np.int32)
        for start in range(0, count, _SAMPLES_PER_CHUNK):
            part = out[start : start + _SAMPLES_PER_CHUNK]
            words = _keystream.next_words(context, _WORDS_PER_SAMPLE * part.size, buffer)
            part[:] = self.invert(words.view("<u8").reshape(-1, 2))
        return out

    def invert(self, words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """(m,) samples of (m, 2) words, high half first: how many thresholds are at or below, less ``bound``."""
        high_words = np.ascontiguousarray(words[:, 0])
        bins = (high_words >> np.uint64(64 - _GUIDE_BITS)).astype(np.intp)
        index = self.guide[bins]
        for _ in range(_MAX_WALK):
            index += self.high.take(index, mode="clip") <= high_words
        # The last bin, where a walk would run past the end, is among these: it holds a whole tail.
        wide = np.flatnonzero(self.is_wide[bins])
        index[wide] = np.searchsorted(self.high, high_words[wide], side="right")
        for tie in np.flatnonzero(self.high[np.maximum(index, 1) - 1] == high_words):
            index[tie] = bisect_right(self.thresholds, int(words[tie, 0]) << 64 | int(words[tie, 1]))
        index -= np.int32(self.bound)
        return index


@lru_cache(maxsize=8)
def _table(variance: Fraction) -> _Table:
    bound = _bound(variance)
    thresholds = _thresholds(variance, bound)
    high = np.array([threshold >> 64 for threshold in thresholds], np.uint64)
    edges = np.arange(1 << _GUIDE_BITS, dtype=np.uint64) << np.uint64(64 - _GUIDE_BITS)
    guide = np.searchsorted(high, edges, side="right").astype(np.int32)
    is_wide = np.diff(guide, append=np.int32(high.size)) > _MAX_WALK
    return _Table(bound=bound, thresholds=thresholds, high=high, guide=guide, is_wide=is_wide)


def _subkey(key: bytes, part: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_keystream.KEY_BYTES, salt=None, info=_INFO + part).derive(key)


__all__ = [
    "DIRECT_SIGMA_MAX",
    "discrete_gaussian",
    "MAX_SIGMA",
    "MIN_SIGMA",
    "Parts",
    "split",
    "TAIL_SIGMAS",
    "total_variation",
]
