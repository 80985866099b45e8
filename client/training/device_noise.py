"""The coming step's noise: drawn ahead where it takes long, and on the device that needs it.

On a CPU it is ``Entropy.normals``. For a GPU only the random words are drawn here, by the same source, and turned into
normals there: the same Box-Muller in float64 with the same four draws, on another layout of the words.
"""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from fedward.common.privacy.noise import DRAWS, Entropy

_AHEAD = 1 << 18
"""Coordinates from which a thread is worth its start; fewer take a few milliseconds."""
_CHUNK = 1 << 20
"""Pairs turned at a time on a device; bounds the float64 values there to some tens of megabytes."""
_LOW_32 = (1 << 32) - 1


class NoiseSource:
    """(P,) float32 standard normals for each logical step, each used once.

    Args:
        entropy: drawn from once a step, at ``begin`` or else at ``take``.
        count: P.
        device: where the normals are wanted.
    """

    def __init__(self, entropy: Entropy, count: int, device: torch.device) -> None:
        self._entropy, self._count, self._device = entropy, count, device
        self._threads: ThreadPoolExecutor | None = None
        self._coming: Future[Tensor] | None = None

    def begin(self) -> None:
        """Draw in a thread from now on; until ``take`` nobody else may draw from the entropy if it is seeded."""
        if self._coming is None and self._count >= _AHEAD:
            self._threads = self._threads or ThreadPoolExecutor(1, "noise")
            self._coming = self._threads.submit(self._draw)

    def take(self) -> Tensor:
        """The step's noise. A second call draws afresh: noise is never used twice."""
        coming, self._coming = self._coming, None
        return self._draw() if coming is None else coming.result()

    def forget(self) -> None:
        """Let go of what was drawn ahead, and of the thread."""
        threads, self._threads, self._coming = self._threads, None, None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)

    def _draw(self) -> Tensor:
        if self._device.type == "cpu":
            return torch.from_numpy(self._entropy.normals(self._count))
        return normals_on(self._device, self._entropy, self._count)


def normals_on(device: torch.device, entropy: Entropy, count: int) -> Tensor:
    """(count,) float32 standard normals on ``device``, from words of ``entropy``."""
    out = torch.empty(count, dtype=torch.float32, device=device)
    for start in range(0, count, 2 * _CHUNK):
        part = out[start : start + 2 * _CHUNK]
        half = (len(part) + 1) // 2
        words = torch.from_numpy(entropy.words(2 * DRAWS * half).view(np.int64)).to(device).view(2, DRAWS, half)
        radius = (-2.0 * (_unsigned(words[0]).add_(1.0) * 2.0**-64).log_()).sqrt_()  # of a number in (0, 1]
        angle = ((words[1] >> 11) & ((1 << 53) - 1)).double().mul_(2.0**-53 * 2.0 * math.pi)
        scale = 1.0 / math.sqrt(DRAWS)
        part[:half] = (radius * angle.cos()).sum(dim=0) * scale
        part[half:] = ((radius * angle.sin()).sum(dim=0) * scale)[: len(part) - half]
    return out


def _unsigned(words: Tensor) -> Tensor:
    """(…) float64: int64 words read as unsigned, rounded once as from uint64."""
    return ((words >> 32) & _LOW_32).double().mul_(2.0**32).add_((words & _LOW_32).double())


__all__ = ["normals_on", "NoiseSource"]
