"""What scores of members and non-members show: AUC, accuracy and low-error rates, each with an interval.

Invariants: higher is more likely in; a threshold is never chosen on the texts that it is judged on; a score that is
not finite is refused by its index; everything is O(n log n) in time and linear in memory. Sources: DeLong, DeLong and
Clarke-Pearson, Biometrics 44, 1988, by way of ranks (Sun and Xu 2014). Not handled here: scores (``scores``), bounds
on epsilon (``audit``) and verdicts (``verdicts``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedward.common.errors import DataError, EvaluationError
from fedward.common.evaluation.distributions import normal_cdf, two_sided_z
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.intervals import LEVEL, Interval, clopper_pearson, mean_of_two

CONTROL_LEVEL = 0.999
"""Of the intervals that must contain one half: a true control fails once in a thousand."""
POSITIVE_CONTROL_AUC = 0.7
MIN_FALSE_POSITIVES = 10
_HALF = 0.5

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Placements:
    """Share of non-members below each member, and of members above each non-member; ties count half."""

    members: Vector
    others: Vector

    @property
    def auc(self) -> float:
        return float(self.members.mean())

    @property
    def size(self) -> int:
        """Disjoint pairs of a member and a non-member."""
        return min(self.members.size, self.others.size)


def auc(members: ArrayLike, others: ArrayLike, level: float = LEVEL) -> Interval:
    """AUC with DeLong's interval; where the samples separate and its variance is 0, the exact pairwise one.

    Args:
        members: (n,) scores of what was in.
        others: (k,) scores of what was not.
        level: two-sided.

    Raises:
        DataError: a group is empty or a score not finite.
    """
    placed = _placements(members, others)
    return _interval(placed.auc, _covariance(placed, placed), placed.size, level)


def controlled_auc(
    members: ArrayLike, others: ArrayLike, base_members: ArrayLike, base_others: ArrayLike, level: float = LEVEL
) -> Interval:
    """AUC with the coins' luck taken out by the base model as a control variate.

    The base has seen no coin, so what its AUC shows beyond one half is luck, which the adapter's inherits as far as
    it ranks texts alike: AUC − β(AUC_base − ½), β = Cov/Var clipped to [0, 1]. Unbiased. An adapter that ranks
    exactly as its base does has learnt nothing: one half, without width.

    Raises:
        DataError: the base was scored on another number of texts, a group is empty, or a score not finite.
    """
    target, base = _placements(members, others), _placements(base_members, base_others)
    if target.members.shape != base.members.shape or target.others.shape != base.others.shape:
        raise DataError("target and base must be scored on the same texts")
    variance, base_variance = _covariance(target, target), _covariance(base, base)
    if base_variance <= 0:
        return _interval(target.auc, variance, target.size, level)
    if np.array_equal(target.members, base.members) and np.array_equal(target.others, base.others):
        return Interval(value=_HALF, low=_HALF, high=_HALF)
    shared = _covariance(target, base)
    beta = min(1.0, max(0.0, shared / base_variance))
    value = target.auc - beta * (base.auc - _HALF)
    rest = max(0.0, variance - 2 * beta * shared + beta * beta * base_variance)
    return _interval(value, rest, target.size, level)


def balanced_accuracy(members: ArrayLike, others: ArrayLike, draws: Draws, level: float = LEVEL) -> Interval:
    """Mean of the two rates of right answers; each half is judged by the threshold that is best on the other.

    Raises:
        DataError: fewer than two texts in a group, or a score not finite.
    """
    inside, outside = _finite(members, "members"), _finite(others, "non-members")
    if min(inside.size, outside.size) < 2:
        raise DataError("balanced accuracy needs two texts of each group")
    inside, outside = inside[draws.permutation(inside.size)], outside[draws.permutation(outside.size)]
    right_in = right_out = 0
    for fold in (0, 1):
        threshold = _best_threshold(inside[1 - fold :: 2], outside[1 - fold :: 2])
        right_in += int((inside[fold::2] >= threshold).sum())
        right_out += int((outside[fold::2] < threshold).sum())
    return mean_of_two(clopper_pearson(right_in, inside.size, level), clopper_pearson(right_out, outside.size, level))


def tpr_at_fpr(members: ArrayLike, reserve: ArrayLike, fpr: float = 0.01, level: float = LEVEL) -> Interval:
    """Share of members above the threshold that at most ``fpr`` of the reserve exceed, with its exact interval.

    Raises:
        EvaluationError: fewer than 10/fpr reserve canaries: not measurable, and never a number.
        DataError: a group is empty or a score not finite.
    """
    inside, outside = _finite(members, "members"), np.sort(_finite(reserve, "reserve canaries"))[::-1]
    allowed = math.floor(fpr * outside.size)
    if allowed < MIN_FALSE_POSITIVES:
        raise EvaluationError(
            f"a rate at {fpr:.1%} false positives needs {math.ceil(MIN_FALSE_POSITIVES / fpr)} reserve canaries, "
            f"not {outside.size}",
            hint="Raise reserve_canaries in the plan.",
        )
    return clopper_pearson(int((inside > outside[allowed]).sum()), inside.size, level)


def mann_whitney_p(members: ArrayLike, others: ArrayLike) -> float:
    """One-sided p value of "members score higher", by the normal approximation with ties and continuity correction.

    Raises:
        DataError: a group is empty or a score not finite.
    """
    placed = _placements(members, others)
    n, k = placed.members.size, placed.others.size
    _, ties = np.unique(np.concatenate([_finite(members, ""), _finite(others, "")]), return_counts=True)
    total = n + k
    spread = n * k / 12 * (total + 1 - float((ties.astype(float) ** 3 - ties).sum()) / (total * max(1, total - 1)))
    if spread <= 0:
        return 1.0
    return normal_cdf(-(placed.auc * n * k - n * k / 2 - 0.5) / math.sqrt(spread))


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A check of the attack itself: where it fails, what the attack says counts for nothing."""

    name: str
    interval: Interval | None
    holds: bool
    note: str = ""


