"""Orthonormal factors: the start of A from the seed, and the turn of B·A after a round of ``fedsvd``. In float64.

With thin QR of B = Q_B R_B and Aᵀ = Q_A R_A, and the SVD of R_B R_Aᵀ = U Σ Vᵀ (r × r), B* = Q_B U Σ and A* = Vᵀ Q_Aᵀ
have the product of B and A (method of "FedSVD", arXiv 2505.12805). The rows of A* span the same space as those of A: a
turn orders and conditions directions, it finds no new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import ConfigError

Matrix = NDArray[np.float64]

_DEPENDENT = 1e-6
"""A row of which less than this is new beside the rows before it cannot be made orthonormal."""


def orthonormal_rows(rows: Matrix) -> Matrix:
    """Orthonormal rows that span the same space, the same bits on every machine: (r, d) float64.

    Modified Gram-Schmidt, done twice. Products, differences, quotients and roots are elementwise and sums are folded in
    halves, so every operation is one exactly rounded IEEE-754 operation. LAPACK would be faster, but its bits depend on
    the machine, and all sites must draw the same A.

    Args:
        rows: (r, d) float64, r ≤ d.

    Raises:
        ConfigError: more rows than columns, or rows that depend on one another.
    """
    num_rows, num_columns = rows.shape
    if num_rows > num_columns:
        raise ConfigError(
            f"{num_rows} rows of {num_columns} numbers cannot be orthonormal",
            hint="Lower lora.rank, or set lora.a_init to random.",
        )
    out = rows.astype(np.float64)
    lengths = np.sqrt(_folded_sum(out * out))
    for _ in range(2):
        for index in range(num_rows):
            length = np.sqrt(_folded_sum(out[index] * out[index]))
            if not length > _DEPENDENT * lengths[index]:
                raise ConfigError("the start of A has rows that depend on one another", hint="Choose another seed.")
            out[index] /= length
            rest = out[index + 1 :]
            rest -= _folded_sum(rest * out[index])[:, np.newaxis] * out[index]
        lengths = np.ones(num_rows)
    return out


def _folded_sum(values: Matrix) -> Matrix:
    """Sums over the last axis, one half added to the other until one number is left; the order is fixed by the size."""
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        folded = values[..., :half] + values[..., half : 2 * half]
        odd = values[..., 2 * half :]
        values = np.concatenate([folded, odd], axis=-1) if odd.shape[-1] else folded
    return values[..., 0]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Turned:
    """Factors with the product that they had before."""

    b: Matrix = field(repr=False)
    """(d_out, r); the columns are orthogonal, and their lengths, the singular values of B·A, descend."""
    a: Matrix = field(repr=False)
    """(r, d_in); the rows are orthonormal, the largest entry of each is positive."""
    rotation: Matrix = field(repr=False)
    """(r, r) R = A*Aᵀ, orthogonal if the rows of A were orthonormal; then B* = B Rᵀ."""


def turn(b: Matrix, a: Matrix) -> Turned:
    """Turn B·A into B*·A*. A zero B has no directions: then both factors stay as they are.

    Where B·A has a rank below r, the spare rows of A* are some orthonormal completion and their columns of B* are zero
    up to rounding. Linear algebra libraries differ in the last bits: compare products, not factors.

    Args:
        b: (d_out, r) float64.
        a: (r, d_in) float64, r ≤ d_in.

    Raises:
        ConfigError: r > d_in, or a value that is not finite.
    """
    rank, num_inputs = a.shape
    if rank > num_inputs:
        raise ConfigError(f"{rank} rows of {num_inputs} numbers cannot be orthonormal", hint="Lower lora.rank.")
    if not (np.isfinite(b).all() and np.isfinite(a).all()):
        raise ConfigError("the adapter is not finite", hint="Lower training.learning_rate or server.learning_rate.")
    if not b.any():
        return Turned(b=b, a=a, rotation=np.eye(rank))
    q_b, r_b = np.linalg.qr(b)
    q_a, r_a = np.linalg.qr(a.T)
    left, values, right = np.linalg.svd(r_b @ r_a.T)
    # Fewer outputs than ranks: the columns of B* beyond them stay zero.
    turned_b = np.zeros_like(b)
    turned_b[:, : values.size] = (q_b @ left) * values
    turned_a = right @ q_a.T
    largest = np.abs(turned_a).argmax(axis=1)
    signs = np.where(turned_a[np.arange(rank), largest] < 0, -1.0, 1.0)
    turned_a *= signs[:, np.newaxis]
    return Turned(b=turned_b * signs, a=turned_a, rotation=turned_a @ a.T)


def turn_mean(first_moment: Matrix, rotation: Matrix) -> Matrix:
    """A running mean of movements of B, in the turned columns: m* = m Rᵀ."""
    return first_moment @ rotation.T


def turn_variance(second_moment: Matrix, rotation: Matrix) -> Matrix:
    """A running mean of squares, in the turned columns: v* = v (R∘R)ᵀ ≥ 0.

    Exact for columns that are uncorrelated; squares alone cannot be turned otherwise.
    """
    return second_moment @ (rotation * rotation).T
