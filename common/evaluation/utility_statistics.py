"""What scored texts and labels say of a model's use: with intervals over units, never over tokens.

Invariants: sums are divided once, at the end (never a mean of ratios); units are drawn whole; a label that the gold
standard lacks is named, not counted as zero. Not handled here: scoring texts (``utility``) and generating.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedward.common.errors import DataError, EmptyDataError
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.intervals import BOOTSTRAP_DRAWS, LEVEL, Interval, bootstrap, wilson

MIN_GAP_NATS = 0.05
"""Between base and non-private model: below it a share of the gap is noise."""
FORGETTING_WARN_NATS = 0.1

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UnitSums:
    """What each unit's texts cost, summed.

    Args:
        nll_nats: (n,) negative log-likelihood.
        tokens: (n,) scored tokens.
        num_bytes: (n,) UTF-8 bytes scored.
    """

    nll_nats: Vector
    tokens: Vector
    num_bytes: Vector

    def __post_init__(self) -> None:
        arrays = (self.nll_nats, self.tokens, self.num_bytes)
        if any(a.ndim != 1 or a.shape != self.tokens.shape for a in arrays):
            raise DataError("sums of units are three vectors of one length")
        if not all(np.isfinite(a).all() for a in arrays) or (self.tokens < 0).any() or (self.num_bytes < 0).any():
            raise DataError("sums of units must be finite, counts at least 0")

    @property
    def size(self) -> int:
        """Number of units."""
        return int(self.tokens.size)


def log_perplexity(sums: UnitSums, draws: Draws, level: float = LEVEL, num_draws: int = BOOTSTRAP_DRAWS) -> Interval:
    """Nats per token over all units; its exponential, ends included, is the perplexity.

    Raises:
        EmptyDataError: no token was scored.
    """
    statistic = _ratio(sums.nll_nats, sums.tokens)
    return bootstrap(statistic, sums.size, draws=draws, level=level, num_draws=num_draws)


def bits_per_byte(sums: UnitSums, draws: Draws, level: float = LEVEL, num_draws: int = BOOTSTRAP_DRAWS) -> Interval:
    """Comparable across tokenizers and languages: sum of nll / (ln 2 x bytes).

    Raises:
        EmptyDataError: no byte was scored.
    """
    statistic = _ratio(sums.nll_nats, math.log(2) * sums.num_bytes)
    return bootstrap(statistic, sums.size, draws=draws, level=level, num_draws=num_draws)


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteFigures:
    """One metric over sites, of which little is good.

    Args:
        by_site: each with its interval.
        macro: mean over sites, every site alike.
        worst: id of the site with the largest estimate; the first of several.
    """

    by_site: Mapping[str, Interval]
    macro: float
    worst: str


def over_sites(by_site: Mapping[str, Interval]) -> SiteFigures:
    """Macro mean and worst site.

    Raises:
        EmptyDataError: no site.
    """
    if not by_site:
        raise EmptyDataError("no site was measured")
    values = {site: interval.value for site, interval in by_site.items()}
    return SiteFigures(
        by_site=dict(by_site), macro=math.fsum(values.values()) / len(values), worst=max(values, key=values.__getitem__)
    )


def forgetting(
    base: UnitSums, tuned: UnitSums, draws: Draws, level: float = LEVEL, num_draws: int = BOOTSTRAP_DRAWS
) -> Interval:
    """The ln PPL of the tuned model minus that of its base on the same public texts, paired by unit; 0.1 nats warn.

    Raises:
        DataError: not the same units.
        EmptyDataError: no token was scored.
    """
    if not (np.array_equal(base.tokens, tuned.tokens) and np.array_equal(base.num_bytes, tuned.num_bytes)):
        raise DataError("base and tuned model must be scored on the same texts")
    statistic = _ratio(tuned.nll_nats - base.nll_nats, base.tokens)
    return bootstrap(statistic, base.size, draws=draws, level=level, num_draws=num_draws)


def retention(base_nats: float, private_nats: float, non_private_nats: float) -> float | None:
    """Share of the non-private model's gain that the private one keeps; None where that gain is below 0.05 nats.

    Args:
        base_nats: ln perplexity of the base.
        private_nats: of the private adapter.
        non_private_nats: of the one without noise.
    """
    gap = base_nats - non_private_nats
    return (base_nats - private_nats) / gap if gap >= MIN_GAP_NATS else None


def predict(label_scores: ArrayLike, prior: ArrayLike | None = None) -> tuple[NDArray[np.int64], int]:
    """Index of the likeliest label for each text, ties to the first; and how many texts had a tie.

    Args:
        label_scores: (n, labels) ln p of each label with its terminator.
        prior: (labels,) the same under a content-free prompt, taken off; None for no correction.

    Raises:
        DataError: no label, or a score that is not finite.
    """
    scores = np.asarray(label_scores, float)
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise DataError("label scores: expected one row a text and one column a label")
    if prior is not None:
        offset = np.asarray(prior, float)
        if offset.shape != scores.shape[1:]:
            raise DataError("the prior must have one score a label")
        scores = scores - offset
    if not np.isfinite(scores).all():
        raise DataError("a label score is not finite")
    ties = int(((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum()) if scores.size else 0
    return np.argmax(scores, axis=1).astype(np.int64), ties


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """How well labels were told.

    Args:
        accuracy: with Wilson's interval.
        macro_f1: over the labels that the gold standard has; bootstrap over units.
        recall: by label, with Wilson's interval.
        absent: labels that the gold standard lacks.
    """

    accuracy: Interval
    macro_f1: Interval
    recall: Mapping[str, Interval]
    absent: tuple[str, ...]


def classify(
    gold: ArrayLike,
    predicted: ArrayLike,
    labels: Sequence[str],
    draws: Draws,
    *,
    units: ArrayLike | None = None,
    level: float = LEVEL,
    num_draws: int = BOOTSTRAP_DRAWS,
) -> Classification:
    """Accuracy, macro-F1 and recall.

    Args:
        gold: (n,) index of the right label.
        predicted: (n,) index of the told one.
        labels: names, by index.
        draws: of the bootstrap.
        units: (n,) index of each text's unit; None where each text is one.
        level: of the intervals.
        num_draws: of the bootstrap.

    Raises:
        EmptyDataError: no text.
        DataError: lengths differ, or a label or unit that is not there.
    """
    right, told = _indices(gold, len(labels), "gold"), _indices(predicted, len(labels), "predicted")
    owners = np.arange(right.size) if units is None else _indices(units, None, "units")
    if not right.shape == told.shape == owners.shape:
        raise DataError("gold, predicted and units must have one length")
    if not right.size:
        raise EmptyDataError("no text was classified")
    owners = np.unique(owners, return_inverse=True)[1]
    counts = np.bincount(right, minlength=len(labels))
    hits = np.bincount(right[right == told], minlength=len(labels))
    present = np.flatnonzero(counts)
    return Classification(
        accuracy=wilson(int(hits.sum()), right.size, level),
        macro_f1=bootstrap(
            _macro_f1(right, told, owners, present, len(labels)),
            int(owners.max()) + 1,
            draws=draws,
            level=level,
            num_draws=num_draws,
        ),
        recall={labels[i]: wilson(int(hits[i]), int(counts[i]), level) for i in present.tolist()},
        absent=tuple(label for label, count in zip(labels, counts, strict=True) if not count),
    )


def domain_recall(recall: Mapping[str, Interval], domain_labels: Sequence[str]) -> tuple[float, str]:
    """Mean recall of the plan's domain labels, and the worst of them.

    Raises:
        EmptyDataError: none is named, or one that the gold standard lacks.
    """
    missing = [label for label in domain_labels if label not in recall]
    if missing or not domain_labels:
        raise EmptyDataError(f"domain labels without a text: {', '.join(missing) or 'none is named'}")
    values = {label: recall[label].value for label in domain_labels}
    return math.fsum(values.values()) / len(values), min(values, key=values.__getitem__)


def _ratio(numerator: Vector, denominator: Vector) -> Callable[[NDArray[np.int64]], Vector]:
    def statistic(block: NDArray[np.int64]) -> Vector:
        below = denominator[block].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(below > 0, numerator[block].sum(axis=1) / below, np.nan)

    return statistic


def _macro_f1(
    right: NDArray[np.int64], told: NDArray[np.int64], owners: NDArray[np.int64], present: NDArray[np.int64], size: int
) -> Callable[[NDArray[np.int64]], Vector]:
    """Macro-F1 of units drawn; from each unit's counts of hits, gold and told labels."""
    num_units = int(owners.max()) + 1

    def per_unit(keep: NDArray[np.bool_], label: NDArray[np.int64]) -> Vector:
        cells = np.bincount(owners[keep] * size + label[keep], minlength=num_units * size)
        return cells.reshape(num_units, size).astype(float)[:, present]

    everything = np.ones(right.shape, bool)
    hits = per_unit(right == told, right)
    total = per_unit(everything, right) + per_unit(everything, told)

    def statistic(block: NDArray[np.int64]) -> Vector:
        # How often each unit was drawn: one product in place of a gather of (draws, units, labels).
        offsets = np.arange(len(block))[:, None] * num_units
        drawn = np.bincount((block + offsets).ravel(), minlength=len(block) * num_units).reshape(-1, num_units)
        seen = drawn @ total
        with np.errstate(divide="ignore", invalid="ignore"):
            f1 = np.where(seen > 0, 2 * (drawn @ hits) / seen, np.nan)
        lacking = np.isnan(f1)
        count = (~lacking).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(count > 0, np.where(lacking, 0.0, f1).sum(axis=1) / count, np.nan)

    return statistic


def _indices(values: ArrayLike, size: int | None, what: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or array.min() < 0:
        raise DataError(f"{what}: expected a vector of indices")
    if size is not None and array.max() >= size:
        raise DataError(f"{what}: index {array.max()} is beyond the {size} labels")
    return array.astype(np.int64)


__all__ = [
    "bits_per_byte",
    "Classification",
    "classify",
    "domain_recall",
    "forgetting",
    "FORGETTING_WARN_NATS",
    "log_perplexity",
    "MIN_GAP_NATS",
    "over_sites",
    "predict",
    "retention",
    "SiteFigures",
    "UnitSums",
]
