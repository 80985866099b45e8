"""What a plan prescribes for a cohort in mode ``distributed``: how many honest shares are reckoned with, and the noise.

Every site of a cohort must add the same share, for each counts on the others'. So the share is a function of the plan,
the round, the size of the cohort and the colluders that the cohort was told (all in its digest), and of nothing that a
site knows alone. A site whose policy fears more colluders than that refuses; it cannot make up for others.

h is ``floors.honest_sites`` for a cohort that is all its holders and has u_min = max(t, n − max(1, ⌊n/10⌋)) survivors.
Where holders are absent, or the plan asks for more survivors on account of ranks, there are as many honest sites or
more, never fewer: t and u_min grow with the holders. ``plain_ring`` reckons like ``resilient-malicious``.
"""

from __future__ import annotations

import math
from dataclasses import replace

from fedward.common.config import PrivacyMode, RunPlan
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import trained_layout
from fedward.common.privacy.accounting import PoissonGaussian, PrivacyEvent
from fedward.common.privacy.calibration import TICKS_PER_UNIT
from fedward.common.privacy.distributed import SCALE_LOG2, RingMechanism, default_clamp_log2, poisson_event
from fedward.common.secagg.floors import MAX_SITES, Floors, honest_sites
from fedward.common.secagg.thresholds import MIN_HONEST, Profile

GUARANTEE = (
    "epsilon is for the sum of a cohort, against everyone who sees nothing else: it falls to nothing if a site's "
    "vector alone is seen, that is if the masks fail or more sites collude than assumed"
)
"""As reports print it."""
_MOST_EXCESS = 1e-3
"""Of the noise, from rounding a share of a thousand steps or more up to a whole one."""


def is_distributed(plan: RunPlan) -> bool:
    """Whether the noise is shared out among the sites."""
    return plan.privacy.mode is PrivacyMode.DISTRIBUTED


def noise_floors(plan: RunPlan) -> Floors:
    """What the plan demands of every cohort; without masks, the numbers of ``resilient-malicious``.

    Two sites are no exception here: each is told the sum and knows its own share of the noise, so half of what both
    would book is gone.
    """
    if plan.secagg.is_masked:
        return replace(plan.secagg.floors(), num_sites=len(plan.sites), allow_two_sites=False)
    return Floors(
        profile=Profile.RESILIENT_MALICIOUS,
        assumed_colluders=plan.secagg.assumed_colluders,
        num_sites=len(plan.sites),
    )


def agreed_colluders(plan: RunPlan, num_sites: int) -> int:
    """n_C of a cohort, by the plan alone."""
    return noise_floors(plan).colluders(num_sites)


def least_survivors(plan: RunPlan, num_sites: int) -> int:
    """u_min: with fewer there is too little noise in the sum."""
    return max(noise_floors(plan).min_survivors(num_sites, num_sites), min(plan.secagg.min_survivors or 0, num_sites))


def honest_shares(plan: RunPlan, num_sites: int, *, colluders: int | None = None) -> int:
    """h: the shares of noise that are in every sum that can be opened; fewer than 2 protect nothing."""
    floors = noise_floors(plan)
    return honest_sites(
        floors.profile,
        num_cohort=num_sites,
        num_holders=num_sites,
        min_survivors=least_survivors(plan, num_sites),
        colluders=floors.colluders(num_sites) if colluders is None else colluders,
    )


def cohort_mechanism(
    plan: RunPlan, round_number: int, num_sites: int, *, clip_norm: float = 1.0, colluders: int | None = None
) -> RingMechanism:
    """The mechanism that every site of a cohort runs in a round.

    Args:
        plan: final, of mode ``distributed``.
        round_number: from 1; says which factors are trained.
        num_sites: n, the cohort.
        clip_norm: C. With 1 gradients are in clip norms; nothing else depends on it.
        colluders: as the cohort was told; None: as the plan has it.

    Raises:
        ProtocolError: ``HONEST_FLOOR``: fewer than two honest shares.
        ConfigError: what ``RingMechanism`` refuses, or noise that is not calibrated yet.
    """
    noise = plan.privacy.noise_multiplier
    if noise is None:
        raise ConfigError("the plan has no noise multiplier yet", hint="The coordinator finalises the plan first.")
    honest = honest_shares(plan, num_sites, colluders=colluders)
    if honest < MIN_HONEST:
        raise ProtocolError("HONEST_FLOOR", f"{max(honest, 0)} honest shares of noise among {num_sites} sites")
    return RingMechanism(
        num_coordinates=adapters.num_coordinates(trained_layout(plan.lora.aggregation, plan.layout, round_number)),
        num_sites=num_sites,
        num_honest=honest,
        clip_norm=clip_norm,
        noise_multiplier=noise,
        scale_log2=SCALE_LOG2,
        clamp_log2=default_clamp_log2(num_sites),
        max_sites_per_unit=plan.privacy.max_sites_per_unit,
    )


