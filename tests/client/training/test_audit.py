"""The canary audit and the sensitivity check: both pass for the engine as it is and fail for each planted bug.

Bugs are planted into the real classes, so that these tests stay honest when the engine changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleHooks
from torch import Tensor, nn

from fedward.client.training import engine, probe, trainer
from fedward.client.training.engine import FedwardPrivacyEngine
from fedward.client.training.losses import IGNORED, causal_logits, record_losses
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.common.errors import FedwardError, TrainingError, UnsupportedModelError
from fedward.common.privacy.distributed import RingMechanism
from fedward.common.privacy.noise import Entropy
from fedward.simulations.benchmarks import dp_audit
from fedward.simulations.benchmarks.dp_arms import quiet
from fedward.simulations.benchmarks.dp_audit import PATHS, Canaries, FloatMechanism, Verdict, audit
from tests.client.training.tiny import (
    PEFT_WARNING,
    VOCABULARY,
    adapted,
    flat,
    mean_loss,
    packed,
    patients,
    permit_for,
    spec,
    trainable,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

SMALL = Canaries(count=2000, num_steps=60)
FLOAT_PATHS = ("fused", "hooks")
Unit = list[list[int]]


def seeded(number: int = 1) -> Entropy:
    return Entropy.seeded(bytes([number]) * 32)


def verdict(path: str) -> Verdict:
    return audit(PATHS[path], seeded(), SMALL)


# ---------------------------------------------------------------------------------------------------- the engine


@pytest.mark.parametrize("path", PATHS)
def test_the_engine_separates_canaries_as_the_booked_mechanism_does(path: str) -> None:
    found = audit(PATHS[path], seeded())
    assert found.passed
    assert abs(found.mu_ratio - 1) <= 0.2


def test_the_separation_in_theory_is_that_of_the_design_page() -> None:
    assert Canaries().separation == pytest.approx(1.067, abs=1e-3)
    assert Canaries().count == 4000


def test_every_path_of_the_product_is_audited() -> None:
    assert set(PATHS) == {*get_args(engine.Gradients), "distributed"}


@pytest.mark.parametrize("changes", [{"mu_ratio": 1.25}, {"noise_ratio": 0.85}, {"idle_noise_ratio": 0.0}])
def test_a_verdict_with_a_figure_off_does_not_pass(changes: dict[str, float]) -> None:
    right = Verdict(mu_ratio=1.0, noise_ratio=1.0, idle_noise_ratio=1.0, is_torch_generator_untouched=True, cpu_s=1.0)
    assert right.passed
    assert not replace(right, **changes).passed  # type: ignore[arg-type]
    assert not replace(right, mu_ratio=float("nan")).passed
    assert not replace(right, is_torch_generator_untouched=False).passed


# ---------------------------------------------------------------------------------------------------- the clip


def without_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the clip were forgotten, while the noise stays what was booked."""
    right = FlatDPOptimizer.clip_and_accumulate

    def unclipped(self: FlatDPOptimizer) -> None:
        booked = self.max_grad_norm
        self.max_grad_norm = 1e9
        try:
            right(self)
        finally:
            self.max_grad_norm = booked

    monkeypatch.setattr(FlatDPOptimizer, "clip_and_accumulate", unclipped)


