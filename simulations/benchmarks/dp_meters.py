"""Three measures of a step: CPU seconds in turns, multiply-adds, and the bytes that it holds at its peak.

Operations and bytes are counted, so they repeat exactly; time is shared with whatever else the machine does.
"""

from __future__ import annotations

import gc
import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

Step = Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """Quartiles of an arm's times over those of the reference in the same turn."""

    median: float
    lower: float
    upper: float


def cpu_seconds(
    arms: Mapping[str, Step], *, repeats: int, on_turn: Callable[[], None] | None = None
) -> dict[str, list[float]]:
    """Seconds of CPU of every arm in every turn.

    The arms run in turns, each turn starting with another one, so that neither a drift of the machine nor what an arm
    leaves in the caches falls on the same arm always. A first turn warms up and is dropped.

    Args:
        arms: what is timed.
        repeats: turns that count.
        on_turn: called after each turn.
    """
    names = list(arms)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        arms[name]()
    gc.collect()
    gc.freeze()  # the models' objects are not searched again in the middle of a step
    try:
        for turn in range(repeats):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                start = time.process_time()
                arms[name]()
                seconds[name].append(time.process_time() - start)
            if on_turn is not None:
                on_turn()
    finally:
        gc.unfreeze()
    return seconds


def ratio(arm: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Of times taken in the same turns; at least two."""
    lower, median, upper = statistics.quantiles(
        [a / b for a, b in zip(arm, reference, strict=True)], n=4, method="inclusive"
    )
    return Ratio(median=median, lower=lower, upper=upper)


def flops(step: Callable[[], object]) -> int:
    """Floating-point operations of one step, forward and backward.

    torch counts products of matrices; what clipping does besides, norms and matrix-vector products, is counted as well.
    Left out, as everywhere in torch's counter, are element-wise operations.
    """
    aten = torch.ops.aten
    with FlopCounterMode(
        display=False,
        custom_mapping={aten.mv: _mv, aten.addmv: _addmv, aten.addmv_: _addmv, aten.linalg_vector_norm: _norm},
    ) as counter:
        step()
    return int(counter.get_total_flops())


def _mv(matrix: Sequence[int], *_: object, **__: object) -> int:
    return 2 * matrix[0] * matrix[1]


def _addmv(_: object, matrix: Sequence[int], *__: object, **___: object) -> int:
    return 2 * matrix[0] * matrix[1]


def _norm(shape: Sequence[int], *_: object, **__: object) -> int:
    return 2 * int(torch.Size(shape).numel())


class PeakBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch, as the lines below
    """Counts the bytes of all tensors' storages that are alive at once, while it is entered.

    A storage counts from the first operation that returns or reads it until it is freed; a view counts nothing. So a
    numpy array counts from when torch reads it, and what a kernel allocates and frees inside one operation does not.

    Args:
        resting: tensors that were there before, which do not count: parameters, buffers, the batch.
    """

    def __init__(self, resting: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self.live = 0
        self._sizes = WeakIdKeyDictionary()
        for tensor in resting:
            self._sizes[tensor.untyped_storage()] = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:  # noqa: ANN401
        """Run the operation and look at what it read and returned."""
        out = func(*args, **(kwargs or {}))
        for value in tree_iter((args, out)):
            if isinstance(value, Tensor):
                self._see(value.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage in self._sizes:
            return
        size = storage.nbytes()
        self._sizes[storage] = size
        weakref.finalize(storage, self._freed, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _freed(self, size: int) -> None:
        self.live -= size


def peak_bytes(attach: Callable[[], Step], resting: Iterable[Tensor]) -> int:
    """Most bytes alive at once over attaching and two steps, beyond what rested before."""
    gc.collect()
    with PeakBytes(resting) as meter:
        step = attach()
        step()
        step()
    peak: int = meter.peak
    return peak


__all__ = ["cpu_seconds", "flops", "peak_bytes", "PeakBytes", "Ratio", "ratio"]
