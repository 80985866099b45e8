"""Whole units into physical batches: bounded by tokens, with little padding.

How units are packed changes time and memory, never the mechanism: a unit is never split, and each is clipped by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedward.client.training.losses import IGNORED

OVERHEAD_TOKENS = 256
"""What a further forward and backward costs, in tokens: padding below this is cheaper than another batch. Chosen."""

Record = Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PackedBatch:
    """R rows of U units, padded on the right to T tokens."""

    token_ids: Tensor
    """(R, T) int64."""
    attention_mask: Tensor
    """(R, T) int64: 1 for tokens, 0 for padding."""
    labels: Tensor
    """(R, T) int64: the tokens, ``IGNORED`` in the padding."""
    num_units: int
    unit_of_row: Tensor | None
    """(R,) int64 in [0, U), ascending; None if every unit has one row."""


def pack(
    units: Sequence[Sequence[Record]], *, max_batch_tokens: int, max_units: int, pad_token_id: int
) -> list[PackedBatch]:
    """Distribute units over physical batches.

    Args:
        units: each with at least one record, each record with at least one token.
        max_batch_tokens: bound on R · T, padding included; only a single unit whose rows times its
            longest record are more passes it, for it is not split.
        max_units: bound on U.
        pad_token_id: fills the rows.

    Returns:
        Batches that hold every unit once; none for no units.
    """
    ordered = sorted(units, key=lambda unit: max(map(len, unit)))
    bounds = _cuts(
        [len(unit) for unit in ordered], [max(map(len, unit)) for unit in ordered], max_batch_tokens, max_units
    )
    return [_padded(ordered[start:stop], pad_token_id) for start, stop in bounds]


def _cuts(rows: list[int], lengths: list[int], max_tokens: int, max_units: int) -> list[tuple[int, int]]:
    """The cheapest cut of units, ascending by length, into consecutive batches (dynamic programming)."""
    cost, start_of = [0] + [0] * len(rows), [0] * len(rows)
    for last, length in enumerate(lengths):
        best, num_rows = None, 0
        for first in range(last, max(-1, last - max_units), -1):
            num_rows += rows[first]
            if first < last and num_rows * length > max_tokens:
                break
            price = cost[first] + num_rows * length + OVERHEAD_TOKENS
            if best is None or price < best:
                best, start_of[last] = price, first
        cost[last + 1] = best or 0
    cuts: list[tuple[int, int]] = []
    stop = len(rows)
    while stop:
        cuts.append((start_of[stop - 1], stop))
        stop = start_of[stop - 1]
    return cuts[::-1]


def _padded(units: Sequence[Sequence[Record]], pad_token_id: int) -> PackedBatch:
    records = [record for unit in units for record in unit]
    width = max(map(len, records))
    token_ids = torch.tensor([[*record, *[pad_token_id] * (width - len(record))] for record in records])
    lengths = torch.tensor([len(record) for record in records])
    is_token = torch.arange(width) < lengths.unsqueeze(1)
    unit_of_row = None
    if len(records) > len(units):
        unit_of_row = torch.repeat_interleave(torch.arange(len(units)), torch.tensor([len(unit) for unit in units]))
    return PackedBatch(
        token_ids=token_ids,
        attention_mask=is_token.long(),
        labels=token_ids.masked_fill(~is_token, IGNORED),
        num_units=len(units),
        unit_of_row=unit_of_row,
    )


__all__ = ["OVERHEAD_TOKENS", "pack", "PackedBatch"]
