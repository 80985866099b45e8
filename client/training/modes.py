"""Modes of a model that are taken on for a while and given back exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """Every module in training mode; afterwards each is in the mode it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode; afterwards each is in the mode it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """All dropout rates at zero: those of dropout modules and those that attention code reads from an attribute."""
    before = [
        (module, name, value)
        for module in model.modules()
        for name, value in vars(module).items()
        if isinstance(value, float) and ("drop" in name or (name == "p" and isinstance(module, nn.Dropout)))
    ]
    for module, name, _ in before:
        setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


@contextmanager
def checkpointing(model: Any, *, wanted: bool, reentrant: bool = False) -> Iterator[None]:  # noqa: ANN401 - a PEFT model
    """Gradient checkpointing of a PEFT model's base: activations are computed a second time instead of kept.

    Args:
        wanted: False changes nothing, not even what was switched on before.
        reentrant: torch's older way, which Opacus' hooks need; the input embedding's output then requires a gradient.

    Raises:
        ValueError: transformers knows no checkpointing for the architecture.
    """
    if not wanted:
        yield
        return
    base = model.get_base_model()
    base.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": reentrant})
    if reentrant:
        base.enable_input_require_grads()
    try:
        yield
    finally:
        if reentrant:
            base.disable_input_require_grads()
        base.activation_checkpointing_disable()


def is_bfloat16(model: nn.Module) -> bool:
    """Whether the frozen base is bfloat16, or 4-bit with bfloat16 compute: its other weights are bfloat16 then."""
    return any(p.dtype == torch.bfloat16 for p in model.parameters() if not p.requires_grad)


def compute_precision(model: nn.Module) -> AbstractContextManager[object]:
    """Autocast to bfloat16 for a bfloat16 base, so that its matrix products and the adapter's are done in that."""
    if not is_bfloat16(model):
        return nullcontext()
    return torch.autocast(next(model.parameters()).device.type, torch.bfloat16)


__all__ = ["checkpointing", "compute_precision", "evaluation_mode", "is_bfloat16", "training_mode", "without_dropout"]
