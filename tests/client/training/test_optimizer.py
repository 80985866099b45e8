"""One step: clipping, noise, empty batches, non-finite units, and the bugs that must not pass."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from opacus import PrivacyEngine
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from fedward.client.training.engine import FedwardPrivacyEngine
from fedward.client.training.gradients import LoraGradSampleHooks
from fedward.client.training.losses import causal_logits, record_losses
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.common.errors import PrivacyError, TrainingError
from fedward.common.privacy.noise import Entropy
from tests.client.training.tiny import (
    PEFT_WARNING,
    adapted,
    flat,
    packed,
    patients,
    reference_gradients,
    relative_error,
    trainable,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

KEY = bytes(range(32))
OPACUS_WARNING = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
"""torch, of the module hooks of Opacus on a first layer."""


def attached(
    model: nn.Module,
    *,
    noise: float = 0.0,
    clip: float = 1.0,
    steps: int = 100,
    rate: float = 0.0,
    loss_reduction: str = "mean",
) -> tuple[LoraGradSampleHooks, FlatDPOptimizer]:
    return FedwardPrivacyEngine(entropy=Entropy.seeded(KEY)).attach(
        model,
        torch.optim.SGD(trainable(model), lr=rate),
        sample_rate=0.1,
        num_steps=steps,
        noise_multiplier=noise,
        clip_norm=clip,
        expected_units=1.0,
        loss_reduction=loss_reduction,
    )


def backward(model: nn.Module, units: list[list[list[int]]], weights: Tensor | None = None) -> None:
    """One record a unit; ``weights`` (R,) multiply the losses."""
    batch = packed(units)
    losses = record_losses(causal_logits(model, batch.token_ids, batch.attention_mask), batch.labels)
    (losses if weights is None else losses * weights).mean().backward()  # type: ignore[no-untyped-call]


def bare(
    size: int,
    *,
    noise: float = 0.0,
    clip: float = 1.0,
    expected: float = 1.0,
    rate: float = 1.0,
    entropy: Entropy | None = None,
) -> tuple[nn.Parameter, FlatDPOptimizer]:
    """An optimiser on one parameter whose per-sample gradients the test writes itself."""
    parameter = nn.Parameter(torch.zeros(size))
    optimizer = FlatDPOptimizer(
        torch.optim.SGD([parameter], lr=rate),
        noise_multiplier=noise,
        max_grad_norm=clip,
        expected_batch_size=expected,
        entropy=entropy or Entropy.seeded(KEY),
    )
    return parameter, optimizer


def give(parameter: nn.Parameter, optimizer: FlatDPOptimizer, grads: Tensor) -> None:
    parameter.grad_sample = grads  # type: ignore[attr-defined]
    optimizer.expect_units(len(grads))


# ---------------------------------------------------------------------------------------------------- clipping


def opacus_sum(units: list[list[list[int]]], clip: float) -> list[Tensor]:
    """The clipped sum by Opacus' own hooks and optimiser."""
    model = adapted("llama")
    with pytest.warns(UserWarning, match="Secure RNG"):
        engine = PrivacyEngine(accountant="rdp")
    hooks = engine._prepare_model(model, wrap_model=False)
    optimizer = DPOptimizer(
        torch.optim.SGD(trainable(model), lr=0.0), noise_multiplier=0.0, max_grad_norm=clip, expected_batch_size=1
    )
    backward(model, units)
    optimizer.step()
    hooks.remove_hooks()
    return [p.grad for p in trainable(model) if p.grad is not None]


def our_sum(units: list[list[list[int]]], clip: float) -> list[Tensor]:
    model = adapted("llama")
    hooks, optimizer = attached(model, clip=clip)
    backward(model, units)
    optimizer.step()
    hooks.cleanup()
    return [p.grad for p in trainable(model) if p.grad is not None]


