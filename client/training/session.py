"""One frozen base with one LoRA adapter, lent to whichever site trains: adapters are swapped, the base is shared."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from fedward.client.ring_share import joined
from fedward.client.training.base_model import require_device
from fedward.client.training.norms import noisy_norms
from fedward.client.training.probe import parity_probe
from fedward.client.training.trainer import TrainingSpec, Units, clipped_sum, train
from fedward.client.training.unit_losses import unit_losses
from fedward.common.config import BasePlan, RunPlan, TensorSpec
from fedward.common.errors import ConfigError, UnsupportedModelError
from fedward.common.ledger.budget import Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import ever_trained_layout, trained_layout
from fedward.common.privacy.noise import Entropy

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class AdapterSession:
    """A base model with an adapter whose weights can be read, set and trained.

    Args:
        model: the frozen base, already on its device. The adapter is put on afterwards: the other order trained dead
            adapters while the loss fell (Opacus issue 820).
        tokenizer: of the base.
        plan: gives rank, scaling, targets and the aggregation.

    Raises:
        UnsupportedModelError: no module has one of the target names, or the base was loaded in another precision.
        BaseModelError: a 4-bit base without a CUDA device.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, plan: RunPlan) -> None:
        from peft import LoraConfig, get_peft_model

        self._is_checkpointed = plan.training.gradient_checkpointing
        self._lora = plan.lora
        self._max_length_tokens = plan.base.max_length_tokens
        self._base = model
        self.require_precision(plan.base)
        targets = plan.lora.targets
        config = LoraConfig(
            r=plan.lora.rank,
            lora_alpha=plan.lora.alpha,  # type: ignore[arg-type]  # annotated int, used as a number
            use_rslora=plan.lora.rank_stabilised,
            lora_dropout=0.0,
            bias="none",
            target_modules="all-linear" if targets == ("all-linear",) else list(targets),
            task_type="CAUSAL_LM",
            fan_in_fan_out=_is_transposed(model),
        )
        try:
            with warnings.catch_warnings():
                # peft 0.21 reads an attribute that transformers 5.23 renamed; harmless, and not for users to see.
                warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
                self.model = get_peft_model(model, config, autocast_adapter_dtype=True)
        except ValueError as error:
            raise UnsupportedModelError(f"the adapter cannot be put on this base: {error}") from error
        self.fan_in_fan_out = config.fan_in_fan_out
        self.tokenizer = tokenizer
        self._parameters = {
            name.replace(".default.", "."): p for name, p in self.model.named_parameters() if ".lora_" in name
        }
        self.layout = adapters.ordered(
            TensorSpec(name=name, shape=(p.shape[0], p.shape[1])) for name, p in self._parameters.items()
        )
        self._aggregation = plan.lora.aggregation
        self._train_only(trained_layout(self._aggregation, self.layout, 1))
        self._probed_width = 0

    def load(self, adapter: adapters.Adapter) -> None:
        """Put ``adapter``'s values into the model."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(adapter[name])))

    def read(self) -> adapters.Adapter:
        """A copy of the adapter's values."""
        return {name: p.detach().cpu().numpy().astype(np.float32) for name, p in self._parameters.items()}

    @property
    def max_positions(self) -> int | None:
        """The longest text that the base can read, in tokens; None if it has no limit."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        return limit if isinstance(limit, int) else None

    def fits(self, plan: RunPlan) -> bool:
        """Whether the adapter was put on as ``plan`` wants it; its precision apart."""
        return (self._lora, self._is_checkpointed) == (plan.lora, plan.training.gradient_checkpointing)

    def require_precision(self, wanted: BasePlan) -> None:
        """Refuse a plan whose base is of another precision than the one that was loaded.

        Raises:
            UnsupportedModelError: so it is.
            BaseModelError: a 4-bit base without a CUDA device.
        """
        require_device(wanted.quantization)
        is_quantised = bool(getattr(self._base, "is_quantized", False))
        expected = (wanted.quantization == "nf4", wanted.dtype == "bfloat16" or wanted.quantization == "nf4")
        if (is_quantised, self._base.dtype == torch.bfloat16) != expected:
            raise UnsupportedModelError(
                f"the plan wants a base of {wanted.dtype} with quantization {wanted.quantization}, another is loaded",
                hint="Give base.dtype and base.quantization of the plan to load_base.",
            )

    def probe(self, max_length_tokens: int | None = None) -> None:
        """Prove per-sample gradients on this very model with synthetic rows, before private data is read.

        All factors that any round trains are proven together; once, unless records may now be longer.

        Args:
            max_length_tokens: of the records that will be read; None: as the session's plan says.
        """
        if max_length_tokens is None:
            max_length_tokens = self._max_length_tokens
        if max_length_tokens > self._probed_width:
            self._train_only(ever_trained_layout(self._aggregation, self.layout))
            parity_probe(
                self.model,
                vocab_size=len(self.tokenizer),
                gradient_checkpointing=self._is_checkpointed,
                max_length_tokens=max_length_tokens,
            )
            self._train_only(trained_layout(self._aggregation, self.layout, 1))
            self._probed_width = max_length_tokens

    def _train_only(self, layout: adapters.Layout) -> None:
        names = {spec.name for spec in layout}
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name in names)

    def update(
        self,
        adapter: adapters.Adapter,
        units: Units,
        spec: TrainingSpec,
        *,
        round_number: int = 1,
        permit: Permit | None,
        entropy: Entropy,
        on_step: Callable[[int, int], None] | None = None,
    ) -> adapters.Vector:
        """Train from ``adapter`` on a site's patients.

        Args:
            round_number: from 1; says which factors are trained.

        Returns:
            (L,) float32: what the trained factors moved by.
        """
        trained = trained_layout(self._aggregation, self.layout, round_number)
        self._train_only(trained)
        self.load(adapter)
        train(self.model, units, spec, permit=permit, entropy=entropy, on_step=on_step)
        moved = adapters.flatten(trained, self.read()) - adapters.flatten(trained, adapter)
        if not np.isfinite(moved).all():
            raise ConfigError("the training diverged", hint="Lower training.learning_rate.")
        return moved

    def clipped_sum(
        self,
        adapter: adapters.Adapter,
        units: Units,
        spec: TrainingSpec,
        *,
        round_number: int = 1,
        permit: Permit | None,
        entropy: Entropy,
        max_sites_per_unit: int = 1,
    ) -> NDArray[np.float64]:
        """A site's clipped sum of one step from ``adapter``, without noise; see ``trainer.clipped_sum``.

        Returns:
            (L,) float64 over the trained factors, in the layout's order, which is not the model's.
        """
        trained = trained_layout(self._aggregation, self.layout, round_number)
        self._train_only(trained)
        self.load(adapter)
        flat = clipped_sum(
            self.model, units, spec, permit=permit, entropy=entropy, max_sites_per_unit=max_sites_per_unit
        )
        parts, start = {}, 0
        for name, parameter in self._parameters.items():  # in the model's order, as the flat vector is
            if parameter.requires_grad:
                parts[name] = flat[start : start + parameter.numel()]
                start += parameter.numel()
        return joined(trained, parts)

    def noisy_norms(
        self, adapter: adapters.Adapter, units: Units, spec: TrainingSpec, *, permit: Permit, entropy: Entropy
    ) -> adapters.Vector:
        """Count a site's patients by the norm of the gradients that the first round will clip: (34,) float32, noisy."""
        self._train_only(trained_layout(self._aggregation, self.layout, 1))
        self.load(adapter)
        return noisy_norms(self.model, units, spec, permit=permit, entropy=entropy)

    def unit_losses(
        self, adapter: adapters.Adapter, units: Units, spec: TrainingSpec, *, permit: Permit | None, entropy: Entropy
    ) -> NDArray[np.float64]:
        """Draw units and give the loss of each under ``adapter``: (U,) float64, private data."""
        self.load(adapter)
        return unit_losses(self.model, units, spec, permit=permit, entropy=entropy)


def training_spec(
    plan: RunPlan, nominal_units: int, pad_token_id: int, *, trained_rank: int | None = None
) -> TrainingSpec:
    """The trainer's settings; every one comes from the plan, none from the data."""
    dp, training = plan.privacy, plan.training
    return TrainingSpec(
        sample_rate=training.resolved_sample_rate,
        num_steps=training.steps_per_round,
        expected_units=training.resolved_sample_rate * nominal_units,
        clip_norm=dp.resolved_clip_norm if plan.is_private else 1.0,
        noise_multiplier=(dp.noise_multiplier or 0.0) if plan.is_private else 0.0,
        private=plan.is_private,
        optimizer=training.optimizer,
        learning_rate=training.learning_rate,
        max_length_tokens=plan.base.max_length_tokens,
        max_records_per_unit=training.max_records_per_unit,
        max_batch_tokens=training.max_batch_tokens,
        pad_token_id=pad_token_id,
        trained_rank=trained_rank,
        gradient_checkpointing=training.gradient_checkpointing,
    )


def _is_transposed(model: PreTrainedModel) -> bool:
    """GPT-2 keeps its linear weights as (in, out)."""
    return any(type(module).__name__ == "Conv1D" for module in model.modules())
