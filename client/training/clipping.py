"""The one clip of all paths: factors that bound each unit's part in the sum, in float64, whatever its gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NORM_MARGIN = 1e-5
"""Keeps the clipped norm at or below the bound in spite of float32 rounding; relative, so independent of scale."""
_BLOCK = 128
"""Squares summed in float32, whose relative error is at most (128 + 1) · 2⁻²⁴, half of it in the norm: 3.9e-6 of the
margin, in whatever order a device adds. Blocks are summed in float64. Longer rows in float32 alone lose up to 3e-3."""
_PLAIN_NORMS = (1e-10, 1e16)
"""Where float32 squares neither vanish (below 1e-38 each, in sum below 1e-6 of 1e-20) nor overflow; outside of it the
norm is taken again in float64."""
_MIN_FACTOR = 2.0**-126
"""A smaller factor is subnormal in float32 and may be rounded up by far more than the margin."""
MIN_CLIP = 1e-30
"""A smaller clip drowns in the rounding of float32."""


def clip_factors(rows: Sequence[Tensor], *, clip_norm: float, scale: float) -> tuple[Tensor, Tensor]:
    """(U,) float32 factors, and which units can be used; the others get a factor of zero.

    Args:
        rows: for each tensor (U, n), as stored; the sum must read these same values.
        clip_norm: L2 bound of factor · row over all tensors.
        scale: turns a stored row into the unit's gradient.
    """
    norm = unit_norms(rows, scale=scale)
    factor = (clip_norm / (norm * (1.0 + NORM_MARGIN))).clamp_(max=1.0).mul_(scale)
    usable = norm.isfinite() & (factor >= _MIN_FACTOR)
    return torch.where(usable, factor, 0.0).float(), usable


def unit_norms(rows: Sequence[Tensor], *, scale: float) -> Tensor:
    """(U,) float64 L2 norms of the units' gradients over all tensors; not finite where a gradient is not.

    Args:
        rows: for each tensor (U, n), as stored.
        scale: turns a stored row into the unit's gradient.
    """
    square = _square_norms(rows)
    smallest, largest = _PLAIN_NORMS
    odd = ~((square >= smallest**2) & (square <= largest**2))  # this way round NaN is odd
    if bool(odd.any()):
        square[odd] = sum(torch.linalg.vector_norm(row[odd].double(), dim=1).square_() for row in rows)
    return square.sqrt_().mul_(scale)


def _square_norms(rows: Sequence[Tensor]) -> Tensor:
    """(U,) float64."""
    norms = torch.cat([norm for row in rows for norm in _block_norms(row)], dim=1)
    return norms.double().square_().sum(dim=1)


def _block_norms(row: Tensor) -> list[Tensor]:
    """(U, …) float32 norms of the blocks of a (U, n) row, the odd end included."""
    size = row.shape[1]
    whole = size - size % _BLOCK
    norms = []
    if whole:
        blocks = row[:, :whole].view(len(row), -1, _BLOCK)
        norms.append(torch.linalg.vector_norm(blocks, dim=2, dtype=torch.float32))
    if whole < size:
        norms.append(torch.linalg.vector_norm(row[:, whole:], dim=1, keepdim=True, dtype=torch.float32))
    return norms


__all__ = ["clip_factors", "MIN_CLIP", "NORM_MARGIN", "unit_norms"]
