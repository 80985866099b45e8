"""What must hold before, during and after a step; each refusal names the module or tensor, never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fedward.common.errors import TrainingError, UnsupportedModelError

if TYPE_CHECKING:
    from peft import PeftModel

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")
_UNPROVEN_WRAPPERS = frozenset({"DistributedDataParallel", "FullyShardedDataParallel", "OptimizedModule"})


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that a step changes, in the model's order."""
    return [p for p in model.parameters() if p.requires_grad]


def refuse_unproven(model: nn.Module) -> None:
    """Refuse a model for which the fused per-sample gradients are not proven.

    Raises:
        UnsupportedModelError: with the name of the module.
    """
    _refuse_layout(model)
    owner: dict[int, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        _refuse_variant(name, module)
        for leaf, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                _refuse_parameter(f"{name}.{leaf}", module, parameter, owner)
    if not owner:
        raise UnsupportedModelError("the model has no trainable parameter")


def _refuse_layout(model: nn.Module) -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        raise UnsupportedModelError("several processes: one process per site is what is proven")
    devices = {parameter.device for parameter in model.parameters()}
    if len(devices) != 1 or next(iter(devices)).type == "meta":
        raise UnsupportedModelError("the parameters are not on one real device")
    config = getattr(model, "config", None)
    for key in _EXPERT_COUNTS:
        if (getattr(config, key, 0) or 0) > 1:
            raise UnsupportedModelError(f"config.{key} > 1: expert routing permutes tokens across rows")


def _refuse_variant(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if kind in _UNPROVEN_WRAPPERS:
        raise UnsupportedModelError(f"{name or 'the model'}: {kind} is not proven")
    if kind == "ParamWrapper":
        raise UnsupportedModelError(f"{name}: target_parameters is not proven; use target_modules")
    dora = getattr(module, "use_dora", None)
    if isinstance(dora, dict) and any(dora.values()):
        raise UnsupportedModelError(f"{name}: DoRA renormalises the weight; use plain LoRA")
    if getattr(module, "lora_variant", None):
        raise UnsupportedModelError(f"{name}: a LoRA variant that is not proven; use plain LoRA")


def _refuse_parameter(name: str, module: nn.Module, parameter: nn.Parameter, owner: dict[int, str]) -> None:
    if type(module) is not nn.Linear:
        raise UnsupportedModelError(f"{name}: trainable {type(module).__name__}; only nn.Linear is proven")
    if id(parameter) in owner:
        raise UnsupportedModelError(f"{name} is tied to {owner[id(parameter)]}")
    if parameter.dtype != torch.float32:
        raise UnsupportedModelError(f"{name} is {parameter.dtype}; trainable weights must be float32")
    owner[id(parameter)] = name


def require_same_parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimiser that does not hold exactly the model's trainable parameters.

    Raises:
        TrainingError: so it is.
    """
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    if len(held) != len(set(held)) or set(held) != {id(p) for p in trainable(model)}:
        raise TrainingError("the optimizer does not hold exactly the model's trainable parameters")


def _exported(model: PeftModel) -> Iterator[tuple[str, Tensor]]:
    """(name in the adapter file, tensor) of what would be saved and is trained."""
    from peft import get_peft_model_state_dict

    active = model.active_adapter
    trained = {name.replace(f".{active}.", ".") for name, p in model.named_parameters() if p.requires_grad}
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    found = {name: tensor for name, tensor in state.items() if name in trained}
    if not found:
        raise TrainingError("nothing of what is trained would be exported")
    yield from found.items()


def exported_copy(model: PeftModel) -> dict[str, Tensor]:
    """Clones of the trained tensors as an adapter file would hold them."""
    return {name: tensor.detach().clone() for name, tensor in _exported(model)}


def require_moved(model: PeftModel, before: Mapping[str, Tensor], *, every: bool) -> None:
    """After a step: what would be exported has changed (a dead adapter: Opacus issue 820).

    Args:
        before: ``exported_copy`` from before the step.
        every: each tensor must have moved, as noise makes sure; else one is enough, for a gradient can be zero.

    Raises:
        TrainingError: with the name of a tensor that stood still.
    """
    still = [name for name, now in _exported(model) if torch.equal(now, before[name])]
    if still and (every or len(still) == len(before)):
        raise TrainingError(f"{still[0]} did not move: the optimizer updates something that is not exported")


__all__ = ["exported_copy", "refuse_unproven", "require_moved", "require_same_parameters", "trainable"]
