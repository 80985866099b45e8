"""Per-unit gradients of trainable linear layers at the price of an ordinary backward pass.

A LoRA factor is an ``nn.Linear`` whose weight has r rows or columns. Autograd would form dW = sum over all tokens of
g xᵀ. Here backward forms, instead of that one matmul, a batched one that keeps the privacy units apart: the same
multiply-adds, no second backward. The result waits in ``p.grad_sample``; ``p.grad`` stays empty.

Shapes: R rows (records) in a forward pass, U units (patients), T tokens.

Invariants:

* the first dimension of every ``grad_sample`` is U, taken from the batch and never from a layer's input;
* one forward, one backward, one read: a second pending forward is refused, and so is a built-in loss;
* what a unit's rows contribute never passes through another unit's entry, so a NaN stays where it arose.

Not handled: several devices or processes, fp16 loss scaling, torch.compile, DoRA, mixture of experts, trainable modules
other than ``nn.Linear``. ``probe.parity_probe`` proves a model before private data is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from opacus.grad_sample.gsm_base import AbstractGradSampleHooks
from torch import Tensor, nn
from torch.nn import functional

from fedward.client.training import guards
from fedward.common.errors import TrainingError, UnsupportedModelError

GRAD_SAMPLE = "grad_sample"
"""Opacus' name of the attribute of a parameter that holds its (U, …) gradients."""

_FLATTENING = frozenset({"OPTForCausalLM", "OPTModel"})
"""Architectures that flatten (R, T, d) to (R·T, d) row by row; proven in the tests and by the probe."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PhysicalBatch:
    """What one forward pass holds. A unit is never split over two of them."""

    rows: int
    units: int
    unit_of_row: Tensor | None
    """(R,) int64; None: units own equal, consecutive groups of rows."""


Collect = Callable[[Tensor, Tensor], None]


class _PerUnitLinear(torch.autograd.Function):
    """y = x Wᵀ + b. Backward returns dx only; what makes dW goes to ``collect``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, collect: Collect) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, weight)
        ctx.collect = collect
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, None, None, None]:  # noqa: ANN401
        x, weight = ctx.saved_tensors
        ctx.collect(x, grad_out)
        return (grad_out @ weight if ctx.needs_input_grad[0] else None), None, None, None


