"""What desensitisation costs a model: a department classifier trained on raw and on scrubbed text.

Multinomial logistic regression on hashed character n-grams, in numpy, with AdaGrad; k-fold, the same folds and the same
order for both arms, each judged on its own kind of text. The difference is paired by record and has a 95 % interval.

Public consultations hold few identifiers; the second pair of arms puts invented ones before each text, so that there is
something to scrub. Not handled here: whether a language model writes as well as before.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import DataError
from fedward.simulations.benchmarks.scrub_subjects import Pipeline
from fedward.simulations.console import Interface, Silent
from fedward.simulations.scrub_corpus.generator import sample
from fedward.simulations.scrub_corpus.gold import Sample

MAX_LOSS_POINTS = 2.0
"""How much accuracy may differ, in points of a hundred."""
_BUCKETS = 1 << 16
_ORDERS = (1, 2, 3)
_MAX_CHARACTERS = 400

Features = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Buckets of one text and their weights, of L2 norm one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What is measured."""

    data: Path
    """JSON Lines with ``label``, ``question`` and ``text``."""
    profile: str = "fast"
    max_records: int | None = None
    folds: int = 5
    epochs: int = 6
    seed: int = 5


def measure(scope: Scope, ui: Interface | None = None) -> dict[str, Any]:
    """Accuracy of both arms and their paired difference, without and with invented identifiers.

    Returns:
        ``plain`` and ``injected``, each with ``accuracy_raw``, ``accuracy_scrubbed``, ``difference_points`` and its
        interval, the share of characters that were changed, and ``passed``.
    """
    labels, texts = read(scope.data, scope.max_records)
    with (ui or Silent()).bar("Desensitisation, utility", 2) as tick:
        plain = compare(labels, texts, scope)
        tick(1, "with invented identifiers")
        headed = [f"{sample(scope.seed, n, 'zh', hits_per_kb=20.0).text}\n{text}" for n, text in enumerate(texts)]
        injected = compare(labels, headed, scope)
    bounded = abs(plain["difference_points"]), abs(injected["difference_points"])
    return {
        "records": len(texts),
        "classes": len(set(labels)),
        "profile": scope.profile,
        "plain": plain,
        "injected": injected,
        "max_difference_points": MAX_LOSS_POINTS,
        "passed": max(bounded) <= MAX_LOSS_POINTS,
    }


def read(path: Path, limit: int | None) -> tuple[list[str], list[str]]:
    """Labels and texts (question, then answer).

    Raises:
        DataError: no JSON Lines with these fields.
    """
    labels, texts = [], []
    for number, line in enumerate(path.read_text("utf-8").splitlines()[:limit], start=1):
        try:
            record = json.loads(line)
            labels.append(str(record["label"]))
            texts.append(f"{record['question']}\n{record['text']}")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path.name}, line {number}: expected label, question and text") from error
    return labels, texts


def compare(labels: Sequence[str], texts: Sequence[str], scope: Scope) -> dict[str, Any]:
    """Train on raw and on scrubbed texts; the same folds."""
    samples = [
        Sample(document_id=f"r{n}", patient_id=f"r{n}", kind="utility", text=text, gold=())
        for n, text in enumerate(texts)
    ]
    readings = Pipeline(scope.profile).read(samples)
    kept = [n for n, reading in enumerate(readings) if reading.text is not None]
    classes = {label: place for place, label in enumerate(sorted(set(labels)))}
    targets = np.array([classes[labels[n]] for n in kept])
    raw = correct([texts[n] for n in kept], targets, scope)
    scrubbed = correct([readings[n].text or "" for n in kept], targets, scope)
    gaps = 100.0 * (scrubbed.astype(float) - raw.astype(float))
    error = 1.959964 * float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
    changed = sum(hit.end - hit.start for reading in readings for hit in reading.found)
    return {
        "accuracy_raw": float(raw.mean()),
        "accuracy_scrubbed": float(scrubbed.mean()),
        "majority": float(np.bincount(targets).max() / len(targets)),
        "difference_points": float(gaps.mean()),
        "interval_points": (float(gaps.mean()) - error, float(gaps.mean()) + error),
        "changed_characters": changed / max(sum(map(len, texts)), 1),
        "quarantined": len(texts) - len(kept),
    }


# ---------------------------------------------------------------------------------------------------- classifier


def correct(texts: Sequence[str], targets: NDArray[np.int64], scope: Scope) -> NDArray[np.bool_]:
    """Whether each record's label is told by a model of the other folds."""
    rows = [features(text) for text in texts]
    order = np.random.default_rng(scope.seed).permutation(len(rows))  # noqa: TID251  # the folds, the same for all
    right = np.zeros(len(rows), dtype=bool)
    for fold in range(scope.folds):
        held = order[fold :: scope.folds]
        train = np.setdiff1d(order, held, assume_unique=True)
        predict = fit([rows[n] for n in train], targets[train], num_classes=int(targets.max()) + 1, scope=scope)
        right[held] = [predict(rows[n]) == targets[n] for n in held]
    return right


def features(text: str) -> Features:
    """Hashed character n-grams, weighted by the square root of their count."""
    text = text[-_MAX_CHARACTERS:]
    grams = [text[i : i + n] for n in _ORDERS for i in range(len(text) - n + 1)]
    buckets, counts = np.unique([zlib.crc32(gram.encode()) % _BUCKETS for gram in grams] or [0], return_counts=True)
    weights = np.sqrt(counts)
    return buckets.astype(np.int32), (weights / np.linalg.norm(weights)).astype(np.float32)


def fit(
    rows: Sequence[Features], targets: NDArray[np.int64], *, num_classes: int, scope: Scope, batch: int = 64
) -> Callable[[Features], int]:
    """Multinomial logistic regression by AdaGrad (Duchi, Hazan and Singer 2011); returns the prediction."""
    weights = np.zeros((_BUCKETS, num_classes), dtype=np.float32)
    squares = np.full_like(weights, 1e-6)
    rng = np.random.default_rng(scope.seed)  # noqa: TID251  # the order of training, the same for all
    for _ in range(scope.epochs):
        order = rng.permutation(len(rows))
        for start in range(0, len(rows), batch):
            chosen = order[start : start + batch]
            _step(weights, squares, [rows[n] for n in chosen], targets[chosen])
    return lambda row: int((row[1] @ weights[row[0]]).argmax())


def _step(
    weights: NDArray[np.float32], squares: NDArray[np.float32], rows: Sequence[Features], targets: NDArray[np.int64]
) -> None:
    """One step in place; only buckets of the batch move."""
    logits = np.stack([row[1] @ weights[row[0]] for row in rows])
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(rows)), targets] -= 1.0
    touched, places = np.unique(np.concatenate([row[0] for row in rows]), return_inverse=True)
    gradient = np.zeros((len(touched), weights.shape[1]), dtype=np.float32)
    each = np.concatenate([row[1][:, None] * share for row, share in zip(rows, shares, strict=True)])
    np.add.at(gradient, places, each)
    gradient /= len(rows)
    squares[touched] += gradient**2
    weights[touched] -= 0.5 * gradient / np.sqrt(squares[touched])
