"""What a site does between a ``Train`` and its vector: reserve, read the records, charge. The same for all profiles.

Not handled here: which ``Train`` is acceptable, masks, and what leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedward.client.accounts import Accounts, Permits
from fedward.client.ring_share import RingShare, noised, prefix_alone
from fedward.common.agreement import PROBE_ROUND, round_event, site_rank, site_weight
from fedward.common.config import RunPlan
from fedward.common.errors import ConfigError, PrivacyError, ProtocolError
from fedward.common.ledger.budget import Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import only_prefix, sent_layout, trained_layout, whole_adapter
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import clip_probe
from fedward.common.privacy.distributed import RingMechanism
from fedward.common.privacy.noise import Entropy


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contribution:
    """What is quantised, masked and sent."""

    update: NDArray[np.float32] = field(repr=False)
    weight: float
    """The site's share of the largest weight."""
    dither_key: bytes = field(repr=False)


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
        mechanism: RingMechanism | None = None,
    ) -> Assignment:
        """Set the budget aside; no record is read yet.

        Args:
            mechanism: of a round of mode ``distributed``.

        Raises:
            BudgetExhaustedError: a cap would be passed.
        """
        permits: Permits | None = None
        if round_number == PROBE_ROUND:
            permits = self.accounts.reserve(clip_probe.EVENT, clip_probe.SENSITIVITY, "clip_probe")
        elif plan.is_private:
            rate = plan.training.resolved_sample_rate
            event = round_event(plan) if mechanism is None else mechanism.event(rate)
            permits = self.accounts.reserve(event, plan.privacy.resolved_clip_norm, "train")
        return Assignment(
            plan=plan,
            round_number=round_number,
            attempt=attempt,
            adapter=adapter,
            permits=permits,
            mechanism=mechanism,
        )

    def carry_out(self, task: Assignment) -> Part:
        """Read the records, and charge. A failure leaves the reservation standing: counted, never refunded."""
        entropy = self.entropy_for(task.round_number, task.attempt)
        if task.mechanism is not None:
            return self._share(task, task.mechanism, entropy)
        dither_key = entropy.words(4).tobytes()
        if task.round_number == PROBE_ROUND:
            update, weight = self._counts(task, entropy), 1.0  # counts carry no weight
        else:
            update, weight = self._movement(task, entropy), site_weight(task.plan, self.site_id)
        self.accounts.charge(task.permits)
        return Contribution(update=update, weight=weight, dither_key=dither_key)

    def _share(self, task: Assignment, mechanism: RingMechanism, entropy: Entropy) -> RingShare:
        """The sum alone is no release: it is charged before noise is drawn, and leaves this function with it only."""
        if task.permits is None:
            raise PrivacyError("a share without a budget")
        plan, number, permit = task.plan, task.round_number, task.permits[0]
        found = self.trainer.clipped_sum(plan, task.adapter, round_number=number, permit=permit, entropy=entropy)
        rank = site_rank(plan, self.site_id)
        if rank < plan.lora.rank:
            found = prefix_alone(trained_layout(plan.lora.aggregation, plan.layout, number), found, rank)
        self.accounts.charge(task.permits)
        rate = plan.training.resolved_sample_rate
        return noised(found, mechanism, permit=permit, sample_rate=rate, entropy=entropy)

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


def adapter_of(plan: RunPlan, body: pb.Train, vector: bytes) -> adapters.Adapter:
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
