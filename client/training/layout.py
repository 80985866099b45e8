"""Where each parameter's trained coordinates lie in the one flat vector that is clipped, summed and noised.

A site of a lower rank trains only the first columns of B and the first rows of A. What it does not train is no
coordinate of the mechanism: not in the norm, not in the sum, without noise, and with a gradient of exactly zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedward.common.errors import ConfigError, UnsupportedModelError
from fedward.common.lora import adapters


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix:
    """The first ``length`` indices along ``axis`` of a parameter."""

    axis: int
    length: int


def rank_prefixes(model: nn.Module, trained_rank: int | None) -> dict[nn.Parameter, Prefix]:
    """The trained part of each LoRA factor, told by its name; parameters that are trained whole are left out.

    Args:
        model: with the parameters that will be trained marked.
        trained_rank: columns of B and rows of A that are trained, from the first; None for all.

    Raises:
        ConfigError: below 1, or above the rank of a factor.
        UnsupportedModelError: an embedding's adapter, which has another layout.
    """
    if trained_rank is None:
        return {}
    found: dict[nn.Parameter, Prefix] = {}
    for name, parameter in model.named_parameters():
        axis = 1 if adapters.FACTOR_B in name else 0
        if not parameter.requires_grad or not (axis or adapters.FACTOR_A in name):
            if parameter.requires_grad and ".lora_embedding_" in name:
                raise UnsupportedModelError(f"{name}: a rank prefix of an embedding's adapter is not proven")
            continue
        rank = parameter.shape[axis]
        if not 1 <= trained_rank <= rank:
            raise ConfigError(f"trained_rank = {trained_rank}: expected 1 to {rank}, the rank of {name}")
        if trained_rank < rank:
            found[parameter] = Prefix(axis=axis, length=trained_rank)
    return found


class FlatLayout:
    """Maps P trained coordinates to parameters and back, in the order of ``parameters``."""

    def __init__(self, parameters: Sequence[nn.Parameter], prefixes: Mapping[nn.Parameter, Prefix]) -> None:
        self._parameters = list(parameters)
        self._prefixes = [prefixes.get(parameter) for parameter in self._parameters]
        self._shapes = [
            self._trained(parameter, prefix).shape
            for parameter, prefix in zip(self._parameters, self._prefixes, strict=True)
        ]
        self._sizes = [shape.numel() for shape in self._shapes]
        self.size = sum(self._sizes)
        """P."""

    def rows(self, samples: Sequence[Tensor]) -> list[Tensor]:
        """Each parameter's (U, n) trained coordinates; of a matrix that lies transposed in memory, transposed ones."""
        rows = []
        for sample, prefix in zip(samples, self._prefixes, strict=True):
            part = sample if prefix is None else sample.narrow(prefix.axis + 1, 0, prefix.length)
            rows.append((part.transpose(1, 2) if _is_transposed(part) else part).flatten(1))
        return rows

    def add_weighted(self, flat: Tensor, rows: Sequence[Tensor], samples: Sequence[Tensor], factor: Tensor) -> None:
        """Add to (P,) ``flat``, in its precision, the sum over units of factor · row, with a (U,) ``factor``."""
        factor = factor.to(flat.dtype)
        for row, sample, shape, out in zip(rows, samples, self._shapes, torch.split(flat, self._sizes), strict=True):
            if _is_transposed(sample):
                total = torch.mv(row.to(flat.dtype).t(), factor)
                out.view(shape).add_(total.view(shape[1], shape[0]).t())
            else:
                out.addmv_(row.to(flat.dtype).t(), factor)

    def set_gradients(self, flat: Tensor) -> None:
        """``p.grad`` of every parameter from (P,) ``flat``; exactly zero where nothing is trained."""
        for parameter, prefix, shape, part in zip(
            self._parameters, self._prefixes, self._shapes, torch.split(flat, self._sizes), strict=True
        ):
            grad = part.view(shape).to(parameter.dtype)
            if prefix is not None:
                whole = torch.zeros_like(parameter)
                self._trained(whole, prefix).copy_(grad)
                grad = whole
            parameter.grad = grad

    def padded(self, flat: Tensor) -> Tensor:
        """(sum of all sizes,): ``flat`` with zeros where nothing is trained."""
        pieces = []
        for parameter, prefix, shape, part in zip(
            self._parameters, self._prefixes, self._shapes, torch.split(flat, self._sizes), strict=True
        ):
            if prefix is not None:
                whole = flat.new_zeros(parameter.shape)
                self._trained(whole, prefix).copy_(part.view(shape))
                part = whole.flatten()
            pieces.append(part)
        return torch.cat(pieces)

    @staticmethod
    def _trained(tensor: Tensor, prefix: Prefix | None) -> Tensor:
        return tensor.detach() if prefix is None else tensor.detach().narrow(prefix.axis, 0, prefix.length)


def _is_transposed(sample: Tensor) -> bool:
    """(U, m, n) whose matrices lie column by column: the norm does not mind, and a copy is saved."""
    return sample.dim() == 3 and sample.stride(2) != 1 and sample.stride(1) == 1


__all__ = ["FlatLayout", "Prefix", "rank_prefixes"]
