"""A site's local training: exactly the booked number of DP-SGD steps, from the permit's own parameters.

Guarantee (private runs): the adapter after ``train`` is the output of ``permit.event`` with clip ``permit.clip_norm``,
for adding or removing one unit with all its records. No record makes it fail or stop: what the vocabulary does not hold
is left out, and a unit needs at most ``max_records_per_unit · max_length_tokens`` padded tokens at once. That the base
reads so long a record, and the machine so many tokens, the caller has checked before; both are public. The same code
without clip and noise serves runs without privacy.

Not handled here: the ledger, the deltas of the round, the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from fedward.client.training import guards
from fedward.client.training.engine import FedwardPrivacyEngine
from fedward.client.training.gradients import LoraGradSampleHooks
from fedward.client.training.losses import causal_logits, record_losses, unit_mean_loss
from fedward.client.training.modes import training_mode
from fedward.client.training.optimizer import FlatDPOptimizer
from fedward.client.training.packing import PackedBatch, pack
from fedward.client.training.sampling import draw_records, draw_units
from fedward.common import _validate
from fedward.common.errors import ConfigError, PrivacyError
from fedward.common.ledger.budget import Permit
from fedward.common.privacy.accounting import PoissonGaussian
from fedward.common.privacy.noise import Entropy

if TYPE_CHECKING:
    from peft import PeftModel

Units = Sequence[Sequence[Sequence[int]]]
"""Patients, each a sequence of records, each a sequence of token ids."""

_MIN_TOKENS = 2
"""A shorter record predicts nothing."""
_GRAD_SAMPLE_BYTES = 1 << 30
"""Memory for the per-unit gradients of one physical batch; bounds its number of units."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSpec:
    """Public settings of a site's training; none may come from its data."""

    sample_rate: float
    """Poisson probability of a unit to be in a step."""
    num_steps: int
    expected_units: float
    """The denominator of every step: the sample rate times the nominal number of units."""
    clip_norm: float
    """L2 bound of one unit's gradient; ignored without privacy."""
    noise_multiplier: float
    """Noise over clip; ignored without privacy."""
    private: bool
    optimizer: Literal["sgd", "adamw"]
    """``adamw`` runs without weight decay. State starts afresh in every call."""
    learning_rate: float
    """``sgd`` in a private run divides it by ``clip_norm``, so that it does not depend on the clip."""
    max_length_tokens: int
    """Longer records are cut."""
    max_records_per_unit: int
    """At most so many of a unit's records enter a step, drawn afresh each time."""
    max_batch_tokens: int
    """Bound on a physical batch; changes memory and time, not the result of the accounting. Holds without exception if
    ``max_records_per_unit · max_length_tokens`` is within; else a single unit may pass it, up to that product."""
    pad_token_id: int

    def __post_init__(self) -> None:
        _validate.probability(sample_rate=self.sample_rate)
        _validate.positive(expected_units=self.expected_units, learning_rate=self.learning_rate)
        _validate.positive(
            num_steps=self.num_steps,
            max_length_tokens=self.max_length_tokens,
            max_records_per_unit=self.max_records_per_unit,
            max_batch_tokens=self.max_batch_tokens,
        )
        if self.private:
            _validate.positive(clip_norm=self.clip_norm, noise_multiplier=self.noise_multiplier)
        if self.optimizer not in ("sgd", "adamw"):
            raise ConfigError(f"optimizer = {self.optimizer!r}: expected sgd or adamw")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOutcome:
    """What the site's own steward may see."""

    steps_taken: int
    nonfinite_units: int = field(repr=False)
    """Gradients that were zeroed because they were not finite. Private: never leaves the site."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mechanism:
    """What is run: the permit's parameters, or their absence."""

    sample_rate: float
    num_steps: int
    noise_multiplier: float
    clip_norm: float


def train(
    model: PeftModel,
    units: Units,
    spec: TrainingSpec,
    *,
    permit: Permit | None,
    entropy: Entropy,
    on_step: Callable[[int, int], None] | None = None,
) -> TrainingOutcome:
    """Train the parameters of ``model`` that require a gradient, in place.

    Args:
        model: on its device, with the adapter that training starts from; probed before (``probe.parity_probe``).
        units: the site's patients.
        spec: public settings; where the permit speaks too, they must agree.
        permit: a reservation for exactly this training, used up by the call; None without privacy.
        entropy: gives sampling and noise. With a seeded one the result repeats, and is not private.
        on_step: called after each step with its number, from 1, and ``num_steps``.

    Raises:
        PrivacyError: no permit, one for something else, or one that was used before.
        UnsupportedModelError: per-sample gradients are not proven for the model.
        TrainingError: a guard of the engine.
    """
    mechanism = _mechanism(spec, permit)
    with _attached(model, spec, mechanism, entropy) as (hooks, optimizer):
        run = _Run(model=model, spec=spec, hooks=hooks, optimizer=optimizer, entropy=entropy)
        before = guards.exported_copy(model)
        is_checked = False
        for step in range(1, mechanism.num_steps + 1):
            run.logical_step(units, mechanism.sample_rate)
            if not is_checked and (spec.private or run.has_gradient()):
                guards.require_moved(model, before, every=spec.private)
                is_checked = True
            optimizer.zero_grad()
            if on_step is not None:
                on_step(step, mechanism.num_steps)
        return TrainingOutcome(steps_taken=optimizer.steps_taken, nonfinite_units=optimizer.nonfinite_units)


