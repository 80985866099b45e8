"""The control without a model: can texts alone tell in from out?

Logistic regression on hashed character 1- to 3-grams, each half scored by what was fitted on the other. Where it tells
members from non-members, they went through different code (cut, scrubbed or encoded differently) and no membership
score means anything.
Memory: (n, 512) float32 and one Hessian. Not handled here: the verdict (``membership.null_control``).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedward.common.errors import DataError
from fedward.common.evaluation.draws import Draws

BUCKETS = 512
_PENALTY = 1.0
_STEPS = 8
_MAX_CHARS = 4_000


def bag_scores(texts: Sequence[str], included: ArrayLike, draws: Draws) -> NDArray[np.float64]:
    """(n,) out-of-fold log odds of "in".

    Raises:
        DataError: not one coin for each text, or fewer than two texts of a side.
    """
    coins = np.asarray(included)
    if coins.shape != (len(texts),) or coins.dtype != np.bool_:
        raise DataError("the control needs one coin for each text")
    if min(int(coins.sum()), int((~coins).sum())) < 2:
        raise DataError("the control needs two texts of each side")
    features = _features(texts)
    fold = np.zeros(len(texts), bool)
    for side in (coins, ~coins):
        places = np.flatnonzero(side)
        fold[places[draws.permutation(places.size)[::2]]] = True
    scores = np.empty(len(texts))
    for held in (fold, ~fold):
        weights, offset = _fit(features[~held], coins[~held])
        scores[held] = features[held] @ weights + offset
    return scores


def _features(texts: Sequence[str]) -> NDArray[np.float64]:
    """Counts by bucket, each row of length 1."""
    rows = np.zeros((len(texts), BUCKETS), np.float32)
    for row, text in zip(rows, texts, strict=True):
        cut = text[:_MAX_CHARS]
        grams = [cut[i : i + size] for size in (1, 2, 3) for i in range(len(cut) - size + 1)]
        buckets = [zlib.crc32(gram.encode("utf-8", "surrogatepass")) % BUCKETS for gram in grams]
        row += np.bincount(np.array(buckets, np.int64), minlength=BUCKETS).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def _fit(features: NDArray[np.float64], coins: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Newton's method on the penalised log-likelihood."""
    centre = features.mean(axis=0)
    x = (features - centre).astype(np.float64)
    target = np.where(coins, 1.0, 0.0)
    weights = np.zeros(BUCKETS)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(x @ weights)))
        curvature = np.maximum(p * (1 - p), 1e-6)
        hessian = x.T @ (x * curvature[:, None])
        hessian.flat[:: BUCKETS + 1] += _PENALTY
        weights += np.linalg.solve(hessian, x.T @ (target - p) - _PENALTY * weights)
    return weights, -float(centre @ weights)


__all__ = ["bag_scores", "BUCKETS"]
