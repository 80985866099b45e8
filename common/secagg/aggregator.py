"""The one interface behind which all kinds of aggregation stand.

A profile brings two pure machines over bytes: what a site does with its vector, and what the coordinator does with the
vectors that arrive. The round loop and the site agent know nothing else, so masks, shares and dropout recovery come in
here without a change on either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.transcript import CohortFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortSum:
    """All that a coordinator learns of a round."""

    total: RingVector
    """(L,) the sum over the survivors, in the ring."""
    survivors: tuple[str, ...]
    """Ids of the sites whose vector is in the sum, in bytewise order."""


class Participant(Protocol):
    """A site's side of one round."""

    def vector(
        self, facts: CohortFacts, update: NDArray[np.float32], *, weight: float, dither_key: bytes
    ) -> RingVector:
        """The one vector that leaves the site for this cohort: (L,) uint32."""
        ...


class Coordinator(Protocol):
    """The server's side of one round. Memory is O(L) whatever the number of sites."""

    def add(self, site_id: str, vector: RingVector) -> None:
        """Take in one site's vector and forget it."""
        ...

    def open(self) -> CohortSum:
        """The cohort's sum, once enough vectors are in."""
        ...


class Aggregator(Protocol):
    """A profile: makes both machines."""

    @property
    def profile(self) -> str:
        """Name in the plan."""
        ...

    def participant(self, site_id: str) -> Participant:
        """The machine of one site."""
        ...

    def coordinator(self, facts: CohortFacts, *, noise_steps: int = 0) -> Coordinator:
        """The machine of the server for one round.

        Args:
            noise_steps: how far the noise of all sites together may carry a coordinate.
        """
        ...
