"""Membership scores of a text from its tokens' log-likelihoods. Higher is more likely in.

Invariants: no coin is known here; a likelihood that is not finite is refused with its index, never dropped. Sources:
zlib ratio, Carlini et al., arXiv 2012.07805; min-k %, Shi et al., arXiv 2310.16789; min-k %++, Zhang et al., arXiv
2404.02936. Not handled here: the model that gives the likelihoods, and what scores show (``membership``).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedward.common.errors import DataError, EmptyDataError

MIN_DEVIATION = 1e-3
_MINK_SHARE = 5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenLikelihoods:
    """What one forward pass gives of one text.

    Args:
        log_p: (T,) ln p of each token given all before it.
        mean: (T,) expectation of ln p over the vocabulary at each step; None where no score needs it.
        deviation: (T,) its standard deviation.
        secret: tokens of the secret, as a slice of the T.
    """

    log_p: NDArray[np.float64]
    mean: NDArray[np.float64] | None = None
    deviation: NDArray[np.float64] | None = None
    secret: slice | None = None

    def __post_init__(self) -> None:
        arrays = [array for array in (self.log_p, self.mean, self.deviation) if array is not None]
        if self.log_p.ndim != 1 or self.log_p.size == 0 or any(a.shape != self.log_p.shape for a in arrays):
            raise DataError("likelihoods are vectors of one length, of one token or more")
        if not all(np.isfinite(array).all() for array in arrays):
            raise DataError("a likelihood is not finite", hint="Score again; no text may be dropped.")


def loss(text: TokenLikelihoods) -> float:
    """Mean ln p."""
    return float(text.log_p.mean())


def zlib_ratio(text: TokenLikelihoods, raw: str) -> float:
    """Sum of ln p over the bits that zlib needs for the text."""
    return float(text.log_p.sum()) / (8 * len(zlib.compress(raw.encode("utf-8", "surrogatepass"))))


def mink(text: TokenLikelihoods) -> float:
    """Mean of the lowest fifth of ln p, one token at least."""
    return _lowest_fifth(text.log_p)


def minkpp(text: TokenLikelihoods) -> float:
    """The same of ln p, standardised at each step by its mean and deviation over the vocabulary.

    Raises:
        DataError: those were not measured.
    """
    if text.mean is None or text.deviation is None:
        raise DataError("minkpp needs mean and deviation of ln p at each step")
    return _lowest_fifth((text.log_p - text.mean) / np.maximum(text.deviation, MIN_DEVIATION))


def slot(text: TokenLikelihoods) -> float:
    """Sum of ln p over the secret's tokens.

    Raises:
        DataError: the text has no secret.
    """
    tokens = text.log_p[text.secret] if text.secret is not None else text.log_p[:0]
    if tokens.size == 0:
        raise DataError("the slot score needs the tokens of a secret")
    return float(tokens.sum())


def reference(target: ArrayLike, references: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """(n,) target scores minus the mean over reference models of the same score on the same texts.

    Raises:
        EmptyDataError: no reference.
        DataError: another number of texts.
    """
    values = np.asarray(target, float)
    if not references:
        raise EmptyDataError("no reference model was scored")
    others = [np.asarray(reference, float) for reference in references]
    if any(other.shape != values.shape for other in others):
        raise DataError("target and reference must be scored on the same texts")
    difference: NDArray[np.float64] = values - sum(others) / len(others)
    return difference


def per_unit(scores: ArrayLike, units: ArrayLike, num_units: int) -> NDArray[np.float64]:
    """(num_units,) mean score over each unit's records.

    Args:
        scores: (n,) one per record.
        units: (n,) index of the record's unit.
        num_units: each of them has a record.

    Raises:
        DataError: lengths differ, or a unit without a record.
    """
    values, index = np.asarray(scores, float), np.asarray(units, np.int64)
    if values.shape != index.shape or values.ndim != 1 or (index.size and not 0 <= index.min() <= index.max()):
        raise DataError("scores and units must be two vectors of one length")
    counts = np.bincount(index, minlength=num_units)
    if len(counts) != num_units or not counts.all():
        raise DataError("a unit without a record, or a record of no unit")
    sums = np.bincount(index, weights=values, minlength=num_units)
    means: NDArray[np.float64] = sums / counts
    return means


def _lowest_fifth(values: NDArray[np.float64]) -> float:
    count = max(1, values.size // _MINK_SHARE)
    return float(np.partition(values, count - 1)[:count].mean())


__all__ = ["loss", "MIN_DEVIATION", "mink", "minkpp", "per_unit", "reference", "slot", "TokenLikelihoods", "zlib_ratio"]
