"""The start-up probe: passes what is right, refuses what is planted, gives everything back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fedward.client.training import engine, gradients, probe
from fedward.client.training.modes import training_mode
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.client.training.probe import parity_probe
from fedward.common.errors import TrainingError, UnsupportedModelError
from tests.client.training.tiny import ARCHITECTURES, PEFT_WARNING, VOCABULARY, adapted, trainable

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_probe_passes_the_proven_architectures(name: str) -> None:
    assert parity_probe(adapted(name), vocab_size=VOCABULARY) <= 1e-5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_probe_passes_the_hooks_path(name: str) -> None:
    model = adapted(name, everywhere=False)
    assert parity_probe(model, vocab_size=VOCABULARY, gradients="hooks") <= 1e-5
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("gradients", ["fused", "hooks"])
def test_the_probe_passes_under_checkpointing_and_switches_it_off(gradients: engine.Gradients) -> None:
    model = adapted("llama")
    error = parity_probe(model, vocab_size=VOCABULARY, gradients=gradients, gradient_checkpointing=True)
    assert error <= 1e-5
    assert not model.get_base_model().is_activation_checkpointing


def test_tokens_clipped_as_samples_do_not_pass_the_hooks_path() -> None:
    with pytest.raises(TrainingError, match="tokens as samples"):
        parity_probe(adapted("opt", targets=["fc1", "fc2"]), vocab_size=VOCABULARY, gradients="hooks")


def test_the_export_is_tried_in_a_fresh_base() -> None:
    model = adapted("llama")
    with training_mode(model):
        fresh = probe._in_fresh_base(model)
    assert fresh is not model
    assert not {id(p) for p in fresh.parameters()} & {id(p) for p in model.parameters()}
    base = {n: p for n, p in fresh.named_parameters() if "lora_" not in n}
    assert all(torch.equal(p, base[n]) for n, p in model.named_parameters() if "lora_" not in n)
    assert all(not p.any() for n, p in fresh.named_parameters() if "lora_B" in n)


def test_a_large_model_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_SMALL_MODEL_BYTES", 10)
    model = adapted("llama")
    assert probe._in_fresh_base(model) is model
    assert parity_probe(model, vocab_size=VOCABULARY) <= 1e-5


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
    assert 1e-4 < parity_probe(model, vocab_size=VOCABULARY) <= 3e-2


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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_probe_passes_at_the_width_of_the_longest_record(name: str) -> None:
    assert parity_probe(adapted(name), vocab_size=VOCABULARY, max_length_tokens=64) <= 1e-5


def test_a_model_that_computes_otherwise_in_wide_batches_is_refused() -> None:
    model: Any = adapted()
    norm = model.get_base_model().model.norm
    right = norm.forward
    norm.forward = lambda x: right(x) * (1.5 if x.shape[1] > 32 else 1.0)
    parity_probe(model, vocab_size=VOCABULARY, max_length_tokens=32)
    with pytest.raises(UnsupportedModelError, match="width of its batch"):
        parity_probe(model, vocab_size=VOCABULARY, max_length_tokens=33)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
def test_a_trained_head_that_the_base_ties_is_refused() -> None:
    model = adapted("qwen2", everywhere=False, modules_to_save=["lm_head"])
    with pytest.raises(UnsupportedModelError, match="tied"):
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
