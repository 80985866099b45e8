"""The start-up probe: on the very model and device, per-sample gradients are compared with one backward for each row.

It runs on synthetic tokens before private data is read, and gives everything back bit for bit. It catches clipping per
token, permuted tokens, losses that couple a batch, and adapters that train without effect or are not what is exported.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from fedward.client.training import guards
from fedward.client.training.engine import FedwardPrivacyEngine, Gradients
from fedward.client.training.gradients import GRAD_SAMPLE, LoraGradSampleHooks
from fedward.client.training.hooks import RowGradSampleHooks, quiet_backward
from fedward.client.training.losses import IGNORED, causal_logits, record_losses, unit_sum_loss
from fedward.client.training.modes import (
    checkpointing,
    compute_precision,
    is_bfloat16,
    training_mode,
    without_dropout,
)
from fedward.common import _validate
from fedward.common.errors import UnsupportedModelError
from fedward.common.privacy.noise import Entropy

if TYPE_CHECKING:
    from peft import PeftModel

_ROWS, _TOKENS = 7, 16  # coprime: a permutation of tokens over rows cannot pass for the identity
_UNIT_OF_ROW = (0, 0, 0, 1, 2, 2, 2)
_PERTURBATION = 0.02
_CONTROL = 0.1
_LOGIT_TOLERANCE = 1e-5
_RATES = tuple(0.1 * 0.25**k for k in range(8))
_MIN_VOCABULARY = 8
_TOLERANCE, _TOLERANCE_BFLOAT16 = 1e-4, 3e-2
"""In bfloat16 rounding is 0.3 to 0.5 % here (SmolLM2 on a CPU, 12 random adapters), as a batch's kernels round like a
row's; where they do not, 2 to 4 %. A fault puts gradients off by half their size or more."""
_TENSOR_SLACK_BFLOAT16 = 8.0
"""How much worse than all tensors together a single one may be in bfloat16. In a deep model rounding puts small tensors
off by 1 %, and by up to 12 % where a batch's kernels round otherwise; a fault in one tensor puts it off by its own
size."""
_SMALL_MODEL_BYTES = 256 << 20
"""A model up to this size is copied to try the export in a fresh base."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Rows:
    """Synthetic rows of unequal length."""

    token_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    def losses(self, model: PeftModel, rows: slice = slice(None)) -> Tensor:
        """(R,) losses of the model."""
        with compute_precision(model):
            return record_losses(self.logits(model, rows), self.labels[rows])

    def last_at(self, width: int) -> _Rows:
        """The last row alone, cut or padded on the right to ``width`` columns."""

        def fit(rows: Tensor, value: int) -> Tensor:
            return functional.pad(rows[-1:], (0, width - rows.shape[1]), value=value)

        return _Rows(
            token_ids=fit(self.token_ids, 0),
            attention_mask=fit(self.attention_mask, 0),
            labels=fit(self.labels, IGNORED),
        )

    def logits(self, model: PeftModel, rows: slice = slice(None)) -> Tensor:
        """(R, T, V) of the model."""
        return causal_logits(model, self.token_ids[rows], self.attention_mask[rows])


def parity_probe(
    model: PeftModel,
    *,
    vocab_size: int,
    tolerance: float | None = None,
    gradients: Gradients = "fused",
    gradient_checkpointing: bool = False,
    max_length_tokens: int | None = None,
) -> float:
    """Prove the engine on ``model``, once for each base and adapter shape, before private data is read.

    Args:
        model: on its device, with the parameters that will be trained marked.
        vocab_size: of the tokenizer; synthetic tokens are below it.
        tolerance: largest relative error of the gradients, of each tensor's too; None: 1e-4 for a float32 base, 3e-2
            for bfloat16 and 4-bit ones, where a single tensor may be off by eight times as much.
        gradients: the path that will be trained with.
        gradient_checkpointing: as it will be trained with.
        max_length_tokens: of the records. A row's gradient must be the same in a batch so wide; None leaves that out.

    The exported adapter is loaded into a fresh copy of the base, with an adapter put on anew, if the model is small (at
    most 256 MiB, not quantised); into the same base, after it was disturbed, otherwise.

    Returns:
        The largest relative error found, in bfloat16 a single tensor's by an eighth.

    Raises:
        UnsupportedModelError: the gradients are wrong, a step does not lower the loss, or an exported adapter does not
            give the same logits.
    """
    if tolerance is None:
        tolerance = _TOLERANCE_BFLOAT16 if is_bfloat16(model) else _TOLERANCE
    _validate.positive(tolerance=tolerance)
    if vocab_size < _MIN_VOCABULARY:
        raise UnsupportedModelError(f"a vocabulary of {vocab_size} is too small to probe with")
    guards.refuse_unproven(model, linear_only=gradients == "fused")
    checkpointed = partial(checkpointing, model, wanted=gradient_checkpointing, reentrant=gradients == "hooks")
    vocabulary = min(vocab_size, model.get_input_embeddings().num_embeddings)
    rows = _synthetic(vocabulary, next(model.parameters()).device)
    with training_mode(model), without_dropout(model), _restored(model):
        error = _require_parity(model, rows, tolerance, gradients, checkpointed)
        if max_length_tokens is not None and max_length_tokens > _TOKENS:
            error = max(error, _require_width(model, rows, tolerance, max_length_tokens))
        _require_learning(model, rows, gradients)
        _require_export(model, rows)
    return error


def _require_parity(
    model: PeftModel,
    rows: _Rows,
    tolerance: float,
    gradients: Gradients,
    checkpointed: Callable[[], AbstractContextManager[None]],
) -> float:
    owner, slack = torch.tensor(_UNIT_OF_ROW, device=rows.labels.device), _slack(model)
    reference = _row_by_row(model, rows, torch.ones(_ROWS))
    # A row is weighted before its backward, as the engine does: bfloat16 rounds a third of a gradient otherwise.
    weights = (1.0 / owner.bincount())[owner]
    patients = [
        torch.stack([grads[owner == unit].sum(dim=0) for unit in range(3)])
        for grads in _row_by_row(model, rows, weights)
    ]
    with checkpointed():  # the reference stays without: it is what checkpointing must not change
        error = _worst(_engine_gradients(model, rows, None, gradients), reference, slack)
        error = max(error, _worst(_engine_gradients(model, rows, owner, gradients), patients, slack))
    control = min(_relative(grads.roll(1, 0), grads) for grads in reference)
    if not error <= tolerance or not control > _CONTROL:
        raise UnsupportedModelError(f"per-sample gradients are wrong (error {error:.1e}, control {control:.1e})")
    return error


def _row_by_row(model: PeftModel, rows: _Rows, weights: Tensor) -> list[Tensor]:
    """One backward for each row, of its loss times its weight: each parameter's (R, ...) gradients."""
    parameters = guards.trainable(model)
    one_by_one: list[list[Tensor]] = [[] for _ in parameters]
    for row in range(_ROWS):
        loss = (rows.losses(model, slice(row, row + 1)) * weights[row]).sum()
        for store, grad in zip(one_by_one, torch.autograd.grad(loss, parameters), strict=True):
            store.append(grad)
    return [torch.stack(grads) for grads in one_by_one]


