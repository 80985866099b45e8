"""``plain_ring``: the ring without masks, for simulations.

The same quantiser and the same sum as every masked profile, bit for bit, so results carry over. It hides nothing: the
coordinator could read each vector. A site's policy refuses it by default.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.secagg import ring
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.transcript import CohortFacts

PROFILE = "plain_ring"


def quantiser_of(facts: CohortFacts) -> ring.Quantiser:
    """The quantiser that a cohort agreed on, checked against overflow.

    Raises:
        ProtocolError: ``PLAN_MISMATCH`` for ring parameters that do not fit the cohort.
    """
    try:
        if facts.ring_bits != ring.RING_BITS:
            raise ConfigError(f"a ring of {facts.ring_bits} bits is not supported")
        quantiser = ring.Quantiser(scale_log2=facts.scale_log2, clamp_log2=facts.clamp_log2)
        quantiser.check_no_overflow(len(facts.bundles))
    except ConfigError as error:
        raise ProtocolError("PLAN_MISMATCH", error.message) from error
    return quantiser


def opened_values(facts: CohortFacts, opened: CohortSum, *, noise_steps: int = 0) -> NDArray[np.float64]:
    """(L,) float64, the sum of the survivors' updates.

    Args:
        noise_steps: how far the noise of all sites together may carry a coordinate.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for a sum that no honest vectors have.
    """
    check_range(facts, opened, noise_steps=noise_steps)
    return quantiser_of(facts).dequantise(opened.total)


def check_range(facts: CohortFacts, opened: CohortSum, *, noise_steps: int = 0) -> None:
    """Refuse what ``opened_values`` refuses."""
    if not quantiser_of(facts).in_range(opened.total, len(opened.survivors), noise_steps=noise_steps):
        raise ProtocolError("SUM_OUT_OF_RANGE", "the sum is beyond what the survivors' clamps allow")


class PlainParticipant:
    """Quantises; adds nothing."""

    def vector(
        self, facts: CohortFacts, update: NDArray[np.float32], *, weight: float, dither_key: bytes
    ) -> ring.RingVector:
        """See ``Participant.vector``. The dither is the only randomness."""
        return quantiser_of(facts).quantise(update, dither_key=dither_key, weight=weight)


@dataclass(kw_only=True, slots=True)
class PlainCoordinator:
    """Adds vectors up as they come and keeps only the sum."""

    facts: CohortFacts
    noise_steps: int = 0
    _total: ring.RingVector = field(init=False, repr=False)
    _seen: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        quantiser_of(self.facts)
        self._total = np.zeros(self.facts.num_coordinates, "<u4")

    def add(self, site_id: str, vector: ring.RingVector) -> None:
        """See ``Coordinator.add``.

        Raises:
            ProtocolError: ``UNKNOWN_SITE``, ``DUPLICATE_VECTOR`` or ``BAD_VECTOR``; the sum is unchanged.
        """
        if site_id not in self.facts.bundles:
            raise ProtocolError("UNKNOWN_SITE", "a vector from a site outside the cohort")
        if site_id in self._seen:
            raise ProtocolError("DUPLICATE_VECTOR", "a second vector from one site")
        if vector.shape != self._total.shape or not self._in_range(vector):
            raise ProtocolError("BAD_VECTOR", "a vector of another length, or beyond the clamp")
        ring.add_into(self._total, vector)
        self._seen.add(site_id)

    def _in_range(self, vector: ring.RingVector) -> bool:
        return quantiser_of(self.facts).in_range(vector, 1, noise_steps=self.noise_steps)

    def open(self) -> CohortSum:
        """See ``Coordinator.open``.

        Raises:
            ProtocolError: ``ROUND_VOID`` if fewer than the minimum survived.
        """
        if len(self._seen) < max(1, self.facts.min_survivors):
            raise ProtocolError(
                "ROUND_VOID", f"{len(self._seen)} vectors, the plan asks for {self.facts.min_survivors}"
            )
        return CohortSum(total=self._total, survivors=tuple(sorted(self._seen, key=str.encode)))


class PlainRing:
    """The profile ``plain_ring``."""

    profile = PROFILE

    def participant(self, site_id: str) -> PlainParticipant:
        """See ``Aggregator.participant``."""
        return PlainParticipant()

    def coordinator(self, facts: CohortFacts, *, noise_steps: int = 0) -> PlainCoordinator:
        """See ``Aggregator.coordinator``."""
        return PlainCoordinator(facts=facts, noise_steps=noise_steps)
