"""What a site does between a ``Train`` and its vector: reserve, read the records, charge. The same for all profiles.

Not handled here: which ``Train`` is acceptable, masks, and what leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedward.client.accounts import Accounts, Permits
from fedward.client.ring_share import RingShare, noised, prefix_alone
from fedward.common.agreement import PROBE_ROUND, round_event, site_rank, site_weight
from fedward.common.auxiliary_terms import WEIGHT, coordinates, largest_weight, metric_events, weight_events
from fedward.common.config import RunPlan
from fedward.common.errors import ConfigError, PrivacyError, ProtocolError
from fedward.common.ledger.budget import Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import only_prefix, sent_layout, trained_layout, whole_adapter
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import clip_probe, ring_figures
from fedward.common.privacy.accounting import PoissonGaussian
from fedward.common.privacy.distributed import RingMechanism
from fedward.common.privacy.noise import Entropy

_NO_ROUND = (1 << 32) - 1
"""Where the dice of the site's weight come from: beyond all rounds, for it is drawn once in a run."""


class Trainer(Protocol):
    """The part of a site that holds data and model."""

    def check(self, plan: RunPlan) -> None:
        """Compare base and layout with the plan, prove the gradients. Reads no record.

        Raises:
            ProtocolError: ``PLAN_MISMATCH``.
        """
        ...

    def update(
        self,
        plan: RunPlan,
        adapter: adapters.Adapter,
        *,
        round_number: int,
        permit: Permit | None,
        entropy: Entropy,
    ) -> NDArray[np.float32]:
        """Train on the site's records: (L,) float32, the movement of the factors that this round trains."""
        ...

    def clipped_sum(
        self, plan: RunPlan, adapter: adapters.Adapter, *, round_number: int, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float64]:
        """Add up the clipped gradients of one step's units: (L,) float64, in the layout's order; without noise."""
        ...

    def noisy_norms(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float32]:
        """Count the units by gradient norm and add the permit's noise: (34,) float32; see ``clip_probe.release``."""
        ...

    def count_units(self) -> int:
        """How many units there are to train on. Private data; asked with private weights only."""
        ...

    def unit_losses(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit | None, entropy: Entropy
    ) -> NDArray[np.float64]:
        """Draw units with the plan's sample rate and give the loss of each: (U,) float64. Private data.

        Args:
            permit: of the sum that will be released, used up by the call; None without privacy.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contribution:
    """What is quantised, masked and sent."""

    update: NDArray[np.float32] = field(repr=False)
    weight: float
    """The site's share of the largest weight."""
    dither_key: bytes = field(repr=False)
    tail: tuple[int, ...] = field(default=(), repr=False)
    """The auxiliary coordinates behind the update, in ring steps."""


