"""The arms of the benchmark: one training step of the same model on the same batch, in four ways.

Every arm is a function ``attach(model, batch)`` that prepares the model once; what it returns takes steps: forward,
backward, update, gradients cleared. All take the same losses, and all private ones clip at the same norm and add noise.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from torch import Tensor

    from fedward.client.training.packing import PackedBatch


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attached:
    """An arm that is ready."""

    step: Callable[[], None]
    detach: Callable[[], None] = lambda: None
    """Takes everything off the model again."""


Attach = Callable[["PeftModel", "PackedBatch"], Attached]

LEARNING_RATE = 1e-4
CLIP_NORM = 1.0
NOISE_MULTIPLIER = 1.0


def non_private(model: PeftModel, batch: PackedBatch) -> Attached:
    """Plain autograd and a plain optimiser: what LoRA costs without privacy."""
    optimizer = _sgd(model)

    def step() -> None:
        _losses(model, batch).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return Attached(step=step)


def fused(model: PeftModel, batch: PackedBatch) -> Attached:
    """The project's engine as the trainer attaches it: clipping, and noise from the operating system's CSPRNG."""
    from fedward.client.training.engine import FedwardPrivacyEngine
    from fedward.client.training.losses import unit_sum_loss
    from fedward.common.privacy.noise import Entropy

    hooks, optimizer = FedwardPrivacyEngine(entropy=Entropy.system()).attach(
        model,
        _sgd(model),
        sample_rate=0.1,
        num_steps=1 << 30,
        noise_multiplier=NOISE_MULTIPLIER,
        clip_norm=CLIP_NORM,
        expected_units=float(batch.num_units),
        loss_reduction="sum",
    )

    def step() -> None:
        optimizer.draw_ahead()
        optimizer.expect_units(batch.num_units if batch.unit_of_row is None else batch.unit_of_row)
        loss = unit_sum_loss(_losses(model, batch), batch.unit_of_row, batch.num_units)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return Attached(step=step, detach=hooks.cleanup)


def opacus_hooks(model: PeftModel, batch: PackedBatch) -> Attached:
    """Stock Opacus: module hooks that make per-sample gradients, and its ``DPOptimizer`` with torch's noise."""
    from opacus.grad_sample import GradSampleHooks
    from opacus.optimizers import DPOptimizer

    hooks = GradSampleHooks(model, batch_first=True, loss_reduction="mean")
    optimizer = DPOptimizer(_sgd(model), **_stock(batch))

    def step() -> None:
        _losses(model, batch).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return Attached(step=step, detach=hooks.cleanup)


def opacus_ghost(model: PeftModel, batch: PackedBatch) -> Attached:
    """Stock Opacus with ghost clipping: norms in a first backward, the clipped sum in a second."""
    from opacus.grad_sample import GradSampleHooksFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

    hooks = GradSampleHooksFastGradientClipping(
        model, batch_first=True, loss_reduction="mean", max_grad_norm=CLIP_NORM, use_ghost_clipping=True
    )
    optimizer = DPOptimizerFastGradientClipping(_sgd(model), **_stock(batch))

    def step() -> None:
        DPTensorFastGradientClipping(hooks, optimizer, _losses(model, batch)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return Attached(step=step, detach=hooks.cleanup)


ARMS: dict[str, Attach] = {
    "nonprivate": non_private,
    "noise_floor": non_private,
    "fused": fused,
    "opacus_hooks": opacus_hooks,
    "opacus_ghost": opacus_ghost,
}
"""In the order in which they run; ``noise_floor`` repeats the first."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of libraries that a reader of a benchmark can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        yield


def _losses(model: PeftModel, batch: PackedBatch) -> Tensor:
    from fedward.client.training.losses import causal_logits, record_losses
    from fedward.client.training.modes import compute_precision

    with compute_precision(model):
        return record_losses(causal_logits(model, batch.token_ids, batch.attention_mask), batch.labels)


def _sgd(model: PeftModel) -> torch.optim.Optimizer:
    import torch

    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)


def _stock(batch: PackedBatch) -> dict[str, Any]:
    return {
        "noise_multiplier": NOISE_MULTIPLIER,
        "max_grad_norm": CLIP_NORM,
        "expected_batch_size": batch.num_units,
        "loss_reduction": "mean",
    }
