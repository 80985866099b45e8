"""A site's local training: exactly the booked number of DP-SGD steps, from the permit's own parameters.

``train`` adds its own noise and moves the adapter; ``clipped_sum`` is a site's part of a step that the ring noises.

Guarantee (private runs): the adapter after ``train`` is the output of ``permit.event`` with clip ``permit.clip_norm``,
for adding or removing one unit with all its records. No record makes it fail or stop: what the vocabulary does not hold
is left out, and a unit needs at most ``max_records_per_unit · max_length_tokens`` padded tokens at once. That the base
reads so long a record, and the machine so many tokens, the caller has checked before; both are public. The same code
without clip and noise serves runs without privacy.

Not handled here: that a unit's gradient is rounded otherwise in a batch of another width. With a float32 base, one unit
more moved the sum over 64 others by 2e-6 of the clip, with a bfloat16 one by 3 %, across the direction of its own part:
it moved the whole by 1.0001 clips (measured on a CPU). Nor the ledger, the deltas of the round, the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedward.client.training import guards
from fedward.client.training.engine import FedwardPrivacyEngine, Gradients
from fedward.client.training.hooks import quiet_backward
from fedward.client.training.losses import causal_logits, record_losses, unit_sum_loss
from fedward.client.training.modes import checkpointing, compute_precision, training_mode
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
_UNITS_AT_ONCE = 1024
"""Units that are packed together where all are read: bounds the memory of their padded rows."""
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
    trained_rank: int | None = None
    """Train only the first so many columns of each B and rows of each A: they alone are clipped and noised, the others
    stay bit for bit. None: all."""
    gradients: Gradients = "fused"
    """``hooks``: Opacus' own, slower, for trainable norms and embeddings."""
    gradient_checkpointing: bool = False
    """Compute activations a second time instead of keeping them: less memory, more time, the same result."""

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
        if self.gradients not in get_args(Gradients):
            raise ConfigError(f"gradients = {self.gradients!r}: expected fused or hooks")
        if self.trained_rank is not None:
            _validate.positive(trained_rank=self.trained_rank)


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
    with _attached(model, spec, mechanism, entropy) as run:
        before = guards.exported_copy(model)
        is_checked = False
        for step in range(1, mechanism.num_steps + 1):
            run.step(units)
            if not is_checked and (spec.private or run.has_gradient()):
                guards.require_moved(model, before, every=spec.private)
                is_checked = True
            run.optimizer.zero_grad()
            if on_step is not None:
                on_step(step, mechanism.num_steps)
        return TrainingOutcome(steps_taken=run.optimizer.steps_taken, nonfinite_units=run.optimizer.nonfinite_units)


def clipped_sum(
    model: PeftModel,
    units: Units,
    spec: TrainingSpec,
    *,
    permit: Permit | None,
    entropy: Entropy,
    max_sites_per_unit: int = 1,
) -> NDArray[np.float64]:
    """A site's part of one distributed DP-SGD step: the sum of its drawn units' clipped gradients, without noise.

    It is private data until the ring has added the noise of all sites, and must go nowhere else. The model stays as it
    is. Nothing is divided, weighted or normed by anything of the site.

    Args:
        model: as for ``train``.
        units: the site's patients.
        spec: of one step; its noise multiplier is the one that the ring's noise will have been worth, and only booked.
        permit: as for ``train``, of one step.
        entropy: draws the units and their records.
        max_sites_per_unit: how many releases the permit books for the one step, as units may be at so many sites.

    Returns:
        (P,) float64 over all trainable parameters of the model, in its order (``guards.trainable``), which is not the
        wire's (``adapters.ordered``, by name): whoever sends it must sort the tensors first. Zeros for an empty draw,
        and where ``trained_rank`` trains nothing. Adding or removing one unit moves it by at most ``clip_norm``
        in L2, up to the rounding of the others' gradients in a batch of another width (see above).

    Raises:
        ConfigError: more than one step.
        PrivacyError, UnsupportedModelError, TrainingError: as ``train``.
    """
    if spec.num_steps != 1:
        raise ConfigError(f"num_steps = {spec.num_steps}: a distributed round is one step")
    booked = _mechanism(replace(spec, num_steps=max_sites_per_unit), permit)
    mechanism = replace(booked, num_steps=1, noise_multiplier=0.0)
    with _attached(model, spec, mechanism, entropy, distributed=True) as run:
        return run.sum(units).cpu().numpy()