@OPACUS_WARNING
@pytest.mark.parametrize("which", ["none", "some", "all"])
def test_the_clipped_sum_is_that_of_opacus(which: str) -> None:
    units = patients(7, max_records=1)
    norms = torch.cat([g.flatten(1) for g in reference_gradients(adapted("llama"), units)], dim=1).norm(dim=1)
    clip = {"none": 2 * float(norms.max()), "some": float(norms.median()), "all": 0.5 * float(norms.min())}[which]
    theirs = opacus_sum(units, clip)
    assert relative_error(our_sum(units, clip), theirs) <= 3e-5
    if which != "none":
        assert relative_error(our_sum(units, 1.01 * clip), theirs) > 1e-3


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    size=st.integers(1, 300),
    exponent=st.floats(-12, 12),
    clip=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**20),
)
def test_one_unit_moves_the_sum_by_at_most_the_clip_in_float64(
    size: int, exponent: float, clip: float, seed: int
) -> None:
    parameter, optimizer = bare(size, clip=clip)
    generator = torch.Generator().manual_seed(seed)
    give(parameter, optimizer, torch.randn(1, size, generator=generator) * 10.0**exponent)
    optimizer.step()
    assert float(flat([parameter.grad]).norm()) <= clip


def contribution(grads: Tensor, clip: float) -> float:
    """Norm, in float64, of what one unit with gradient (n,) adds to the buffer."""
    parameter, optimizer = bare(grads.numel(), clip=clip)
    give(parameter, optimizer, grads.reshape(1, -1))
    optimizer.step()
    return float(flat([parameter.grad]).norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [1, 127, 128, 129, 4096 * 16, 16384 * 256 + 77])
def test_long_rows_of_equal_entries_keep_the_clip_in_float64(size: int, dtype: torch.dtype) -> None:
    for value in (1.0, 1 / 3, 0.1):
        norm = contribution(torch.full((size,), value, dtype=dtype), 0.05)
        assert 0.05 * (1 - 2e-5) <= norm <= 0.05


