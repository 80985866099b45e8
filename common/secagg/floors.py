"""How many sites a cohort must have, keep and trust: what a site demands before it trains.

``thresholds`` gives the numbers of a cohort that is all its holders; here the cohort may be a part of them, since a
holder may have brought no bundle. With n cohort members, n_H holders, threshold t over the holders, d = n − u_min and
T = t − n_C, the honest sites in any sum that an active server can open are::

    strict: n − n_C      resilient-malicious: u_min − n_C      resilient: ⌈(n − n_C)(T − d) / T⌉
"""

from __future__ import annotations

from dataclasses import dataclass

from fedward.common.errors import ProtocolError
from fedward.common.secagg.thresholds import MIN_HONEST, Profile, honest_sites, shamir_threshold

MAX_SITES = 64
"""Above it the mask graph is sparse (``graph``), and these floors hold no longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Floors:
    """A site's own demands: the stricter of plan and policy."""

    profile: Profile
    min_cohort: int = 3
    assumed_colluders: int | None = None
    """None: a fifth of the sites, at least one."""
    min_honest: int = MIN_HONEST
    allow_two_sites: bool = False
    least_colluders: int = 0
    """A site's own n_C, where it fears more than the plan does."""
    num_sites: int = 0
    """That the plan names. Whoever picks a cohort picks his accomplices first, so the fifth is one of all sites."""

    def colluders(self, num_cohort: int) -> int:
        """n_C that is reckoned with."""
        return max(self.least_colluders, self.agreed_colluders(num_cohort))

    def agreed_colluders(self, num_cohort: int) -> int:
        """n_C of the plan alone, the same for all."""
        if self.assumed_colluders is not None:
            return self.assumed_colluders
        if self.allow_two_sites and num_cohort <= 2:
            return 0
        return max(1, max(num_cohort, self.num_sites) // 5)

    def min_survivors(self, num_cohort: int, num_holders: int) -> int:
        """u_min: max(t, n − max(1, ⌊n/10⌋)); all of them under ``strict``."""
        if self.profile is Profile.STRICT:
            return num_cohort
        return max(shamir_threshold(num_holders), num_cohort - max(1, num_cohort // 10))

    def check_cohort(self, num_cohort: int, num_holders: int) -> None:
        """Refuse a cohort by its size alone.

        Raises:
            ProtocolError: ``COHORT_TOO_SMALL``, ``GRAPH_MISMATCH`` or ``THRESHOLD_UNUSABLE``.
        """
        two_will_do = self.allow_two_sites and self.profile is Profile.STRICT
        if num_cohort < max(self.min_cohort, 2 if two_will_do else 3):
            raise ProtocolError("COHORT_TOO_SMALL", f"a cohort of {num_cohort}")
        if num_holders > MAX_SITES:
            raise ProtocolError("GRAPH_MISMATCH", f"more than {MAX_SITES} sites need a sparse mask graph")
        self.check_threshold(num_holders, self.colluders(num_cohort))

    def check_threshold(self, num_holders: int, colluders: int) -> None:
        """Refuse a number of holders among whom shares protect nothing.

        Raises:
            ProtocolError: ``THRESHOLD_UNUSABLE``.
        """
        threshold = shamir_threshold(num_holders)
        if self.profile is Profile.STRICT:
            return
        if threshold == num_holders:
            raise ProtocolError(
                "THRESHOLD_UNUSABLE", f"{num_holders} sites cannot do without one", hint="Take the profile strict."
            )
        if 2 * threshold <= num_holders + colluders:
            raise ProtocolError("THRESHOLD_UNUSABLE", "both kinds of share of one site could be had")

    def check_floor(
        self, *, num_cohort: int, num_holders: int, min_survivors: int, stated_colluders: int, required: int = 0
    ) -> None:
        """Refuse numbers that would let a sum of too few honest sites be opened.

        Args:
            num_cohort: n.
            num_holders: n_H.
            min_survivors: u_min, as stated.
            stated_colluders: n_C, as stated.
            required: survivors that the plan asks for besides, for the sake of sites that train a part.

        Raises:
            ProtocolError: ``HONEST_FLOOR`` or ``THRESHOLD_UNUSABLE``.
        """
        own = self.colluders(num_cohort)
        if not own <= stated_colluders < num_cohort:
            raise ProtocolError("HONEST_FLOOR", f"{stated_colluders} colluders stated, {own} assumed here")
        self.check_threshold(num_holders, stated_colluders)
        if not max(required, self.min_survivors(num_cohort, num_holders)) <= min_survivors <= num_cohort:
            raise ProtocolError("HONEST_FLOOR", f"{min_survivors} survivors of {num_cohort} would do")
        honest = honest_sites(
            self.profile,
            num_cohort=num_cohort,
            num_holders=num_holders,
            min_survivors=min_survivors,
            colluders=stated_colluders,
        )
        if honest < max(MIN_HONEST, self.min_honest):
            raise ProtocolError("HONEST_FLOOR", f"{honest} honest sites in a sum, {self.min_honest} wanted")


__all__ = ["Floors", "honest_sites", "MAX_SITES"]
