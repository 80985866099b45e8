"""Training of the tagger: a conditional random field by AdaGrad on mini-batches, in numpy, with no source of chance.

Equal data and settings give equal bytes: the order of chains and the features left out of a batch come from hashes.
Features seen once are dropped, and in every batch a share of the others (Srivastava et al. 2014), for names at a site
are not those of the training text. Sources: Lafferty et al. 2001; Duchi, Hazan, Singer 2011. Not handled here: the
formats of data sets (``corpora``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.atomic import write_atomically
from fedward.common.desensitize.detectors import crf
from fedward.common.desensitize.detectors.characters import Codes, codes_of, name_characters
from fedward.common.desensitize.detectors.corpora import Sentence, read_manifest
from fedward.common.desensitize.detectors.crf import Chains, Floats
from fedward.common.desensitize.detectors.features import NUM_TEMPLATES, REACH, features, words_here
from fedward.common.desensitize.detectors.generated import generated
from fedward.common.desensitize.detectors.hashing import HashTable, mixed
from fedward.common.desensitize.detectors.tagger import Tagger, chains_of, places_of
from fedward.common.desensitize.detectors.words import Words, shipped_words
from fedward.common.errors import ConfigError

_PART: Final = {"PERSON": 0, "LOC": 1, "ORG": 2}
_BATCH_CHARACTERS: Final = 6000
_CHUNK: Final = 1 << 14
_SEED: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How a model is trained."""

    epochs: int = 5
    learning_rate: float = 0.25
    min_count: int = 2
    """Features seen less often are dropped."""
    generated_sentences: int = 20_000
    """Added to the data by ``train_tagger``: notes of hospitals and banks, terms that are no names, titles."""
    drop: float = 0.45
    """Share of features left out of a batch."""
    table_bits: int = 20
    """The model holds at most 2**table_bits features."""
    max_features: int = 600_000
    """Those with the largest weights are kept."""


def train_tagger(
    manifest: Path, out: Path, training: Training | None = None, *, progress: Callable[[str], None] | None = None
) -> Tagger:
    """Train on the data sets that ``manifest`` names and write the model file to ``out``.

    Args:
        manifest: TOML; ``corpora`` says what stands in it.
        out: written at the end, whole or not at all.
        training: defaults otherwise.
        progress: is told of each epoch; numbers only.

    Raises:
        ConfigError: a wrong manifest, a data set that is not the one it names, or no name in any of them.
    """
    training = training or Training()
    described, sentences = read_manifest(manifest)
    sentences += generated(training.generated_sentences, seed=_SEED)
    tagger = trained(sentences, {"datasets": described}, training, progress=progress)
    write_atomically(out, tagger.to_bytes())
    return tagger


def trained(
    sentences: Sequence[Sentence],
    described: dict[str, Any],
    training: Training,
    *,
    words: Words | None = None,
    progress: Callable[[str], None] | None = None,
) -> Tagger:
    """A tagger from labelled sentences."""
    tell = progress or (lambda _: None)
    codes, gold_at = _block(sentences)
    chains = chains_of(codes)
    places, inner = places_of(chains)
    gold = gold_at[places]
    if not gold.any():
        raise ConfigError("the training data hold no name")
    ids, hashes = _numbered(codes, places, words or shipped_words(), training.min_count)
    tell(f"{len(sentences)} sentences, {len(places)} characters, {len(hashes)} features")
    weights, transitions = _fit(ids, len(hashes), inner, gold, training, tell)
    manifest = described | {"templates": NUM_TEMPLATES, "training": _settings(training)}
    return _packed(hashes, weights, transitions, training, manifest)


def _settings(training: Training) -> dict[str, Any]:
    return {name: getattr(training, name) for name in training.__dataclass_fields__}


def _block(sentences: Sequence[Sentence]) -> tuple[Codes, NDArray[np.uint8]]:
    """All sentences as one array with gaps between, and the tag of each character."""
    gap = "\0" * REACH
    codes = codes_of(gap + gap.join(sentence.text for sentence in sentences) + gap)
    tags = np.zeros(len(codes), np.uint8)
    inside = name_characters(codes)
    offset = REACH
    for sentence in sentences:
        for start, end, type_ in sentence.spans:
            _mark(tags, inside, offset + start, offset + end, _PART[type_])
        offset += len(sentence.text) + REACH
    return codes, tags


