"""A consortium in memory in mode ``distributed``, and what its sums must be to the bit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.common import model_state
from fedward.common.config import PrivacyMode
from fedward.common.distributed_terms import cohort_mechanism
from fedward.common.privacy.distributed import RingMechanism, noisy_ring_vector
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.ring import RingVector, add_into
from fedward.common.secagg.transcript import CohortFacts
from fedward.server import rounds
from tests.federation_simulator import Federation
from tests.masked_federation import MASKED, POLICY, masked_federation

PROFILES = (*MASKED, "plain_ring")
SHARED_NOISE = {"mode": "distributed", "noise_multiplier": 2.0, "clip_norm": 0.5}
MODE: dict[str, Any] = {
    "privacy": SHARED_NOISE,
    "training": {"steps_per_round": 1},
    "secagg": {"weights": "fixed_denominator"},
}
NUM_COORDINATES = 6
BY_DEFAULT_ALLOWED = POLICY.model_copy(update={"privacy_modes": (PrivacyMode.DISTRIBUTED,)})


def distributed_federation(
    profile: str,
    num_sites: int = 5,
    **changes: Any,  # noqa: ANN401
) -> Federation:
    """Like ``masked_federation``; tables among the changes are laid over the mode's."""
    merged: dict[str, Any] = {name: {**table, **changes.pop(name, {})} for name, table in MODE.items()}
    federation = masked_federation(profile, num_sites, **merged, **changes)
    for index, trainer in enumerate(federation.trainers.values()):
        trainer.gradient = gradient_of(index)
    return federation


def gradient_of(index: int) -> Callable[[int, object], NDArray[np.float64]]:
    """A clipped sum of about a clip's length that no two sites and no two rounds have in common."""

    def gradient(round_number: int, _: object) -> NDArray[np.float64]:
        return np.linspace(-0.3, 0.4, NUM_COORDINATES) * (index + 1) / 4 + round_number / 100

    return gradient


def mechanism_of(federation: Federation, num_sites: int | None = None, round_number: int = 1) -> RingMechanism:
    """Of a cohort of all sites, or of so many."""
    plan = federation.plan
    clip_norm = plan.privacy.resolved_clip_norm
    return cohort_mechanism(plan, round_number, num_sites or len(plan.sites), clip_norm=clip_norm)


def site_vector(
    federation: Federation, site: str, mechanism: RingMechanism, round_number: int = 1, attempt: int = 0
) -> RingVector:
    """What a site's unmasked vector must be, to the bit."""
    found = federation.trainers[site].gradient
    assert found is not None
    entropy = Entropy.seeded(f"{site}/{round_number}/{attempt}".encode().ljust(16, b"."))
    return noisy_ring_vector(found(round_number, {}), mechanism, entropy=entropy)


def sum_of(
    federation: Federation,
    sites: Collection[str],
    mechanism: RingMechanism,
    round_number: int = 1,
    attempt: int = 0,
) -> RingVector:
    """What the opened sum must be, to the bit."""
    total = np.zeros(NUM_COORDINATES, "<u4")
    for site in sites:
        add_into(total, site_vector(federation, site, mechanism, round_number, attempt))
    return total


def opened_sums(patch: pytest.MonkeyPatch) -> list[tuple[CohortFacts, tuple[str, ...], RingVector]]:
    """Filled with what the server opens, round by round."""
    seen: list[tuple[CohortFacts, tuple[str, ...], RingVector]] = []
    honest = model_state.next_state

    def spy(plan: Any, state: Any, facts: CohortFacts, opened: CohortSum) -> Any:  # noqa: ANN401
        seen.append((facts, opened.survivors, opened.total.copy()))
        return honest(plan, state, facts, opened)

    patch.setattr(rounds, "next_state", spy)
    return seen


__all__ = [
    "BY_DEFAULT_ALLOWED",
    "distributed_federation",
    "gradient_of",
    "mechanism_of",
    "MODE",
    "NUM_COORDINATES",
    "opened_sums",
    "PROFILES",
    "SHARED_NOISE",
    "site_vector",
    "sum_of",
]
