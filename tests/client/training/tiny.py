"""Tiny random models with adapters, synthetic patients, and the slow reference: one backward for each record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fedward.client.training.guards import PROVEN_ARCHITECTURES
from fedward.client.training.losses import unit_sum_loss
from fedward.client.training.packing import PackedBatch, pack
from fedward.client.training.trainer import TrainingSpec, Units
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.privacy.accounting import PoissonGaussian
from fedward.simulations.benchmarks.dp_architectures import loop_gradients
from fedward.simulations.benchmarks.dp_models import attention_of

if TYPE_CHECKING:
    from peft import PeftModel

VOCABULARY = 61
PEFT_WARNING = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
"""peft 0.21.2 reads the old name of a flag of transformers 5.23."""
ARCHITECTURES = PROVEN_ARCHITECTURES


def base(name: str) -> nn.Module:
    """A randomly initialised base of two layers."""
    import transformers as tf

    torch.manual_seed(0)
    common: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "max_position_embeddings": 64,
    }
    rope = {**common, "intermediate_size": 32, "num_key_value_heads": 1}
    if name == "gpt2":
        config = tf.GPT2Config(vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=3, n_positions=64)
        return tf.GPT2LMHeadModel(config)
    if name == "llama":
        return tf.LlamaForCausalLM(tf.LlamaConfig(**rope))
    if name == "qwen2":
        return tf.Qwen2ForCausalLM(tf.Qwen2Config(**rope, tie_word_embeddings=True))
    if name == "qwen3":
        return tf.Qwen3ForCausalLM(tf.Qwen3Config(**rope, head_dim=8))
    if name == "opt":
        return tf.OPTForCausalLM(tf.OPTConfig(**common, ffn_dim=32, word_embed_proj_dim=24))
    return tf.BertLMHeadModel(tf.BertConfig(**common, intermediate_size=32, is_decoder=True))


def adapted(
    name: str = "llama",
    *,
    everywhere: bool = True,
    train_a: bool = True,
    targets: list[str] | None = None,
    rank: int = 4,
    **options: Any,  # noqa: ANN401 - of LoraConfig
) -> PeftModel:
    """A base with an adapter whose B is not zero; without dropout."""
    from peft import LoraConfig, get_peft_model

    wanted: Any = targets or ("all-linear" if everywhere else attention_of(name))
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=wanted,
        task_type="CAUSAL_LM",
        fan_in_fan_out=name == "gpt2",
        **options,
    )
    model = get_peft_model(base(name), config)
    for module in model.modules():
        for attribute, value in vars(module).items():
            if isinstance(value, float) and (attribute == "p" or "drop" in attribute):
                setattr(module, attribute, 0.0)
    generator = torch.Generator().manual_seed(1)
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:
            nn.init.normal_(parameter, std=0.05, generator=generator)
        if "lora_A" in parameter_name:
            parameter.requires_grad_(train_a)
    return model.train()


def with_trained_head() -> PeftModel:
    """A BERT that classifies records: an adapter, and a head that is trained whole."""
    import transformers as tf
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    options: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 32,
        "num_labels": 3,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": 0.0,
    }
    config = tf.BertConfig(**options)
    model = get_peft_model(
        tf.BertForSequenceClassification(config),
        LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS", init_lora_weights=False),
    )
    return model.train()


def patients(num_units: int = 8, *, seed: int = 0, max_records: int = 3) -> list[list[list[int]]]:
    """Patients with 1 to ``max_records`` records of 5 to 12 tokens."""
    generator = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    return [
        [[number(1, VOCABULARY - 1) for _ in range(number(5, 12))] for _ in range(number(1, max_records))]
        for _ in range(num_units)
    ]


def packed(units: Units) -> PackedBatch:
    """All units in one physical batch, in order of length."""
    (batch,) = pack(units, max_batch_tokens=10**9, max_units=10**9, pad_token_id=0)
    return batch


def inner(model: PeftModel) -> Any:  # noqa: ANN401 - its attributes are those of the architecture
    """The base, with the adapter in it."""
    return model.get_base_model()


def by_length(units: Units) -> list[Sequence[Sequence[int]]]:
    """The order in which units are packed."""
    return sorted(units, key=lambda unit: max(map(len, unit)))


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained."""
    return [p for p in model.parameters() if p.requires_grad]


def reference_gradients(model: nn.Module, units: Units) -> list[Tensor]:
    """(U, …) for each tensor: by one backward for each record, without batch or padding."""
    return loop_gradients(model, units)


def relative_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The worst over tensors."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True))


def flat(tensors: Sequence[Tensor | None]) -> Tensor:
    """(P,) float64."""
    return torch.cat([t.detach().flatten().double() for t in tensors if t is not None])


def spec(**changes: Any) -> TrainingSpec:  # noqa: ANN401
    """A private run of three steps of plain SGD."""
    settings: dict[str, Any] = {
        "sample_rate": 0.5,
        "num_steps": 3,
        "expected_units": 4.0,
        "clip_norm": 0.5,
        "noise_multiplier": 1.0,
        "private": True,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "max_length_tokens": 16,
        "max_records_per_unit": 2,
        "max_batch_tokens": 64,
        "pad_token_id": 0,
    }
    return TrainingSpec(**{**settings, **changes})


def mean_loss(row_losses: Tensor, batch: PackedBatch) -> Tensor:
    """The mean over units of the mean over each one's rows, as callers of Opacus' ``mean`` reduction have it."""
    return unit_sum_loss(row_losses, batch.unit_of_row, batch.num_units) / batch.num_units


def permit_for(settings: TrainingSpec) -> Permit | None:
    """A reservation for exactly those settings; None without privacy."""
    if not settings.private:
        return None
    event = PoissonGaussian(
        sample_rate=settings.sample_rate, noise_multiplier=settings.noise_multiplier, num_steps=settings.num_steps
    )
    account = BudgetAccount(epsilon_cap=1e15, delta=1e-5)
    return account.reserve(event, clip_norm=settings.clip_norm, purpose="test")
