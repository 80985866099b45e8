"""What stays Opacus' own: its Poisson loader, its BatchMemoryManager and its accountants, around the fused path."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from opacus.utils.batch_memory_manager import BatchMemoryManager
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from fedward.client.training.engine import FedwardPrivacyEngine
from fedward.client.training.losses import causal_logits, record_losses
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.common.privacy.noise import Entropy
from tests.client.training.tiny import PEFT_WARNING, VOCABULARY, adapted, flat, trainable

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

_RECORDS, _TOKENS, _BATCH = 30, 7, 6


def made_private(accountant: str = "rdp") -> tuple[Any, FlatDPOptimizer, Any, FedwardPrivacyEngine]:
    model = adapted("llama")
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, VOCABULARY, (_RECORDS, _TOKENS), generator=generator)
    engine = FedwardPrivacyEngine(entropy=Entropy.seeded(bytes(range(32))), accountant=accountant)
    _, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(trainable(model), lr=0.05),
        data_loader=DataLoader(TensorDataset(ids), batch_size=_BATCH, generator=generator),
        noise_multiplier=1.0,
        max_grad_norm=0.1,
        wrap_model=False,
    )
    return model, optimizer, loader, engine


def take(model: torch.nn.Module, optimizer: FlatDPOptimizer, ids: Tensor) -> None:
    optimizer.zero_grad()
    if len(ids):
        record_losses(causal_logits(model, ids, torch.ones_like(ids)), ids).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    else:
        optimizer.empty_step()


def test_a_few_steps_with_the_poisson_loader_are_taken_and_accounted_for() -> None:
    model, optimizer, loader, engine = made_private()
    start = flat(trainable(model))
    sizes = []
    for (ids,) in loader:
        take(model, optimizer, ids)
        sizes.append(len(ids))
    assert len(set(sizes)) > 1, "a Poisson draw varies in size"
    assert optimizer.steps_taken == _RECORDS // _BATCH
    assert engine.accountant.history == [(1.0, 1 / 5, 5)]
    assert bool((flat(trainable(model)) != start).all())


def test_a_batch_memory_manager_splits_batches_but_not_steps() -> None:
    model, optimizer, loader, engine = made_private()
    physical = 0
    with BatchMemoryManager(data_loader=loader, max_physical_batch_size=2, optimizer=optimizer) as small:
        for (ids,) in small:
            assert len(ids) <= 2
            physical += 1
            take(model, optimizer, ids)
    assert physical > _RECORDS // _BATCH
    assert optimizer.steps_taken == _RECORDS // _BATCH
    assert engine.accountant.history == [(1.0, 1 / 5, 5)]


@pytest.mark.parametrize("physical", [2, 100])
def test_the_split_changes_no_weight(physical: int) -> None:
    model, optimizer, loader, _ = made_private()
    whole, whole_optimizer, whole_loader, _ = made_private()
    with BatchMemoryManager(data_loader=loader, max_physical_batch_size=physical, optimizer=optimizer) as small:
        for (ids,) in small:
            take(model, optimizer, ids)
    for (ids,) in whole_loader:
        take(whole, whole_optimizer, ids)
    difference = flat(trainable(model)) - flat(trainable(whole))
    assert float(difference.norm() / flat(trainable(whole)).norm()) <= 1e-6


@pytest.mark.parametrize("accountant", ["rdp", "prv"])
def test_opacus_accountants_run_along(accountant: str) -> None:
    model, optimizer, loader, engine = made_private(accountant)
    for (ids,) in loader:
        take(model, optimizer, ids)
    assert 0.1 < engine.get_epsilon(1e-5) < 20
