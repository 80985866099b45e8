"""What both sides derive, alike, from a plan and a ``Train`` message. One place, so that they cannot drift apart."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedward.common.auxiliary_terms import coordinates, largest_weight, metric_events, opened_figures, weight_events
from fedward.common.config import AUTO, COORDINATOR, RunPlan, digest_of
from fedward.common.distributed_terms import cohort_mechanism, is_distributed, least_survivors, planned_event
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import trained_layout
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Position
from fedward.common.privacy import clip_probe
from fedward.common.privacy.accounting import PoissonGaussian, PrivacyEvent, epsilon
from fedward.common.secagg import auxiliary, ring
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.plain import PROFILE as PLAIN_RING
from fedward.common.secagg.terms import RingTerms
from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts, digest


def plan_position(plan_bytes: bytes, *, run_id: bytes, roster_hash: bytes) -> Position:
    """The position of messages outside rounds."""
    return Position(
        run_id=run_id,
        roster_hash=roster_hash,
        plan_digest=digest_of(plan_bytes),
        profile=RunPlan.from_bytes(plan_bytes).secagg.profile,
    )


PROBE_ROUND = 0
"""Position of the probe that finds the clip norm, before the first round."""


def planned_train(
    plan: RunPlan, position: Position, cohort: tuple[str, ...], model_digest: bytes, *, found_clip: float = 0.0
) -> pb.Train:
    """The ``Train`` message that the plan prescribes for a cohort, all but the vector's hash.

    Args:
        found_clip: what the probe found; only for plans that need one.
    """
    clip_norm = stated_clip(plan, position.round_number, found_clip)
    terms = ring_terms(plan, position.round_number, len(cohort), clip_norm=clip_norm, profile=position.profile)
    return pb.Train(
        header=position.header(COORDINATOR),
        model_digest=model_digest,
        layout_digest=terms.layout_digest,
        cohort=sorted(cohort, key=str.encode),
        min_survivors=required_survivors(plan, cohort),
        num_coordinates=terms.num_coordinates,
        scale_log2=terms.scale_log2,
        clamp_log2=terms.clamp_log2,
        clip_norm=clip_norm,
    )


def ring_terms(
    plan: RunPlan, round_number: int, num_sites: int, *, clip_norm: float, profile: str, colluders: int | None = None
) -> RingTerms:
    """The ring and layout values that the plan prescribes for a cohort of ``num_sites``.

    Behind the model's coordinates stand the auxiliary ones, in rounds but not in the probe; the layout digest covers
    both.

    In masked profiles the clip norm goes into the layout digest, and so into the cohort's: sites that were told two
    clips have masks that do not cancel.

    Args:
        colluders: as the cohort was told; in mode ``distributed`` the shares of noise are larger for more. None: as the
            plan has it.
    """
    is_probe = round_number == PROBE_ROUND
    # The probe takes the gradients that the first round will clip.
    trained = trained_layout(plan.lora.aggregation, plan.layout, 1 if is_probe else round_number)
    riding = () if is_probe else coordinates(plan)
    layout_digest = auxiliary.layout_digest(adapters.layout_digest(trained), riding)
    if profile != PLAIN_RING:
        layout_digest = digest("fedward/secagg/v1/layout", layout_digest, float(clip_norm).hex())
    if is_distributed(plan) and not is_probe:
        mechanism = cohort_mechanism(plan, round_number, num_sites, colluders=colluders)
        return RingTerms(
            layout_digest=layout_digest,
            num_coordinates=mechanism.num_coordinates + len(riding),
            scale_log2=mechanism.scale_log2,
            clamp_log2=mechanism.clamp_log2,
            noise_steps=mechanism.noise_steps,
        )
    clamp_log2 = ring.default_clamp_log2(num_sites)
    return RingTerms(
        layout_digest=layout_digest,
        num_coordinates=clip_probe.NUM_BINS if is_probe else adapters.num_coordinates(trained) + len(riding),
        # k = b: one unit of the update is the clamp
        scale_log2=clip_probe.SCALE_LOG2 if is_probe else clamp_log2,
        clamp_log2=clamp_log2,
    )


def stated_clip(plan: RunPlan, round_number: int, found_clip: float) -> float:
    """The clip norm that a ``Train`` states: 0 in the probe and without privacy."""
    if not plan.is_private or round_number == PROBE_ROUND:
        return 0.0
    return found_clip if plan.privacy.needs_probe else plan.privacy.resolved_clip_norm


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
        ProtocolError: ``COHORT_MALFORMED``, ``COHORT_TOO_SMALL``, ``UNKNOWN_SITE`` or ``PLAN_MISMATCH``; the last too
            for a clip norm that is not the plan's, or that no probe gives.
    """
    cohort = tuple(message.cohort)
    if list(cohort) != sorted(set(cohort), key=str.encode) or site_id not in cohort:
        raise ProtocolError("COHORT_MALFORMED", "the cohort is unsorted, repeats a site, or lacks this one")
    if not set(cohort) <= {site.id for site in plan.sites}:
        raise ProtocolError("UNKNOWN_SITE", "the cohort names a site outside the plan")
    if len(cohort) < plan.secagg.min_cohort:
        raise ProtocolError("COHORT_TOO_SMALL", f"{len(cohort)} sites, the plan asks for {plan.secagg.min_cohort}")
    if num_full_rank(plan, cohort) < plan.secagg.min_cohort:
        raise ProtocolError("COHORT_TOO_SMALL", "fewer sites than the plan asks for train the adapter's last column")
    expected = planned_train(plan, position, cohort, message.model_digest, found_clip=message.clip_norm)
    expected.vector_hash = message.vector_hash
    if expected != message:
        raise ProtocolError("PLAN_MISMATCH", "a ring, layout or clip value differs from the accepted plan")
    check_clip(plan, position.round_number, message.clip_norm)


