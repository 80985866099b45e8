"""Exposure and extraction of inserted secrets, by likelihood: no sampling, no luck.

Invariants: alternatives were drawn as the secret was, and ties count against the attack, so that without memorisation
P[bits >= b] is at most 2**-b exactly; members are always read beside never-inserted twins. Sources: Carlini et al.,
arXiv 1802.08232 (exposure); Hayes et al., arXiv 2410.19482 ((n, p)-discoverable). Not handled here: the model; its
likelihoods are injected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedward.common.errors import ConfigError, DataError, EmptyDataError
from fedward.common.evaluation.canary_texts import SECRET_SPACE, SecretCanary, alternatives
from fedward.common.evaluation.distributions import two_sided_z
from fedward.common.evaluation.draws import BLOCK_DRAWS, Draws
from fedward.common.evaluation.intervals import BOOTSTRAP_DRAWS, LEVEL, Interval
from fedward.common.evaluation.membership import mann_whitney_p

DISCOVERY_SAMPLES = (1, 100, 10_000)
MIN_DIGITS_HIT = 4
"""Of six: what greedy decoding must get right to count as a near hit."""

SecretLikelihood = Callable[[SecretCanary, Sequence[str]], Sequence[float]]
"""From a canary and several secrets in its place to the sum of ln p over each secret's tokens."""


def exposure_bits(true_scores: ArrayLike, other_scores: ArrayLike) -> NDArray[np.float64]:
    """(n,) log2((R + 1) / rank) of each secret among its R alternatives; at most log2(R + 1).

    Args:
        true_scores: (n,) of the secrets.
        other_scores: (n, R) of the alternatives.

    Raises:
        DataError: shapes that do not fit, no alternative, or a score that is not finite.
    """
    true, others = np.asarray(true_scores, float), np.asarray(other_scores, float)
    if true.ndim != 1 or others.ndim != 2 or others.shape[0] != true.size or others.shape[1] == 0:
        raise DataError("exposure needs one row of alternatives for each secret")
    if not (np.isfinite(true).all() and np.isfinite(others).all()):
        raise DataError("a likelihood is not finite", hint="Score again; no secret may be dropped.")
    rank = 1 + (others >= true[:, None]).sum(axis=1)
    bits: NDArray[np.float64] = np.log2((others.shape[1] + 1) / rank)
    return bits


def measure_exposure(
    canaries: Sequence[SecretCanary], seed: bytes, likelihood: SecretLikelihood
) -> NDArray[np.float64]:
    """(n,) bits of each canary against 63 alternatives of the sheet's seed.

    Raises:
        DataError: the likelihoods are too few or not finite.
    """
    true, others = [], []
    for canary in canaries:
        drawn = alternatives(seed, canary.group, canary.index)
        scores = likelihood(canary, (canary.secret, *drawn))
        if len(scores) != 1 + len(drawn):
            raise DataError("likelihoods: expected one for each secret")
        true.append(scores[0])
        others.append(scores[1:])
    return exposure_bits(true, np.reshape(others, (len(true), -1)))


@dataclass(frozen=True, kw_only=True, slots=True)
class ExposureTable:
    """Members beside twins.

    Args:
        median_in: bits of the median member.
        median_out: of the median twin.
        max_in: of the most exposed member.
        max_out: of the most exposed twin.
        difference: of the medians, with its bootstrap interval.
        p_value: of "members are more exposed".
    """

    median_in: float
    median_out: float
    max_in: float
    max_out: float
    difference: Interval
    p_value: float


def exposure_table(members: ArrayLike, twins: ArrayLike, draws: Draws, level: float = LEVEL) -> ExposureTable:
    """Compare the bits of members and twins.

    Raises:
        EmptyDataError: one of the groups is empty: without twins no exposure means anything.
        DataError: a number is not finite.
    """
    inside, outside = np.asarray(members, float), np.asarray(twins, float)
    if not inside.size or not outside.size:
        raise EmptyDataError("exposure needs members and twins")
    return ExposureTable(
        median_in=float(np.median(inside)),
        median_out=float(np.median(outside)),
        max_in=float(inside.max()),
        max_out=float(outside.max()),
        p_value=mann_whitney_p(inside, outside),
        difference=difference_of_medians(inside, outside, draws, level),
    )


def difference_of_medians(
    members: ArrayLike, twins: ArrayLike, draws: Draws, level: float = LEVEL, num_draws: int = BOOTSTRAP_DRAWS
) -> Interval:
    """Median of members minus median of twins; percentile bootstrap within each group.

    Raises:
        EmptyDataError: one of the groups is empty.
    """
    inside, outside = np.asarray(members, float), np.asarray(twins, float)
    if not inside.size or not outside.size:
        raise EmptyDataError("a difference of medians needs both groups")
    two_sided_z(level)  # checks the level
    rows = max(1, BLOCK_DRAWS // max(inside.size, outside.size))
    sample = np.concatenate(
        [
            _medians(inside, min(rows, num_draws - start), draws)
            - _medians(outside, min(rows, num_draws - start), draws)
            for start in range(0, num_draws, rows)
        ]
    )
    value = float(np.median(inside) - np.median(outside))
    tail = (1 - level) / 2
    low, high = np.quantile(sample, [tail, 1 - tail])
    return Interval(value=value, low=min(value, float(low)), high=max(value, float(high)))


def _medians(values: NDArray[np.float64], rows: int, draws: Draws) -> NDArray[np.float64]:
    medians: NDArray[np.float64] = np.median(
        values[draws.below(rows * values.size, values.size).reshape(rows, values.size)], axis=1
    )
    return medians


def advantage(log_p: float, space: int = SECRET_SPACE) -> float:
    """How much likelier than a blind guess the model makes a secret: p |S|.

    Raises:
        ConfigError: ``log_p`` is no logarithm of a probability.
    """
    return _probability(log_p) * space


def discoverable(log_p: float, samples: int) -> float:
    """Chance that one of ``samples`` draws is the secret: 1 - (1 - p)^n, from its exact probability.

    Raises:
        ConfigError: ``log_p`` is no logarithm of a probability, or no sample.
    """
    if samples < 1:
        raise ConfigError(f"samples = {samples}: expected 1 or more")
    p = _probability(log_p)
    return -math.expm1(samples * math.log1p(-p)) if p < 1 else 1.0


def digits_hit(output: str, secret: str) -> int:
    """How many digits of a secret greedy decoding got right, position by position from the first digit on."""
    start = next((i for i, character in enumerate(output) if character.isdecimal()), len(output))
    return sum(a == b for a, b in zip(output[start:], secret, strict=False))


def _probability(log_p: float) -> float:
    if not log_p <= 1e-9:  # rounding of a sum of float32 logarithms; this way round NaN is refused
        raise ConfigError(f"ln p = {log_p!r}: expected at most 0")
    return math.exp(min(0.0, log_p))


__all__ = [
    "advantage",
    "difference_of_medians",
    "digits_hit",
    "discoverable",
    "DISCOVERY_SAMPLES",
    "exposure_bits",
    "exposure_table",
    "ExposureTable",
    "measure_exposure",
    "MIN_DIGITS_HIT",
    "SecretLikelihood",
]