Part = Contribution | RingShare
"""A site's part of a sum: an update that is private already, or a share that the sum makes private."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Assignment:
    """One accepted ``Train``: what to do, and the budget that is set aside for it."""

    plan: RunPlan = field(repr=False)
    """With the clip norm of the round as a number."""
    round_number: int
    attempt: int
    adapter: adapters.Adapter = field(repr=False)
    permits: Permits | None = field(repr=False)
    metric_permits: tuple[Permits | None, ...] = field(default=(), repr=False)
    """One for each metric of the plan, in its order; None without privacy."""
    drawn_weight: int | None = field(default=None, repr=False)
    """The site's weight in units, noise and all, where it is private: the same in all rounds."""
    mechanism: RingMechanism | None = None
    """Of a round of mode ``distributed``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duties:
    """Of one site."""

    site_id: str
    trainer: Trainer
    accounts: Accounts
    entropy_for: Callable[[int, int], Entropy]

    def assign(
        self,
        plan: RunPlan,
        round_number: int,
        attempt: int,
        adapter: adapters.Adapter,
        *,
        drawn_weight: int | None = None,
        mechanism: RingMechanism | None = None,
    ) -> Assignment:
        """Set the budget aside; no record is read yet, but for the first round's count of units by private weights.

        Args:
            drawn_weight: from an earlier round or attempt. None: it is drawn now, if the plan wants one, and charged.
                Whoever calls makes both durable together, before anything leaves: a weight that a crash takes away with
                its charge was never used.
            mechanism: of a round of mode ``distributed``.

        Raises:
            BudgetExhaustedError: a cap would be passed.
        """
        permits: Permits | None = None
        at = (round_number, attempt)
        if round_number == PROBE_ROUND:
            permits = self.accounts.reserve(clip_probe.EVENT, clip_probe.SENSITIVITY, "clip_probe", at=at)
        elif plan.is_private:
            event, clip_norm = _event(plan, mechanism), plan.privacy.resolved_clip_norm
            permits = self.accounts.reserve(event, clip_norm, "train", at=at)
        task = Assignment(
            plan=plan,
            round_number=round_number,
            attempt=attempt,
            adapter=adapter,
            permits=permits,
            mechanism=mechanism,
        )
        if round_number == PROBE_ROUND:
            return replace(task, drawn_weight=drawn_weight)
        try:
            for place, metric in enumerate(plan.secagg.metrics):
                of_metric = None
                if plan.is_private:
                    of_metric = self.accounts.reserve(metric_events(plan)[place], metric.clamp, metric.name, at=at)
                task = replace(task, metric_permits=(*task.metric_permits, of_metric))
            # The last step that may fail: what it charges stays charged.
            return replace(task, drawn_weight=self._weight(plan, at) if drawn_weight is None else drawn_weight)
        except BaseException:
            self.give_up(task)
            raise

    def give_up(self, task: Assignment) -> None:
        """Take back what was set aside for a task that has not begun and never will."""
        for permits in (*task.metric_permits, task.permits):
            self.accounts.void(permits)

    def _weight(self, plan: RunPlan, at: tuple[int, int]) -> int | None:
        """w̃, for the whole run; None where weights are not private."""
        if plan.secagg.weights != "private":
            return None
        permits: Permits | None = None
        for event in weight_events(plan):
            permits = self.accounts.reserve(event, ring_figures.UNIT_SENSITIVITY, WEIGHT, at=at)
        try:
            num_units = self.trainer.count_units()
        except BaseException:
            self.accounts.void(permits)
            raise
        noisy = ring_figures.count_steps(
            num_units, permit=None if permits is None else permits[0], entropy=self.entropy_for(_NO_ROUND, 0)
        )
        self.accounts.charge(permits)
        return min(max(noisy, 1), largest_weight(plan))

    def carry_out(self, task: Assignment) -> Part:
        """Read the records, and charge. A failure leaves the reservation standing: counted, never refunded."""
        entropy = self.entropy_for(task.round_number, task.attempt)
        if task.mechanism is not None:
            return self._ring_share(task, task.mechanism, entropy)
        dither_key = entropy.words(4).tobytes()
        if task.round_number == PROBE_ROUND:
            update, weight = self._counts(task, entropy), 1.0  # counts carry no weight
        else:
            update, weight = self._movement(task, entropy), self._share(task)
        tail = self._tail(task, entropy)
        for permits in (task.permits, *task.metric_permits):
            self.accounts.charge(permits)
        return Contribution(update=update, weight=weight, dither_key=dither_key, tail=tail)

    def _share(self, task: Assignment) -> float:
        """The site's weight over the largest: a public constant, or what was drawn."""
        if task.drawn_weight is None:
            return site_weight(task.plan, self.site_id)
        return task.drawn_weight / largest_weight(task.plan)

    def _tail(self, task: Assignment, entropy: Entropy) -> tuple[int, ...]:
        """The auxiliary coordinates, in their order."""
        if task.round_number == PROBE_ROUND:
            return ()
        by_name = {coordinate.name: coordinate for coordinate in coordinates(task.plan)}
        words = {} if task.drawn_weight is None else {WEIGHT: task.drawn_weight}
        for metric, permits in zip(task.plan.secagg.metrics, task.metric_permits, strict=True):
            permit = None if permits is None else permits[0]
            losses = self.trainer.unit_losses(task.plan, task.adapter, permit=permit, entropy=entropy)
            words[metric.name] = ring_figures.noisy_loss_steps(
                losses, clamp=metric.clamp, steps=by_name[metric.name].steps, permit=permit, entropy=entropy
            )
        return tuple(coordinate.clamped(words[name]) for name, coordinate in by_name.items())

    def _ring_share(self, task: Assignment, mechanism: RingMechanism, entropy: Entropy) -> RingShare:
        """The sum alone is no release: it is charged before noise is drawn, and leaves this function with it only."""
        if task.permits is None:
            raise PrivacyError("a share without a budget")
        plan, number, permit = task.plan, task.round_number, task.permits[0]
        found = self.trainer.clipped_sum(plan, task.adapter, round_number=number, permit=permit, entropy=entropy)
        rank = site_rank(plan, self.site_id)
        if rank < plan.lora.rank:
            found = prefix_alone(trained_layout(plan.lora.aggregation, plan.layout, number), found, rank)
        tail = self._tail(task, entropy)
        for permits in (task.permits, *task.metric_permits):
            self.accounts.charge(permits)
        rate = plan.training.resolved_sample_rate
        return noised(found, mechanism, permit=permit, sample_rate=rate, entropy=entropy, tail=tail)

    def _counts(self, task: Assignment, entropy: Entropy) -> NDArray[np.float32]:
        if task.permits is None:
            raise PrivacyError("a probe without a budget")
        return self.trainer.noisy_norms(task.plan, task.adapter, permit=task.permits[0], entropy=entropy)

    def _movement(self, task: Assignment, entropy: Entropy) -> NDArray[np.float32]:
        plan, number = task.plan, task.round_number
        permit = None if task.permits is None else task.permits[0]
        update = self.trainer.update(plan, task.adapter, round_number=number, permit=permit, entropy=entropy)
        # Whatever the trainer did: beyond its own columns a site sends nothing, for there the sum has fewer sites.
        rank = site_rank(plan, self.site_id)
        if rank < plan.lora.rank:
            update = only_prefix(trained_layout(plan.lora.aggregation, plan.layout, number), update, rank)
        return update


def _event(plan: RunPlan, mechanism: RingMechanism | None) -> PoissonGaussian:
    """What a round of training is booked as."""
    return round_event(plan) if mechanism is None else mechanism.event(plan.training.resolved_sample_rate)


def adapter_of(plan: RunPlan, body: pb.Train, vector: bytes | memoryview) -> adapters.Adapter:
    """The whole adapter: what the site draws itself, and what came; its digest must be the stated one.

    Raises:
        ProtocolError: ``MODEL_MISMATCH``.
    """
    sent = sent_layout(plan.lora.aggregation, plan.layout)
    try:
        adapter = whole_adapter(plan, adapters.vector_from_bytes(vector, adapters.num_coordinates(sent)))
    except ConfigError as error:
        raise ProtocolError("MODEL_MISMATCH", error.message) from error
    if adapters.adapter_digest(plan.layout, adapter) != body.model_digest:
        raise ProtocolError("MODEL_MISMATCH", "the adapter is not the one that the message names")
    return adapter


__all__ = ["adapter_of", "Assignment", "Contribution", "Duties", "Part", "Trainer"]
