"""Opacus' own module hooks, unwrapped, with patients: for trainable norms and embeddings, which the fused path refuses.

Opacus keeps rows apart and knows nothing of units: the rows of one unit are added up here, before anything is clipped.

Not handled: non-reentrant checkpointing. Opacus 1.6 loses its gradients there, so it is refused by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from opacus.grad_sample import GradSampleHooks
from opacus.validators.errors import UnsupportedModuleError
from opacus.validators.module_validator import ModuleValidator
from torch import Tensor, nn

from fedward.client.training import guards
from fedward.client.training.physical import GRAD_SAMPLE, BatchWatch
from fedward.common.errors import TrainingError, UnsupportedModelError

_PER_MODULE = ("activations", "max_batch_len")
"""What Opacus leaves on a module when a step fails between forward and backward; a later step would take it for its
own."""


class RowGradSampleHooks(BatchWatch, GradSampleHooks):  # type: ignore[misc]  # Opacus is untyped
    """Opacus' hooks on a model that stays unwrapped, under the same watch as the fused path.

    Raises:
        UnsupportedModelError: the gradients are not proven for something in the model, or Opacus has none for it.
    """

    def __init__(self, model: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean") -> None:
        if not batch_first:
            raise UnsupportedModelError("batch_first = False is not proven")
        guards.refuse_unproven(model, linear_only=False)
        guards.refuse_lossy_checkpointing(model)
        try:
            ModuleValidator.validate(model, strict=True)
            GradSampleHooks.__init__(self, model, batch_first=True, loss_reduction=loss_reduction)
        except (UnsupportedModuleError, NotImplementedError) as error:
            kinds = sorted({type(module).__name__ for module in guards.trainable_modules(model)})
            raise UnsupportedModelError(f"Opacus has no per-sample gradients for one of {', '.join(kinds)}") from error
        self.forbid_grad_accumulation()
        BatchWatch.__init__(self, model)

    @property
    def loss_scale(self) -> float:
        """Turns a unit's summed rows into its own gradient: Opacus multiplies a mean loss by the number of rows."""
        if self._batch is None or self.loss_reduction != "mean":
            return 1.0
        return self._batch.units / self._batch.rows

    def finish(self) -> None:
        """After backward: add up the rows of each unit.

        Raises:
            TrainingError: a parameter's gradients are not those of the batch's rows; clipping them would bound tokens
                instead of patients.
        """
        batch = self._batch
        if batch is None:
            return
        for parameter in guards.trainable(self._module):
            rows = getattr(parameter, GRAD_SAMPLE)
            if not isinstance(rows, Tensor):
                continue  # the optimiser refuses it by its own words
            if rows.shape[0] != batch.rows:
                raise TrainingError(
                    f"{rows.shape[0]} gradients for a batch of {batch.rows} rows: some module sees tokens as samples"
                )
            setattr(parameter, GRAD_SAMPLE, batch.fold(rows))

    def cleanup(self) -> None:
        """Take everything off the model and its parameters again."""
        self.remove_hooks()
        self.stop_watching()
        for module in self._module.modules():
            for name in _PER_MODULE:
                module.__dict__.pop(name, None)
        guards.strip_parameters(self._module)


@contextmanager
def quiet_backward() -> Iterator[None]:
    """Without torch's remark that the first layer's input needs no gradient, as of a frozen base it does not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
        yield


__all__ = ["quiet_backward", "RowGradSampleHooks"]