def _require_width(model: PeftModel, rows: _Rows, tolerance: float, width: int) -> float:
    """A row's gradient does not depend on how long the longest row of its batch is, as that is another unit's."""
    parameters = guards.trainable(model)
    # In bfloat16 the kernels for very narrow batches round otherwise, by up to 12 % of a tensor (SmolLM2).
    narrow = _TOKENS if is_bfloat16(model) else _TOKENS - 2 * (_ROWS - 1)
    alone, beside_long = (
        list(torch.autograd.grad(rows.last_at(columns).losses(model).sum(), parameters)) for columns in (narrow, width)
    )
    error = _worst(beside_long, alone, _slack(model))
    if not error <= tolerance:
        raise UnsupportedModelError(f"a row's gradient depends on the width of its batch (error {error:.1e})")
    return error


def _engine_gradients(model: PeftModel, rows: _Rows, unit_of_row: Tensor | None, gradients: Gradients) -> list[Tensor]:
    kind = RowGradSampleHooks if gradients == "hooks" else LoraGradSampleHooks
    hooks = kind(model, loss_reduction="sum")
    try:
        if unit_of_row is not None:
            hooks.set_units(unit_of_row)
        losses = rows.losses(model)
        with quiet_backward():
            unit_sum_loss(losses, unit_of_row, hooks.units).backward()  # type: ignore[no-untyped-call]
        hooks.finish()
        grads = [getattr(p, GRAD_SAMPLE) for p in guards.trainable(model)]
        if any(grad is None for grad in grads):
            raise UnsupportedModelError("a trainable tensor gets no per-sample gradient")
        return [grad.float() * hooks.loss_scale for grad in grads]
    finally:
        hooks.cleanup()
        for parameter in guards.trainable(model):
            parameter.grad = None  # Opacus' hooks leave it to autograd too


