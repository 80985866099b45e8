"""The losses of DP-SGD. A record's loss depends on that record alone, a patient's on that patient's records alone.

The model's built-in loss is a mean over all tokens of a batch: with it a patient's gradient would change with the
others in the batch, and the bound per patient would mean nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORED = -100
"""Label of positions that are not predicted."""


def causal_logits(model: nn.Module, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """(R, T, V) logits of a causal language model. Labels are never passed, so no built-in loss is computed."""
    logits: Tensor = model(input_ids=token_ids, attention_mask=attention_mask, use_cache=False).logits
    return logits


def record_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Each row's mean negative log-likelihood over its own labelled tokens.

    Args:
        logits: (R, T, V).
        labels: (R, T) int64, the tokens themselves; ``IGNORED`` where nothing is predicted.

    Returns:
        (R,) float32; 0 for a row without a label after its first position.
    """
    # The labels are shifted, not the logits: a slice of these would be copied.
    target = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    flat = logits.flatten(0, 1).float()
    losses = functional.cross_entropy(flat, target.flatten(), reduction="none", ignore_index=IGNORED).view(target.shape)
    return losses.sum(dim=1) / (target != IGNORED).sum(dim=1).clamp(min=1)


def unit_sum_loss(row_losses: Tensor, unit_of_row: Tensor | None, units: int) -> Tensor:
    """The sum over units of the mean over each unit's rows: what is trained with.

    A unit's gradient does not depend on how many others there are, not even in its rounding. Divided by their number it
    does, and under bfloat16 one unit more then moves each other's gradient by up to 1 % (measured).

    Args:
        row_losses: (R,).
        unit_of_row: (R,) int64 in [0, units); None where every row is a unit of its own.
        units: how many there are.
    """
    if unit_of_row is None:
        return row_losses.sum()
    counts = torch.bincount(unit_of_row, minlength=units).to(row_losses)
    return (row_losses / counts[unit_of_row]).sum()


__all__ = ["causal_logits", "IGNORED", "record_losses", "unit_sum_loss"]
