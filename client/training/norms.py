"""A site's part of the probe that finds the clip norm: all units counted by gradient norm, under noise.

Guarantee: the result is the Gaussian mechanism that the permit booked (``common.privacy.clip_probe``), for adding or
removing one unit. A unit is in at most one bin whatever its gradient, so no clip is needed before the count. No record
makes it fail or stop, as in training.

Not handled here: the ledger, and that the time of a pass over all units grows with their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedward.client.training.trainer import TrainingSpec, Units, gradient_norms
from fedward.common.ledger.budget import Permit
from fedward.common.privacy import clip_probe
from fedward.common.privacy.noise import Entropy

if TYPE_CHECKING:
    from peft import PeftModel


def noisy_norms(
    model: PeftModel, units: Units, spec: TrainingSpec, *, permit: Permit, entropy: Entropy
) -> NDArray[np.float32]:
    """Count the units by the norm of their gradients, and add the booked noise.

    Args:
        model: on its device, with the adapter that training starts from; probed before (``probe.parity_probe``).
        units: the site's patients.
        spec: how records are drawn, cut and packed.
        permit: a reservation of ``clip_probe.EVENT``, used up by the call.
        entropy: gives the draw of records and the noise.

    Returns:
        (34,) float32; see ``clip_probe.release``.

    Raises:
        PrivacyError: a permit for something else, or one that was used before.
        UnsupportedModelError, TrainingError: as ``trainer.train``.
    """
    clip_probe.booked_deviation(permit)
    permit.claim()
    parts = list(gradient_norms(model, units, spec, entropy=entropy))
    norms = np.concatenate(parts) if parts else np.empty(0)
    return clip_probe.release(norms, permit=permit, entropy=entropy)


__all__ = ["noisy_norms"]