def gradient_norms(
    model: PeftModel, units: Units, spec: TrainingSpec, *, entropy: Entropy
) -> Iterator[NDArray[np.float64]]:
    """The norms of all units' gradients before clipping, a physical batch at a time, each unit once.

    Private data: what leaves must be a mechanism of its own (``norms.noisy_norms``). The model stays as it is.

    Args:
        model: as for ``train``.
        units: the site's patients. One without a usable record has no gradient and is left out.
        spec: rate, steps, clip and noise are not used: all units are read, once.
        entropy: draws the units' records.
    """
    mechanism = _Mechanism(sample_rate=1.0, num_steps=1, noise_multiplier=0.0, clip_norm=math.inf)
    with _attached(model, spec, mechanism, entropy, distributed=True) as run:
        for start in range(0, len(units), _UNITS_AT_ONCE):
            yield from run.norms(units[start : start + _UNITS_AT_ONCE])


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
    model: PeftModel, spec: TrainingSpec, mechanism: _Mechanism, entropy: Entropy, *, distributed: bool = False
) -> Iterator[_Run]:
    """The engine on the model, in training mode; all of it off again afterwards, also after a failure."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with (
        training_mode(model),
        checkpointing(model, wanted=spec.gradient_checkpointing, reentrant=spec.gradients == "hooks"),
        torch.random.fork_rng(devices=[d.index or 0 for d in devices]),
    ):
        # Dropout, if the model has any, repeats too. It is no part of the mechanism's noise.
        torch.manual_seed(int(entropy.words(1)[0]) >> 1)
        hooks, optimizer = FedwardPrivacyEngine(entropy=entropy, gradients=spec.gradients).attach(
            model,
            _plain_optimizer(model, spec),
            sample_rate=mechanism.sample_rate,
            num_steps=mechanism.num_steps,
            noise_multiplier=mechanism.noise_multiplier,
            clip_norm=mechanism.clip_norm,
            expected_units=spec.expected_units,
            trained_rank=spec.trained_rank,
            distributed=distributed,
            loss_reduction="sum",
        )
        try:
            yield _Run(model=model, spec=spec, optimizer=optimizer, entropy=entropy, sample_rate=mechanism.sample_rate)
        finally:
            optimizer.discard()  # a half-filled buffer must not meet the next step
            hooks.cleanup()


def _plain_optimizer(model: PeftModel, spec: TrainingSpec) -> torch.optim.Optimizer:
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(guards.trainable(model), lr=spec.learning_rate, weight_decay=0.0)
    rate = spec.learning_rate / spec.clip_norm if spec.private else spec.learning_rate
    return torch.optim.SGD(guards.trainable(model), lr=rate)


class _Run:
    """The steps of one call, and what they share."""

    def __init__(
        self,
        *,
        model: PeftModel,
        spec: TrainingSpec,
        optimizer: FlatDPOptimizer,
        entropy: Entropy,
        sample_rate: float,
    ) -> None:
        self.optimizer = optimizer
        self._model, self._spec, self._entropy, self._sample_rate = model, spec, entropy, sample_rate
        parameters = guards.trainable(model)
        self._device = parameters[0].device
        self._max_units = max(1, _GRAD_SAMPLE_BYTES // (4 * sum(p.numel() for p in parameters)))
        self._precision = compute_precision(model)
        self._vocabulary = model.get_input_embeddings().num_embeddings

    def step(self, units: Units) -> None:
        """Draw units, add up their clipped gradients over physical batches, add noise, step; without units too."""
        batches = self._draw(units)
        self.optimizer.draw_ahead()
        if not batches:
            self.optimizer.empty_step()
        for position, batch in enumerate(batches, start=1):
            self._backward(batch)
            self.optimizer.signal_skip_step(position < len(batches))
            self.optimizer.step()

    def sum(self, units: Units) -> Tensor:
        """Draw units and add up their clipped gradients over physical batches: (P,) float64."""
        for batch in self._draw(units):
            self._backward(batch)
            self.optimizer.accumulate()
        return self.optimizer.take_sum()

    def norms(self, units: Units) -> Iterator[NDArray[np.float64]]:
        """Draw units and give the norms of their gradients, a physical batch at a time: (U,) float64."""
        for batch in self._draw(units):
            self._backward(batch)
            yield self.optimizer.take_norms().cpu().numpy()

    def has_gradient(self) -> bool:
        """Whether the last step had anything to move."""
        return any(p.grad is not None and bool(p.grad.any()) for p in guards.trainable(self._model))

    def _draw(self, units: Units) -> list[PackedBatch]:
        """A Poisson draw of units, with their records drawn, cut and packed. It comes before the noise."""
        drawn = draw_units(len(units), self._sample_rate, self._entropy)
        chosen = [usable_records(units[index], self._spec, self._vocabulary, self._entropy) for index in drawn]
        return pack(
            [unit for unit in chosen if unit],
            max_batch_tokens=self._spec.max_batch_tokens,
            max_units=self._max_units,
            pad_token_id=self._spec.pad_token_id,
        )

    def _backward(self, batch: PackedBatch) -> None:
        unit_of_row = None if batch.unit_of_row is None else batch.unit_of_row.to(self._device)
        self.optimizer.expect_units(batch.num_units if unit_of_row is None else unit_of_row)
        labels = batch.labels.to(self._device)
        with self._precision:
            # No name for the logits: they are the largest tensor, and nothing of backward needs them.
            losses = record_losses(
                causal_logits(self._model, batch.token_ids.to(self._device), batch.attention_mask.to(self._device)),
                labels,
            )
        loss = unit_sum_loss(losses, unit_of_row, batch.num_units)
        with quiet_backward() if self._spec.gradients == "hooks" else nullcontext():
            loss.backward()  # type: ignore[no-untyped-call]


def usable_records(
    unit: Sequence[Sequence[int]], spec: TrainingSpec, vocabulary: int, entropy: Entropy
) -> list[Sequence[int]]:
    """A draw of the unit's records, cut. What the model could not read is left out rather than an error."""
    drawn = draw_records(len(unit), spec.max_records_per_unit, entropy)
    cut = [unit[index][: spec.max_length_tokens] for index in drawn]
    return [ids for ids in cut if len(ids) >= _MIN_TOKENS and min(ids) >= 0 and max(ids) < vocabulary]


__all__ = ["clipped_sum", "gradient_norms", "train", "TrainingOutcome", "TrainingSpec", "Units", "usable_records"]
