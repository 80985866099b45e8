"""The start-up probe: passes what is right, refuses what is planted, gives everything back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fedward.client.training import gradients
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.client.training.probe import parity_probe
from fedward.common.errors import TrainingError, UnsupportedModelError
from tests.client.training.tiny import ARCHITECTURES, PEFT_WARNING, VOCABULARY, adapted, trainable

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_probe_passes_the_proven_architectures(name: str) -> None:
    assert parity_probe(adapted(name), vocab_size=VOCABULARY) <= 1e-5


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_probe_passes_with_a_frozen_a_and_a_zero_b(name: str) -> None:
    model = adapted(name, train_a=False)
    with torch.no_grad():
        for parameter in trainable(model):
            parameter.zero_()
    assert parity_probe(model, vocab_size=VOCABULARY) <= 1e-5


def test_the_probe_passes_a_bfloat16_base_at_its_tolerance() -> None:
    model = adapted("llama", train_a=False)
    for name, parameter in model.named_parameters():
        if "lora_" not in name:
            parameter.data = parameter.data.bfloat16()
    assert parity_probe(model, vocab_size=VOCABULARY, tolerance=3e-2) > 1e-6


def test_the_probe_gives_everything_back_bit_for_bit() -> None:
    model = adapted("gpt2").eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    model.set_adapter("default")
    random_state = torch.random.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: (set(vars(p)), p.requires_grad) for name, p in model.named_parameters()}
    parity_probe(model, vocab_size=VOCABULARY)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name: (set(vars(p)), p.requires_grad) for name, p in model.named_parameters()} == attributes
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert not any(module.training for module in model.modules())
    assert all(module.p == 0.3 for module in model.modules() if isinstance(module, torch.nn.Dropout))


def test_the_probe_gives_everything_back_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    monkeypatch.setattr(gradients, "_add", planted(lambda value: value.roll(1, 0)))
    with pytest.raises(UnsupportedModelError):
        parity_probe(model, vocab_size=VOCABULARY)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def first_layer(model: Any) -> Any:  # noqa: ANN401
    return model.get_base_model().model.layers[0]


def planted(bug: Callable[[Tensor], Tensor]) -> Callable[..., None]:
    """The engine's collecting function with a bug in front."""
    right = gradients._add

    def wrong(parameter: Tensor, value: Tensor, batch: gradients.PhysicalBatch) -> None:
        right(parameter, bug(value), batch)

    return wrong


BUGS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows are permuted": lambda value: value.roll(1, 0),
    "an error of three in ten thousand": lambda value: value * (1 + 3e-4),
    "the units are averaged": lambda value: value.mean(0, keepdim=True).expand_as(value).contiguous(),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_planted_bug_in_the_gradients_is_refused(
    bug: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "_add", planted(bug))
    with pytest.raises(UnsupportedModelError, match="wrong"):
        parity_probe(adapted(), vocab_size=VOCABULARY)


def test_a_model_that_couples_the_rows_of_a_batch_is_refused() -> None:
    model = adapted("llama")
    layer = first_layer(model)

    def couple(module: torch.nn.Module, args: object, output: Tensor) -> Tensor:
        return output + 0.1 * output.mean(dim=0, keepdim=True)

    layer.register_forward_hook(couple)
    with pytest.raises(UnsupportedModelError, match="wrong"):
        parity_probe(model, vocab_size=VOCABULARY)


def test_a_model_that_uses_a_weight_past_its_module_is_refused() -> None:
    model = adapted("llama")
    layer = first_layer(model)
    weight = layer.self_attn.q_proj.lora_A["default"].weight

    def bypass(module: torch.nn.Module, args: object, output: Tensor) -> Tensor:
        moved: Tensor = output + weight.sum()
        return moved

    layer.register_forward_hook(bypass)
    with pytest.raises((UnsupportedModelError, TrainingError)):
        parity_probe(model, vocab_size=VOCABULARY)


def test_an_optimizer_that_climbs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = FlatDPOptimizer.add_noise

    def reversed_sign(self: FlatDPOptimizer) -> None:
        right(self)
        for parameter in self.params:
            parameter.grad.neg_()

    monkeypatch.setattr(FlatDPOptimizer, "add_noise", reversed_sign)
    with pytest.raises(UnsupportedModelError, match="do not lower the loss"):
        parity_probe(adapted(), vocab_size=VOCABULARY)


def test_an_export_that_is_not_what_was_trained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import peft

    right = peft.get_peft_model_state_dict

    def stale(*args: Any, **kwargs: Any) -> dict[str, Tensor]:  # noqa: ANN401
        return {name: tensor + 0.01 for name, tensor in right(*args, **kwargs).items()}

    monkeypatch.setattr(peft, "get_peft_model_state_dict", stale)
    with pytest.raises(UnsupportedModelError, match="exported"):
        parity_probe(adapted(), vocab_size=VOCABULARY)


def test_an_adapter_without_effect_is_refused() -> None:
    model = adapted("llama")
    for module in model.modules():
        scaling = getattr(module, "scaling", None)
        if isinstance(scaling, dict):
            scaling.update(dict.fromkeys(scaling, 0.0))
    with pytest.raises(UnsupportedModelError):
        parity_probe(model, vocab_size=VOCABULARY)


def test_a_tiny_vocabulary_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="vocabulary"):
        parity_probe(adapted(), vocab_size=3)