class LoraGradSampleHooks(AbstractGradSampleHooks):  # type: ignore[misc]  # Opacus is untyped
    """Gives every trainable ``nn.Linear`` of a model a forward that yields per-unit gradients.

    The model is not wrapped, so it saves and loads as before; ``cleanup`` takes everything off again.

    Raises:
        UnsupportedModelError: the gradients are not proven for something in the model.
    """

    def __init__(self, model: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean") -> None:
        if not batch_first:
            raise UnsupportedModelError("batch_first = False is not proven")
        guards.refuse_unproven(model)
        super().__init__(model, batch_first=True, loss_reduction=loss_reduction)
        self._may_flatten = any(type(module).__name__ in _FLATTENING for module in model.modules())
        self._batch: PhysicalBatch | None = None
        self._pending = False
        self._next_units: Tensor | int | None = None
        self._patched: list[nn.Linear] = []
        for module in model.modules():
            if any(p.requires_grad for p in module.parameters(recurse=False)):
                assert isinstance(module, nn.Linear)  # noqa: S101 - refuse_unproven saw to it
                self._patch(module)
        self._pre_hook = model.register_forward_pre_hook(self._on_forward, with_kwargs=True)

    def set_units(self, units: Tensor | int) -> None:
        """Tell the next forward pass whose rows it holds; without it every row is a unit of its own.

        Args:
            units: a number of units with equal, consecutive groups of rows; or (R,) int64, each row's unit,
                numbered from 0 without gaps.
        """
        self._next_units = units

    @property
    def units(self) -> int:
        """Units in the current physical batch."""
        return self._batch.units if self._batch is not None else 0

    @property
    def loss_scale(self) -> float:
        """What turns a gradient of the loss that was back-propagated into a unit's own."""
        return float(self.units) if self.loss_reduction == "mean" else 1.0

    def release(self) -> None:
        """The gradients of the current batch have been read, or are given up: the next forward may come."""
        self._pending = False
        self._batch = None

    def cleanup(self) -> None:
        """Take everything off the model and its parameters again."""
        super().cleanup()
        for parameter in self._module.parameters():
            parameter.__dict__.pop("summed_grad", None)  # set by Opacus' optimiser, forgotten by its clean-up

    def remove_hooks(self) -> None:
        """Give every module its own forward back."""
        for module in self._patched:
            module.__dict__.pop("forward", None)
        self._patched.clear()
        self._pre_hook.remove()

    # ------------------------------------------------------------------------------------------------ forward

    def _on_forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not (module.training and torch.is_grad_enabled()):
            return
        if kwargs.get("labels") is not None:
            raise TrainingError("labels were passed to the model: its built-in loss couples the units of a batch")
        if self._pending:
            raise TrainingError("a second forward before the step: one forward, one backward, one step")
        inputs = next((kwargs[k] for k in ("input_ids", "inputs_embeds") if kwargs.get(k) is not None), None)
        rows = int((args[0] if inputs is None else inputs).shape[0])
        units, self._next_units = self._next_units, None
        self._batch = _physical_batch(rows, rows if units is None else units)
        self._pending = True

    def _patch(self, module: nn.Linear) -> None:
        def forward(x: Tensor) -> Tensor:
            if not (module.training and torch.is_grad_enabled()):
                return functional.linear(x, module.weight, module.bias)
            batch = self._batch  # bound now, not at backward time
            if batch is None:
                raise TrainingError("a forward pass by-passed the model; its gradients would be wrong")
            device = x.device.type
            weight: Tensor = module.weight
            bias: Tensor | None = module.bias
            if torch.is_autocast_enabled(device):  # cast as autocast would, so that backward sees one dtype
                dtype = torch.get_autocast_dtype(device)
                x, weight = x.to(dtype), weight.to(dtype)
                bias = None if bias is None else bias.to(dtype)

            def collect(x: Tensor, grad_out: Tensor) -> None:
                self._collect(module, batch, x, grad_out)

            with torch.autocast(device, enabled=False):
                out: Tensor = _PerUnitLinear.apply(x, weight, bias, collect)  # type: ignore[no-untyped-call]
            return out

        module.forward = forward  # type: ignore[method-assign, assignment]
        self._patched.append(module)

    # ------------------------------------------------------------------------------------------------ backward

    def _collect(self, module: nn.Linear, batch: PhysicalBatch, x: Tensor, grad_out: Tensor) -> None:
        """Turn a layer's input (R, …, in) and output gradient (R, …, out) into (U, out, in)."""
        if batch is not self._batch:
            raise TrainingError("backward of an older forward pass: one forward, one backward, one step")
        if x.shape[0] != batch.rows and not (self._may_flatten and x.dim() == 2 and x.shape[0] % batch.rows == 0):
            raise UnsupportedModelError(f"a layer input {tuple(x.shape)} does not start with the {batch.rows} rows")
        groups = batch.units if batch.unit_of_row is None else batch.rows
        x = x.reshape(groups, -1, x.shape[-1]).to(grad_out.dtype)
        grad = grad_out.reshape(groups, -1, grad_out.shape[-1])
        if module.weight.requires_grad:
            _add(module.weight, torch.bmm(grad.transpose(1, 2), x), batch)
        if module.bias is not None and module.bias.requires_grad:
            _add(module.bias, grad.sum(dim=1), batch)


def _add(parameter: Tensor, value: Tensor, batch: PhysicalBatch) -> None:
    """Put (U or R, …) gradients where the optimiser reads them; rows of one unit are summed."""
    if batch.unit_of_row is not None:
        # index_add, not a one-hot matmul: there 0 · Inf = NaN would spread one bad record over all units.
        value = value.new_zeros((batch.units, *value.shape[1:])).index_add_(0, batch.unit_of_row, value)
    earlier: Tensor | None = getattr(parameter, GRAD_SAMPLE)
    setattr(parameter, GRAD_SAMPLE, value if earlier is None else earlier + value)  # the module was used twice


def _physical_batch(rows: int, units: Tensor | int) -> PhysicalBatch:
    if isinstance(units, int):
        if units < 1 or rows % units:
            raise TrainingError(f"{rows} rows cannot be {units} equal units")
        return PhysicalBatch(rows=rows, units=units, unit_of_row=None)
    if units.shape != (rows,):
        raise TrainingError("unit_of_row must have one entry for each row")
    sizes = torch.bincount(units)
    if int(sizes.min()) < 1:
        raise TrainingError("unit_of_row must number the units without gaps")
    return PhysicalBatch(rows=rows, units=len(sizes), unit_of_row=units)


__all__ = ["GRAD_SAMPLE", "LoraGradSampleHooks", "PhysicalBatch"]
