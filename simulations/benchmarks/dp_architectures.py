"""Per-unit gradients of the engine against one backward for each record, over architectures and targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedward.client.training.guards import PROVEN_ARCHITECTURES
from fedward.simulations.benchmarks.dp_models import TARGETS, Work, batch_of, ragged_patients

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor, nn

    from fedward.client.training.trainer import Units

_NUM_UNITS = 7
MAX_TOKENS = 37


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientCheck:
    """How far the engine's per-unit gradients are from a loop's."""

    error: float
    """Relative L2 error of a tensor's (U, out, in) gradients, the largest over the tensors."""
    control: float
    """The same with the units rolled by one, the smallest over the tensors: what a permutation would look like."""


def architecture_works(*, width: int, tokens: int, rows: int) -> list[Work]:
    """Every architecture with both kinds of targets."""
    return [
        Work(architecture=name, targets=targets, width=width, tokens=tokens, rows=rows)
        for name in PROVEN_ARCHITECTURES
        for targets in TARGETS
    ]


def check_gradients(model: PeftModel, *, max_tokens: int = MAX_TOKENS) -> GradientCheck:
    """Compare on seven patients of one to three records of unequal length, padded together."""
    units = sorted(ragged_patients(_NUM_UNITS, max_tokens=max_tokens), key=lambda unit: max(map(len, unit)))
    expected = loop_gradients(model, units)
    found = engine_gradients(model, units)
    pairs = list(zip(found, expected, strict=True))
    return GradientCheck(
        error=max(relative_error(a, b) for a, b in pairs),
        control=min(relative_error(a.roll(1, 0), b) for a, b in pairs),
    )


def engine_gradients(model: PeftModel, units: Units) -> list[Tensor]:
    """(U, …) for each trainable tensor, from one backward of all units together; units in the packer's order."""
    from fedward.client.training.gradients import GRAD_SAMPLE, LoraGradSampleHooks
    from fedward.client.training.guards import trainable
    from fedward.client.training.losses import causal_logits, record_losses, unit_sum_loss

    batch = batch_of(units)
    hooks = LoraGradSampleHooks(model, loss_reduction="sum")
    try:
        hooks.set_units(batch.num_units if batch.unit_of_row is None else batch.unit_of_row)
        losses = record_losses(causal_logits(model, batch.token_ids, batch.attention_mask), batch.labels)
        unit_sum_loss(losses, batch.unit_of_row, batch.num_units).backward()  # type: ignore[no-untyped-call]
        return [getattr(p, GRAD_SAMPLE).float() * hooks.loss_scale for p in trainable(model)]
    finally:
        hooks.cleanup()


def loop_gradients(model: nn.Module, units: Units) -> list[Tensor]:
    """(U, …) for each trainable tensor by plain autograd: every record alone, without a batch, padding or hooks."""
    import torch

    from fedward.client.training.guards import trainable
    from fedward.client.training.losses import causal_logits, record_losses

    per_unit = []
    for unit in units:
        total = torch.zeros(())
        for record in unit:
            ids = torch.tensor([list(record)])
            total = total + record_losses(causal_logits(model, ids, torch.ones_like(ids)), ids).sum()
        per_unit.append(torch.autograd.grad(total / len(unit), trainable(model)))
    return [torch.stack(grads) for grads in zip(*per_unit, strict=True)]


def relative_error(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖ in float64; infinite for what is no number."""
    error = float((found.double() - expected.double()).norm() / expected.double().norm())
    return error if error == error else float("inf")