def _require_learning(model: PeftModel, rows: _Rows, gradients: Gradients) -> None:
    """A noiseless step of the real optimiser lowers the loss, for some small rate."""
    parameters = guards.trainable(model)
    start = [p.detach().clone() for p in parameters]
    size = _norm(start)
    plain = torch.optim.SGD(parameters, lr=0.0)
    engine = FedwardPrivacyEngine(entropy=Entropy.seeded(bytes(32)), gradients=gradients)  # no noise is drawn
    hooks, optimizer = engine.attach(
        model,
        plain,
        sample_rate=1.0,
        num_steps=len(_RATES),
        noise_multiplier=0.0,
        clip_norm=float("inf"),
        expected_units=_ROWS,
        loss_reduction="sum",
    )
    try:
        for rate in _RATES:
            losses = rows.losses(model)
            before = float(losses.detach().mean())
            with quiet_backward():
                losses.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                grads = [p.grad for p in parameters if p.grad is not None]
                length = rate * size / max(_norm(grads), 1e-30)
                for parameter, grad in zip(parameters, grads, strict=True):
                    parameter.sub_(grad, alpha=length)
                if float(rows.losses(model).mean()) < before:
                    return
                for parameter, value in zip(parameters, start, strict=True):
                    parameter.copy_(value)
            optimizer.zero_grad()
    finally:
        optimizer.discard()
        hooks.cleanup()
    raise UnsupportedModelError("noiseless steps do not lower the loss: the adapter has no effect")


def _require_export(model: PeftModel, rows: _Rows) -> None:
    """An adapter that is exported and loaded again gives the same logits; before it is loaded, they differ."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    with torch.no_grad():
        expected = rows.logits(model)
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
        saved = {name: tensor.detach().clone() for name, tensor in state.items()}
        other = _in_fresh_base(model)
        _perturb(guards.trainable(other), seed=2)
        disturbed = rows.logits(other)
        set_peft_model_state_dict(other, saved)
        loaded = rows.logits(other)
    bound = _LOGIT_TOLERANCE * max(1.0, float(expected.abs().max()))
    if not float((loaded - expected).abs().max()) <= bound < float((disturbed - expected).abs().max()):
        raise UnsupportedModelError("an exported adapter does not give the logits of the trained one")


def _in_fresh_base(model: PeftModel) -> PeftModel:
    """A copy of the base with an adapter put on anew; the model itself where a copy is too large or quantised."""
    from peft import get_peft_model

    size = sum(p.numel() * p.element_size() for p in model.parameters())
    if size > _SMALL_MODEL_BYTES or getattr(model.get_base_model(), "is_quantized", False):
        return model
    base = copy.deepcopy(model).unload()
    config = copy.deepcopy(model.peft_config[model.active_adapter])
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=[d.index or 0 for d in devices]), warnings.catch_warnings():
        # peft 0.21 reads an attribute that transformers 5.23 renamed.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        fresh = get_peft_model(base, config)
    if len(list(model.parameters())) != len(list(fresh.parameters())):
        raise UnsupportedModelError("an adapter put on anew is another: a trained module may be tied in the base")
    for (_, ours), (_, theirs) in zip(model.named_parameters(), fresh.named_parameters(), strict=True):
        theirs.requires_grad_(ours.requires_grad)
    return fresh.train(model.training)


@contextmanager
def _restored(model: PeftModel) -> Iterator[None]:
    """Adapter weights disturbed, so that no gradient is zero by B = 0; values and gradients come back bit for bit."""
    touched = [p for name, p in model.named_parameters() if p.requires_grad or ".lora_" in name]
    values = [p.detach().clone() for p in touched]
    grads = [p.grad for p in touched]
    for parameter in touched:
        parameter.grad = None
    _perturb(touched, seed=1)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value, grad in zip(touched, values, grads, strict=True):
                parameter.copy_(value)
                parameter.grad = grad


def _perturb(parameters: list[torch.nn.Parameter], *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)  # its own: the global one stays where it was
    with torch.no_grad():
        for parameter in parameters:
            step = torch.randn(parameter.shape, generator=generator) * _PERTURBATION
            parameter.add_(step.to(parameter))


def _synthetic(vocab_size: int, device: torch.device) -> _Rows:
    generator = torch.Generator().manual_seed(0)
    token_ids = torch.randint(0, vocab_size, (_ROWS, _TOKENS), generator=generator)
    lengths = torch.tensor([_TOKENS - 2 * row for row in range(_ROWS)])
    is_token = torch.arange(_TOKENS) < lengths.unsqueeze(1)
    return _Rows(
        token_ids=token_ids.to(device),
        attention_mask=is_token.long().to(device),
        labels=token_ids.masked_fill(~is_token, IGNORED).to(device),
    )


def _slack(model: PeftModel) -> float:
    return _TENSOR_SLACK_BFLOAT16 if is_bfloat16(model) else 1.0


def _worst(found: list[Tensor], expected: list[Tensor], slack: float) -> float:
    """The relative error of all tensors together, or of the worst one over ``slack`` if that is more."""
    if any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        raise UnsupportedModelError("per-sample gradients have the wrong shape")
    together = _relative(*(torch.cat([tensor.flatten() for tensor in tensors]) for tensors in (found, expected)))
    return max(together, *(_relative(a, b) / slack for a, b in zip(found, expected, strict=True)))


def _relative(found: Tensor, expected: Tensor) -> float:
    error = float((found - expected).norm() / expected.norm())
    return error if error == error else float("inf")


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.norm() for tensor in tensors]).norm())


__all__ = ["parity_probe"]
