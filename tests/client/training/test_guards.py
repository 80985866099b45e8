"""Each refusal, by the name of what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fedward.client.training import guards
from fedward.client.training.engine import FedwardPrivacyEngine
from fedward.common.errors import PrivacyError, TrainingError, UnsupportedModelError
from fedward.common.privacy.noise import Entropy
from tests.client.training.tiny import PEFT_WARNING, adapted, base, inner, trainable, with_trained_head

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)


def with_dora() -> nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", use_dora=True)
    return get_peft_model(base("llama"), config)


def with_experts() -> nn.Module:
    model = adapted()
    model.config.num_local_experts = 4
    return model


def with_trained_norm() -> nn.Module:
    model = adapted()
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.requires_grad_(True)
    return model


def with_tied_factors() -> nn.Module:
    model = adapted("llama", everywhere=False)
    first, second = (
        m for m in model.modules() if isinstance(m, nn.Linear) and m.in_features == 4 and m.out_features == 24
    )
    second.weight = first.weight
    return model


def with_bfloat16_adapter() -> nn.Module:
    model = adapted()
    for parameter in trainable(model):
        parameter.data = parameter.data.bfloat16()
    return model


def on_two_devices() -> nn.Module:
    model = adapted()
    model.get_base_model().lm_head.to("meta")
    return model


def wrapped_as(kind: str) -> nn.Module:
    """A stand-in: the real ones want a compiler or several processes, and are told by their names."""
    wrapper: nn.Module = type(kind, (nn.Module,), {})()
    wrapper.module = adapted()
    return wrapper


def with_experts_by_name() -> nn.Module:
    model = adapted()
    inner(model).model.layers[0].mlp = type("MixtralExperts", (nn.Module,), {})()
    return model


def with_experts_in_a_part() -> nn.Module:
    model = adapted()
    model.config.text_config = type("Part", (), {"num_experts": 8})()
    return model


def with_frozen_batch_norm() -> nn.Module:
    model = adapted()
    inner(model).model.norm = nn.BatchNorm1d(24).requires_grad_(False)
    return model


def compiled_in_place() -> nn.Module:
    model = adapted()
    layer = inner(model).model.layers[0]
    layer._compiled_call_impl = layer._call_impl  # what Module.compile sets; the real one wants a compiler
    return model


def with_a_compiled_forward() -> nn.Module:
    model = adapted()
    layer = inner(model).model.layers[0]
    layer.forward = torch.compile(layer.forward, backend="eager")  # compiled at its first call, which never comes
    return model


def with_rotary(kind: str) -> nn.Module:
    """Frequencies that change, for all rows of a batch, with the length of the longest."""
    import transformers as tf
    from peft import LoraConfig, get_peft_model

    rotary: dict[str, Any] = {"rope_type": kind, "rope_theta": 1e4, "factor": 2.0}
    if kind == "longrope":
        rotary |= {"short_factor": [1.0] * 4, "long_factor": [3.0] * 4, "original_max_position_embeddings": 32}
    config = tf.LlamaConfig(
        vocab_size=61,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=32,
        max_position_embeddings=64,
        rope_parameters=rotary,
    )
    return get_peft_model(tf.LlamaForCausalLM(config), LoraConfig(r=2, target_modules=["q_proj"]))


def of_another_architecture() -> nn.Module:
    import transformers as tf
    from peft import LoraConfig, get_peft_model

    config = tf.MistralConfig(
        vocab_size=61,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=3,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    return get_peft_model(tf.MistralForCausalLM(config), LoraConfig(r=2, target_modules=["q_proj"]))


def frozen() -> nn.Module:
    return adapted().requires_grad_(False)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "an unproven architecture": (of_another_architecture, "architecture 'mistral' is not proven"),
    "DoRA": (with_dora, "q_proj.*DoRA"),
    "mixture of experts": (with_experts, "num_local_experts"),
    "a trained norm": (with_trained_norm, "norm.weight: trainable LlamaRMSNorm"),
    "tied factors": (with_tied_factors, "is tied to"),
    "a bfloat16 adapter": (with_bfloat16_adapter, "float32"),
    "two devices": (on_two_devices, "one real device"),
    "nothing to train": (frozen, "no trainable"),
    "a compiled model": (lambda: wrapped_as("OptimizedModule"), "OptimizedModule is not proven"),
    "data-parallel training": (lambda: wrapped_as("DistributedDataParallel"), "DataParallel is not proven"),
    "several devices": (lambda: wrapped_as("DataParallel"), "DataParallel is not proven"),
    "sharded training": (lambda: wrapped_as("FSDPLlamaModel"), "FSDPLlamaModel is not proven"),
    "a layer compiled in place": (compiled_in_place, "layers.0: torch.compile"),
    "a forward that is compiled": (with_a_compiled_forward, "layers.0: torch.compile"),
    "rotary frequencies of the longest row": (lambda: with_rotary("longrope"), "longrope.*longest row"),
    "rotary frequencies that grow": (lambda: with_rotary("dynamic"), "dynamic.*longest row"),
    "experts told by a module's name": (with_experts_by_name, "mlp: MixtralExperts"),
    "experts of a part of the model": (with_experts_in_a_part, "num_experts"),
    "a frozen batch norm": (with_frozen_batch_norm, "norm: BatchNorm1d mixes the rows"),
    "target parameters": (lambda: wrapped_as("ParamWrapper"), "target_parameters"),
}


@pytest.mark.parametrize(("build", "match"), REFUSED.values(), ids=REFUSED)
def test_an_unproven_model_is_refused_by_name(build: Callable[[], nn.Module], match: str) -> None:
    with pytest.raises(UnsupportedModelError, match=match):
        guards.refuse_unproven(build())


def test_rotary_frequencies_that_do_not_look_at_the_batch_pass() -> None:
    guards.refuse_unproven(with_rotary("linear"))


def test_a_tensor_without_a_module_of_its_own_is_refused_on_the_hooks_path() -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["embed_tokens"], task_type="CAUSAL_LM")
    with pytest.raises(UnsupportedModelError, match=r"lora_embedding_A.*without a module"):
        guards.refuse_unproven(get_peft_model(base("llama"), config), linear_only=False)


def test_the_optimizer_must_hold_exactly_the_trainable_parameters() -> None:
    model = adapted()
    engine = FedwardPrivacyEngine(entropy=Entropy.seeded(bytes(32)))
    short = torch.optim.SGD(trainable(model)[1:], lr=1.0)
    with pytest.raises(TrainingError, match="exactly"):
        engine.attach(
            model, short, sample_rate=0.1, num_steps=1, noise_multiplier=1.0, clip_norm=1.0, expected_units=1.0
        )


def test_an_exported_tensor_that_stands_still_is_named() -> None:
    model = adapted()
    before = guards.exported_copy(model)
    with torch.no_grad():
        for parameter in trainable(model)[1:]:
            parameter.add_(1.0)
    with pytest.raises(TrainingError, match=r"lora_A\.weight did not move"):
        guards.require_moved(model, before, every=True)
    guards.require_moved(model, before, every=False)


def test_frozen_factors_are_not_expected_to_move() -> None:
    model = adapted(train_a=False)
    before = guards.exported_copy(model)
    assert all("lora_B" in name for name in before)
    with torch.no_grad():
        for parameter in trainable(model):
            parameter.add_(1.0)
    guards.require_moved(model, before, every=True)


@pytest.mark.parametrize("gradients", ["fused", "hooks"])
def test_a_model_in_evaluation_mode_is_refused(gradients: str) -> None:
    model = adapted().eval()
    engine = FedwardPrivacyEngine(entropy=Entropy.seeded(bytes(32)), gradients=gradients)
    with pytest.raises(TrainingError, match="evaluation mode"):
        engine.attach(
            model,
            torch.optim.SGD(trainable(model), lr=1.0),
            sample_rate=0.1,
            num_steps=1,
            noise_multiplier=1.0,
            clip_norm=1.0,
            expected_units=1.0,
        )


def test_a_refused_attachment_leaves_the_model_clean() -> None:
    model = adapted()
    engine = FedwardPrivacyEngine(entropy=Entropy.seeded(bytes(32)))
    with pytest.raises(PrivacyError, match="no mechanism"):
        engine.attach(
            model,
            torch.optim.SGD(trainable(model), lr=1.0),
            sample_rate=0.1,
            num_steps=1,
            noise_multiplier=1.0,
            clip_norm=math.inf,
            expected_units=1.0,
        )
    assert not any("forward" in vars(module) for module in model.modules())
    assert not model._forward_pre_hooks


def test_a_trained_head_is_among_what_must_move() -> None:
    model = with_trained_head()
    assert any(name.endswith("classifier.weight") for name in guards.exported_copy(model))


def test_opacus_warns_of_no_generator_of_its_own(recwarn: pytest.WarningsRecorder) -> None:
    FedwardPrivacyEngine(entropy=Entropy.system())
    assert not [warning for warning in recwarn if "Secure RNG" in str(warning.message)]