def check_clip(plan: RunPlan, round_number: int, stated: float) -> None:
    """Refuse a clip norm that is not the plan's, or that no probe gives.

    Raises:
        ProtocolError: ``PLAN_MISMATCH``.
    """
    if not stated == stated_clip(plan, round_number, stated):  # this way round NaN is refused
        raise ProtocolError("PLAN_MISMATCH", "a clip norm that is not the plan's")
    is_found = plan.privacy.needs_probe and round_number != PROBE_ROUND
    if is_found and not clip_probe.is_clip(stated):
        raise ProtocolError("PLAN_MISMATCH", "a clip norm that no probe gives")


def site_weight(plan: RunPlan, site_id: str) -> float:
    """The site's share of the largest weight, in (0, 1]; from public constants alone."""
    return next(site_shares(plan, [site_id])).weight


def site_rank(plan: RunPlan, site_id: str) -> int:
    """How many columns of B (rows of A) the site trains."""
    rank = plan.site(site_id).rank
    return plan.lora.rank if rank is None else rank


def num_full_rank(plan: RunPlan, site_ids: Collection[str]) -> int:
    """How many of the sites train the last column. Prefixes are nested: no column has fewer."""
    full = {site.id for site in plan.sites if site.rank in (None, plan.lora.rank)}
    return sum(site_id in full for site_id in site_ids)


def required_survivors(plan: RunPlan, cohort: Collection[str]) -> int:
    """Fewest sites whose sum may be opened: enough that no column has fewer than ``secagg.min_cohort`` of them.

    The sum over a column that one site alone trains is that site's update. A secure sum counts survivors and knows no
    columns, so the worst case is taken: all who drop out train the last column. With equal ranks this is
    ``secagg.min_cohort`` itself. ``secagg.min_survivors`` may ask for more, and so does mode ``distributed``, where
    noise is lost with the sites.
    """
    by_rank = len(cohort) - num_full_rank(plan, cohort) + plan.secagg.min_cohort
    by_noise = least_survivors(plan, len(cohort)) if cohort and is_distributed(plan) else 0
    return max(by_rank, plan.secagg.min_survivors or 0, by_noise)


def mean_divisors(plan: RunPlan, opened: CohortSum) -> NDArray[np.float64]:
    """What to divide a round's sum by, for each column: (r,) float64, from the plan and the sum itself.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for private weights that no honest sites have.
    """
    total = opened_figures(plan, opened).total_weight
    if total is None:
        return column_weights(plan, opened.survivors)
    return np.full(plan.lora.rank, total / largest_weight(plan))


