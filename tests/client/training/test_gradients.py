"""Per-unit gradients against one backward for each record."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedward.client.training.gradients import LoraGradSampleHooks
from fedward.client.training.losses import causal_logits, record_losses, unit_mean_loss
from fedward.client.training.trainer import Units
from fedward.common.errors import TrainingError, UnsupportedModelError
from tests.client.training.tiny import (
    ARCHITECTURES,
    PEFT_WARNING,
    adapted,
    packed,
    patients,
    reference_gradients,
    relative_error,
    trainable,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)


def engine_gradients(model: torch.nn.Module, units: Units, *, autocast: bool = False) -> list[Tensor]:
    """(U, …) for each tensor, from one backward of all units together."""
    hooks = LoraGradSampleHooks(model)
    batch = packed(units)
    hooks.set_units(batch.num_units if batch.unit_of_row is None else batch.unit_of_row)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = causal_logits(model, batch.token_ids, batch.attention_mask)
    unit_mean_loss(record_losses(logits, batch.labels), batch.unit_of_row, batch.num_units).backward()  # type: ignore[no-untyped-call]
    grads = [p.grad_sample.float() * hooks.loss_scale for p in trainable(model)]  # type: ignore[attr-defined]
    hooks.cleanup()
    return grads


def by_length(units: Units) -> Units:
    """The order in which units are packed."""
    return sorted(units, key=lambda unit: max(map(len, unit)))


@pytest.mark.parametrize("everywhere", [False, True], ids=["attention", "all-linear"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_of_ragged_patients_equal_those_of_one_backward_a_record(name: str, everywhere: bool) -> None:
    model = adapted(name, everywhere=everywhere)
    units = by_length(patients())
    assert {len(unit) for unit in units} == {1, 2, 3}
    assert relative_error(engine_gradients(model, units), reference_gradients(model, units)) <= 1e-5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_of_single_records_equal_those_of_one_backward_a_record(name: str) -> None:
    model = adapted(name)
    units = by_length(patients(7, max_records=1))
    assert relative_error(engine_gradients(model, units), reference_gradients(model, units)) <= 1e-5


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradients_stay_right_under_checkpointing(reentrant: bool) -> None:
    model = adapted("llama")
    units = by_length(patients())
    expected = reference_gradients(model, units)
    model.enable_input_require_grads()
    base: Any = model.get_base_model()
    base.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": reentrant})
    assert relative_error(engine_gradients(model, units), expected) <= 1e-5


def test_gradients_of_b_alone_are_right_when_a_is_frozen() -> None:
    model = adapted("llama", train_a=False)
    units = by_length(patients())
    assert relative_error(engine_gradients(model, units), reference_gradients(model, units)) <= 1e-5


def test_gradients_under_bfloat16_autocast_are_right_to_its_rounding() -> None:
    model = adapted("llama")
    units = by_length(patients())
    assert relative_error(engine_gradients(model, units, autocast=True), reference_gradients(model, units)) <= 5e-2


def test_the_comparison_notices_rows_that_are_swapped() -> None:
    model = adapted("llama")
    units = by_length(patients())
    expected = [grads.roll(1, 0) for grads in reference_gradients(model, units)]
    assert relative_error(engine_gradients(model, units), expected) > 0.1


def test_the_comparison_notices_an_error_of_one_in_ten_thousand() -> None:
    model = adapted("llama")
    units = by_length(patients())
    expected = [grads * (1 + 1e-4) for grads in reference_gradients(model, units)]
    assert relative_error(engine_gradients(model, units), expected) > 1e-5


def test_equal_groups_of_rows_give_the_same_as_an_index() -> None:
    model = adapted("llama")
    ids = torch.tensor([[3, 5, 7, 9], [2, 4, 6, 8], [1, 2, 3, 4], [9, 8, 7, 6]])
    found = []
    for units in (2, torch.tensor([0, 0, 1, 1])):
        hooks = LoraGradSampleHooks(model)
        hooks.set_units(units)
        record_losses(causal_logits(model, ids, torch.ones_like(ids)), ids).mean().backward()  # type: ignore[no-untyped-call]
        found.append([p.grad_sample for p in trainable(model)])  # type: ignore[attr-defined]
        hooks.cleanup()
    assert relative_error(found[0], found[1]) <= 1e-6


def test_the_clean_up_leaves_nothing_behind() -> None:
    model = adapted("llama")
    before = {name: set(vars(p)) for name, p in model.named_parameters()}
    engine_gradients(model, patients())
    assert {name: set(vars(p)) for name, p in model.named_parameters()} == before
    assert not any("forward" in vars(module) for module in model.modules())
    assert not model._forward_pre_hooks


def test_the_models_built_in_loss_is_refused() -> None:
    model = adapted("llama")
    hooks = LoraGradSampleHooks(model)
    ids = torch.tensor([[3, 5, 7]])
    with pytest.raises(TrainingError, match="built-in loss"):
        model(input_ids=ids, labels=ids)
    hooks.cleanup()


def test_a_second_pending_forward_is_refused() -> None:
    model = adapted("llama")
    hooks = LoraGradSampleHooks(model)
    ids = torch.tensor([[3, 5, 7]])
    model(input_ids=ids)
    with pytest.raises(TrainingError, match="second forward"):
        model(input_ids=ids)
    hooks.cleanup()


def test_a_forward_past_the_model_is_refused() -> None:
    model = adapted("llama")
    hooks = LoraGradSampleHooks(model)
    with pytest.raises(TrainingError, match="by-passed"):
        model.get_base_model()(input_ids=torch.tensor([[3, 5, 7]]))
    hooks.cleanup()


def test_rows_that_are_no_whole_number_of_units_are_refused() -> None:
    model = adapted("llama")
    hooks = LoraGradSampleHooks(model)
    hooks.set_units(2)
    with pytest.raises(TrainingError, match="equal units"):
        model(input_ids=torch.tensor([[3], [4], [5]]))
    hooks.cleanup()


def test_units_numbered_with_a_gap_are_refused() -> None:
    model = adapted("llama")
    hooks = LoraGradSampleHooks(model)
    hooks.set_units(torch.tensor([0, 2, 2]))
    with pytest.raises(TrainingError, match="gaps"):
        model(input_ids=torch.tensor([[3], [4], [5]]))
    hooks.cleanup()


def test_a_layer_input_that_flattens_rows_is_refused_unless_the_architecture_is_proven() -> None:
    model = adapted("opt", targets=["fc1", "fc2"])
    hooks = LoraGradSampleHooks(model)
    hooks._may_flatten = False
    batch = packed(patients(3, max_records=1))
    losses = record_losses(causal_logits(model, batch.token_ids, batch.attention_mask), batch.labels)
    flattened = losses.mean()
    with pytest.raises(UnsupportedModelError, match="does not start with"):
        flattened.backward()  # type: ignore[no-untyped-call]
    hooks.cleanup()
