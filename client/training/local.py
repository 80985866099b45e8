"""A site's trainer: its tokenised patients and a session with the base. Implements ``client.site.Trainer``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedward.client.training.session import AdapterSession, training_spec
from fedward.client.training.trainer import TrainingSpec, Units
from fedward.common.agreement import site_rank, with_clip
from fedward.common.config import RunPlan
from fedward.common.errors import ProtocolError
from fedward.common.ledger.budget import Permit
from fedward.common.lora import adapters
from fedward.common.privacy.noise import Entropy


class LocalTrainer:
    """Trains on one site's patients.

    Args:
        session: may be shared with other sites of the same process; they take turns.
        base_digest: of the base that the session holds.
        units: the site's patients.
        on_step: told (steps done, steps in all), for progress bars.
    """

    def __init__(
        self,
        *,
        site_id: str,
        session: AdapterSession,
        base_digest: str,
        units: Units,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self._site_id = site_id
        self._session = session
        self._base_digest = base_digest
        self._units = units
        self._on_step = on_step

    def check(self, plan: RunPlan) -> None:
        """See ``Trainer.check``."""
        if plan.base.digest != self._base_digest:
            raise ProtocolError("PLAN_MISMATCH", "the plan names another base model")
        if plan.layout != self._session.layout:
            raise ProtocolError("PLAN_MISMATCH", "the plan's adapter layout is not this base's")
        if not self._session.fits(plan):
            raise ProtocolError("PLAN_MISMATCH", "the adapter was put on for another plan")
        limit = self._session.max_positions
        if limit is not None and plan.base.max_length_tokens > limit:
            # A record that the base cannot read would otherwise show in whether the site answers.
            raise ProtocolError("PLAN_MISMATCH", "records may be longer than the base can read")
        self._session.require_precision(plan.base)
        self._session.probe(plan.base.max_length_tokens)

    def update(
        self,
        plan: RunPlan,
        adapter: adapters.Adapter,
        *,
        round_number: int,
        permit: Permit | None,
        entropy: Entropy,
    ) -> NDArray[np.float32]:
        """See ``Trainer.update``."""
        # Again here: under Ray the process that trains need not be the one that judged the plan.
        self._session.probe(plan.base.max_length_tokens)
        return self._session.update(
            adapter,
            self._units,
            self._spec(plan),
            round_number=round_number,
            permit=permit,
            entropy=entropy,
            on_step=self._on_step,
        )

    def clipped_sum(
        self, plan: RunPlan, adapter: adapters.Adapter, *, round_number: int, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float64]:
        """See ``Trainer.clipped_sum``."""
        self._session.probe(plan.base.max_length_tokens)
        # What is booked is a hair more noise than the plan's: the trainer compares, and adds none itself.
        noise = getattr(permit.event, "noise_multiplier", None)
        spec = self._spec(plan)
        found = self._session.clipped_sum(
            adapter,
            self._units,
            replace(spec, noise_multiplier=spec.noise_multiplier if noise is None else noise),
            round_number=round_number,
            permit=permit,
            entropy=entropy,
            max_sites_per_unit=plan.privacy.max_sites_per_unit,
        )
        if self._on_step is not None:
            self._on_step(1, 1)
        return found

    def noisy_norms(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float32]:
        """See ``Trainer.noisy_norms``."""
        self._session.probe(plan.base.max_length_tokens)
        # The clip that is still to be found takes no part; any number will do.
        spec = self._spec(with_clip(plan, 1.0))
        return self._session.noisy_norms(adapter, self._units, spec, permit=permit, entropy=entropy)

    def count_units(self) -> int:
        """See ``Trainer.count_units``."""
        return len(self._units)

    def unit_losses(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit | None, entropy: Entropy
    ) -> NDArray[np.float64]:
        """See ``Trainer.unit_losses``."""
        return self._session.unit_losses(adapter, self._units, self._spec(plan), permit=permit, entropy=entropy)

    def _spec(self, plan: RunPlan) -> TrainingSpec:
        pad = self._session.tokenizer.pad_token_id
        rank = site_rank(plan, self._site_id)
        return training_spec(
            plan,
            plan.site(self._site_id).nominal_units,
            int(pad),
            trained_rank=rank if rank < plan.lora.rank else None,
        )
