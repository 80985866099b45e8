"""The one source of randomness for privacy: AES-256-CTR, keyed anew by the operating system for every draw.

Noise and sampling decide what a patient's data can be told from, so torch's and numpy's generators never feed them:
both are predictable from a few outputs. A fixed key exists for simulations and tests; ``Entropy.is_private`` tells.

Not handled here: noise inside the ring (discrete Gaussian).
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fedward.common import _keystream
from fedward.common.errors import ConfigError

MIN_SEED_BYTES = 16
_INFO = b"fedward/entropy/1/draw "


def random_words(count: int, *, key: bytes | None = None) -> NDArray[np.uint64]:
    """(count,) uint64, uniform.

    Args:
        count: at least 0.
        key: 32 bytes, for tests and simulations only; None takes a fresh one from the operating system.
    """
    if count < 0:
        raise ConfigError(f"count = {count}: expected at least 0")
    return _keystream.words(_fresh_key() if key is None else key, 2 * count).view("<u8")


DRAWS = 4
"""Normals in a value of noise. The low-order bits of a single floating-point draw betray what it was added to."""


def standard_normal(count: int, *, key: bytes | None = None, draws: int = DRAWS) -> NDArray[np.float32]:
    """(count,) float32 standard normals, by Box-Muller in float64.

    The radius takes a 64-bit word, so the tail reaches 9.42 standard deviations. A value is the sum of ``draws``
    independent ones over the root of their number: the low-order bits of a single floating-point draw betray the value
    that it was added to (papers 2107.10138, 2112.05307), those of a sum of four do not in practice.

    Args:
        count: at least 0.
        key: 32 bytes, for tests and simulations only; None takes a fresh one from the operating system.
        draws: 1 to 64.
    """
    if count < 0 or not 1 <= draws <= 64:
        raise ConfigError(f"count = {count}, draws = {draws}: expected at least 0, and 1 to 64")
    context, buffer = _keystream.stream(_fresh_key() if key is None else key), _keystream.new_buffer()
    pairs = _keystream.CHUNK_WORDS // (4 * draws)  # two 64-bit words, that is four 32-bit ones, make a pair
    out = np.empty(count, np.float32)
    for start in range(0, count, 2 * pairs):
        part = out[start : start + 2 * pairs]
        half = (len(part) + 1) // 2
        words = _keystream.next_words(context, 4 * draws * half, buffer).view("<u8").reshape(2, draws, half)
        first, second = _box_muller(words)
        part[:half], part[half:] = first, second[: len(part) - half]
    return out


def _box_muller(words: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two (n,) arrays of independent normals from (2, draws, n) words.

    Cosine and sine of the angle come from the tangent t of its half, as (1 − t²)/(1 + t²) and 2t/(1 + t²): equal to
    1e-15, and five times as fast, since numpy has vector code for the tangent and the logarithm alone. No float64 is
    a pole: |t| stays below 2e16.
    """
    radius = words[0].astype(np.float64)
    radius += 1.0
    radius *= 2.0**-64  # in (0, 1]: the logarithm is finite
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    tangent = (words[1] >> np.uint64(11)).astype(np.float64)
    tangent *= 2.0**-53 * math.pi
    np.tan(tangent, out=tangent)
    square = tangent * tangent
    square += 1.0
    radius /= square
    tangent *= radius
    np.subtract(2.0, square, out=square)
    square *= radius
    scale = 1.0 / math.sqrt(len(radius))
    return square.sum(axis=0) * scale, tangent.sum(axis=0) * (2.0 * scale)


def _fresh_key() -> bytes:
    return os.urandom(_keystream.KEY_BYTES)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Entropy:
    """Randomness as an argument: whoever samples or adds noise is handed one of these.

    Use ``Entropy.system()``. ``Entropy.seeded`` repeats itself: the same calls in the same order give the same values,
    so whoever knows the key can take the noise away. It is for simulations and tests.
    """

    _key: bytes | None
    _draws: Iterator[int]

    @classmethod
    def system(cls) -> Entropy:
        """Every draw under a fresh key of the operating system, which is then forgotten."""
        return cls(None, itertools.count())

    @classmethod
    def seeded(cls, key: bytes) -> Entropy:
        """Draw n under HKDF(key, n). Never for private data.

        Raises:
            ConfigError: fewer than 16 bytes.
        """
        if len(key) < MIN_SEED_BYTES:
            raise ConfigError(f"a seed needs at least {MIN_SEED_BYTES} bytes")
        return cls(bytes(key), itertools.count())

    @property
    def is_private(self) -> bool:
        """Whether nobody can repeat the draws."""
        return self._key is None

    def normals(self, count: int) -> NDArray[np.float32]:
        """(count,) float32 standard normals."""
        return standard_normal(count, key=self._next_key())

    def words(self, count: int) -> NDArray[np.uint64]:
        """(count,) uniform uint64."""
        return random_words(count, key=self._next_key())

    def _next_key(self) -> bytes | None:
        draw = next(self._draws)
        if self._key is None:
            return None
        info = _INFO + draw.to_bytes(8, "big")
        return HKDF(algorithm=hashes.SHA256(), length=_keystream.KEY_BYTES, salt=None, info=info).derive(self._key)

    def __repr__(self) -> str:
        return "Entropy.system()" if self.is_private else "Entropy.seeded(…)"


__all__ = ["DRAWS", "Entropy", "MIN_SEED_BYTES", "random_words", "standard_normal"]
