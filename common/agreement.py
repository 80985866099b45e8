"""What both sides derive, alike, from a plan and a ``Train`` message. One place, so that they cannot drift apart."""

from __future__ import annotations

import math

from fedward.common.config import COORDINATOR, RunPlan, digest_of
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import trained_layout
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Position
from fedward.common.privacy.accounting import PoissonGaussian, epsilon
from fedward.common.secagg import ring
from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts


def plan_position(plan_bytes: bytes, *, run_id: bytes, roster_hash: bytes) -> Position:
    """The position of messages outside rounds."""
    return Position(
        run_id=run_id,
        roster_hash=roster_hash,
        plan_digest=digest_of(plan_bytes),
        profile=RunPlan.from_bytes(plan_bytes).secagg.profile,
    )


def planned_train(plan: RunPlan, position: Position, cohort: tuple[str, ...], model_digest: bytes) -> pb.Train:
    """The ``Train`` message that the plan prescribes for a cohort, all but the vector's hash."""
    clamp_log2 = ring.default_clamp_log2(len(cohort))
    trained = trained_layout(plan.lora.aggregation, plan.layout)
    return pb.Train(
        header=position.header(COORDINATOR),
        model_digest=model_digest,
        layout_digest=adapters.layout_digest(trained),
        cohort=sorted(cohort, key=str.encode),
        min_survivors=plan.secagg.min_cohort,
        num_coordinates=adapters.num_coordinates(trained),
        scale_log2=clamp_log2,  # k = b: one unit of the update is the clamp
        clamp_log2=clamp_log2,
    )


def cohort_facts(position: Position, message: pb.Train) -> CohortFacts:
    """The facts that a ``Train`` message states."""
    return CohortFacts(
        run_id=position.run_id,
        roster_hash=position.roster_hash,
        plan_digest=position.plan_digest,
        profile=position.profile,
        round_number=position.round_number,
        attempt=position.attempt,
        model_digest=message.model_digest,
        layout_digest=message.layout_digest,
        num_coordinates=message.num_coordinates,
        ring_bits=ring.RING_BITS,
        scale_log2=message.scale_log2,
        clamp_log2=message.clamp_log2,
        min_survivors=message.min_survivors,
        bundles=dict.fromkeys(message.cohort, ZERO_HASH),
    )


def check_train(plan: RunPlan, position: Position, message: pb.Train, *, site_id: str) -> None:
    """Refuse a ``Train`` message that differs from the one the plan prescribes. Cheapest checks first.

    Raises:
        ProtocolError: ``COHORT_MALFORMED``, ``COHORT_TOO_SMALL``, ``UNKNOWN_SITE`` or ``PLAN_MISMATCH``.
    """
    cohort = tuple(message.cohort)
    if list(cohort) != sorted(set(cohort), key=str.encode) or site_id not in cohort:
        raise ProtocolError("COHORT_MALFORMED", "the cohort is unsorted, repeats a site, or lacks this one")
    if not set(cohort) <= {site.id for site in plan.sites}:
        raise ProtocolError("UNKNOWN_SITE", "the cohort names a site outside the plan")
    if len(cohort) < plan.secagg.min_cohort:
        raise ProtocolError("COHORT_TOO_SMALL", f"{len(cohort)} sites, the plan asks for {plan.secagg.min_cohort}")
    expected = planned_train(plan, position, cohort, message.model_digest)
    expected.vector_hash = message.vector_hash
    if expected != message:
        raise ProtocolError("PLAN_MISMATCH", "a ring or layout value differs from the accepted plan")


def site_weight(plan: RunPlan, site_id: str) -> float:
    """The site's share of the largest weight, in (0, 1]; from public constants alone."""
    if plan.secagg.weights == "uniform":
        return 1.0
    return plan.site(site_id).nominal_units / max(site.nominal_units for site in plan.sites)


def round_event(plan: RunPlan) -> PoissonGaussian:
    """What one round costs a site.

    Raises:
        ConfigError: the plan's noise is not calibrated yet.
    """
    noise = plan.privacy.noise_multiplier
    if noise is None:
        raise ConfigError("the plan has no noise multiplier yet", hint="The coordinator finalises the plan first.")
    training = plan.training
    return PoissonGaussian(sample_rate=training.sample_rate, noise_multiplier=noise, num_steps=training.steps_per_round)


def run_epsilon(plan: RunPlan) -> float:
    """Epsilon of all rounds, one attempt each, at the plan's delta; infinite without privacy or without noise."""
    if not plan.is_private or plan.privacy.noise_multiplier is None:
        return math.inf
    return epsilon([round_event(plan)] * plan.rounds, plan.privacy.delta)
