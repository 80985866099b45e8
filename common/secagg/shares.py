"""Shamir shares of 32-byte secrets over GF(2^256 + 297) (Shamir 1979, "How to Share a Secret").

The prime is the smallest above 2^256, so any 32 bytes are a field element and a share has 33 bytes. A holder's
x-coordinate is its position among the holders plus one. Any ``threshold`` shares give the secret; fewer say nothing.

Not handled here: whether a share is true. Whoever joins shares MUST check the result against the dealer's public key or
commitment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

PRIME = (1 << 256) + 297
SECRET_BYTES = 32
SHARE_BYTES = 33
_COEFFICIENT_BYTES = 48
_PRIME_BYTES = PRIME.to_bytes(SHARE_BYTES, "big")

RandomBytes = Callable[[int], bytes]
"""Gives so many fresh random bytes."""


def random_coefficients(threshold: int, random_bytes: RandomBytes) -> tuple[int, ...]:
    """The threshold − 1 coefficients above the constant: 48 random bytes mod p each, so the bias is below 2^−127."""
    return tuple(int.from_bytes(random_bytes(_COEFFICIENT_BYTES), "big") % PRIME for _ in range(threshold - 1))


def split(secret: bytes, *, num_shares: int, coefficients: Sequence[int]) -> tuple[bytes, ...]:
    """The shares at x = 1 … ``num_shares``, 33 bytes each, big-endian.

    Args:
        secret: 32 bytes.
        num_shares: at least the threshold, which is one more than there are coefficients.
        coefficients: from ``random_coefficients``, used for this secret alone.

    Raises:
        ValueError: another length, or fewer shares than the threshold.
    """
    if len(secret) != SECRET_BYTES or num_shares <= len(coefficients):
        raise ValueError("a secret has 32 bytes and at least as many shares as its threshold")
    polynomial = (int.from_bytes(secret, "big"), *coefficients)
    return tuple(evaluate(polynomial, x).to_bytes(SHARE_BYTES, "big") for x in range(1, num_shares + 1))


def evaluate(polynomial: Sequence[int], x: int, *, prime: int = PRIME) -> int:
    """The polynomial (constant first) at a small ``x``, by Horner's rule.

    Reduced once at the end: x has a few bits, so the number grows by a few bits a step, and a division costs more.
    """
    value = 0
    for coefficient in reversed(polynomial):
        value = value * x + coefficient
    return value % prime


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """The Lagrange weights of one set of holders at one point; computed once, used for every secret."""

    xs: tuple[int, ...]
    weights: tuple[int, ...]
    prime: int = PRIME

    @classmethod
    def of(cls, xs: Iterable[int], *, at: int = 0, prime: int = PRIME) -> Basis:
        """The weights with which shares at ``xs`` give the polynomial's value at ``at``.

        Raises:
            ValueError: no x-coordinate, one twice, or one below 1.
        """
        points = tuple(xs)
        if not points or len(set(points)) != len(points) or min(points) < 1:
            raise ValueError("x-coordinates must be different and at least 1")
        weights = []
        for i in points:
            above = below = 1
            for j in points:
                if j != i:
                    above, below = above * (at - j) % prime, below * (i - j) % prime
            weights.append(above * pow(below, -1, prime) % prime)
        return cls(xs=points, weights=tuple(weights), prime=prime)

    def combine(self, values: Sequence[int]) -> int:
        """The polynomial's value from its values at ``xs``, in their order."""
        return sum(weight * value for weight, value in zip(self.weights, values, strict=True)) % self.prime

    def join(self, shares: Sequence[bytes]) -> bytes | None:
        """The secret whose shares at ``xs`` these are, in their order; None if it is no 32-byte secret."""
        secret = self.combine([int.from_bytes(share, "big") for share in shares])
        return secret.to_bytes(SECRET_BYTES, "big") if secret < 1 << (8 * SECRET_BYTES) else None


def is_share(raw: bytes) -> bool:
    """Whether ``raw`` is a field element as it travels: 33 bytes, below the prime."""
    return len(raw) == SHARE_BYTES and raw < _PRIME_BYTES  # big-endian and of one length: in the order of the numbers


__all__ = [
    "Basis",
    "evaluate",
    "is_share",
    "PRIME",
    "random_coefficients",
    "RandomBytes",
    "SECRET_BYTES",
    "SHARE_BYTES",
    "split",
]
