"""What plan, roster and policy fix for all rounds of a run, and what a cohort is told for one of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.identity import Roster
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Position
from fedward.common.secagg.bundles import Bundle
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.ring import RING_BITS, Quantiser
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts

CohortMessage = pb.Train | pb.Mask
"""What tells a site its cohort."""
RoundPosition = tuple[int, int]
"""Round, from 1, and attempt, from 0. They only grow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RingTerms:
    """The ring values that the plan prescribes for a cohort."""

    layout_digest: bytes
    num_coordinates: int
    scale_log2: int
    clamp_log2: int
    noise_steps: int = 0
    """N: how far the noise of all sites together may carry a coordinate."""

    @property
    def quantiser(self) -> Quantiser:
        """To the ring and back."""
        return Quantiser(scale_log2=self.scale_log2, clamp_log2=self.clamp_log2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """One run."""

    run_id: bytes
    roster: Roster
    plan_digest: bytes
    num_rounds: int
    max_attempts: int
    floors: Floors
    ring: Callable[[int, int], RingTerms]
    """By round, for the layout may change from round to round, and by the number of sites in the cohort."""
    required_survivors: Callable[[Collection[str]], int] = field(default=lambda _: 0)
    """Of a cohort, besides the floors: sites that train a part of the adapter need company in every part."""
    first_round: int = 1
    """0 where a probe comes before the rounds."""
    named: frozenset[str] | None = None
    """Sites that the plan names; None: all of the roster. Others cannot be in a cohort, nor hold shares."""
    late_cohort: bool = False
    """``strict`` only: the cohort is told to those who have trained already."""
    is_sparse: bool = False
    """Too many sites for everybody to share a mask with everybody: the run has a mask graph."""

    def __post_init__(self) -> None:
        if self.late_cohort and self.profile is not Profile.STRICT:
            raise ConfigError("late_cohort is for the profile strict", hint="The other profiles bear lost sites.")
        if self.is_sparse and self.profile is Profile.STRICT:
            raise ConfigError("the profile strict has no sparse mask graph", hint="Take the profile resilient.")

    @property
    def profile(self) -> Profile:
        """Of the plan."""
        return self.floors.profile

    def position(self, at: RoundPosition) -> Position:
        """For the header of a message."""
        return Position(
            run_id=self.run_id,
            roster_hash=self.roster.hash,
            plan_digest=self.plan_digest,
            profile=self.profile.value,
            round_number=at[0],
            attempt=at[1],
        )

    def check_position(self, position: Position) -> RoundPosition:
        """Refuse a message of another roster, run, plan or profile; give its round and attempt.

        Raises:
            ProtocolError: ``ROSTER_MISMATCH``, ``PLAN_MISMATCH`` or ``PROFILE_FORBIDDEN``.
        """
        if position.roster_hash != self.roster.hash:
            raise ProtocolError("ROSTER_MISMATCH", "the message is for another roster")
        if position.run_id != self.run_id or position.plan_digest != self.plan_digest:
            raise ProtocolError("PLAN_MISMATCH", "the message is for another run or plan")
        if position.profile != self.profile.value:
            raise ProtocolError("PROFILE_FORBIDDEN", "the message is for another profile")
        return position.round_number, position.attempt

    def check_round(self, at: RoundPosition) -> None:
        """Refuse a round or an attempt that the plan does not have.

        Raises:
            ProtocolError: ``ROUND_ORDER`` or ``ATTEMPT_LIMIT``.
        """
        if not self.first_round <= at[0] <= self.num_rounds:
            raise ProtocolError("ROUND_ORDER", f"round {at[0]} of {self.num_rounds}")
        if at[1] >= self.max_attempts:
            raise ProtocolError("ATTEMPT_LIMIT", "more attempts than the plan allows")

    def check_ring(self, at: RoundPosition, body: CohortMessage) -> None:
        """Refuse ring or layout values that the plan does not prescribe, and a sum that could wrap round.

        Raises:
            ProtocolError: ``PLAN_MISMATCH``.
        """
        ring = self.ring(at[0], len(body.cohort))
        stated = (body.layout_digest, body.num_coordinates, body.scale_log2, body.clamp_log2)
        if stated != (ring.layout_digest, ring.num_coordinates, ring.scale_log2, ring.clamp_log2):
            raise ProtocolError("PLAN_MISMATCH", "a ring or layout value differs from the accepted plan")

    def check_layout(self, at: RoundPosition, body: pb.Train) -> None:
        """Refuse another layout where the cohort, and with it the ring, is not known yet.

        Raises:
            ProtocolError: ``PLAN_MISMATCH``.
        """
        ring = self.ring(at[0], len(self.roster.members))
        if (body.layout_digest, body.num_coordinates) != (ring.layout_digest, ring.num_coordinates):
            raise ProtocolError("PLAN_MISMATCH", "a layout value differs from the accepted plan")

    def facts(
        self,
        at: RoundPosition,
        body: CohortMessage,
        *,
        holders_hash: bytes,
        bundles: Mapping[str, Bundle],
        digests: Mapping[str, bytes] | None = None,
    ) -> CohortFacts:
        """What the cohort of ``body`` must have been told alike.

        Args:
            at: round and attempt.
            body: names the cohort.
            holders_hash: that all bundles name.
            bundles: by site.
            digests: of the bundles of sites that share nothing with this one.
        """
        return CohortFacts(
            run_id=self.run_id,
            roster_hash=self.roster.hash,
            plan_digest=self.plan_digest,
            profile=self.profile.value,
            round_number=at[0],
            attempt=at[1],
            model_digest=body.model_digest,
            previous_sum_hash=body.previous_sum_hash or ZERO_HASH,
            layout_digest=body.layout_digest,
            num_coordinates=body.num_coordinates,
            ring_bits=RING_BITS,
            scale_log2=body.scale_log2,
            clamp_log2=body.clamp_log2,
            holders_hash=holders_hash,
            min_survivors=body.min_survivors,
            assumed_colluders=body.assumed_colluders,
            graph_hash=body.graph_hash or ZERO_HASH,
            bundles={site_id: bundle.digest() for site_id, bundle in bundles.items()} | dict(digests or {}),
        )


def packets_of(body: CohortMessage) -> Sequence[bytes]:
    """The share packets beside a cohort; a late one has none."""
    return body.packets if isinstance(body, pb.Train) else ()
