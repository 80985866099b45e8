"""The step that keeps the promise: clip each unit, add up, add noise once, divide by a public constant.

``FlatDPOptimizer`` is Opacus' ``DPOptimizer`` with one flat float32 buffer for the sum of clipped gradients, one noise
draw per logical step from the project's own source, and guards. A logical step may take several physical batches.

Guarantee: what one unit adds to the buffer has, in float64, an L2 norm of at most ``clip_norm``, whatever its gradient;
the float32 sum over units is rounded besides. The noise has standard deviation ``noise_multiplier · clip_norm`` per
coordinate, in empty steps too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from opacus.grad_sample.gsm_base import AbstractGradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from fedward.client.training.gradients import GRAD_SAMPLE, LoraGradSampleHooks
from fedward.common.errors import PrivacyError, TrainingError
from fedward.common.privacy.noise import Entropy

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
_MIN_CLIP = 1e-30


class FlatDPOptimizer(DPOptimizer):  # type: ignore[misc]  # Opacus is untyped
    """Reads ``p.grad_sample`` alone, so it serves Opacus' own hooks as well as ``LoraGradSampleHooks``.

    Args:
        optimizer: the one that takes the noisy mean; plain torch.
        noise_multiplier: standard deviation over the clip; 0 adds none.
        max_grad_norm: the clip; infinite for no clipping, and then there can be no noise.
        expected_batch_size: the public denominator.
        entropy: where noise comes from.
        hooks: who makes the gradients; with Opacus' own, ``expect_units`` must announce each physical batch.
        max_steps: how many steps were booked.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        noise_multiplier: float,
        max_grad_norm: float,
        expected_batch_size: float,
        entropy: Entropy,
        loss_reduction: str = "mean",
        hooks: AbstractGradSampleHooks | None = None,
        max_steps: int | None = None,
    ) -> None:
        if noise_multiplier > 0 and not math.isfinite(max_grad_norm):
            raise PrivacyError("noise without a clip is no mechanism")
        if not max_grad_norm >= _MIN_CLIP:
            raise PrivacyError(f"a clip below {_MIN_CLIP:g} drowns in the rounding of float32")
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=expected_batch_size,
            loss_reduction=loss_reduction,
        )
        self._booked = (noise_multiplier, max_grad_norm)
        self._entropy, self._hooks, self._max_steps = entropy, hooks, max_steps
        self._parameters: list[nn.Parameter] = list(self.params)
        self._sizes = [p.numel() for p in self._parameters]
        self._flat = torch.zeros(sum(self._sizes), dtype=torch.float32, device=self._parameters[0].device)
        self._announced: int | None = None
        self._is_empty = False
        self.steps_taken = 0
        self.nonfinite_units = 0
        """Units whose norm or clip factor was no number to multiply by. Private: for the site's steward alone."""

    def expect_units(self, units: int) -> None:
        """Announce the units of the coming physical batch; only for hooks that do not know them."""
        self._announced = units

    def empty_step(self) -> None:
        """No unit was drawn: noise is released all the same. A skipped step would be a privacy error."""
        self._is_empty = True
        self.step()

    def discard(self) -> None:
        """Forget a half-summed logical batch; after a failure it would count its units twice."""
        self._flat.zero_()
        self._is_empty = False
        self._step_skip_queue.clear()
        self._release()
        self.zero_grad()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients; always to None, since a filled one means that a module by-passed the engine."""
        super().zero_grad(set_to_none=True)

    # ------------------------------------------------------------------------------------------------ one step

    def pre_step(self, closure: Callable[[], float] | None = None) -> bool:
        """Clip and add up; unless more physical batches follow, add noise too.

        Returns:
            Whether the logical step is complete.

        Raises:
            PrivacyError: more steps than booked, or parameters other than booked.
        """
        if self._max_steps is not None and self.steps_taken >= self._max_steps:
            raise PrivacyError(f"the permit covers {self._max_steps} steps")
        if (self.noise_multiplier, self.max_grad_norm) != self._booked:
            raise PrivacyError("noise or clip differ from what was booked")
        self.clip_and_accumulate()
        if self._check_skip_next_step():
            self._is_last_step_skipped = True
            return False
        self.add_noise()
        self.steps_taken += 1
        if self.step_hook is not None:
            self.step_hook(self)
        self._is_last_step_skipped = False
        return True

    def clip_and_accumulate(self) -> None:
        """Add the clipped gradients of this physical batch's units to the buffer, and let go of them.

        Raises:
            TrainingError: a gradient is missing, by-passed the engine, or has another number of units.
        """
        samples: list[Any] = [getattr(p, GRAD_SAMPLE, None) for p in self._parameters]
        if self._is_empty:
            self._is_empty = False
            if any(sample is not None for sample in samples):
                raise TrainingError("an empty step after a backward pass")
            return
        units, scale = self._require_complete(samples)
        rows = [sample.reshape(units, -1) for sample in samples]
        factor, usable = self._clip_factors(rows, scale)
        if not bool(usable.all()):
            self.nonfinite_units += int((~usable).sum())
            rows = [torch.where(usable.unsqueeze(1), row, 0.0) for row in rows]
        for row, out in zip(rows, self._pieces(self._flat), strict=True):
            out.addmv_(row.float().t(), factor)
        self._release()

    def add_noise(self) -> None:
        """Put (buffer + noise) / denominator into ``p.grad`` and empty the buffer."""
        noisy = self._flat.clone()
        self._flat.zero_()
        if self.noise_multiplier > 0:
            noise = torch.from_numpy(self._entropy.normals(noisy.numel())).to(noisy.device)
            noisy.add_(noise, alpha=self.noise_multiplier * self.max_grad_norm)
        if self.loss_reduction == "mean":
            noisy.div_(self.expected_batch_size)
        for parameter, grad in zip(self._parameters, self._pieces(noisy), strict=True):
            parameter.grad = grad.view_as(parameter).to(parameter.dtype)

    def scale_grad(self) -> None:
        """Done by ``add_noise``, on the flat buffer."""

    @property
    def accumulated_iterations(self) -> int:
        """A logical step is one Poisson sample, however many physical batches it took."""
        return 1

    # ------------------------------------------------------------------------------------------------ parts

    def _require_complete(self, samples: list[Any]) -> tuple[int, float]:
        """(number of units, scale of the loss), after every check that the gradients are what they should be."""
        hooks = self._hooks if isinstance(self._hooks, LoraGradSampleHooks) else None
        if hooks is not None and any(p.grad is not None for p in self._parameters):
            raise TrainingError("p.grad is filled: zero_grad was not called, or a module by-passed the engine")
        if any(not isinstance(sample, Tensor) for sample in samples):
            raise TrainingError("a trainable parameter has no per-sample gradient")
        units, self._announced = (self._announced if hooks is None else hooks.units), None
        if not units or any(sample.shape[0] != units for sample in samples):
            sizes = sorted({sample.shape[0] for sample in samples})
            raise TrainingError(f"batch dimensions {sizes} are not the number of units, {units}")
        return units, (1.0 if hooks is None else hooks.loss_scale)

    def _clip_factors(self, rows: list[Tensor], scale: float) -> tuple[Tensor, Tensor]:
        """(U,) float32 factors, and which units can be used; the others get a factor of zero.

        The norms read the same stored values as the sum.
        """
        norms = torch.cat([norm for row in rows for norm in _block_norms(row)], dim=1)
        square: Tensor = norms.double().square_().sum(dim=1)
        smallest, largest = _PLAIN_NORMS
        odd = ~((square >= smallest**2) & (square <= largest**2))  # this way round NaN is odd
        if bool(odd.any()):
            square[odd] = sum(torch.linalg.vector_norm(row[odd].double(), dim=1).square_() for row in rows)
        norm = square.sqrt_().mul_(scale)
        factor = (self.max_grad_norm / (norm * (1.0 + NORM_MARGIN))).clamp_(max=1.0).mul_(scale)
        usable = norm.isfinite() & (factor >= _MIN_FACTOR)
        return torch.where(usable, factor, 0.0).float(), usable

    def _pieces(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Views of (P,) ``flat``, one for each parameter."""
        return torch.split(flat, self._sizes)

    def _release(self) -> None:
        for parameter in self._parameters:
            setattr(parameter, GRAD_SAMPLE, None)
        if isinstance(self._hooks, LoraGradSampleHooks):
            self._hooks.release()


def _block_norms(row: Tensor) -> list[Tensor]:
    """(U, …) float32 norms of the blocks of a (U, n) row, the odd end included."""
    units, size = row.shape
    whole = size - size % _BLOCK
    norms = []
    if whole:
        blocks = row[:, :whole].reshape(units, -1, _BLOCK)
        norms.append(torch.linalg.vector_norm(blocks, dim=2, dtype=torch.float32))
    if whole < size:
        norms.append(torch.linalg.vector_norm(row[:, whole:], dim=1, keepdim=True, dtype=torch.float32))
    return norms


__all__ = ["FlatDPOptimizer", "NORM_MARGIN"]
