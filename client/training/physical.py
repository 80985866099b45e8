"""What a forward pass holds, and the watch over it that both gradient paths share.

One forward, one backward, one read; whose rows a batch holds is announced beforehand and never taken from a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedward.common.errors import TrainingError

GRAD_SAMPLE = "grad_sample"
"""Opacus' name of the attribute of a parameter that holds its (U, …) gradients."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PhysicalBatch:
    """What one forward pass holds. A unit is never split over two of them."""

    rows: int
    units: int
    unit_of_row: Tensor | None
    """(R,) int64; None: units own equal, consecutive groups of rows."""

    def fold(self, rows: Tensor) -> Tensor:
        """(R, …) values of rows summed to (U, …) values of units."""
        if self.unit_of_row is None:
            return rows if self.units == self.rows else rows.view(self.units, -1, *rows.shape[1:]).sum(dim=1)
        # index_add, not a one-hot matmul: there 0 · Inf = NaN would spread one bad record over all units.
        return rows.new_zeros((self.units, *rows.shape[1:])).index_add_(0, self.unit_of_row, rows)


class BatchWatch:
    """Knows the current physical batch of one model, and refuses forward passes that would couple or mix units."""

    def __init__(self, model: nn.Module) -> None:
        self._batch: PhysicalBatch | None = None
        self._pending = False
        self._next_units: Tensor | int | None = None
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

    def release(self) -> None:
        """The gradients of the current batch have been read, or are given up: the next forward may come."""
        self._pending = False
        self._batch = None

    def stop_watching(self) -> None:
        """Take the watch off the model."""
        self._pre_hook.remove()

    def _on_forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not (module.training and torch.is_grad_enabled()):
            return
        if kwargs.get("labels") is not None:
            raise TrainingError("labels were passed to the model: its built-in loss couples the units of a batch")
        if self._pending:
            raise TrainingError("a second forward before the step: one forward, one backward, one step")
        _refuse_left_padding(kwargs.get("attention_mask"))
        inputs = next((kwargs[k] for k in ("input_ids", "inputs_embeds") if kwargs.get(k) is not None), None)
        rows = int((args[0] if inputs is None else inputs).shape[0])
        units, self._next_units = self._next_units, None
        self._batch = _physical_batch(rows, rows if units is None else units)
        self._pending = True


def _refuse_left_padding(mask: object) -> None:
    """A token after padding: positions would differ from those of the row by itself, and nothing here proves them."""
    if isinstance(mask, Tensor) and mask.dim() == 2 and bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise TrainingError("the rows are padded on the left, or have gaps: pad on the right")


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


__all__ = ["BatchWatch", "GRAD_SAMPLE", "PhysicalBatch"]