def _mechanism(spec: TrainingSpec, permit: Permit | None) -> _Mechanism:
    if not spec.private:
        if permit is not None:
            raise PrivacyError("a permit for a run without privacy")
        return _Mechanism(
            sample_rate=spec.sample_rate, num_steps=spec.num_steps, noise_multiplier=0.0, clip_norm=math.inf
        )
    if permit is None or not isinstance(permit.event, PoissonGaussian):
        raise PrivacyError("private training needs a permit for Poisson-sampled Gaussian steps")
    event = permit.event
    booked = (event.sample_rate, event.noise_multiplier, event.num_steps, permit.clip_norm)
    if booked != (spec.sample_rate, spec.noise_multiplier, spec.num_steps, spec.clip_norm):
        raise PrivacyError("the permit was reserved for another mechanism than the training's")
    permit.claim()
    return _Mechanism(
        sample_rate=event.sample_rate,
        num_steps=event.num_steps,
        noise_multiplier=event.noise_multiplier,
        clip_norm=permit.clip_norm,
    )


@contextmanager
def _attached(
    model: PeftModel, spec: TrainingSpec, mechanism: _Mechanism, entropy: Entropy
) -> Iterator[tuple[LoraGradSampleHooks, FlatDPOptimizer]]:
    """The engine on the model, in training mode; all of it off again afterwards, also after a failure."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with training_mode(model), torch.random.fork_rng(devices=[d.index or 0 for d in devices]):
        # Dropout, if the model has any, repeats too. It is no part of the mechanism's noise.
        torch.manual_seed(int(entropy.words(1)[0]) >> 1)
        hooks, optimizer = FedwardPrivacyEngine(entropy=entropy).attach(
            model,
            _plain_optimizer(model, spec),
            sample_rate=mechanism.sample_rate,
            num_steps=mechanism.num_steps,
            noise_multiplier=mechanism.noise_multiplier,
            clip_norm=mechanism.clip_norm,
            expected_units=spec.expected_units,
        )
        try:
            yield hooks, optimizer
        finally:
            optimizer.discard()  # a half-filled buffer must not meet the next step
            hooks.cleanup()


def _plain_optimizer(model: PeftModel, spec: TrainingSpec) -> torch.optim.Optimizer:
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(guards.trainable(model), lr=spec.learning_rate, weight_decay=0.0)
    rate = spec.learning_rate / spec.clip_norm if spec.private else spec.learning_rate
    return torch.optim.SGD(guards.trainable(model), lr=rate)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Run:
    """What the steps of one call share."""

    model: PeftModel
    spec: TrainingSpec
    hooks: LoraGradSampleHooks
    optimizer: FlatDPOptimizer
    entropy: Entropy

    def logical_step(self, units: Units, sample_rate: float) -> None:
        """Draw units, add up their clipped gradients over physical batches, add noise, step; without units too."""
        chosen = [self._usable(units[index]) for index in draw_units(len(units), sample_rate, self.entropy)]
        num_parameters = sum(p.numel() for p in guards.trainable(self.model))
        batches = pack(
            [unit for unit in chosen if unit],
            max_batch_tokens=self.spec.max_batch_tokens,
            max_units=max(1, _GRAD_SAMPLE_BYTES // (4 * num_parameters)),
            pad_token_id=self.spec.pad_token_id,
        )
        if not batches:
            self.optimizer.empty_step()
        for position, batch in enumerate(batches, start=1):
            self._backward(batch)
            self.optimizer.signal_skip_step(position < len(batches))
            self.optimizer.step()

    def has_gradient(self) -> bool:
        """Whether the last step had anything to move."""
        return any(p.grad is not None and bool(p.grad.any()) for p in guards.trainable(self.model))

    def _backward(self, batch: PackedBatch) -> None:
        device = next(self.model.parameters()).device
        unit_of_row = None if batch.unit_of_row is None else batch.unit_of_row.to(device)
        self.hooks.set_units(batch.num_units if unit_of_row is None else unit_of_row)
        logits = causal_logits(self.model, batch.token_ids.to(device), batch.attention_mask.to(device))
        losses = record_losses(logits, batch.labels.to(device))
        unit_mean_loss(losses, unit_of_row, batch.num_units).backward()  # type: ignore[no-untyped-call]

    def _usable(self, unit: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """A draw of the unit's records, cut. What the model could not read is left out rather than an error."""
        vocabulary = self.model.get_input_embeddings().num_embeddings
        drawn = draw_records(len(unit), self.spec.max_records_per_unit, self.entropy)
        cut = [unit[index][: self.spec.max_length_tokens] for index in drawn]
        return [ids for ids in cut if len(ids) >= _MIN_TOKENS and min(ids) >= 0 and max(ids) < vocabulary]


__all__ = ["train", "TrainingOutcome", "TrainingSpec", "Units"]
