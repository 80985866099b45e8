"""The path on Opacus' own hooks: patients, norms and embeddings, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedward.client.training.engine import FedwardPrivacyEngine
from fedward.client.training.hooks import RowGradSampleHooks, quiet_backward
from fedward.client.training.losses import causal_logits, record_losses
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.client.training.trainer import Units, train
from fedward.common.errors import TrainingError, UnsupportedModelError
from fedward.common.privacy.noise import Entropy
from tests.client.training.tiny import (
    ARCHITECTURES,
    PEFT_WARNING,
    adapted,
    base,
    by_length,
    flat,
    inner,
    mean_loss,
    packed,
    patients,
    permit_for,
    reference_gradients,
    relative_error,
    spec,
    trainable,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

KEY = bytes(range(32))


def attached(
    model: nn.Module, *, clip: float = 1.0, gradients: str = "hooks", distributed: bool = False
) -> tuple[Any, FlatDPOptimizer]:
    return FedwardPrivacyEngine(entropy=Entropy.seeded(KEY), gradients=gradients).attach(
        model,
        torch.optim.SGD(trainable(model), lr=0.0),
        sample_rate=0.1,
        num_steps=9,
        noise_multiplier=0.0,
        clip_norm=clip,
        expected_units=1.0,
        distributed=distributed,
    )


def backward(model: nn.Module, optimizer: FlatDPOptimizer, units: Units) -> None:
    batch = packed(units)
    optimizer.expect_units(batch.num_units if batch.unit_of_row is None else batch.unit_of_row)
    losses = record_losses(causal_logits(model, batch.token_ids, batch.attention_mask), batch.labels)
    with quiet_backward():
        mean_loss(losses, batch).backward()  # type: ignore[no-untyped-call]


def unit_gradients(model: nn.Module, units: Units) -> list[Tensor]:
    """(U, …) for each tensor, by Opacus' hooks."""
    hooks, optimizer = attached(model)
    backward(model, optimizer, units)
    hooks.finish()
    found = [p.grad_sample * hooks.loss_scale for p in trainable(model)]  # type: ignore[attr-defined]
    hooks.cleanup()
    return found


def clipped_sum(model: nn.Module, units: Units, *, clip: float, gradients: str) -> Tensor:
    hooks, optimizer = attached(model, clip=clip, gradients=gradients, distributed=True)
    backward(model, optimizer, units)
    optimizer.accumulate()
    hooks.cleanup()
    return optimizer.take_sum()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_of_ragged_patients_equal_those_of_one_backward_a_record(name: str) -> None:
    model = adapted(name, everywhere=False)
    units = by_length(patients())
    assert relative_error(unit_gradients(model, units), reference_gradients(model, units)) <= 1e-5


@pytest.mark.parametrize("which", ["none", "some", "all"])
def test_the_clipped_sum_of_patients_is_that_of_the_fused_path(which: str) -> None:
    units = patients(7)
    norms = torch.cat([g.flatten(1) for g in reference_gradients(adapted("llama"), units)], dim=1).norm(dim=1)
    clip = {"none": 2 * float(norms.max()), "some": float(norms.median()), "all": 0.5 * float(norms.min())}[which]
    theirs = clipped_sum(adapted("llama"), units, clip=clip, gradients="hooks")
    ours = clipped_sum(adapted("llama"), units, clip=clip, gradients="fused")
    other = clipped_sum(adapted("llama"), units, clip=1.01 * clip, gradients="fused")
    assert float((ours - theirs).norm() / theirs.norm()) <= 3e-5
    assert which == "none" or float((other - theirs).norm() / theirs.norm()) > 1e-3


def test_training_on_hooks_moves_the_weights_as_on_the_fused_path() -> None:
    moved = []
    for gradients in ("fused", "hooks"):
        model, settings = adapted("llama"), spec(gradients=gradients)
        start = flat(trainable(model))
        train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
        moved.append(flat(trainable(model)) - start)
    assert float((moved[0] - moved[1]).norm() / moved[0].norm()) <= 1e-5


def with_norms_and_embeddings() -> nn.Module:
    """GPT-2 with an adapter, whose norms and token embedding are trained too."""
    model = adapted("gpt2", everywhere=False)
    inner(model).lm_head.weight = nn.Parameter(torch.randn(61, 24), requires_grad=False)  # untied
    for name, parameter in model.named_parameters():
        if ".ln_" in name or name.endswith("wte.weight"):
            parameter.requires_grad_(True)
    return model


def test_trained_norms_and_embeddings_get_the_gradients_of_one_backward_a_record() -> None:
    model = with_norms_and_embeddings()
    units = by_length(patients())
    assert relative_error(unit_gradients(model, units), reference_gradients(model, units)) <= 1e-5


def test_trained_norms_are_refused_on_the_fused_path() -> None:
    with pytest.raises(UnsupportedModelError, match="trainable Embedding; only"):
        attached(with_norms_and_embeddings(), gradients="fused")


def test_a_norm_for_which_opacus_has_no_rule_of_its_own_gets_right_gradients() -> None:
    model = adapted("llama", everywhere=False)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.requires_grad_(True)
    units = by_length(patients())
    assert relative_error(unit_gradients(model, units), reference_gradients(model, units)) <= 1e-5


