"""What the played trainers of whole site agents have in common: none of these plays asks for what is refused here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedward.common.config import RunPlan
from fedward.common.errors import RunError
from fedward.common.ledger.budget import Permit
from fedward.common.lora import adapters
from fedward.common.privacy.noise import Entropy


class PlayedTrainer:
    """A ``duties.Trainer`` without data; what a play needs, it adds."""

    def check(self, plan: RunPlan) -> None:
        """The base is the plan's."""

    def noisy_norms(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float32]:
        """See ``duties.Trainer.noisy_norms``."""
        raise RunError("no probe in this play")

    def clipped_sum(
        self, plan: RunPlan, adapter: adapters.Adapter, *, round_number: int, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float64]:
        """See ``duties.Trainer.clipped_sum``."""
        raise RunError("no sums for the ring's noise in this play")

    def count_units(self) -> int:
        """See ``duties.Trainer.count_units``."""
        raise RunError("no private weights in this play")

    def unit_losses(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit | None, entropy: Entropy
    ) -> NDArray[np.float64]:
        """See ``duties.Trainer.unit_losses``."""
        raise RunError("no metric in this play")


__all__ = ["PlayedTrainer"]
