"""From the cohort's sum of noisy histograms to the clip norm of the run."""

from __future__ import annotations

from fedward.common.privacy.clip_probe import median_norm
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.plain import opened_values
from fedward.common.secagg.transcript import CohortFacts


def cohort_clip(facts: CohortFacts, opened: CohortSum) -> float:
    """The median gradient norm of the survivors' units; each unit counts alike, whatever its site's weight.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for a sum that no honest vectors have.
    """
    return median_norm(opened_values(facts, opened))
