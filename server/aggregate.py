"""What the coordinator tells of a round's sum: figures that are functions of it, and change nothing.

The step from one state of the model to the next is ``common/model_state.py``: sites take it too.
"""

from __future__ import annotations

import numpy as np

from fedward.common.agreement import site_shares
from fedward.common.config import RunPlan
from fedward.common.lora.adapters import num_coordinates, unflatten
from fedward.common.lora.aggregation import along_rank, trained_layout
from fedward.common.model_state import Update
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.transcript import CohortFacts


def clamped_share(plan: RunPlan, facts: CohortFacts, opened: CohortSum) -> float:
    """Share of coordinates in which the updates of all survivors who train them stand at the clamp."""
    num_sites = np.zeros(plan.lora.rank)
    for share in site_shares(plan, opened.survivors):
        num_sites[: share.rank] += 1
    trained = trained_layout(plan.lora.aggregation, plan.layout, facts.round_number)
    num_model = num_coordinates(trained)
    sums = unflatten(trained, opened.total[:num_model].view(np.int32).astype(np.float64))
    bound = num_sites * 2.0**facts.clamp_log2
    at_bound = sum(int((np.abs(part) >= along_rank(name, bound)).sum()) for name, part in sums.items())
    return at_bound / max(1, num_model)


def update_norm(mean: Update) -> float:
    """L2 norm over all tensors."""
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in mean.values())))


__all__ = ["clamped_share", "update_norm"]
