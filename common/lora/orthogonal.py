"""Orthonormal factors: the start of A from the seed, and the turn of B·A after a round of ``fedsvd``. In float64.

With thin QR of B = Q_B R_B and Aᵀ = Q_A R_A, and the SVD of R_B R_Aᵀ = U Σ Vᵀ (r × r), B* = Q_B U Σ and A* = Vᵀ Q_Aᵀ
have the product of B and A (method of "FedSVD", arXiv 2505.12805). The rows of A* span the same space as those of A: a
turn orders and conditions directions, it finds no new ones.

Factorisations differ in their last bits from machine to machine. So a turn is also two small matrices, B* = B·N and
A* = M·A with N·M = I: whoever has them gets the same B* and A* to the bit, by products that are elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import ConfigError

Matrix = NDArray[np.float64]

_SAME_PRODUCT = 1e-9
_ORTHONORMAL = 1e-5
"""A row of A* in float32 is off by about 1e-7."""
_ORTHOGONAL = 1e-4

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
class Turn:
    """What turns a pair of factors: B* = B·N and A* = M·A."""

    of_b: Matrix = field(repr=False)
    """(r, r) N."""
    of_a: Matrix = field(repr=False)
    """(r, r) M = N⁻¹; N is its transpose if the rows of A were orthonormal."""

    def turned_b(self, b: Matrix) -> Matrix:
        """B·N, the same bits on every machine: (d_out, r) float64."""
        return exact_product(b, self.of_b)

    def turned_a(self, a: Matrix) -> Matrix:
        """M·A, the same bits on every machine: (r, d_in) float64."""
        return exact_product(self.of_a, a)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Turned:
    """Factors with the product that they had before."""

    b: Matrix = field(repr=False)
    """(d_out, r); the columns are orthogonal, and their lengths, the singular values of B·A, descend."""
    a: Matrix = field(repr=False)
    """(r, d_in); the rows are orthonormal, the largest entry of each is positive."""
    turn: Turn
    """How they came about."""

    @property
    def rotation(self) -> Matrix:
        """(r, r) R with B* = B Rᵀ; orthogonal, and A* = R·A, if the rows of A were orthonormal."""
        return np.asarray(self.turn.of_b.T)


def exact_product(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product, summed in order, one exactly rounded operation after the other: no BLAS, no fused steps."""
    if left.shape[0] > right.shape[1]:
        # The same sums in the same order; long rows are several times as fast as long columns.
        return np.ascontiguousarray(exact_product(np.ascontiguousarray(right.T), np.ascontiguousarray(left.T)).T)
    total = left[:, :1] * right[:1]
    for index in range(1, right.shape[0]):
        total += left[:, index, np.newaxis] * right[index]
    return np.asarray(total)


def turn(b: Matrix, a: Matrix) -> Turned:
    """Turn B·A into B*·A*. A zero B has no directions: then both factors stay as they are.

    Where B·A has a rank below r, the spare rows of A* are some orthonormal completion and their columns of B* are zero
    up to rounding. Linear algebra libraries differ in the last bits: compare products, not factors.

    Args:
        b: (d_out, r) float64.
        a: (r, d_in) float64, r ≤ d_in, with rows that do not depend on one another.

    Raises:
        ConfigError: r > d_in, dependent rows, or a value that is not finite.
    """
    rank, num_inputs = a.shape
    if rank > num_inputs:
        raise ConfigError(f"{rank} rows of {num_inputs} numbers cannot be orthonormal", hint="Lower lora.rank.")
    if not (np.isfinite(b).all() and np.isfinite(a).all()):
        raise ConfigError("the adapter is not finite", hint="Lower training.learning_rate or server.learning_rate.")
    if not b.any():
        return Turned(b=b, a=a, turn=Turn(of_b=np.eye(rank), of_a=np.eye(rank)))
    _, r_b = np.linalg.qr(b)
    q_a, r_a = np.linalg.qr(a.T)
    _, _, right = np.linalg.svd(r_b @ r_a.T)
    # A = R_Aᵀ Q_Aᵀ, so A* = Vᵀ Q_Aᵀ = (Vᵀ R_A⁻ᵀ) A and B* = B (R_Aᵀ V).
    turned_a = right @ q_a.T
    largest = np.abs(turned_a).argmax(axis=1)
    right *= np.where(turned_a[np.arange(rank), largest] < 0, -1.0, 1.0)[:, np.newaxis]
    try:
        found = Turn(of_b=r_a.T @ right.T, of_a=np.linalg.solve(r_a, right.T).T)
    except np.linalg.LinAlgError as error:
        raise ConfigError("the rows of A depend on one another") from error
    return Turned(b=found.turned_b(b), a=found.turned_a(a), turn=found)


def check_turn(found: Turn, b: Matrix, a: Matrix) -> None:
    """Refuse a turn that changes the product, or whose factors are not what a turn gives. For one who cannot redo it.

    N·M = I to 1e-9 an entry, so B*·A* = B·A to rounding; the rows of A* are orthonormal to 1e-5; the columns of B* are
    orthogonal to 1e-4 of the longest one's square. An honest turn is off by 1e-14 and, rounded to float32, 1e-6.

    Args:
        found: as somebody else states it.
        b: (d_out, r) float64, B*.
        a: (r, d_in) float64, A*.

    Raises:
        ConfigError: so it is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        same = _off_identity(found.of_b @ found.of_a) <= _SAME_PRODUCT  # this way round NaN is refused
        orthonormal = _off_identity(a @ a.T) <= _ORTHONORMAL
        columns = b.T @ b
        longest = float(columns.diagonal().max())
        orthogonal = np.abs(columns - np.diag(columns.diagonal())).max() <= _ORTHOGONAL * longest
    if not (same and orthonormal and orthogonal):
        raise ConfigError("not a turn of the factors that this site has")


def _off_identity(matrix: Matrix) -> float:
    return float(np.abs(matrix - np.eye(len(matrix))).max())


def turn_mean(first_moment: Matrix, rotation: Matrix) -> Matrix:
    """A running mean of movements of B, in the turned columns: m* = m Rᵀ."""
    return exact_product(first_moment, rotation.T)


def turn_variance(second_moment: Matrix, rotation: Matrix) -> Matrix:
    """A running mean of squares, in the turned columns: v* = v (R∘R)ᵀ ≥ 0.

    Exact for columns that are uncorrelated; squares alone cannot be turned otherwise.
    """
    squared = (rotation * rotation).T
    return exact_product(second_moment.reshape(-1, len(squared)), squared).reshape(second_moment.shape)