def test_a_trained_batch_norm_is_refused_by_name() -> None:
    model = adapted("llama", everywhere=False)
    inner(model).model.norm = nn.BatchNorm1d(24)
    with pytest.raises(UnsupportedModelError, match="BatchNorm1d mixes the rows"):
        attached(model)


def test_a_trained_position_embedding_is_refused_for_its_batch_dimension() -> None:
    model: Any = base("gpt2").train()
    model.lm_head.weight = nn.Parameter(torch.randn(61, 24))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("wpe" in name or "ln_f" in name)
    hooks, optimizer = attached(model)
    backward(model, optimizer, patients(3, max_records=1))
    with pytest.raises(TrainingError, match="1 gradients for a batch of 3 rows"):
        optimizer.step()
    hooks.cleanup()


def test_tokens_that_opacus_would_clip_as_samples_are_refused() -> None:
    model = adapted("opt", targets=["fc1", "fc2"])
    hooks, optimizer = attached(model)
    backward(model, optimizer, patients(3, max_records=1))
    with pytest.raises(TrainingError, match="for a batch of 3 rows: some module sees tokens as samples"):
        optimizer.step()
    hooks.cleanup()


def checkpointed(*, reentrant: bool) -> nn.Module:
    model = adapted("llama")
    model.enable_input_require_grads()
    inner(model).activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": reentrant})
    return model


def test_checkpointing_without_reentry_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match="use_reentrant=False loses the gradients"):
        attached(checkpointed(reentrant=False))


def test_checkpointing_with_reentry_gives_the_right_gradients() -> None:
    units = by_length(patients())
    expected = reference_gradients(adapted("llama"), units)
    assert relative_error(unit_gradients(checkpointed(reentrant=True), units), expected) <= 1e-5


def test_training_on_hooks_may_checkpoint_and_leaves_it_switched_off() -> None:
    moved = []
    for wanted in (False, True):
        model, settings = adapted("llama"), spec(gradients="hooks", gradient_checkpointing=wanted)
        start = flat(trainable(model))
        train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
        moved.append(flat(trainable(model)) - start)
        assert not model.get_base_model().is_activation_checkpointing
    assert float((moved[0] - moved[1]).norm() / moved[0].norm()) <= 1e-5


def test_the_built_in_loss_is_refused_here_too() -> None:
    model = adapted("llama")
    hooks, _ = attached(model)
    ids = torch.tensor([[3, 5, 7]])
    with pytest.raises(TrainingError, match="built-in loss"):
        model(input_ids=ids, labels=ids)
    hooks.cleanup()


def test_a_second_backward_is_refused() -> None:
    model = adapted("llama")
    hooks, _ = attached(model)
    ids = torch.tensor([[3, 5, 7, 9]])
    loss = record_losses(causal_logits(model, ids, torch.ones_like(ids)), ids).mean()
    with quiet_backward():
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        with pytest.raises(IndexError):  # Opacus has used its stored activations up
            loss.backward()  # type: ignore[no-untyped-call]
    hooks.cleanup()


def test_after_a_failed_step_the_next_attachment_finds_nothing_of_it() -> None:
    model = adapted("llama")
    units = by_length(patients())
    expected = unit_gradients(model, units)
    hooks, _ = attached(model)
    causal_logits(model, torch.tensor([[3, 5, 7]]), torch.ones(1, 3, dtype=torch.long))  # and no backward
    hooks.cleanup()
    assert not any("activations" in vars(module) for module in model.modules())
    assert relative_error(unit_gradients(model, units), expected) <= 1e-6


def test_the_model_stays_unwrapped_and_is_given_back_clean() -> None:
    model = adapted("llama")
    names = [name for name, _ in model.named_parameters()]
    before = {name: set(vars(p)) for name, p in model.named_parameters()}
    hooks, _ = attached(model)
    assert isinstance(hooks, RowGradSampleHooks)
    assert [name for name, _ in model.named_parameters()] == names
    hooks.cleanup()
    assert {name: set(vars(p)) for name, p in model.named_parameters()} == before
    assert not model._forward_pre_hooks


def test_equal_groups_of_rows_are_units() -> None:
    model = adapted("llama")
    ids = torch.tensor([[3, 5, 7, 9], [2, 4, 6, 8], [1, 2, 3, 4], [9, 8, 7, 6]])
    found = []
    for units in (2, torch.tensor([0, 0, 1, 1])):
        hooks, optimizer = attached(model)
        optimizer.expect_units(units)
        losses = record_losses(causal_logits(model, ids, torch.ones_like(ids)), ids)
        with quiet_backward():
            losses.mean().backward()  # type: ignore[no-untyped-call]
        hooks.finish()
        found.append([p.grad_sample * hooks.loss_scale for p in trainable(model)])  # type: ignore[attr-defined]
        hooks.cleanup()
        optimizer.zero_grad()
    records = [[[3, 5, 7, 9], [2, 4, 6, 8]], [[1, 2, 3, 4], [9, 8, 7, 6]]]
    expected = reference_gradients(model, records)
    assert relative_error(found[0], expected) <= 1e-5
    assert relative_error(found[1], expected) <= 1e-5