@pytest.mark.parametrize("path", PATHS)
def test_the_audit_finds_a_missing_clip(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_clip(monkeypatch)
    found = verdict(path)
    assert found.mu_ratio == pytest.approx(5.0, rel=0.2)
    assert not found.passed


class PerToken(FloatMechanism):
    """An integration that hands the engine tokens for units, as Opacus takes them in models that flatten."""

    def backward(self, x: Tensor) -> None:
        super().backward(x.flatten(0, 1).unsqueeze(1))


@pytest.mark.parametrize("path", FLOAT_PATHS)
def test_the_audit_finds_clipping_per_token(path: str) -> None:
    found = audit(lambda canaries, entropy: PerToken(canaries, entropy, gradients=path), seeded(), SMALL)
    assert found.mu_ratio == pytest.approx(4.0, rel=0.2)
    assert not found.passed


# ---------------------------------------------------------------------------------------------------- the noise


def with_less_noise(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    right, shares = FlatDPOptimizer.add_noise, RingMechanism.sigma_steps.fget  # type: ignore[attr-defined]

    def weaker(self: FlatDPOptimizer) -> None:
        booked = self.noise_multiplier
        self.noise_multiplier = share * booked
        try:
            right(self)
        finally:
            self.noise_multiplier = booked

    monkeypatch.setattr(FlatDPOptimizer, "add_noise", weaker)
    monkeypatch.setattr(RingMechanism, "sigma_steps", property(lambda self: round(share * shares(self))))


@pytest.mark.parametrize("path", PATHS)
def test_the_audit_finds_half_the_noise(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_less_noise(monkeypatch, 0.5)
    found = verdict(path)
    assert found.mu_ratio == pytest.approx(2.0, rel=0.2)
    assert found.noise_ratio == pytest.approx(0.5, rel=0.1)
    assert not found.passed


@pytest.mark.parametrize("path", PATHS)
def test_the_audit_finds_a_tenth_of_the_noise(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_less_noise(monkeypatch, 0.1)
    found = verdict(path)
    assert found.mu_ratio == pytest.approx(10.0, rel=0.2)
    assert not found.passed


@pytest.mark.parametrize("path", FLOAT_PATHS)
def test_the_audit_finds_skipped_empty_steps(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlatDPOptimizer, "empty_step", lambda self: None)
    found = verdict(path)
    assert found.idle_noise_ratio == 0.0
    assert not found.passed


def test_training_notices_skipped_empty_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = spec(sample_rate=1e-9)
    assert trainer.train(
        adapted(), patients(), settings, permit=permit_for(settings), entropy=seeded()
    ).steps_taken == (settings.num_steps)
    monkeypatch.setattr(FlatDPOptimizer, "empty_step", lambda self: None)
    with pytest.raises(TrainingError):
        trainer.train(adapted(), patients(), settings, permit=permit_for(settings), entropy=seeded())


@pytest.mark.parametrize("path", FLOAT_PATHS)
def test_the_audit_finds_noise_from_torchs_generator(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def predictable(_: Entropy, count: int) -> NDArray[np.float32]:
        values: NDArray[np.float32] = torch.randn(count).numpy()
        return values

    monkeypatch.setattr(Entropy, "normals", predictable)
    found = verdict(path)
    assert found.mu_ratio == pytest.approx(1.0, abs=0.2)  # of the right size, and yet
    assert not found.is_torch_generator_untouched
    assert not found.passed


# ---------------------------------------------------------------------------------------------------- sensitivity

CLIP = 0.5
Losses = Callable[[Tensor, Tensor], Tensor]


def clipped_sum(units: list[Unit], losses: Losses = record_losses) -> Tensor:
    """(P,) float64: what all units together add to the buffer."""
    model = adapted("llama")
    hooks, optimizer = attached(model)
    backward(model, optimizer, units, losses)
    optimizer.step()
    total = flat([p.grad for p in trainable(model)])
    hooks.cleanup()
    return total


def attached(model: nn.Module) -> tuple[GradSampleHooks, FlatDPOptimizer]:
    return FedwardPrivacyEngine(entropy=seeded()).attach(
        model,
        torch.optim.SGD(trainable(model), lr=0.0),
        sample_rate=0.5,
        num_steps=100,
        noise_multiplier=0.0,
        clip_norm=CLIP,
        expected_units=1.0,
    )


def backward(model: nn.Module, optimizer: FlatDPOptimizer, units: list[Unit], losses: Losses = record_losses) -> None:
    batch = packed(units)
    optimizer.expect_units(batch.num_units if batch.unit_of_row is None else batch.unit_of_row)
    found = losses(causal_logits(model, batch.token_ids, batch.attention_mask), batch.labels)
    mean_loss(found, batch).backward()  # type: ignore[no-untyped-call]


def batch_mean_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """A bug: the token mean of the whole batch, as models' built-in losses have it, shared out over the rows."""
    counts = (labels[:, 1:] != IGNORED).sum(dim=1).clamp(min=1)
    return record_losses(logits, labels) * counts / counts.float().mean()


def largest_move(units: list[Unit], losses: Losses = record_losses) -> float:
    """By how much leaving out a patient moves the sum, over the clip; the largest over patients."""
    everyone = clipped_sum(units, losses)
    moves = [clipped_sum(units[:k] + units[k + 1 :], losses) for k in range(len(units))]
    return max(float((everyone - rest).norm()) for rest in moves) / CLIP


def uneven_patients() -> list[Unit]:
    """Five patients with one or two short records, and one with a long record."""
    return [*patients(5, max_records=2), [[1 + token % (VOCABULARY - 1) for token in range(48)]]]


def test_leaving_out_a_patient_with_all_records_moves_the_sum_by_at_most_the_clip() -> None:
    assert 0.9 < largest_move(uneven_patients()) <= 1 + 1e-4


def test_the_sensitivity_check_finds_a_loss_that_is_shared_over_the_batch() -> None:
    assert largest_move(uneven_patients(), batch_mean_losses) > 1.05


def test_the_sensitivity_check_finds_a_missing_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    without_clip(monkeypatch)
    assert largest_move(uneven_patients()) > 1.5


def test_the_probe_finds_a_loss_that_is_shared_over_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted("llama")
    probe.parity_probe(model, vocab_size=VOCABULARY)
    monkeypatch.setattr(probe, "record_losses", batch_mean_losses)
    with pytest.raises(UnsupportedModelError, match="gradients are wrong"):
        probe.parity_probe(model, vocab_size=VOCABULARY)


def move_of_one_sequence(*, trusts_layers: bool) -> float:
    """What one sequence adds to the sum of an OPT, over the clip, with stock Opacus' hooks and our optimiser."""
    model = adapted("opt", targets=["fc1", "fc2"])
    units = [[[1 + token for token in range(40)]]]
    batch = packed(units)
    with quiet():
        hooks = GradSampleHooks(model, batch_first=True, loss_reduction="mean")
        optimizer = FlatDPOptimizer(
            torch.optim.SGD(trainable(model), lr=0.0),
            noise_multiplier=0.0,
            max_grad_norm=CLIP / 1000,
            expected_batch_size=1.0,
            entropy=seeded(),
        )
        losses = record_losses(causal_logits(model, batch.token_ids, batch.attention_mask), batch.labels)
        losses.mean().backward()  # type: ignore[no-untyped-call]
    found = trainable(model)[0].grad_sample  # type: ignore[attr-defined]
    optimizer.expect_units(len(found) if trusts_layers else 1)
    try:
        optimizer.step()
    finally:
        hooks.remove_hooks()
    return float(flat([p.grad for p in trainable(model)]).norm()) / (CLIP / 1000)


def test_the_sensitivity_check_finds_clipping_per_token() -> None:
    assert move_of_one_sequence(trusts_layers=True) > 2


def test_gradients_per_token_are_refused_by_an_optimiser_that_is_told_the_units() -> None:
    with pytest.raises(TrainingError, match="number of units"):
        move_of_one_sequence(trusts_layers=False)


# ---------------------------------------------------------------------------------------------------- failures


def sum_after_a_failure(units: list[Unit]) -> Tensor:
    """A logical step of two physical batches that fails in between, is discarded and repeated."""
    model = adapted("llama")
    hooks, optimizer = attached(model)
    for is_repeated in (False, True):
        for number, part in enumerate((units[:3], units[3:])):
            if number and not is_repeated:
                optimizer.discard()  # as the caller does, whatever the failure was
                break
            backward(model, optimizer, part)
            optimizer.signal_skip_step(number == 0)
            optimizer.step()
            optimizer.zero_grad() if number == 0 else None
    total = flat([p.grad for p in trainable(model)])
    hooks.cleanup()
    return total


def test_a_step_that_is_repeated_after_a_failure_counts_every_unit_once() -> None:
    units = patients(6)
    assert torch.allclose(sum_after_a_failure(units), clipped_sum(units), atol=1e-6)


def test_the_repeated_step_finds_a_buffer_that_was_not_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    units = patients(6)
    right = clipped_sum(units)
    monkeypatch.setattr(FlatDPOptimizer, "discard", FlatDPOptimizer.zero_grad)
    assert float((sum_after_a_failure(units) - right).norm()) > 0.5 * CLIP


def test_the_audit_is_of_the_operating_systems_noise_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[bool] = []

    def noted(_: dp_audit.Build, entropy: Entropy) -> Verdict:
        sources.append(entropy.is_private)
        raise FedwardError("seen")

    monkeypatch.setattr(dp_audit, "audit", noted)
    with pytest.raises(FedwardError, match="seen"):
        dp_audit.measure()
    assert sources == [True]
