"""Per-unit gradients of trainable linear layers at the price of an ordinary backward pass.

A LoRA factor is an ``nn.Linear`` whose weight has r rows or columns. Autograd would form dW = sum over all tokens of
g xᵀ. Here backward forms, instead of that one matmul, a batched one that keeps the privacy units apart: the same
multiply-adds, no second backward. The result waits in ``p.grad_sample``; ``p.grad`` stays empty.

Shapes: R rows (records) in a forward pass, U units (patients), T tokens.

Invariants:

* the first dimension of every ``grad_sample`` is U, taken from the batch and never from a layer's input;
* one forward, one backward, one read: a second pending forward is refused, so is a second backward, and so is a
  built-in loss;
* what a unit's rows contribute never passes through another unit's entry, so a NaN stays where it arose.

Not handled: several devices or processes, fp16 and loss scaling, torch.compile, DoRA, mixture of experts, trainable
modules other than ``nn.Linear``. ``probe.parity_probe`` proves a model before private data is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from opacus.grad_sample.gsm_base import AbstractGradSampleHooks
from torch import Tensor, nn
from torch.nn import functional

from fedward.client.training import guards
from fedward.client.training.physical import GRAD_SAMPLE, BatchWatch, PhysicalBatch
from fedward.common.errors import TrainingError, UnsupportedModelError

_FLATTENING = frozenset({"OPTForCausalLM", "OPTModel"})
"""Architectures that flatten (R, T, d) to (R·T, d) row by row; proven in the tests and by the probe."""

_NARROW = 16
"""On a CPU a product with fewer columns than this ran at a quarter of the speed of its transpose (MKL, measured)."""

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
        if ctx.collect is None:
            raise TrainingError("a second backward through one forward: one forward, one backward, one step")
        ctx.collect(x, grad_out)
        ctx.collect = None
        return (_times(grad_out, weight) if ctx.needs_input_grad[0] else None), None, None, None


def _is_slow(wide: int, narrow: int, device: torch.device) -> bool:
    return device.type == "cpu" and narrow < _NARROW and narrow < wide


def _times(grad_out: Tensor, weight: Tensor) -> Tensor:
    """``grad_out @ weight``, (…, out) times (out, in); the transpose of the product where that is faster."""
    wide, narrow = weight.shape
    if not _is_slow(wide, narrow, grad_out.device):
        return grad_out @ weight
    return torch.mm(weight.t(), grad_out.reshape(-1, wide).t()).t().view(*grad_out.shape[:-1], narrow)


def _outer(grad: Tensor, x: Tensor) -> Tensor:
    """(G, out, in): the sums over T of g xᵀ, from (G, T, out) and (G, T, in)."""
    if not _is_slow(grad.shape[-1], x.shape[-1], grad.device):
        return torch.bmm(grad.transpose(1, 2), x)
    return torch.bmm(x.transpose(1, 2), grad).transpose(1, 2)


class LoraGradSampleHooks(BatchWatch, AbstractGradSampleHooks):  # type: ignore[misc]  # Opacus is untyped
    """Gives every trainable ``nn.Linear`` of a model a forward that yields per-unit gradients.

    The model is not wrapped, so it saves and loads as before; ``cleanup`` takes everything off again.

    Raises:
        UnsupportedModelError: the gradients are not proven for something in the model.
    """

    def __init__(self, model: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean") -> None:
        if not batch_first:
            raise UnsupportedModelError("batch_first = False is not proven")
        guards.refuse_unproven(model)
        AbstractGradSampleHooks.__init__(self, model, batch_first=True, loss_reduction=loss_reduction)
        BatchWatch.__init__(self, model)
        self._may_flatten = any(type(module).__name__ in _FLATTENING for module in model.modules())
        self._patched: list[nn.Linear] = []
        for module in guards.trainable_modules(model):
            assert isinstance(module, nn.Linear)  # noqa: S101 - refuse_unproven saw to it
            self._patch(module)

    @property
    def loss_scale(self) -> float:
        """What turns a gradient of the loss that was back-propagated into a unit's own."""
        return float(self.units) if self.loss_reduction == "mean" else 1.0

    def finish(self) -> None:
        """Nothing is left to do after backward: units were kept apart on the way."""

    def cleanup(self) -> None:
        """Take everything off the model and its parameters again."""
        self.remove_hooks()
        guards.strip_parameters(self._module)

    def remove_hooks(self) -> None:
        """Give every module its own forward back."""
        for module in self._patched:
            module.__dict__.pop("forward", None)
        self._patched.clear()
        self.stop_watching()

    # ------------------------------------------------------------------------------------------------ forward

    def _patch(self, module: nn.Linear) -> None:
        parameters, linear = module._parameters, functional.linear  # read once; a factor may still be replaced

        def forward(x: Tensor) -> Tensor:
            weight, bias = parameters["weight"], parameters["bias"]
            assert weight is not None  # noqa: S101 - for the type checker
            if not (module.training and torch.is_grad_enabled()):
                return linear(x, weight, bias)
            batch = self._batch  # bound now, not at backward time
            if batch is None:
                raise TrainingError("a forward pass by-passed the model; its gradients would be wrong")

            def collect(x: Tensor, grad_out: Tensor) -> None:
                self._collect(module, batch, x, grad_out)

            if torch.is_autocast_enabled(x.device.type):
                return _under_autocast(x, weight, bias, collect)
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
        weight, bias = module.weight, module.bias
        if weight.requires_grad:
            _add(weight, _outer(grad, x), batch)
        if bias is not None and bias.requires_grad:
            _add(bias, grad.sum(dim=1), batch)


def _under_autocast(x: Tensor, weight: Tensor, bias: Tensor | None, collect: Collect) -> Tensor:
    """Cast as autocast would, before anything is saved: else backward meets mixed dtypes."""
    device = x.device.type
    dtype = torch.get_autocast_dtype(device)
    if dtype == torch.float16:
        raise UnsupportedModelError("autocast to float16 needs a scaled loss, which is not proven; use bfloat16")
    with torch.autocast(device, enabled=False):
        out: Tensor = _PerUnitLinear.apply(  # type: ignore[no-untyped-call]
            x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype), collect
        )
    return out


def _add(parameter: Tensor, value: Tensor, batch: PhysicalBatch) -> None:
    """Put (U or R, …) gradients where the optimiser reads them; rows of one unit are summed."""
    if batch.unit_of_row is not None:
        value = batch.fold(value)
    earlier: Tensor | None = getattr(parameter, GRAD_SAMPLE)
    setattr(parameter, GRAD_SAMPLE, value if earlier is None else earlier + value)  # the module was used twice


__all__ = ["GRAD_SAMPLE", "LoraGradSampleHooks", "PhysicalBatch"]
