"""Whole units in physical batches."""

from __future__ import annotations

import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from fedward.client.training.losses import IGNORED
from fedward.client.training.packing import PackedBatch, pack

records = st.lists(st.integers(1, 50), min_size=1, max_size=30)
patients = st.lists(st.lists(records, min_size=1, max_size=4), max_size=12)


def unpacked(batches: list[PackedBatch]) -> list[list[list[int]]]:
    """The units, read back from the batches."""
    units: list[list[list[int]]] = []
    for batch in batches:
        owner = torch.arange(batch.num_units) if batch.unit_of_row is None else batch.unit_of_row
        fresh: list[list[list[int]]] = [[] for _ in range(batch.num_units)]
        for row, ids, mask in zip(owner.tolist(), batch.token_ids, batch.attention_mask, strict=True):
            fresh[row].append(ids[mask.bool()].tolist())
        units += fresh
    return units


@settings(deadline=None, derandomize=True)
@given(units=patients, max_tokens=st.integers(1, 400), max_units=st.integers(1, 12))
def test_every_unit_is_in_exactly_one_batch_and_whole(
    units: list[list[list[int]]], max_tokens: int, max_units: int
) -> None:
    batches = pack(units, max_batch_tokens=max_tokens, max_units=max_units, pad_token_id=0)
    assert sorted(unpacked(batches)) == sorted(units)


@settings(deadline=None, derandomize=True)
@given(units=patients, max_tokens=st.integers(1, 400), max_units=st.integers(1, 12))
def test_no_batch_passes_its_bounds_unless_it_holds_one_unit(
    units: list[list[list[int]]], max_tokens: int, max_units: int
) -> None:
    for batch in pack(units, max_batch_tokens=max_tokens, max_units=max_units, pad_token_id=0):
        assert batch.num_units <= max_units
        assert batch.token_ids.numel() <= max_tokens or batch.num_units == 1


@settings(deadline=None, derandomize=True)
@given(units=patients, max_units=st.integers(1, 12))
def test_no_batch_passes_its_bound_if_the_largest_possible_unit_does_not(
    units: list[list[list[int]]], max_units: int
) -> None:
    most_rows, longest = 4, 30  # of ``patients``
    for batch in pack(units, max_batch_tokens=most_rows * longest, max_units=max_units, pad_token_id=0):
        assert batch.token_ids.numel() <= most_rows * longest


def test_no_units_make_no_batch() -> None:
    assert pack([], max_batch_tokens=10, max_units=10, pad_token_id=0) == []


def test_padding_is_on_the_right_and_predicts_nothing() -> None:
    (batch,) = pack([[[5, 6, 7]], [[8]]], max_batch_tokens=100, max_units=10, pad_token_id=9)
    assert batch.token_ids.tolist() == [[8, 9, 9], [5, 6, 7]]
    assert batch.attention_mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.labels.tolist() == [[8, IGNORED, IGNORED], [5, 6, 7]]


def test_long_and_short_units_part_where_padding_would_cost_more_than_a_batch() -> None:
    units = [[[1] * 5] for _ in range(10)] + [[[1] * 200] for _ in range(10)]
    batches = pack(units, max_batch_tokens=100_000, max_units=100, pad_token_id=0)
    assert [batch.token_ids.shape for batch in batches] == [(10, 5), (10, 200)]


def test_units_of_one_record_need_no_index() -> None:
    (batch,) = pack([[[1, 2]], [[3, 4]]], max_batch_tokens=100, max_units=10, pad_token_id=0)
    assert batch.unit_of_row is None
