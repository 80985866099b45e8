"""What must hold before, during and after a step; each refusal names the module or tensor, never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedward.common.errors import TrainingError, UnsupportedModelError

if TYPE_CHECKING:
    from peft import PeftModel

PROVEN_ARCHITECTURES = ("gpt2", "llama", "qwen2", "qwen3", "opt", "bert")
"""``model_type`` of the architectures that the tests compare with one backward for each record; others are refused."""

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")
_UNPROVEN_WRAPPERS = frozenset(
    {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel", "OptimizedModule"}
)
_WIDTH_BOUND_ROTARY = ("dynamic", "longrope")
"""Rotary frequencies taken from the width of the batch: one long row would change every other row's gradient, and by
far more than the clip in sum."""
_ON_PARAMETERS = ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample", "_norm_sample")
"""What Opacus leaves on parameters."""


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that a step changes, in the model's order."""
    return [p for p in model.parameters() if p.requires_grad]


def trainable_modules(model: nn.Module) -> list[nn.Module]:
    """The modules with a trainable parameter of their own."""
    return [m for m in model.modules() if any(p is not None and p.requires_grad for p in m._parameters.values())]


def strip_parameters(model: nn.Module) -> None:
    """Take off every parameter what Opacus put on it."""
    for parameter in model.parameters():
        for name in _ON_PARAMETERS:
            parameter.__dict__.pop(name, None)


def refuse_unproven(model: nn.Module, *, linear_only: bool = True) -> None:
    """Refuse a model for which per-sample gradients are not proven.

    Args:
        linear_only: as on the fused path, nothing but ``nn.Linear`` may be trained.

    Raises:
        UnsupportedModelError: with the name of the module.
    """
    _refuse_layout(model)
    owner: dict[int, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        _refuse_variant(name, module)
        for leaf, parameter in module._parameters.items():
            if parameter is not None and parameter.requires_grad:
                _refuse_parameter(f"{name}.{leaf}", module, parameter, owner, linear_only=linear_only)
    if not owner:
        raise UnsupportedModelError("the model has no trainable parameter")
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind is not None and kind not in PROVEN_ARCHITECTURES:
        raise UnsupportedModelError(
            f"the architecture {kind!r} is not proven",
            hint=f"Take a base of one of: {', '.join(PROVEN_ARCHITECTURES)}.",
        )


def _refuse_layout(model: nn.Module) -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        raise UnsupportedModelError("several processes: one process per site is what is proven")
    parameters = list(model.parameters())
    devices = {parameter.device for parameter in parameters}
    if len(devices) != 1 or next(iter(devices)).type == "meta":
        raise UnsupportedModelError("the parameters are not on one real device")
    if any(parameter.dtype == torch.float16 for parameter in parameters):
        raise UnsupportedModelError("float16 weights need a scaled loss, which is not proven; use float32 or bfloat16")
    config = getattr(model, "config", None)
    for part in (config, getattr(config, "text_config", None)):
        for key in _EXPERT_COUNTS:
            if (getattr(part, key, 0) or 0) > 1:
                raise UnsupportedModelError(f"config.{key} > 1: expert routing permutes tokens across rows")


def _refuse_variant(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if kind in _UNPROVEN_WRAPPERS or kind.startswith("FSDP"):
        raise UnsupportedModelError(f"{name or 'the model'}: {kind} is not proven")
    forward = vars(module).get("forward")
    if getattr(module, "_compiled_call_impl", None) or hasattr(forward, "_torchdynamo_orig_callable"):
        raise UnsupportedModelError(f"{name or 'the model'}: torch.compile is not proven")
    if kind == "ParamWrapper":
        raise UnsupportedModelError(f"{name}: target_parameters is not proven; use target_modules")
    if isinstance(module, _BatchNorm):
        raise UnsupportedModelError(f"{name}: {kind} mixes the rows of a batch, trained or not")
    if "Experts" in kind or "SparseMoe" in kind:
        raise UnsupportedModelError(f"{name}: {kind}: expert routing permutes tokens across rows")
    rotary = getattr(module, "rope_type", None)
    for frequencies in rotary.values() if isinstance(rotary, dict) else (rotary,):
        if any(word in str(frequencies) for word in _WIDTH_BOUND_ROTARY):
            raise UnsupportedModelError(
                f"{name}: rotary frequencies of type {frequencies} depend on the longest row of a batch"
            )
    dora = getattr(module, "use_dora", None)
    if isinstance(dora, dict) and any(dora.values()):
        raise UnsupportedModelError(f"{name}: DoRA renormalises the weight; use plain LoRA")
    if getattr(module, "lora_variant", None):
        raise UnsupportedModelError(f"{name}: a LoRA variant that is not proven; use plain LoRA")


def _refuse_parameter(
    name: str, module: nn.Module, parameter: nn.Parameter, owner: dict[int, str], *, linear_only: bool
) -> None:
    if linear_only and type(module) is not nn.Linear:
        raise UnsupportedModelError(
            f"{name}: trainable {type(module).__name__}; only nn.Linear is proven on the fused path"
        )
    if isinstance(module, nn.ParameterDict | nn.ParameterList):
        raise UnsupportedModelError(f"{name}: a trainable tensor without a module of its own is not proven")
    if id(parameter) in owner:
        raise UnsupportedModelError(f"{name} is tied to {owner[id(parameter)]}")
    if parameter.dtype != torch.float32:
        raise UnsupportedModelError(f"{name} is {parameter.dtype}; trainable weights must be float32")
    owner[id(parameter)] = name


def refuse_lossy_checkpointing(model: nn.Module) -> None:
    """Refuse checkpointing under which Opacus' hooks lose their gradients (1.6: ``grad_sample`` stays None).

    Raises:
        UnsupportedModelError: the model checkpoints without re-entering.
    """
    for name, module in model.named_modules():
        run = getattr(module, "_gradient_checkpointing_func", None)
        is_on = getattr(module, "gradient_checkpointing", False) and run is not None
        if is_on and getattr(run, "keywords", {}).get("use_reentrant") is not True:
            raise UnsupportedModelError(
                f"{name}: gradient checkpointing with use_reentrant=False loses the gradients of Opacus' hooks; "
                "use use_reentrant=True and enable_input_require_grads, or the fused path"
            )


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
    trained = {_exported_name(name, active) for name, p in model.named_parameters() if p.requires_grad}
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    found = {name: tensor for name, tensor in state.items() if name in trained}
    if not found:
        raise TrainingError("nothing of what is trained would be exported")
    yield from found.items()


def _exported_name(name: str, active: str) -> str:
    """A parameter's name as PEFT writes it: without the adapter's name, and without the wrapper of a trained head."""
    return name.replace(f".modules_to_save.{active}.", ".").replace(f".{active}.", ".")


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


__all__ = [
    "exported_copy",
    "refuse_lossy_checkpointing",
    "refuse_unproven",
    "require_moved",
    "require_same_parameters",
    "strip_parameters",
    "trainable",
    "trainable_modules",
]
