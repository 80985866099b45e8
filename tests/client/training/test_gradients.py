"""Per-unit gradients against one backward for each record."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedward.client.training.gradients import LoraGradSampleHooks
from fedward.client.training.losses import causal_logits, record_losses
from fedward.client.training.trainer import Units
from fedward.common.errors import TrainingError, UnsupportedModelError
from tests.client.training.tiny import (
    ARCHITECTURES,
    PEFT_WARNING,
    VOCABULARY,
    adapted,
    by_length,
    mean_loss,
    packed,
    patients,
    reference_gradients,
    relative_error,
    trainable,
    with_trained_head,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)


def engine_gradients(model: torch.nn.Module, units: Units, *, autocast: bool = False) -> list[Tensor]:
    """(U, …) for each tensor, from one backward of all units together."""
    hooks = LoraGradSampleHooks(model)
    batch = packed(units)
    hooks.set_units(batch.num_units if batch.unit_of_row is None else batch.unit_of_row)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = causal_logits(model, batch.token_ids, batch.attention_mask)
    mean_loss(record_losses(logits, batch.labels), batch).backward()  # type: ignore[no-untyped-call]
    grads = [p.grad_sample.float() * hooks.loss_scale for p in trainable(model)]  # type: ignore[attr-defined]
    hooks.cleanup()
    return grads


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
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_stay_right_under_checkpointing(name: str, reentrant: bool) -> None:
    model = adapted(name)
    units = by_length(patients())
    expected = reference_gradients(model, units)
    model.enable_input_require_grads()
    base: Any = model.get_base_model()
    base.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": reentrant})
    assert relative_error(engine_gradients(model, units), expected) <= 1e-5


@pytest.mark.parametrize("shape", [(1, 3), (1, 5), (3, 4), (7, 11), (13, 3)], ids=str)
@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_gradients_of_odd_shapes_are_right(name: str, shape: tuple[int, int]) -> None:
    model = adapted(name)
    generator = torch.Generator().manual_seed(2)
    units = [[record] for record in torch.randint(1, VOCABULARY, shape, generator=generator).tolist()]
    assert relative_error(engine_gradients(model, units), reference_gradients(model, units)) <= 1e-5


@pytest.mark.parametrize("rank", [1, 3, 15, 16, 17])
def test_gradients_are_right_whatever_the_rank(rank: int) -> None:
    model = adapted("llama", rank=rank)
    units = by_length(patients())
    assert relative_error(engine_gradients(model, units), reference_gradients(model, units)) <= 1e-5


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("qwen2", {"use_rslora": True}),
        ("qwen2", {"init_lora_weights": "pissa"}),
        ("qwen2", {"bias": "lora_only"}),
        ("llama", {"modules_to_save": ["lm_head"]}),
    ],
    ids=["rsLoRA", "PiSSA", "trained biases", "a trained head"],
)
def test_gradients_of_adapter_variants_are_right(name: str, options: dict[str, Any]) -> None:
    model = adapted(name, everywhere=False, **options)
    units = by_length(patients())
    assert any("bias" in n for n, p in model.named_parameters() if p.requires_grad) == ("bias" in options)
    assert relative_error(engine_gradients(model, units), reference_gradients(model, units)) <= 1e-5


def test_gradients_of_a_classifier_that_is_no_language_model_are_right() -> None:
    model = with_trained_head()
    rows = [[5, 7, 9, 11, 2], [3, 4, 8], [6, 10, 12, 13]]
    ids = torch.tensor([[*row, *[0] * (5 - len(row))] for row in rows])
    mask, classes = (ids != 0).long(), torch.tensor([0, 2, 1])

    def losses(which: slice) -> Tensor:
        logits = model(input_ids=ids[which], attention_mask=mask[which]).logits
        return torch.nn.functional.cross_entropy(logits, classes[which], reduction="none")

    parameters = trainable(model)
    alone = [torch.autograd.grad(losses(slice(row, row + 1)).sum(), parameters) for row in range(3)]
    hooks = LoraGradSampleHooks(model)
    losses(slice(None)).mean().backward()  # type: ignore[no-untyped-call]
    found = [p.grad_sample * hooks.loss_scale for p in parameters]  # type: ignore[attr-defined]
    hooks.cleanup()
    assert relative_error(found, [torch.stack(grads) for grads in zip(*alone, strict=True)]) <= 1e-5


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


@pytest.mark.parametrize("reentrant", [None, False])
def test_a_second_backward_is_refused(reentrant: bool | None) -> None:
    model = adapted("llama")
    if reentrant is not None:
        base: Any = model.get_base_model()
        base.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": reentrant})
    hooks = LoraGradSampleHooks(model)
    ids = torch.tensor([[3, 5, 7, 9]])
    loss = record_losses(causal_logits(model, ids, torch.ones_like(ids)), ids).mean()
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingError, match="second backward"):
        loss.backward()  # type: ignore[no-untyped-call]
    hooks.cleanup()


def test_a_backward_of_an_older_forward_is_refused() -> None:
    model = adapted("llama")
    hooks = LoraGradSampleHooks(model)
    ids = torch.tensor([[3, 5, 7, 9]])
    older = causal_logits(model, ids, torch.ones_like(ids)).sum()
    hooks.release()
    causal_logits(model, ids, torch.ones_like(ids))
    with pytest.raises(TrainingError, match="older forward"):
        older.backward()  # type: ignore[no-untyped-call]
    hooks.cleanup()


@pytest.mark.parametrize("mask", [[[0, 1, 1], [1, 1, 1]], [[1, 0, 1], [1, 1, 1]]], ids=["on the left", "with a gap"])
def test_rows_that_are_not_padded_on_the_right_are_refused(mask: list[list[int]]) -> None:
    model = adapted("llama")
    hooks = LoraGradSampleHooks(model)
    with pytest.raises(TrainingError, match="pad on the right"):
        causal_logits(model, torch.tensor([[3, 5, 7], [2, 4, 6]]), torch.tensor(mask))
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
