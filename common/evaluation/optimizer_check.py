"""White-box check of a training path: does it add the noise, and clip to the norm, that its account claims?

The path gets m crafted units instead of a model's: unit i has the gradient 5 C e_i, a fair coin decides whether the
path's own Poisson sampler may draw it, and the summed update of T steps is all that is looked at. Half noise is
invisible to a bound from one run of any affordable size; the two ratios here are sharp (design, section 8).

Invariants: tolerances follow from the claim, never from the data. Not handled here: running a path; its summed update
is injected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedward.common import _validate
from fedward.common.errors import DataError
from fedward.common.evaluation.audit import AuditResult, audit

CANARIES = 4_000
"""At 1,000 the mu ratio of a correct path strays by 0.15: its tolerance needs 4,000."""
STEPS = 100
SAMPLE_RATE = 0.1
RAW_NORM = 5.0
"""Of a crafted gradient, in clip norms: clipping must act."""
MU_TOLERANCE = 0.2
_STANDARD_ERRORS = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What the path is said to do.

    Args:
        clip_norm: C.
        noise_multiplier: standard deviation of a step's noise over C.
        sample_rate: of the Poisson draws.
        num_steps: T.
        epsilon: the claim at ``delta``.
        delta: of the audit.
    """

    clip_norm: float
    noise_multiplier: float
    sample_rate: float = SAMPLE_RATE
    num_steps: int = STEPS
    epsilon: float
    delta: float = 1e-5

    def __post_init__(self) -> None:
        _validate.positive(
            clip_norm=self.clip_norm,
            noise_multiplier=self.noise_multiplier,
            num_steps=self.num_steps,
            epsilon=self.epsilon,
        )
        _validate.probability(sample_rate=self.sample_rate, delta=self.delta)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A number that is 1 for a correct path."""

    value: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether it lies within its tolerance of 1; NaN does not."""
        return abs(self.value - 1) <= self.tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerCheck:
    """What one path showed.

    Args:
        noise: standard deviation of what was never in, over that claimed.
        clip: mean of what was in, over that of clipped gradients.
        mu: separation of the two, over that claimed.
        bounds: of one run, on the same numbers.
        is_within_claim: neither bound is above the claim.
    """

    noise: Ratio
    clip: Ratio
    mu: Ratio
    bounds: AuditResult
    is_within_claim: bool

    @property
    def failures(self) -> tuple[str, ...]:
        """Names of what is outside: noise, clip, mu, bound."""
        checks = {
            "noise": self.noise.holds,
            "clip": self.clip.holds,
            "mu": self.mu.holds,
            "bound": self.is_within_claim,
        }
        return tuple(name for name, holds in checks.items() if not holds)


def check_optimizer(update: ArrayLike, included: ArrayLike, claim: Claim) -> OptimizerCheck:
    """Hold the summed update of a path to its claim.

    Args:
        update: (m,) coordinate i belongs to canary i; summed over the steps, learning rate 1, no averaging.
        included: (m,) the coins.
        claim: of the path.

    Raises:
        DataError: lengths differ, a number is not finite, or one side of the coins has fewer than two canaries.
    """
    x, coins = np.asarray(update, float), np.asarray(included)
    bounds = audit(x, coins, delta=claim.delta)
    inside, outside = x[coins], x[~coins]
    if min(inside.size, outside.size) < 2:
        raise DataError("the check needs two canaries on each side of the coins")
    spread, mean = float(outside.std(ddof=1)), float(inside.mean())
    q, sigma, root = claim.sample_rate, claim.noise_multiplier, math.sqrt(claim.num_steps)
    separation = (mean - float(outside.mean())) / spread if spread > 0 else math.inf
    return OptimizerCheck(
        noise=Ratio(
            value=spread / (sigma * claim.clip_norm * root),
            tolerance=_STANDARD_ERRORS / math.sqrt(2 * outside.size),
        ),
        clip=Ratio(
            value=mean / (q * claim.num_steps * claim.clip_norm),
            tolerance=_STANDARD_ERRORS
            * sigma
            * math.sqrt(1 + q * (1 - q) / sigma**2)
            / (q * root * math.sqrt(inside.size)),
        ),
        mu=Ratio(value=separation / (q * root / sigma), tolerance=MU_TOLERANCE),
        bounds=bounds,
        is_within_claim=max(bounds.pure.epsilon, bounds.gdp.epsilon) <= claim.epsilon,
    )


__all__ = [
    "CANARIES",
    "check_optimizer",
    "Claim",
    "MU_TOLERANCE",
    "OptimizerCheck",
    "Ratio",
    "RAW_NORM",
    "SAMPLE_RATE",
    "STEPS",
]