@pytest.mark.parametrize(("value", "clip"), [(1e-18, 1e-16), (1e-23, 1e-24), (1e-29, 1e-30), (1e18, 1.0), (1e34, 1.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_squares_that_leave_float32_keep_the_clip_in_float64(value: float, clip: float, dtype: torch.dtype) -> None:
    norm = contribution(torch.full((65_536,), value, dtype=dtype), clip)
    assert 0.99 * clip <= norm <= clip


def test_a_tiny_part_beside_a_large_one_keeps_the_clip() -> None:
    grads = torch.full((100_000,), 1e-20)
    grads[0] = 1e-9
    assert 0.99e-12 <= contribution(grads, 1e-12) <= 1e-12


def test_a_unit_whose_factor_float32_cannot_hold_adds_nothing_and_is_counted() -> None:
    parameter, optimizer = bare(4096, clip=1e-6)
    give(parameter, optimizer, torch.stack([torch.full((4096,), 3e38), torch.full((4096,), 1e-9)]))
    optimizer.step()
    assert optimizer.nonfinite_units == 1
    assert parameter.grad is not None
    assert torch.allclose(parameter.grad, torch.tensor(1e-9))


def test_a_summed_loss_is_clipped_as_its_mean_is() -> None:
    units = patients(5, max_records=1)
    found = []
    for reduction in ("mean", "sum"):
        model = adapted()
        _, optimizer = attached(model, clip=1.0, loss_reduction=reduction)
        backward(model, units, torch.full((5,), 5.0 if reduction == "sum" else 1.0))
        optimizer.step()
        found.append(flat([p.grad for p in trainable(model)]))
    assert float((found[0] - found[1]).norm() / found[0].norm()) <= 1e-6


def test_an_unknown_reduction_of_the_loss_is_refused() -> None:
    with pytest.raises(TrainingError, match="loss_reduction"):
        attached(adapted(), loss_reduction="none")


def test_one_sequence_counts_once_although_opt_flattens_its_tokens() -> None:
    clip = 0.01
    model = adapted("opt", targets=["fc1", "fc2"])
    hooks, optimizer = attached(model, clip=clip)
    backward(model, patients(1, max_records=1))
    optimizer.step()
    assert float(flat([p.grad for p in trainable(model)]).norm()) <= clip
    hooks.cleanup()


def test_gradients_for_each_token_instead_of_each_unit_are_refused() -> None:
    parameter, optimizer = bare(3)
    parameter.grad_sample = torch.ones(12, 3)  # type: ignore[attr-defined]
    optimizer.expect_units(2)
    with pytest.raises(TrainingError, match="not the number of units, 2"):
        optimizer.step()


def test_gradients_without_an_announced_number_of_units_are_refused() -> None:
    parameter, optimizer = bare(3)
    parameter.grad_sample = torch.ones(2, 3)  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match="number of units"):
        optimizer.step()


@OPACUS_WARNING
def test_opacus_hooks_serve_too_if_the_units_are_announced() -> None:
    units = patients(5, max_records=1)
    model = adapted("llama")
    engine = FedwardPrivacyEngine(entropy=Entropy.seeded(KEY), gradients="hooks")
    hooks, optimizer = engine.attach(
        model,
        torch.optim.SGD(trainable(model), lr=0.0),
        sample_rate=0.1,
        num_steps=1,
        noise_multiplier=0.0,
        clip_norm=0.5,
        expected_units=1.0,
    )
    backward(model, units)
    optimizer.expect_units(5)
    optimizer.step()
    hooks.remove_hooks()
    assert relative_error([p.grad for p in trainable(model) if p.grad is not None], our_sum(units, 0.5)) <= 3e-5


# ---------------------------------------------------------------------------------------------------- non-finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_unit_that_is_not_finite_adds_exactly_nothing(bad: float) -> None:
    parameter, optimizer = bare(3)
    give(parameter, optimizer, torch.tensor([[0.3, 0.0, 0.0], [bad, 0.1, 0.1]]))
    optimizer.step()
    assert optimizer.nonfinite_units == 1
    assert parameter.grad is not None
    assert parameter.grad.tolist() == pytest.approx([0.3, 0.0, 0.0])


def test_a_record_whose_loss_is_infinite_does_not_reach_the_others() -> None:
    units = patients(6, max_records=1)
    model = adapted("llama")
    hooks, optimizer = attached(model, clip=0.5)
    backward(model, units, torch.tensor([1.0, 1.0, math.inf, 1.0, 1.0, 1.0]))
    optimizer.step()
    ordered = sorted(units, key=lambda unit: len(unit[0]))
    rest = our_sum(ordered[:2] + ordered[3:], 0.5)
    assert optimizer.nonfinite_units == 1
    assert relative_error([p.grad for p in trainable(model) if p.grad is not None], rest) <= 3e-5
    hooks.cleanup()


# ---------------------------------------------------------------------------------------------------- noise


def test_an_empty_step_is_noise_of_the_booked_size() -> None:
    parameter, optimizer = bare(40_000, noise=2.0, clip=0.5, expected=4.0)
    optimizer.empty_step()
    assert parameter.grad is not None
    assert float(parameter.grad.std()) * 4.0 == pytest.approx(1.0, rel=5 / math.sqrt(80_000))
    assert optimizer.steps_taken == 1


def test_noise_is_drawn_once_a_logical_step_however_many_physical_batches() -> None:
    parameter, optimizer = bare(4, noise=1.0)
    for last in (False, False, True):
        give(parameter, optimizer, torch.full((1, 4), 0.1))
        optimizer.signal_skip_step(not last)
        optimizer.step()
    expected = 0.3 + torch.from_numpy(Entropy.seeded(KEY).normals(4))
    assert parameter.grad is not None
    assert torch.allclose(parameter.grad, expected, atol=1e-6)
    assert optimizer.steps_taken == 1


def test_the_shipped_noise_is_the_operating_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> Tensor:
        raise AssertionError("torch's generator fed the noise")

    parameter, optimizer = bare(8, noise=1.0, entropy=Entropy.system())
    for name in ("normal", "randn", "randn_like", "rand"):
        monkeypatch.setattr(torch, name, forbidden)
    draws = []
    for _ in range(2):
        torch.manual_seed(0)
        optimizer.empty_step()
        assert parameter.grad is not None
        draws.append(parameter.grad.clone())
    assert not torch.equal(draws[0], draws[1])


def test_noise_without_a_clip_is_refused() -> None:
    with pytest.raises(PrivacyError, match="no mechanism"):
        bare(3, noise=1.0, clip=math.inf)


@pytest.mark.parametrize("noise", [math.nan, -1.0, math.inf])
def test_a_noise_multiplier_that_would_add_none_is_refused(noise: float) -> None:
    with pytest.raises(PrivacyError, match="noise_multiplier"):
        bare(3, noise=noise)


def test_a_clip_that_float32_cannot_hold_is_refused() -> None:
    with pytest.raises(PrivacyError, match="drowns"):
        bare(3, clip=1e-31)


# ---------------------------------------------------------------------------------------------------- misuse


def test_one_step_more_than_booked_is_refused() -> None:
    model = adapted()
    hooks, optimizer = attached(model, noise=1.0, steps=2)
    for _ in range(2):
        optimizer.empty_step()
        optimizer.zero_grad()
    with pytest.raises(PrivacyError, match="covers 2 steps"):
        optimizer.empty_step()
    hooks.cleanup()


@pytest.mark.parametrize("name", ["noise_multiplier", "max_grad_norm"])
def test_a_mechanism_that_was_changed_after_booking_is_refused(name: str) -> None:
    _, optimizer = bare(3, noise=1.0)
    setattr(optimizer, name, 0.5)
    with pytest.raises(PrivacyError, match="booked"):
        optimizer.empty_step()


def test_an_empty_step_after_a_backward_is_refused() -> None:
    parameter, optimizer = bare(3, noise=1.0)
    give(parameter, optimizer, torch.ones(1, 3))
    with pytest.raises(TrainingError, match="empty step"):
        optimizer.empty_step()


def test_a_filled_gradient_is_refused() -> None:
    model = adapted()
    hooks, optimizer = attached(model)
    backward(model, patients(2, max_records=1))
    parameter = trainable(model)[0]
    parameter.grad = torch.zeros_like(parameter)
    with pytest.raises(TrainingError, match="by-passed"):
        optimizer.step()
    hooks.cleanup()


def test_a_half_filled_buffer_is_forgotten_after_a_failure() -> None:
    parameter, optimizer = bare(2)
    give(parameter, optimizer, torch.tensor([[0.5, 0.0]]))
    optimizer.signal_skip_step(True)
    optimizer.step()
    optimizer.discard()
    give(parameter, optimizer, torch.tensor([[0.0, 0.25]]))
    optimizer.step()
    assert parameter.grad is not None
    assert parameter.grad.tolist() == pytest.approx([0.0, 0.25])


def test_opacus_accountant_counts_empty_steps_as_a_cross_check() -> None:
    model = adapted()
    engine = FedwardPrivacyEngine(entropy=Entropy.seeded(KEY))
    hooks, optimizer = engine.attach(
        model,
        torch.optim.SGD(trainable(model), lr=0.0),
        sample_rate=0.25,
        num_steps=3,
        noise_multiplier=1.5,
        clip_norm=1.0,
        expected_units=1.0,
    )
    for _ in range(3):
        optimizer.empty_step()
        optimizer.zero_grad()
    assert engine.accountant.history == [(1.5, 0.25, 3)]
    hooks.cleanup()