def _mark(tags: NDArray[np.uint8], inside: NDArray[np.bool_], start: int, end: int, kind: int) -> None:
    """Tag one name; where a character cannot stand in a name, each part is one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside[start:end], [False]]).astype(np.int8)))
    for first, last in zip(edges[::2] + start, edges[1::2] + start, strict=True):
        base = 4 * kind
        if last - first == 1:
            tags[first] = base + crf.SINGLE
        else:
            tags[first:last] = base + crf.INSIDE
            tags[first], tags[last - 1] = base + crf.BEGIN, base + crf.END


def _numbered(
    codes: Codes, places: NDArray[np.intp], words: Words, min_count: int
) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """(F, P) numbers of the features from 1, 0 for a dropped one; and the hash of each number less one."""
    here = words_here(codes, words)
    hashes = np.empty((NUM_TEMPLATES, len(places)), np.uint32)
    for start in range(0, len(places), _CHUNK):
        hashes[:, start : start + _CHUNK] = features(codes, here, places[start : start + _CHUNK])
    ids = np.zeros((NUM_TEMPLATES, len(places)), np.int32)
    kept: list[NDArray[np.uint32]] = []
    total = 0
    for row, values in zip(ids, hashes, strict=True):
        unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        often = counts >= min_count
        numbers = np.where(often, np.cumsum(often) + total, 0).astype(np.int32)
        row[:] = numbers[inverse]
        kept.append(unique[often])
        total += int(often.sum())
    return ids, np.concatenate(kept)


def _fit(
    ids: NDArray[np.int32],
    num_features: int,
    chains: Chains,
    gold: NDArray[np.uint8],
    training: Training,
    tell: Callable[[str], None],
) -> tuple[Floats, Floats]:
    weights = np.zeros((num_features + 1, crf.NUM_TAGS), np.float32)
    squares = np.full_like(weights, 1e-2)
    transitions = np.zeros((crf.NUM_TAGS, crf.NUM_TAGS), np.float32)
    transition_squares = np.full_like(transitions, 1e-2)
    allowed = crf.allowed()
    for epoch in range(training.epochs):
        rate = training.learning_rate * (1 - 0.9 * epoch / training.epochs)
        likelihood = 0.0
        for number, batch in enumerate(_batches(chains, epoch)):
            places, inner = places_of(batch)
            dropped = _with_dropout(ids.take(places, axis=1), training.drop, epoch, number)
            scores = np.zeros((len(places), crf.NUM_TAGS), np.float32)
            for row in dropped:
                scores += weights.take(row, axis=0)
            impossible = np.where(allowed, transitions, crf.IMPOSSIBLE).astype(np.float32)
            value, by_score, by_transition = crf.gradients(scores, impossible, inner, gold[places])
            likelihood += value
            _step(weights, squares, dropped, by_score, rate)
            transition_squares += by_transition**2
            transitions += rate * by_transition / np.sqrt(transition_squares) * allowed
        tell(f"epoch {epoch + 1}: log-likelihood {likelihood / len(gold):.4f} a character")
    return weights, transitions


def _batches(chains: Chains, epoch: int) -> list[Chains]:
    order = np.argsort(mixed(np.arange(len(chains.starts)), epoch, 7), kind="stable")
    lengths = chains.lengths[order]
    batch = np.cumsum(lengths) // _BATCH_CHARACTERS
    cuts = np.flatnonzero(np.diff(batch)) + 1
    return [
        Chains.of(starts, sizes)
        for starts, sizes in zip(np.split(chains.starts[order], cuts), np.split(lengths, cuts), strict=True)
    ]


def _with_dropout(ids: NDArray[np.int32], drop: float, epoch: int, number: int) -> NDArray[np.int32]:
    if not drop:
        return ids
    luck = mixed(np.arange(ids.size, dtype=np.uint32), epoch, number).reshape(ids.shape)
    return np.where(luck >= np.uint32(int(drop * 2**32)), ids, 0).astype(np.int32)


def _step(weights: Floats, squares: Floats, ids: NDArray[np.int32], by_score: Floats, rate: float) -> None:
    """One AdaGrad step on the rows that occur."""
    flat = ids.ravel()
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    firsts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    rows = ordered[firsts]
    sums = np.add.reduceat(by_score.take(order % ids.shape[1], axis=0), firsts, axis=0)
    if rows[0] == 0:
        rows, sums = rows[1:], sums[1:]
    square = squares.take(rows, axis=0) + sums**2
    squares[rows] = square
    weights[rows] += rate * sums / np.sqrt(square)


def _packed(
    hashes: NDArray[np.uint32], weights: Floats, transitions: Floats, training: Training, manifest: dict[str, Any]
) -> Tagger:
    """The heaviest features, in eight bits each."""
    rows = weights[1:]
    # Only differences between tags count: a row's mean is taken off, which makes its numbers small.
    rows = rows - rows.mean(axis=1, keepdims=True)
    importance = np.abs(rows).max(axis=1)
    chosen = np.argsort(-importance, kind="stable")[: training.max_features]
    _, first = np.unique(hashes[chosen], return_index=True)
    chosen = chosen[np.sort(first)]
    table, cells = HashTable.of(hashes[chosen], training.table_bits)
    scale = float(np.quantile(importance, 0.9999) / 127) if len(importance) else 1.0
    stored = np.flatnonzero(cells >= 0)
    by_cell = stored[np.argsort(cells[stored])]
    small = np.clip(np.rint(rows[chosen[by_cell]] / scale), -127, 127).astype(np.int8)
    return Tagger(table=table, weights=small, transitions=transitions, scale=scale, manifest=manifest)


__all__ = ["train_tagger", "trained", "Training"]