def null_control(name: str, members: ArrayLike, others: ArrayLike) -> Control:
    """What has seen no coin (the base as target, or the texts alone) must not tell in from out."""
    interval = auc(members, others, CONTROL_LEVEL)
    return Control(name=name, interval=interval, holds=interval.low <= _HALF <= interval.high)


def positive_control(members: ArrayLike, others: ArrayLike, name: str = "shadow") -> Control:
    """A model that was trained without protection must be told from chance by this very attack."""
    interval = auc(members, others)
    return Control(name=name, interval=interval, holds=interval.low > POSITIVE_CONTROL_AUC)


def most_vulnerable(base_scores: ArrayLike, share: float = 0.05) -> NDArray[np.int64]:
    """Indices of the texts that the *base* finds least likely; never chosen by the adapter that is judged.

    Raises:
        DataError: no text, or a score not finite.
    """
    scores = _finite(base_scores, "texts")
    return np.argsort(scores, kind="stable")[: math.ceil(share * scores.size)].astype(np.int64)


def _finite(scores: ArrayLike, what: str) -> Vector:
    values = np.asarray(scores, float)
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"{what}: expected a vector of one score or more")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(f"{what}: score {bad[0]} is not finite", hint="Score again; no text may be dropped.")
    return values


def _placements(members: ArrayLike, others: ArrayLike) -> _Placements:
    inside, outside = _finite(members, "members"), _finite(others, "non-members")
    return _Placements(members=_share_below(inside, outside), others=1 - _share_below(outside, inside))


def _share_below(points: Vector, among: Vector) -> Vector:
    ordered = np.sort(among)
    return (np.searchsorted(ordered, points, "left") + np.searchsorted(ordered, points, "right")) / (2 * among.size)


def _covariance(a: _Placements, b: _Placements) -> float:
    """DeLong's covariance of two AUCs on the same texts."""
    total = 0.0
    for one, two in ((a.members, b.members), (a.others, b.others)):
        if one.size > 1:
            total += float(((one - one.mean()) * (two - two.mean())).sum()) / (one.size - 1) / one.size
    return total


def _interval(value: float, variance: float, pairs: int, level: float) -> Interval:
    z = two_sided_z(level)
    if variance <= 0:  # perfect separation, or all ties: `pairs` disjoint pairs, all on one side
        edge = ((1 - level) / 2) ** (1 / pairs)
        return Interval(value=value, low=edge if value == 1 else 0.0, high=1 - edge if value == 0 else 1.0)
    half = z * math.sqrt(variance)
    value = min(1.0, max(0.0, value))
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half))


def _best_threshold(inside: Vector, outside: Vector) -> float:
    """The t with the best TPR + TNR of "a score of at least t is in"; the lowest of several."""
    inside, outside = np.sort(inside), np.sort(outside)
    thresholds = np.unique(np.concatenate([inside, outside]))
    above = (inside.size - np.searchsorted(inside, thresholds)) / inside.size
    below = np.searchsorted(outside, thresholds) / outside.size
    return float(thresholds[int(np.argmax(above + below))])


__all__ = [
    "auc",
    "balanced_accuracy",
    "Control",
    "CONTROL_LEVEL",
    "controlled_auc",
    "mann_whitney_p",
    "MIN_FALSE_POSITIVES",
    "most_vulnerable",
    "null_control",
    "positive_control",
    "POSITIVE_CONTROL_AUC",
    "tpr_at_fpr",
]