def column_weights(plan: RunPlan, site_ids: Collection[str]) -> NDArray[np.float64]:
    """Sum of the weights of the sites that train each column: (r,) float64, from public constants alone.

    With private weights it is the number of sites; see ``mean_divisors``.
    """
    weights = np.zeros(plan.lora.rank)
    for share in site_shares(plan, site_ids):
        weights[: share.rank] += share.weight
    return weights


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteShare:
    """A site's part in a mean, from public constants alone."""

    rank: int
    """Columns of B (rows of A) that it trains."""
    weight: float
    """Its share of the largest weight, in (0, 1]; 1 where weights are not declared."""
    nominal_units: int


def site_shares(plan: RunPlan, site_ids: Collection[str]) -> Iterator[SiteShare]:
    """The shares of many sites, in the order asked for; one pass over the plan, for cohorts of thousands.

    Raises:
        PlanError: the plan does not name one of them.
    """
    by_id = {site.id: site for site in plan.sites}
    largest = max(site.nominal_units for site in plan.sites)
    for site_id in site_ids:
        site = by_id.get(site_id) or plan.site(site_id)
        yield SiteShare(
            rank=plan.lora.rank if site.rank is None else site.rank,
            weight=site.nominal_units / largest if plan.secagg.weights == "declared" else 1.0,
            nominal_units=site.nominal_units,
        )


def round_event(plan: RunPlan) -> PoissonGaussian:
    """What the training of one round costs a site: exactly, or in mode ``distributed`` at most.

    Its metrics cost ``metric_events`` besides.

    Raises:
        ConfigError: the plan's noise is not calibrated yet.
    """
    noise = plan.privacy.noise_multiplier
    if noise is None:
        raise ConfigError("the plan has no noise multiplier yet", hint="The coordinator finalises the plan first.")
    if is_distributed(plan):
        return planned_event(plan, noise)
    training = plan.training
    return PoissonGaussian(
        sample_rate=training.resolved_sample_rate, noise_multiplier=noise, num_steps=training.steps_per_round
    )


AUTO_SAMPLE_RATE = 0.1
"""What ``training.sample_rate = "auto"`` is: below, noise grows fast; above, compute buys a few percent."""


def with_sample_rate(plan: RunPlan) -> RunPlan:
    """The plan with ``auto`` replaced by its number."""
    if plan.training.sample_rate != AUTO:
        return plan
    return plan.model_copy(update={"training": plan.training.model_copy(update={"sample_rate": AUTO_SAMPLE_RATE})})


def with_clip(plan: RunPlan, clip_norm: float) -> RunPlan:
    """The plan with its clip norm as a number, for a trainer. Bytes and digest stay those of the accepted plan."""
    return plan.model_copy(update={"privacy": plan.privacy.model_copy(update={"clip_norm": clip_norm})})


def probe_events(plan: RunPlan) -> tuple[PrivacyEvent, ...]:
    """What finding the clip norm costs a site: nothing if the plan states it."""
    return (clip_probe.EVENT,) if plan.privacy.needs_probe else ()


def events_beside_training(plan: RunPlan, num_rounds: int) -> tuple[PrivacyEvent, ...]:
    """What a run of so many rounds costs a site beside its training: the probe, its weight, the metrics."""
    return (*probe_events(plan), *weight_events(plan), *metric_events(plan) * num_rounds)


def run_events(plan: RunPlan) -> tuple[PrivacyEvent, ...]:
    """What the whole run costs a site, one attempt each.

    Raises:
        ConfigError: the plan's noise or sample rate is not a number yet.
    """
    return (*probe_events(plan), *weight_events(plan), *(round_event(plan), *metric_events(plan)) * plan.rounds)


def is_resolved(plan: RunPlan) -> bool:
    """Whether nothing is left in the plan that its coordinator fills in before the offer."""
    return plan.training.sample_rate != AUTO and not (plan.is_private and plan.privacy.noise_multiplier is None)


def run_epsilon(plan: RunPlan) -> float:
    """Epsilon of the whole run, at the plan's delta; infinite without privacy, or if the plan is not resolved."""
    if not plan.is_private or not is_resolved(plan):
        return math.inf
    return epsilon(run_events(plan), plan.privacy.delta)
