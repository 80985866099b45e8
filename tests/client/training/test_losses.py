"""Losses that know nothing of the rest of the batch."""

from __future__ import annotations

import pytest
import torch

from fedward.client.training.losses import IGNORED, record_losses, unit_sum_loss


def logits(rows: int = 3, tokens: int = 5) -> torch.Tensor:
    return torch.randn(rows, tokens, 7, generator=torch.Generator().manual_seed(0))


def test_a_record_loss_is_the_mean_over_its_own_labels() -> None:
    labels = torch.tensor([[1, 2, 3, IGNORED, IGNORED]])
    scores = logits(1)
    expected = torch.nn.functional.cross_entropy(scores[0, :2], labels[0, 1:3])
    assert float(record_losses(scores, labels)[0]) == pytest.approx(float(expected))


def test_a_record_loss_does_not_change_with_the_labels_of_others() -> None:
    labels = torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(1))
    other = labels.clone()
    other[1:, 2:] = IGNORED
    assert record_losses(logits(), labels)[0] == record_losses(logits(), other)[0]


def test_a_record_without_labels_has_a_loss_of_zero() -> None:
    assert record_losses(logits(1), torch.full((1, 5), IGNORED)).tolist() == [0.0]


def test_a_unit_counts_once_however_many_records_it_has_and_without_an_index_each_row_is_one() -> None:
    losses = torch.tensor([1.0, 3.0, 10.0])
    assert float(unit_sum_loss(losses, torch.tensor([0, 0, 1]), 2)) == 2.0 + 10.0
    assert float(unit_sum_loss(losses, None, 3)) == 14.0
