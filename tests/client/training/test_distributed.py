"""A site's part of a step that the ring noises: the clipped sum, by itself and nothing else."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from fedward.client.training.engine import FedwardPrivacyEngine
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.client.training.trainer import TrainingSpec, Units, clipped_sum
from fedward.common.errors import ConfigError, PrivacyError, TrainingError
from fedward.common.privacy.noise import Entropy
from tests.client.training.tiny import (
    PEFT_WARNING,
    adapted,
    flat,
    patients,
    permit_for,
    reference_gradients,
    spec,
    trainable,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

KEY = bytes(range(32))
PATHS = pytest.mark.parametrize("gradients", ["fused", "hooks"])


def bare(size: int, *, clip: float = 1.0, steps: int | None = None) -> tuple[nn.Parameter, FlatDPOptimizer]:
    parameter = nn.Parameter(torch.zeros(size))
    optimizer = FlatDPOptimizer(
        torch.optim.SGD([parameter], lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=clip,
        expected_batch_size=7.0,
        entropy=Entropy.seeded(KEY),
        max_steps=steps,
        distributed=True,
    )
    return parameter, optimizer


def add(parameter: nn.Parameter, optimizer: FlatDPOptimizer, grads: Tensor) -> None:
    parameter.grad_sample = grads  # type: ignore[attr-defined]
    optimizer.expect_units(len(grads))
    optimizer.accumulate()


def one_step(**changes: object) -> TrainingSpec:
    return spec(**{"num_steps": 1, "sample_rate": 1.0, "max_records_per_unit": 9, **changes})


def site_sum(units: Units, settings: TrainingSpec, *, key: bytes = KEY, name: str = "llama") -> Tensor:
    found = clipped_sum(adapted(name), units, settings, permit=permit_for(settings), entropy=Entropy.seeded(key))
    assert found.dtype == np.float64
    return torch.from_numpy(found)


# ---------------------------------------------------------------------------------------------------- the optimiser


def test_the_sum_is_neither_divided_nor_noised() -> None:
    parameter, optimizer = bare(3)
    add(parameter, optimizer, torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.25, 0.0]]))
    add(parameter, optimizer, torch.tensor([[0.0, 0.0, 4.0]]))
    total = optimizer.take_sum()
    assert total.dtype == torch.float64
    assert total.tolist() == pytest.approx([0.5, 0.25, 1.0], rel=2e-5)


def test_taking_the_sum_empties_the_buffer_counts_the_step_and_leaves_the_weights() -> None:
    parameter, optimizer = bare(2)
    add(parameter, optimizer, torch.tensor([[0.5, 0.0]]))
    optimizer.take_sum()
    assert optimizer.steps_taken == 1
    assert parameter.grad is None
    assert parameter.tolist() == [0.0, 0.0]
    assert optimizer.take_sum().tolist() == [0.0, 0.0]


def test_an_empty_draw_gives_zeros() -> None:
    _, optimizer = bare(2)
    assert optimizer.take_sum().tolist() == [0.0, 0.0]
    assert optimizer.steps_taken == 1


def test_one_sum_more_than_booked_is_refused() -> None:
    parameter, optimizer = bare(2, steps=1)
    optimizer.take_sum()
    with pytest.raises(PrivacyError, match="covers 1 steps"):
        optimizer.take_sum()
    with pytest.raises(PrivacyError, match="covers 1 steps"):
        add(parameter, optimizer, torch.ones(1, 2))


def test_a_step_is_impossible() -> None:
    parameter, optimizer = bare(2)
    parameter.grad_sample = torch.ones(1, 2)  # type: ignore[attr-defined]
    optimizer.expect_units(1)
    with pytest.raises(PrivacyError, match="a step without noise"):
        optimizer.step()
    with pytest.raises(PrivacyError, match="a step without noise"):
        optimizer.empty_step()
    assert parameter.tolist() == [0.0, 0.0]


def test_float_noise_is_refused() -> None:
    with pytest.raises(PrivacyError, match="the ring adds the noise"):
        FlatDPOptimizer(
            torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=1.0),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            expected_batch_size=1.0,
            entropy=Entropy.seeded(KEY),
            distributed=True,
        )


def test_without_distributed_mode_no_sum_is_given_out() -> None:
    model = adapted()
    hooks, optimizer = FedwardPrivacyEngine(entropy=Entropy.seeded(KEY)).attach(
        model,
        torch.optim.SGD(trainable(model), lr=0.0),
        sample_rate=0.1,
        num_steps=1,
        noise_multiplier=1.0,
        clip_norm=1.0,
        expected_units=1.0,
    )
    for refused in (optimizer.take_sum, optimizer.accumulate):
        with pytest.raises(PrivacyError, match="only for the ring"):
            refused()
    hooks.cleanup()


def test_a_clip_that_was_changed_after_booking_is_refused() -> None:
    _, optimizer = bare(2)
    optimizer.max_grad_norm = 9.0
    with pytest.raises(PrivacyError, match="booked"):
        optimizer.take_sum()


def test_a_physical_batch_that_was_not_added_is_noticed() -> None:
    parameter, optimizer = bare(2)
    parameter.grad_sample = torch.ones(1, 2)  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match="not accumulated"):
        optimizer.take_sum()


def test_after_a_failure_half_a_sum_is_not_left_behind() -> None:
    parameter, optimizer = bare(2)
    add(parameter, optimizer, torch.tensor([[0.5, 0.0]]))
    parameter.grad_sample = torch.ones(4, 2)  # type: ignore[attr-defined]
    optimizer.expect_units(2)
    with pytest.raises(TrainingError, match="number of units"):
        optimizer.accumulate()
    assert optimizer.take_sum().tolist() == [0.0, 0.0]


def test_a_unit_moves_the_sum_by_its_own_part_alone_however_small() -> None:
    """In float32 a large sum would swallow it, or be rounded by more than it."""
    others = torch.full((64, 1), 0.9)
    sums = []
    for grads in (others, torch.cat([others, torch.tensor([[2.0**-30]])])):
        parameter, optimizer = bare(1)
        add(parameter, optimizer, grads)
        sums.append(float(optimizer.take_sum()))
    assert sums[1] - sums[0] == pytest.approx(2.0**-30, rel=1e-4)


def test_physical_batches_are_added_in_float64() -> None:
    parameter, optimizer = bare(1, clip=float("inf"))
    add(parameter, optimizer, torch.tensor([[2.0**30]]))
    for _ in range(8):
        add(parameter, optimizer, torch.tensor([[1.0]]))  # each would vanish in a float32 sum
    assert optimizer.take_sum().tolist() == [2.0**30 + 8]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    units=st.integers(1, 20),
    size=st.integers(1, 200),
    exponent=st.floats(-6, 6),
    clip=st.floats(1e-3, 1e3),
    seed=st.integers(0, 999),
)
def test_removing_a_unit_moves_the_sum_by_at_most_the_clip(
    units: int, size: int, exponent: float, clip: float, seed: int
) -> None:
    grads = torch.randn(units, size, generator=torch.Generator().manual_seed(seed)) * 10.0**exponent

    def total(kept: Tensor) -> Tensor:
        parameter, optimizer = bare(size, clip=clip)
        if len(kept):
            add(parameter, optimizer, kept)
        return optimizer.take_sum()

    assert float((total(grads) - total(grads[1:])).norm()) <= clip * (1 + 1e-4)


# ---------------------------------------------------------------------------------------------------- the trainer


@PATHS
def test_a_sites_sum_is_that_of_the_clipped_gradients_of_its_units(gradients: str) -> None:
    settings = one_step(gradients=gradients)
    units = patients(5)
    grads = torch.cat([g.flatten(1).double() for g in reference_gradients(adapted(), units)], dim=1)
    factors = (settings.clip_norm / grads.norm(dim=1)).clamp(max=1.0)
    assert bool((factors < 1).any())
    expected = factors @ grads
    found = site_sum(units, settings)
    assert float((found - expected).norm() / expected.norm()) <= 3e-5


@PATHS
def test_removing_a_patient_moves_a_sites_sum_by_at_most_the_clip(gradients: str) -> None:
    settings = one_step(gradients=gradients)
    units = patients(6)
    whole = site_sum(units, settings)
    moved = [float((whole - site_sum(units[:gone] + units[gone + 1 :], settings)).norm()) for gone in range(6)]
    assert max(moved) <= settings.clip_norm * (1 + 1e-4)
    assert max(moved) > settings.clip_norm * 0.9, "no gradient was clipped: the test would prove nothing"


@pytest.mark.parametrize("units", [[], [[[5]]]], ids=["no units", "nothing that can be read"])
def test_a_site_without_a_usable_unit_sends_zeros(units: Units) -> None:
    assert not site_sum(units, one_step()).any()


def test_a_poisson_draw_chooses_the_units() -> None:
    units = patients(8)
    sums = [site_sum(units, one_step(sample_rate=0.5), key=bytes([k]) * 32).norm() for k in range(4)]
    assert len({round(float(s), 6) for s in sums}) > 1


def test_physical_batches_do_not_change_a_sites_sum() -> None:
    units = patients(8)
    together = site_sum(units, one_step(max_batch_tokens=100_000))
    apart = site_sum(units, one_step(max_batch_tokens=8))
    assert float((together - apart).norm() / together.norm()) <= 1e-5


def test_the_model_is_left_as_it_was() -> None:
    model, settings = adapted().eval(), one_step()
    before, attributes = flat(trainable(model)), {name: set(vars(p)) for name, p in model.named_parameters()}
    clipped_sum(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    assert torch.equal(flat(trainable(model)), before)
    assert {name: set(vars(p)) for name, p in model.named_parameters()} == attributes
    assert all(p.grad is None for p in model.parameters())
    assert not any(module.training or "forward" in vars(module) for module in model.modules())


def test_the_systems_entropy_adds_no_noise() -> None:
    settings = one_step()
    sums = [
        clipped_sum(adapted(), patients(), settings, permit=permit_for(settings), entropy=Entropy.system())
        for _ in range(2)
    ]
    assert np.array_equal(sums[0], sums[1])


def test_a_distributed_round_is_one_step() -> None:
    settings = spec(num_steps=2)
    permit = permit_for(settings)
    assert permit is not None
    with pytest.raises(ConfigError, match="one step"):
        clipped_sum(adapted(), patients(), settings, permit=permit, entropy=Entropy.seeded(KEY))
    permit.claim()  # it was not used up


def test_the_sum_needs_a_permit_for_it_and_uses_it_up() -> None:
    settings = one_step()
    with pytest.raises(PrivacyError, match="needs a permit"):
        clipped_sum(adapted(), patients(), settings, permit=None, entropy=Entropy.seeded(KEY))
    permit = permit_for(settings)
    clipped_sum(adapted(), patients(), settings, permit=permit, entropy=Entropy.seeded(KEY))
    with pytest.raises(PrivacyError, match="one use"):
        clipped_sum(adapted(), patients(), settings, permit=permit, entropy=Entropy.seeded(KEY))
