"""The loss of a fresh Poisson draw of a site's units, for the metric ``unit_loss``; nothing is trained.

Each unit goes through the model by itself, so that its loss does not depend on who else is drawn, not even in its
rounding: with the same draw of records, adding or removing one unit adds or removes one number of the result. No record
makes it fail or stop, as in training. It is private data: what leaves is ``ring_figures.noisy_loss_steps`` of it.

Not handled here: clamp, noise and ledger, and that the time of the pass grows with the number of drawn units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from fedward.client.training import guards
from fedward.client.training.losses import causal_logits, record_losses
from fedward.client.training.modes import compute_precision, evaluation_mode
from fedward.client.training.packing import pack
from fedward.client.training.sampling import draw_units
from fedward.client.training.trainer import TrainingSpec, Units, usable_records
from fedward.common.errors import PrivacyError
from fedward.common.ledger.budget import Permit
from fedward.common.privacy.accounting import PoissonGaussian
from fedward.common.privacy.noise import Entropy

if TYPE_CHECKING:
    from peft import PeftModel


def unit_losses(
    model: PeftModel, units: Units, spec: TrainingSpec, *, permit: Permit | None, entropy: Entropy
) -> NDArray[np.float64]:
    """Draw units and give each one's mean loss over its drawn records.

    Args:
        model: on its device, with the adapter to be measured; it stays as it is.
        units: the site's patients.
        spec: sample rate, and how records are drawn and cut.
        permit: a reservation of one Poisson-sampled step with the spec's rate, used up by the call; None without
            privacy.
        entropy: draws the units and their records.

    Returns:
        (U,) float64 in nats a token, one for each drawn unit with a usable record; NaN and infinities stay as they are.

    Raises:
        PrivacyError: no permit in a private run, one for something else, or one that was used before.
    """
    _claim(spec, permit)
    vocabulary = model.get_input_embeddings().num_embeddings
    drawn = draw_units(len(units), spec.sample_rate, entropy)
    chosen = [usable_records(units[index], spec, vocabulary, entropy) for index in drawn]
    device = guards.trainable(model)[0].device
    with torch.no_grad(), evaluation_mode(model), compute_precision(model):
        return np.array([_loss(model, unit, spec, device) for unit in chosen if unit], np.float64)


def _claim(spec: TrainingSpec, permit: Permit | None) -> None:
    if not spec.private:
        if permit is not None:
            raise PrivacyError("a permit for a run without privacy")
        return
    event = None if permit is None else permit.event
    if permit is None or not isinstance(event, PoissonGaussian):
        raise PrivacyError("a private metric needs a permit for a Poisson-sampled sum")
    if (event.sample_rate, event.num_steps) != (spec.sample_rate, 1):
        raise PrivacyError("the permit was reserved for another draw of units")
    permit.claim()


def _loss(model: PeftModel, unit: Sequence[Sequence[int]], spec: TrainingSpec, device: torch.device) -> float:
    """The mean over the unit's records."""
    (batch,) = pack([unit], max_batch_tokens=spec.max_batch_tokens, max_units=1, pad_token_id=spec.pad_token_id)
    logits = causal_logits(model, batch.token_ids.to(device), batch.attention_mask.to(device))
    return float(record_losses(logits, batch.labels.to(device)).mean())


__all__ = ["unit_losses"]
