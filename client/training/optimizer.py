"""The step that keeps the promise: clip each unit, add up, add noise once, divide by a public constant.

``FlatDPOptimizer`` is Opacus' ``DPOptimizer`` with one flat buffer for the sum of clipped gradients, one noise draw per
logical step from the project's own source, and guards. A logical step may take several physical batches. In distributed
mode the same clipped sum is handed over by ``take_sum``, without noise and without a step: the ring adds the noise.

Guarantee: what one unit adds to the buffer has, in float64, an L2 norm of at most ``clip_norm``, whatever its gradient;
the sum over units (float32, for the ring float64) is rounded besides. The noise has standard deviation
``noise_multiplier · clip_norm`` per coordinate, in empty steps too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from opacus.grad_sample.gsm_base import AbstractGradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from fedward.client.training.clipping import MIN_CLIP, clip_factors, unit_norms
from fedward.client.training.device_noise import NoiseSource
from fedward.client.training.gradients import GRAD_SAMPLE, LoraGradSampleHooks
from fedward.client.training.hooks import RowGradSampleHooks
from fedward.client.training.layout import FlatLayout, Prefix
from fedward.client.training.physical import BatchWatch
from fedward.common.errors import PrivacyError, TrainingError
from fedward.common.privacy.noise import Entropy


class FlatDPOptimizer(DPOptimizer):  # type: ignore[misc]  # Opacus is untyped
    """Reads ``p.grad_sample`` alone, so it serves Opacus' own hooks as well as ``LoraGradSampleHooks``.

    Args:
        optimizer: the one that takes the noisy mean; plain torch.
        noise_multiplier: standard deviation over the clip; 0 adds none.
        max_grad_norm: the clip; infinite for no clipping, and then there can be no noise.
        expected_batch_size: the public denominator.
        entropy: where noise comes from.
        hooks: who makes the gradients; without it ``expect_units`` must announce each physical batch.
        max_steps: how many steps were booked.
        prefixes: parameters of which only a part is trained: clipped, summed and noised over that part alone.
        distributed: the sum is taken by ``take_sum``; a step is refused, and so is noise.
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
        prefixes: Mapping[nn.Parameter, Prefix] | None = None,
        distributed: bool = False,
    ) -> None:
        if noise_multiplier > 0 and (distributed or not math.isfinite(max_grad_norm)):
            raise PrivacyError("the ring adds the noise" if distributed else "noise without a clip is no mechanism")
        if not 0 <= noise_multiplier < math.inf:  # this way round NaN is refused, which would add no noise
            raise PrivacyError(f"noise_multiplier = {noise_multiplier!r}: expected a finite number of at least 0")
        if not max_grad_norm >= MIN_CLIP:
            raise PrivacyError(f"a clip below {MIN_CLIP:g} drowns in the rounding of float32")
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=expected_batch_size,
            loss_reduction=loss_reduction,
        )
        self._booked = (noise_multiplier, max_grad_norm)
        self._hooks, self._max_steps, self._distributed = hooks, max_steps, distributed
        self._parameters: list[nn.Parameter] = list(self.params)
        self._layout = FlatLayout(self._parameters, prefixes or {})
        device = self._parameters[0].device
        # What leaves for the ring is summed in float64: rounding to float32 would let a unit move the others' sum, by
        # more than its sensitivity counts.
        precision = torch.float64 if distributed else torch.float32
        self._flat = torch.zeros(self._layout.size, dtype=precision, device=device)
        self._noise = NoiseSource(entropy, self._layout.size, device)
        self._announced: int | None = None
        self._is_empty = False
        self.steps_taken = 0
        self.nonfinite_units = 0
        """Units whose norm or clip factor was no number to multiply by. Private: for the site's steward alone."""

    def expect_units(self, units: Tensor | int) -> None:
        """Announce the coming physical batch before its forward pass; after it, say what must have been in it.

        Args:
            units: how many; or, for hooks made by the engine and before the forward pass, (R,) int64, each row's unit.
        """
        watch = self._hooks if isinstance(self._hooks, BatchWatch) and not self._hooks.units else None
        if watch is not None:
            watch.set_units(units)
        if isinstance(units, int):
            self._announced = units
        elif watch is None:
            raise TrainingError("whose rows a batch holds is announced before its forward pass, to the engine's hooks")

    def draw_ahead(self) -> None:
        """Begin to draw the coming step's noise, which no data decides, while its batches compute."""
        if self.noise_multiplier > 0:
            self._noise.begin()

    def empty_step(self) -> None:
        """No unit was drawn: noise is released all the same. A skipped step would be a privacy error."""
        self._is_empty = True
        self.step()

    def discard(self) -> None:
        """Forget a half-summed logical batch; after a failure it would count its units twice."""
        self._flat.zero_()
        self._noise.forget()
        self._is_empty, self._announced = False, None
        self._step_skip_queue.clear()
        self._release()
        self.zero_grad()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients; always to None, since a filled one means that a module by-passed the engine."""
        super().zero_grad(set_to_none=True)

    # ------------------------------------------------------------------------------------------------ distributed

    def accumulate(self) -> None:
        """Distributed mode: add a physical batch's clipped gradients to the sum.

        Raises:
            PrivacyError: not in distributed mode, more steps than booked, or another clip than booked.
            TrainingError: the gradients are not what they should be. The sum begun is discarded.
        """
        self._require_distributed()
        self._require_booked()
        self._clip_or_discard()

    def take_sum(self) -> Tensor:
        """Distributed mode: the logical step's sum of clipped gradients, and count the step.

        Nothing of the site is divided, weighted or added: no noise either. It must go into the ring and nowhere else.

        Returns:
            (P,) float64 over all coordinates of the optimiser's parameters, in their order; zero where nothing was
            drawn or nothing is trained. Adding or removing one unit moves it by at most ``clip_norm`` in L2, up to
            the rounding of a float64 sum.

        Raises:
            PrivacyError: not in distributed mode, more steps than booked, or another clip than booked.
            TrainingError: a physical batch was left between backward and ``accumulate``.
        """
        self._require_distributed()
        self._require_booked()
        if any(getattr(p, GRAD_SAMPLE, None) is not None for p in self._parameters):
            raise TrainingError("gradients of a physical batch were not accumulated")
        total = self._layout.padded(self._flat)
        self.discard()
        self.steps_taken += 1
        return total

    def take_norms(self) -> Tensor:
        """Distributed mode: the norms of a physical batch's units, as the clip reads them, and let go of the batch.

        They are private data, for a probe that counts them under noise. No step is taken, nothing is added to the sum.

        Returns:
            (U,) float64; not finite where a gradient is not.

        Raises:
            PrivacyError: not in distributed mode.
            TrainingError: the gradients are not what they should be.
        """
        self._require_distributed()
        samples, scale = self._require_complete()
        norms = unit_norms(self._layout.rows(samples), scale=scale)
        self._release()
        return norms

    def _require_distributed(self) -> None:
        if not self._distributed:
            raise PrivacyError("the sum without noise is only for the ring: attach with distributed = True")

    def _require_booked(self) -> None:
        if self._max_steps is not None and self.steps_taken >= self._max_steps:
            raise PrivacyError(f"the permit covers {self._max_steps} steps")
        if (self.noise_multiplier, self.max_grad_norm) != self._booked:
            raise PrivacyError("noise or clip differ from what was booked")

    # ------------------------------------------------------------------------------------------------ one step

    def pre_step(self, closure: Callable[[], float] | None = None) -> bool:
        """Clip and add up; unless more physical batches follow, add noise too.

        Returns:
            Whether the logical step is complete.

        Raises:
            PrivacyError: more steps than booked, parameters other than booked, or distributed mode.
            TrainingError: the gradients are not what they should be. The logical batch begun is discarded.
        """
        if self._distributed:
            raise PrivacyError("a step without noise: in distributed mode the sum goes into the ring by take_sum")
        self._require_booked()
        self._clip_or_discard()
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
        if self._is_empty:
            self._is_empty = False
            if any(getattr(p, GRAD_SAMPLE, None) is not None for p in self._parameters):
                raise TrainingError("an empty step after a backward pass")
            return
        samples, scale = self._require_complete()
        rows = self._layout.rows(samples)
        factor, usable = clip_factors(rows, clip_norm=self.max_grad_norm, scale=scale)
        if not bool(usable.all()):
            self.nonfinite_units += int((~usable).sum())
            rows = [torch.where(usable.unsqueeze(1), row, 0.0) for row in rows]
        self._layout.add_weighted(self._flat, rows, samples, factor)
        self._release()

    def add_noise(self) -> None:
        """Put (buffer + noise) / denominator into ``p.grad`` and empty the buffer."""
        noisy = self._flat.clone()
        self._flat.zero_()
        if self.noise_multiplier > 0:
            noisy.add_(self._noise.take(), alpha=self.noise_multiplier * self.max_grad_norm)
        if self.loss_reduction == "mean":
            noisy.div_(self.expected_batch_size)
        self._layout.set_gradients(noisy)

    def scale_grad(self) -> None:
        """Done by ``add_noise``, on the flat buffer."""

    @property
    def accumulated_iterations(self) -> int:
        """A logical step is one Poisson sample, however many physical batches it took."""
        return 1

    # ------------------------------------------------------------------------------------------------ parts

    def _clip_or_discard(self) -> None:
        try:
            self.clip_and_accumulate()
        except BaseException:
            self.discard()
            raise

    def _require_complete(self) -> tuple[list[Tensor], float]:
        """(gradients, scale of the loss), after every check that they are what they should be."""
        hooks = self._hooks if isinstance(self._hooks, LoraGradSampleHooks | RowGradSampleHooks) else None
        if isinstance(hooks, LoraGradSampleHooks) and any(p.grad is not None for p in self._parameters):
            raise TrainingError("p.grad is filled: zero_grad was not called, or a module by-passed the engine")
        if hooks is not None:
            hooks.finish()
        samples: list[Any] = [getattr(p, GRAD_SAMPLE, None) for p in self._parameters]
        if any(not isinstance(sample, Tensor) for sample in samples):
            raise TrainingError("a trainable parameter has no per-sample gradient")
        announced, self._announced = self._announced, None
        units = announced if hooks is None else hooks.units
        if not units or any(sample.shape[0] != units for sample in samples) or announced not in (None, units):
            sizes = sorted({sample.shape[0] for sample in samples})
            raise TrainingError(f"batch dimensions {sizes} are not the number of units, {announced or units}")
        return samples, (1.0 if hooks is None else hooks.loss_scale)

    def _release(self) -> None:
        for parameter in self._parameters:
            setattr(parameter, GRAD_SAMPLE, None)
            if self._distributed:
                parameter.grad = None  # Opacus' hooks leave the unclipped sum there
        if isinstance(self._hooks, BatchWatch):
            self._hooks.release()


__all__ = ["FlatDPOptimizer"]
