"""Opacus' privacy engine with the fused gradient path and explicit parameters.

``attach`` takes rate, steps, noise, clip and denominator as arguments: Opacus' ``make_private`` would derive the first
and the last from the number of private records, which is itself private.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, get_args

import torch
from opacus import PrivacyEngine
from opacus.grad_sample.gsm_base import AbstractGradSampleHooks
from torch import nn

from fedward.client.training import guards
from fedward.client.training.gradients import LoraGradSampleHooks
from fedward.client.training.hooks import RowGradSampleHooks
from fedward.client.training.layout import Prefix, rank_prefixes
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.common import _validate
from fedward.common.errors import TrainingError, UnsupportedModelError
from fedward.common.privacy.noise import Entropy

Gradients = Literal["fused", "hooks"]
"""How per-unit gradients are made."""


class FedwardPrivacyEngine(PrivacyEngine):  # type: ignore[misc]  # Opacus is untyped
    """One attachment of a model and an optimiser. Opacus' accountant runs along as a cross-check; it decides nothing.

    Args:
        entropy: where noise comes from.
        gradients: ``fused``, or ``hooks`` for Opacus' own, which are slower but know trainable norms and embeddings.
            Both come under the same clip, noise and count of steps.
    """

    def __init__(self, *, entropy: Entropy, gradients: str = "fused", accountant: str = "rdp") -> None:
        with warnings.catch_warnings():
            # Opacus speaks of torch's generator here; noise comes from ``entropy``.
            warnings.filterwarnings("ignore", message="Secure RNG turned off")
            super().__init__(accountant=accountant)
        if gradients not in get_args(Gradients):
            raise TrainingError(f"gradients = {gradients!r}: expected fused or hooks")
        self._entropy, self._gradients = entropy, gradients
        self._hooks: AbstractGradSampleHooks | None = None
        self._max_steps: int | None = None
        self._prefixes: dict[nn.Parameter, Prefix] = {}
        self._distributed = False

    def attach(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        sample_rate: float,
        num_steps: int,
        noise_multiplier: float,
        clip_norm: float,
        expected_units: float,
        trained_rank: int | None = None,
        distributed: bool = False,
        loss_reduction: str = "mean",
    ) -> tuple[AbstractGradSampleHooks, FlatDPOptimizer]:
        """Prepare ``model`` (in training mode) and ``optimizer``; the caller calls ``hooks.cleanup()`` at the end.

        Args:
            sample_rate: of the Poisson draws, for the cross-check.
            num_steps: the optimiser refuses one more.
            noise_multiplier: 0 for none.
            clip_norm: infinite for no clipping.
            expected_units: the public denominator, sample rate times the nominal number of units.
            trained_rank: train only the first so many columns of each B and rows of each A; None for all.
            distributed: no float noise and no step: the optimiser's ``accumulate`` and ``take_sum`` give the clipped
                sum, to which the ring adds the noise; then ``noise_multiplier`` must be 0.
            loss_reduction: of the loss that will be back-propagated, over the units of a physical batch: ``mean`` or
                ``sum``. With ``sum`` no unit's rounding depends on how many others there are. The step is the same.

        Raises:
            UnsupportedModelError: the gradients are not proven for this model.
            TrainingError: the optimiser does not hold exactly the trainable parameters, or another reduction.
            PrivacyError: noise without a clip, or noise in distributed mode.
        """
        _validate.positive(expected_units=expected_units)
        _validate.non_negative(noise_multiplier=noise_multiplier)
        _validate.positive(clip_norm=1.0 if clip_norm == math.inf else clip_norm)
        if loss_reduction not in ("mean", "sum"):
            raise TrainingError(f"loss_reduction = {loss_reduction!r}: expected mean or sum")
        guards.require_same_parameters(model, optimizer)
        self._max_steps, self._distributed = num_steps, distributed
        self._prefixes = rank_prefixes(model, trained_rank)
        hooks = self._prepare_model(model, loss_reduction=loss_reduction)
        try:
            dp_optimizer = self._prepare_optimizer(
                optimizer=optimizer,
                noise_multiplier=noise_multiplier,
                max_grad_norm=clip_norm,
                expected_batch_size=expected_units,
            )
        except BaseException:
            hooks.cleanup()
            raise
        if noise_multiplier > 0:
            dp_optimizer.attach_step_hook(self.accountant.get_optimizer_hook_fn(sample_rate=sample_rate))
        return hooks, dp_optimizer

    def _prepare_model(
        self,
        module: nn.Module,
        *,
        batch_first: bool = True,
        loss_reduction: str = "mean",
        **_: Any,  # noqa: ANN401 - what Opacus passes besides
    ) -> AbstractGradSampleHooks:
        if not module.training:
            raise TrainingError("the model is in evaluation mode: call train() before the engine is attached")
        kind = RowGradSampleHooks if self._gradients == "hooks" else LoraGradSampleHooks
        self._hooks = kind(module, batch_first=batch_first, loss_reduction=loss_reduction)
        return self._hooks

    def _prepare_optimizer(
        self,
        *,
        optimizer: torch.optim.Optimizer,
        noise_multiplier: float,
        max_grad_norm: float,
        expected_batch_size: float,
        loss_reduction: str = "mean",
        distributed: bool = False,
        clipping: str = "flat",
        **_: Any,  # noqa: ANN401 - what Opacus passes besides
    ) -> FlatDPOptimizer:
        if distributed or clipping != "flat":
            raise UnsupportedModelError("one process and flat clipping are what is proven")
        return FlatDPOptimizer(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=expected_batch_size,
            loss_reduction=loss_reduction,
            entropy=self._entropy,
            hooks=self._hooks,
            max_steps=self._max_steps,
            prefixes=self._prefixes,
            distributed=self._distributed,
        )


__all__ = ["FedwardPrivacyEngine"]