def planned_event(plan: RunPlan, noise_multiplier: float) -> PoissonGaussian:
    """The most that a round may cost a site: what is booked has this noise, or a hair more."""
    rate = plan.training.resolved_sample_rate
    return poisson_event(rate, noise_multiplier, plan.privacy.max_sites_per_unit)


def releases_per_round(plan: RunPlan) -> int:
    """Steps that a round is booked as."""
    return plan.privacy.max_sites_per_unit if is_distributed(plan) else plan.training.steps_per_round


def round_noise(plan: RunPlan, noise_of_step: float) -> float:
    """The plan's noise multiplier with which each booked step has ``noise_of_step`` at least; a multiple of 1e-4."""
    count = plan.privacy.max_sites_per_unit
    if not is_distributed(plan) or count == 1:
        return noise_of_step
    ticks = math.ceil(noise_of_step / math.sqrt(count) * TICKS_PER_UNIT)
    while planned_event(plan, ticks / TICKS_PER_UNIT).noise_multiplier < noise_of_step:
        ticks += 1
    return ticks / TICKS_PER_UNIT


def is_planned_event(plan: RunPlan, event: PrivacyEvent) -> bool:
    """Whether a round of the plan can have cost that: shares are whole steps, so there may be a hair more noise."""
    if not isinstance(event, PoissonGaussian) or plan.privacy.noise_multiplier is None:
        return False
    least = planned_event(plan, plan.privacy.noise_multiplier)
    ceiling = least.noise_multiplier * (1 + _MOST_EXCESS)
    if not least.noise_multiplier <= event.noise_multiplier <= ceiling:  # this way round NaN is refused
        return False
    return replace(event, noise_multiplier=least.noise_multiplier) == least


def check_mode(plan: RunPlan) -> None:
    """Refuse settings that mode ``distributed`` cannot have, and such as only it can have.

    Raises:
        ConfigError: names the setting, and what to set instead.
    """
    training, weights = plan.training, plan.secagg.weights
    if not is_distributed(plan):
        if weights == "fixed_denominator":
            raise ConfigError("secagg.weights fixed_denominator is for privacy.mode distributed: take uniform")
        return
    if training.steps_per_round != 1:
        raise ConfigError(
            f"privacy.mode distributed is one step a round: set training.steps_per_round = 1 (now "
            f"{training.steps_per_round}) and more rounds"
        )
    if training.optimizer != "sgd":
        raise ConfigError(
            "privacy.mode distributed has no local optimiser: leave training.optimizer at sgd (it and "
            "training.learning_rate are not used) and choose server.optimizer"
        )
    if weights != "fixed_denominator":
        raise ConfigError(
            "privacy.mode distributed divides the sum by sample_rate times the survivors' nominal_units: set "
            "secagg.weights = fixed_denominator"
        )
    if plan.secagg.late_cohort:
        raise ConfigError(
            "privacy.mode distributed needs the cohort before the budget is asked: leave secagg.late_cohort out"
        )
    _check_noise(plan)


def _check_noise(plan: RunPlan) -> None:
    """Whether every cohort that the plan allows has two honest shares and noise that the ring holds."""
    count = len(plan.sites)
    if honest_shares(plan, count) < MIN_HONEST:
        raise ConfigError(
            f"privacy.mode distributed with {count} sites, of which {agreed_colluders(plan, count)} may collude: fewer "
            "than two honest ones would share the noise. Add sites, or set secagg.assumed_colluders lower"
        )
    if plan.privacy.noise_multiplier is None or not plan.layout:
        return
    for size in range(plan.secagg.min_cohort if count <= MAX_SITES else count, count + 1):
        for number in (1, 2) if honest_shares(plan, size) >= MIN_HONEST else ():
            try:
                cohort_mechanism(plan, number, size)
            except ConfigError as error:
                raise ConfigError(
                    f"privacy.mode distributed with a cohort of {size}: {error.message}. {error.advice}"
                ) from error


__all__ = [
    "agreed_colluders",
    "check_mode",
    "cohort_mechanism",
    "GUARANTEE",
    "honest_shares",
    "is_distributed",
    "is_planned_event",
    "least_survivors",
    "noise_floors",
    "planned_event",
    "releases_per_round",
    "round_noise",
]
