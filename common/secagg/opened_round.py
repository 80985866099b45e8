"""A round whose sum was opened: what its cohort agreed on, and what each survivor signed. The evidence for a model.

Every survivor signed its vector over the cohort's digest, and that digest holds the model that the round began with. A
site signs only for the model that it has worked out itself, so enough signatures are as good as having been there.

Not handled here: the sum itself, which nobody signs, and what follows from it (``model_state``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.frozen import to_wire
from fedward.common.secagg.ring import RING_BITS, RingVector
from fedward.common.secagg.statements import (
    Survivor,
    holds,
    in_order,
    is_ordered,
    survivors_hash,
    vector_statement,
)
from fedward.common.secagg.terms import RingTerms, RoundPosition, Terms
from fedward.common.secagg.thresholds import shamir_threshold
from fedward.common.secagg.transcript import CohortFacts, digest


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedRound:
    """Facts and survivors."""

    facts: CohortFacts
    survivors: tuple[Survivor, ...]

    @property
    def position(self) -> RoundPosition:
        """Round and attempt."""
        return self.facts.round_number, self.facts.attempt

    @property
    def survivors_hash(self) -> bytes:
        """As ``Unmask`` named them."""
        return survivors_hash(self.survivors)

    def sum_hash(self, published_hash: bytes) -> bytes:
        """32 bytes that tell this round's sum from any other; the next cohort agrees on them.

        Args:
            published_hash: SHA-256 of the sum's bytes and of the turns that went with it.
        """
        return digest("fedward/secagg/v1/opened", self.facts.digest(), self.survivors_hash, published_hash)

    def cohort_sum(self, total: RingVector) -> CohortSum:
        """The sum with its survivors."""
        return CohortSum(total=total, survivors=tuple(survivor.site_id for survivor in self.survivors))

    def to_wire(self, clip_norm: float) -> pb.OpenedRound:
        """As it travels.

        Args:
            clip_norm: that the round's ``Train`` stated.
        """
        facts, cohort = self.facts, in_order(self.facts.bundles)
        return pb.OpenedRound(
            round=facts.round_number,
            attempt=facts.attempt,
            model_digest=facts.model_digest,
            previous_sum_hash=facts.previous_sum_hash,
            holders_hash=facts.holders_hash,
            min_survivors=facts.min_survivors,
            assumed_colluders=facts.assumed_colluders,
            graph_hash=facts.graph_hash,
            clip_norm=clip_norm,
            cohort=cohort,
            bundle_digests=[facts.bundles[site_id] for site_id in cohort],
            survivors=to_wire(self.survivors),
        )

    @classmethod
    def from_wire(cls, terms: Terms, wire: pb.OpenedRound) -> OpenedRound:
        """What a site makes of it: ring and layout are the plan's, whatever the round's own cohort was told.

        Args:
            terms: of the run, with the clip norm that the message states.
            wire: of the lengths that ``shapes`` lets pass.

        Raises:
            ProtocolError: ``ROUND_ORDER``, ``ATTEMPT_LIMIT``, ``COHORT_MALFORMED``, ``UNKNOWN_SITE`` or
                ``BAD_ENCODING``.
        """
        at, cohort = (wire.round, wire.attempt), tuple(wire.cohort)
        terms.check_round(at)
        if not is_ordered(cohort) or not cohort:
            raise ProtocolError("COHORT_MALFORMED", "the last cohort is empty, unsorted or repeats a site")
        if not set(cohort) <= set(terms.roster.members):
            raise ProtocolError("UNKNOWN_SITE", "the last cohort has a site that is not in the roster")
        if len(wire.bundle_digests) != len(cohort):
            raise ProtocolError("BAD_ENCODING", "not one bundle for each site of the last cohort")
        ring = terms.ring(at[0], len(cohort))
        facts = CohortFacts(
            run_id=terms.run_id,
            roster_hash=terms.roster.hash,
            plan_digest=terms.plan_digest,
            profile=terms.profile.value,
            round_number=at[0],
            attempt=at[1],
            model_digest=wire.model_digest,
            previous_sum_hash=wire.previous_sum_hash,
            layout_digest=ring.layout_digest,
            num_coordinates=ring.num_coordinates,
            ring_bits=RING_BITS,
            scale_log2=ring.scale_log2,
            clamp_log2=ring.clamp_log2,
            holders_hash=wire.holders_hash,
            min_survivors=wire.min_survivors,
            assumed_colluders=wire.assumed_colluders,
            graph_hash=wire.graph_hash,
            bundles=dict(zip(cohort, wire.bundle_digests, strict=True)),
        )
        survivors = tuple(
            Survivor(site_id=entry.site_id, vector_hash=entry.vector_hash, proof=entry.proof)
            for entry in wire.survivors
        )
        return cls(facts=facts, survivors=survivors)


def ring_of(terms: Terms, opened: OpenedRound) -> RingTerms:
    """The ring that the plan prescribes for that round's cohort."""
    return terms.ring(opened.facts.round_number, len(opened.facts.bundles))


def least_survivors(terms: Terms, facts: CohortFacts) -> int:
    """Fewest survivors whose word is believed: the cohort's own number, and no fewer than this site's floors.

    The holders of shares are not known here; they are at least the cohort, so the threshold over it is a lower bound.
    """
    cohort = tuple(facts.bundles)
    floors = terms.floors
    return max(
        facts.min_survivors,
        floors.min_survivors(len(cohort), len(cohort)),
        terms.required_survivors(cohort),
        shamir_threshold(len(cohort)),
        floors.colluders(len(cohort)) + 1,
    )


def check_evidence(terms: Terms, opened: OpenedRound) -> None:
    """Refuse survivors that are none, too few, or did not sign a vector for this cohort. The dear checks last.

    Raises:
        ProtocolError: ``COHORT_TOO_SMALL``, ``SURVIVORS_INVALID``, ``SURVIVORS_TOO_FEW`` or ``SURVIVOR_UNPROVEN``.
    """
    facts = opened.facts
    if len(facts.bundles) < terms.floors.min_cohort:
        raise ProtocolError("COHORT_TOO_SMALL", f"the last cohort had {len(facts.bundles)} sites")
    names: Sequence[str] = [survivor.site_id for survivor in opened.survivors]
    if not is_ordered(names) or not set(names) <= set(facts.bundles):
        raise ProtocolError("SURVIVORS_INVALID", "the last survivors are unsorted, repeated or outside their cohort")
    if len(names) < least_survivors(terms, facts):
        raise ProtocolError("SURVIVORS_TOO_FEW", f"{len(names)} survivors of the last round")
    cohort_digest = facts.digest()
    for survivor in opened.survivors:
        statement = vector_statement(cohort_digest, survivor.site_id, survivor.vector_hash)
        if not holds(terms.roster.members[survivor.site_id], survivor.proof, "VECTOR", statement):
            raise ProtocolError("SURVIVOR_UNPROVEN", "a survivor that did not sign a vector for the last cohort")


__all__ = ["check_evidence", "least_survivors", "OpenedRound", "ring_of"]
