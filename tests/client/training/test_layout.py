"""Rank prefixes: a site of a lower rank trains the first columns of B and rows of A, and nothing else moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedward.client.training.layout import FlatLayout, Prefix, rank_prefixes
from fedward.client.training.trainer import clipped_sum, train
from fedward.common.errors import ConfigError
from fedward.common.privacy.noise import Entropy
from tests.client.training.tiny import (
    PEFT_WARNING,
    adapted,
    base,
    flat,
    inner,
    patients,
    permit_for,
    reference_gradients,
    spec,
    trainable,
)

if TYPE_CHECKING:
    from peft import PeftModel

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

KEY = bytes(range(32))
PATHS = pytest.mark.parametrize("gradients", ["fused", "hooks"])
OPTIMIZERS = pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
_RANK, _PREFIX = 4, 2


def prefix_mask(model: nn.Module) -> Tensor:
    """(P,) bool over the trainable parameters: what a rank of two trains of a rank of four."""
    masks = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            mask = torch.zeros(parameter.shape, dtype=torch.bool)
            if "lora_B" in name:
                mask[:, :_PREFIX] = True
            else:
                mask[:_PREFIX] = True
            masks.append(mask.flatten())
    return torch.cat(masks)


def trained(model: PeftModel, **changes: Any) -> Tensor:  # noqa: ANN401
    """(P,) float64: what training moves."""
    settings = spec(**changes)
    start = flat(trainable(model))
    train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    return flat(trainable(model)) - start


@OPTIMIZERS
@PATHS
@pytest.mark.parametrize("train_a", [False, True], ids=["B", "A and B"])
def test_what_lies_beyond_the_rank_stays_bit_for_bit(gradients: str, optimizer: str, train_a: bool) -> None:
    model = adapted(train_a=train_a)
    before = [p.detach().clone() for p in trainable(model)]
    moved = trained(model, trained_rank=_PREFIX, gradients=gradients, optimizer=optimizer, num_steps=4)
    inside = prefix_mask(model)
    bits = [p.detach().view(torch.int32).flatten() for p in trainable(model)]
    assert torch.equal(torch.cat(bits)[~inside], torch.cat([b.view(torch.int32).flatten() for b in before])[~inside])
    assert bool((moved[inside] != 0).all()), "what is trained was noised everywhere"


@PATHS
def test_removing_a_patient_moves_the_trained_part_by_at_most_the_clip(gradients: str) -> None:
    settings = spec(
        num_steps=1, sample_rate=1.0, max_records_per_unit=9, trained_rank=_PREFIX, gradients=gradients, clip_norm=0.05
    )

    def total(units: list[list[list[int]]]) -> Tensor:
        return torch.from_numpy(
            clipped_sum(adapted(), units, settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
        )

    units = patients(5)
    whole = total(units)
    moved = [float((whole - total(units[:gone] + units[gone + 1 :])).norm()) for gone in range(5)]
    assert not whole[~prefix_mask(adapted())].any()
    assert 0.9 * settings.clip_norm < max(moved) <= settings.clip_norm * (1 + 1e-4)


@PATHS
def test_the_norm_that_is_clipped_is_that_of_the_trained_part(gradients: str) -> None:
    units, inside = patients(5), prefix_mask(adapted())
    grads = torch.cat([g.flatten(1).double() for g in reference_gradients(adapted(), units)], dim=1)[:, inside]
    clip = float(grads.norm(dim=1).median())
    settings = spec(
        num_steps=1, sample_rate=1.0, max_records_per_unit=9, trained_rank=_PREFIX, gradients=gradients, clip_norm=clip
    )
    expected = (clip / grads.norm(dim=1)).clamp(max=1.0) @ grads
    found = torch.from_numpy(
        clipped_sum(adapted(), units, settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    )
    assert float((found[inside] - expected).norm() / expected.norm()) <= 3e-5


def with_rank(rank: int) -> PeftModel:
    """A model whose B is trained; its first columns are those of any other, the rest of B is zero."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base("llama"), config)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            drawn = torch.randn(parameter.numel() // rank, _RANK, generator=generator) * 0.1
            columns = drawn if "lora_B" in name else drawn.t()
            with torch.no_grad():
                parameter.copy_(columns[:, :rank] if "lora_B" in name else columns[:rank])
                if "lora_B" in name:
                    parameter[:, _PREFIX:] = 0.0
            parameter.requires_grad_("lora_B" in name)
    return model.train()


@OPTIMIZERS
def test_a_prefix_trains_as_a_model_of_that_rank_does(optimizer: str) -> None:
    large, small = with_rank(_RANK), with_rank(_PREFIX)
    moved = trained(large, trained_rank=_PREFIX, optimizer=optimizer)
    expected = trained(small, optimizer=optimizer)
    found = moved[prefix_mask(large)]
    assert found.shape == expected.shape
    assert float((found - expected).norm() / expected.norm()) <= 1e-4


def test_the_whole_rank_is_the_same_as_none_given() -> None:
    assert torch.equal(trained(adapted(), trained_rank=_RANK), trained(adapted()))


@pytest.mark.parametrize("rank", [0, 5])
def test_a_rank_that_no_factor_has_is_refused(rank: int) -> None:
    with pytest.raises(ConfigError, match="trained_rank"):
        rank_prefixes(adapted(), rank)


def test_parameters_that_are_no_factor_are_trained_whole() -> None:
    model = adapted()
    head = inner(model).lm_head.weight.requires_grad_(True)
    assert head not in rank_prefixes(model, _PREFIX)


@pytest.mark.parametrize("transposed", [False, True], ids=["row by row", "column by column"])
@pytest.mark.parametrize("prefix", [None, Prefix(axis=1, length=2), Prefix(axis=0, length=3)], ids=str)
def test_sums_do_not_depend_on_how_the_gradients_lie_in_memory(prefix: Prefix | None, transposed: bool) -> None:
    parameter = nn.Parameter(torch.zeros(5, 4))
    layout = FlatLayout([parameter], {} if prefix is None else {parameter: prefix})
    sample = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    stored = sample.transpose(1, 2).contiguous().transpose(1, 2) if transposed else sample
    total = torch.zeros(layout.size)
    layout.add_weighted(total, layout.rows([stored]), [stored], torch.tensor([1.0, 0.5, 2.0]))
    expected = torch.einsum("u,uij->ij", torch.tensor([1.0, 0.5, 2.0]), sample)
    if prefix is not None:
        outside = torch.ones(5, 4, dtype=torch.bool)
        outside.narrow(prefix.axis, 0, prefix.length)[:] = False
        expected[outside] = 0.0
    assert np.allclose(layout.padded(total).view(5, 4), expected, atol=1e-6)
    layout.set_gradients(total)
    assert parameter.grad is not None
    assert np.allclose(parameter.grad, expected, atol=1e-6)
